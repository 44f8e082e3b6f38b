/**
 * Turn whatever a caller holds of a model's answer into one output, or say which field is wrong. Knows the shapes in which
 * answers come; knows nothing of what is read of them.
 */

import { InputError } from "./errors.js";
import { get, has, isMapping, isNumber, keys, numeric, parseJson, type Mapping } from "./json.js";
import { roundToFour } from "./numbers.js";
import { kindOf, textOf } from "./request.js";
import { first, size, withoutSurrogates } from "./unicode.js";

// More calls than this, or tokens with a probability, or parts or characters of a text, is a model that ran away: the rest
// is not read.
const CALLS_READ = 64;
const TOKENS_READ = 4_096;
const PARTS_READ = 4_096;
const CHARS_READ = 1_000_000;
const NAME_READ = 1_000;
// Where a call that was written as text comes to its arguments
const ARGUMENT_MARKS = ['"arguments"', '"parameters"', "("];

/** An answer as a caller may give it: a text, an OpenAI message or chat completion, or an object with `text`. */
export type OutputInput = string | object;

/** One call: its name and arguments (an object; anything else is what the model wrote instead). */
export interface ToolCall {
  readonly name: string;
  readonly arguments: unknown;
}

/** Logarithms of the probabilities of an answer's tokens: the mean, the least, the mean over the arguments of calls. */
export interface Logprobs {
  readonly mean: number;
  readonly least: number;
  readonly arguments: number | null;
}

/** One model's answer. toolCalls: null when none could be read, [] when the model chose to call nothing. */
export interface Output {
  readonly text: string | null;
  readonly toolCalls: readonly ToolCall[] | null;
  readonly finishReason: string | null;
  readonly logprobs: Logprobs | null;
  readonly model: string | null;
}

/** One output of whatever a caller holds. Raises InputError naming the field that is wrong, what was found and wanted. */
export function parseOutput(output: unknown): Output {
  if (typeof output === "string") {
    return { text: readText(output), toolCalls: null, finishReason: null, logprobs: null, model: null };
  }
  if (!isMapping(output)) {
    throw new InputError(
      `output is ${kindOf(output)}; it must be text, a message with 'content' or 'tool_calls', a chat completion, or an ` +
        "object with 'text'",
    );
  }
  const model = textOf(output, "model") || null;
  if (has(output, "choices")) return parseCompletion(get(output, "choices"), model);
  if (!["content", "text", "tool_calls"].some((field) => has(output, field))) {
    const found = keys(output)
      .slice(0, 5)
      .map((key) => first(key, 20));
    throw new InputError(
      `output has the fields ${found.join(", ") || "none"}; it must have 'content', 'text' or 'tool_calls'`,
    );
  }
  return parseMessage(output, "output", null, null, model);
}

function parseCompletion(choices: unknown, model: string | null): Output {
  if (!Array.isArray(choices) || !choices.length) {
    throw new InputError(`output.choices is ${kindOf(choices)}; it must be a list of at least one choice`);
  }
  const choice: unknown = choices[0];
  const message = isMapping(choice) ? get(choice, "message") : null;
  if (!isMapping(choice) || !isMapping(message)) {
    throw new InputError(`output.choices[0].message is ${kindOf(message)}; it must be an object with 'content'`);
  }
  return parseMessage(message, "output.choices[0].message", get(choice, "finish_reason"), get(choice, "logprobs"), model);
}

function parseMessage(
  message: Mapping,
  place: string,
  finishReason: unknown,
  logprobs: unknown,
  model: string | null,
): Output {
  const field = has(message, "text") ? "text" : "content";
  let text = parseText(get(message, field), `${place}.${field}`);
  const refusal = get(message, "refusal");
  if (text === null && typeof refusal === "string") text = readText(refusal);
  const calls = get(message, "tool_calls");
  if (calls !== null && !Array.isArray(calls)) {
    throw new InputError(`${place}.tool_calls is ${kindOf(calls)}; it must be a list or null`);
  }
  const reason = finishReason ?? get(message, "finish_reason");
  if (reason !== null && typeof reason !== "string") {
    throw new InputError(`${place}.finish_reason is ${kindOf(reason)}; it must be text or null`);
  }
  return {
    text,
    toolCalls:
      calls === null
        ? null
        : // a hole of an array is no call either, and map would leave it
          Array.from(calls.slice(0, CALLS_READ), (call: unknown, index) =>
            parseCall(call, `${place}.tool_calls[${index}]`),
          ),
    finishReason: reason,
    logprobs: readLogprobs(logprobs ?? get(message, "logprobs"), text),
    model,
  };
}

function parseText(content: unknown, place: string): string | null {
  if (content === null) return null;
  if (typeof content === "string") return readText(content);
  if (!Array.isArray(content)) {
    throw new InputError(`${place} is ${kindOf(content)}; it must be text, a list of parts, or null`);
  }
  const texts: string[] = [];
  let left = CHARS_READ;
  for (const part of content.slice(0, PARTS_READ) as unknown[]) {
    const text = isMapping(part) ? get(part, "text") : part;
    if (typeof text === "string" && left) {
      const kept = first(text, left);
      texts.push(kept);
      left -= size(kept);
    }
  }
  return withoutSurrogates(texts.join(""));
}

function readText(text: string): string {
  return withoutSurrogates(first(text, CHARS_READ));
}

function parseCall(call: unknown, place: string): ToolCall {
  if (!isMapping(call)) {
    throw new InputError(`${place} is ${kindOf(call)}; it must be an object with 'function' or 'name'`);
  }
  const inner = get(call, "function");
  const called = isMapping(inner) ? inner : call;
  const name = get(called, "name");
  if (typeof name !== "string") throw new InputError(`${place}.name is ${kindOf(name)}; it must be text`);
  return { name: withoutSurrogates(first(name, NAME_READ)), arguments: readArguments(get(called, "arguments")) };
}

/**
 * A call's arguments out of the JSON that servers write them as, an empty object where there are none.
 *
 * What does not parse, or is too long to try, is kept as the model wrote it: it is judged as it is.
 */
export function readArguments(written: unknown): unknown {
  if (typeof written === "string" && size(written) <= CHARS_READ) {
    try {
      return parseJson(written || "{}");
    } catch {
      return written;
    }
  }
  return written;
}

/** What a chat completion's `logprobs` say, or a summary of them; null where they say nothing. text: what tokens spell. */
export function readLogprobs(logprobs: unknown, text: string | null): Logprobs | null {
  const content = isMapping(logprobs) ? get(logprobs, "content") : null;
  if (!Array.isArray(content) || !content.length) return boundLogprobs(logprobs);
  const found: number[] = [];
  const spelled: number[] = []; // where each token begins in the text, in code points
  let place = 0;
  for (const item of content.slice(0, TOKENS_READ) as unknown[]) {
    const value = isMapping(item) ? bounded(get(item, "logprob")) : null;
    if (value === null || !isMapping(item)) return null;
    found.push(value);
    spelled.push(place);
    place += size(textOf(item, "token"));
  }
  const whole = text ?? "";
  const places = ARGUMENT_MARKS.map((mark) => whole.indexOf(mark)).filter((at) => at >= 0);
  const start = places.length ? size(whole.slice(0, Math.min(...places))) : -1;
  const ofArguments = start >= 0 ? found.filter((_, index) => spelled[index]! >= start) : [];
  return {
    mean: roundToFour(mean(found)),
    least: roundToFour(found.reduce((least, value) => Math.min(least, value))),
    arguments: ofArguments.length ? roundToFour(mean(ofArguments)) : null,
  };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** A summary, as records and references hold it, within the bounds of a log-probability; null where it is none. */
export function boundLogprobs(logprobs: unknown): Logprobs | null {
  if (!isMapping(logprobs)) return null;
  const [mean, least, ofArguments] = ["mean", "least", "arguments"].map((name) => bounded(get(logprobs, name))) as [
    number | null,
    number | null,
    number | null,
  ];
  return mean === null || least === null ? null : { mean, least, arguments: ofArguments };
}

/** A log-probability, null for what is none. Some servers say -infinity, or round to just above 0. */
function bounded(value: unknown): number | null {
  if (!isNumber(value)) return null;
  const plain = numeric(value);
  return Number.isNaN(plain) ? null : Math.min(Math.max(plain, -100), 0);
}
