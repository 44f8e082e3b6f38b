/**
 * Turn a request, or a request and an answer, into the view an encoder reads: short texts and a vector of plain counts.
 *
 * Knows requests, answers and text; knows nothing of token ids, ONNX or thresholds. Never reads a whole transcript: agent
 * prompts run to 100k tokens.
 */

import type { Output, ToolCall } from "./answer.js";
import { ANSWER_FEATURES, readFeatures } from "./answers/features.js";
import { entries, get, isFloat, isInteger, isMapping, numeric } from "./json.js";
import { spellFloat } from "./numbers.js";
import { messageText, wantsJson, type Message, type Request } from "./request.js";
import {
  DESCRIPTION_CHARS,
  ends,
  FEATURES,
  historyFeatures,
  readTool,
  textFeatures,
  toolFeatures,
  TOOLS_READ,
  type Tool,
} from "./request_features.js";
import { first, size, strip, withoutSurrogates } from "./unicode.js";

// What lies in the middle of a long text is never read.
const CHARS_PER_TOKEN = 8;
// Of the step, the role and the wish for JSON together: each is a word.
const KIND_TOKENS = 8;
export const GATE_FEATURES: readonly string[] = [...FEATURES, ...ANSWER_FEATURES];

// Far above what any encoder reads that decides in milliseconds; a view of more would not be bounded
export const MOST_TOKENS = 65_536;

// Of an answer's calls, and of their arguments, so many are shown, each so long at most.
const CALLS_SHOWN = 8;
const VALUES_SHOWN = 12;
const VALUE_CHARS = 80;
const VALUE_DEPTH = 3;
const LARGEST_SHOWN = 10n ** 18n;

/** How many tokens the parts of a view may take, with the names of `config.json`; the last message takes the rest. */
export interface ViewSpec {
  readonly max_tokens: number;
  readonly tools_tokens: number;
  readonly system_tokens: number;
  readonly previous_tokens: number;
  readonly head_share: number;
}

/** As `ViewSpec`, of a request and an answer: here the answer takes what the other parts leave. */
export interface AnswerViewSpec {
  readonly max_tokens: number;
  readonly tools_tokens: number;
  readonly request_tokens: number;
  readonly head_share: number;
}

/** Most tokens of each segment but the last one. */
export function budgetsOf(spec: ViewSpec | AnswerViewSpec): number[] {
  return "request_tokens" in spec
    ? [KIND_TOKENS, spec.tools_tokens, spec.request_tokens]
    : [KIND_TOKENS, spec.tools_tokens, spec.system_tokens, spec.previous_tokens];
}

/** What an encoder reads. cut: some text of the last segment was left out already here, before tokenization. */
export interface View {
  readonly segments: readonly string[];
  readonly features: readonly number[];
  readonly cut: boolean;
}

/** The view of a request. Any request gives a view: odd characters are replaced, long parts are cut. */
export function makeView(request: Request, spec: ViewSpec): View {
  const position = lastPosition(request.messages);
  const last = request.messages[position]!;
  const whole = messageText(last);
  const shown = spec.max_tokens * CHARS_PER_TOKEN;
  const kept = ends(whole, shown, spec.head_share);
  const system = systemText(request, last);
  const tools = request.tools.slice(0, TOOLS_READ).map(readTool);
  // a bare prompt needs no kind: its few tokens would be a tenth of a short view
  const role = last.role === "user" ? "" : last.role;
  const shapes = tools.map((tool) => tool.shape).join("; ");
  return {
    segments: [
      kindOfRequest(request, role),
      first(clean(titled(`${request.tools.length} tools`, shapes)), shown),
      clean(titled("system", first(system, spec.system_tokens * CHARS_PER_TOKEN))),
      clean(previous(request.messages.slice(0, position), last, spec.previous_tokens * CHARS_PER_TOKEN)),
      clean(kept),
    ],
    features: requestFeatures(request, last, kept, size(system), tools),
    cut: size(kept) < size(whole),
  };
}

/** Where a tier stands among all, for the gate: 0 for the cheapest, below 1 for any but the top one. */
export function placeOf(tier: string, tiers: readonly string[]): number {
  return tiers.indexOf(tier) / (tiers.length - 1);
}

/** The view of a request and an answer to it. tier: `placeOf` the one that answered. */
export function makeAnswerView(request: Request, output: Output, tier: number, spec: AnswerViewSpec): View {
  const last = request.messages[lastPosition(request.messages)]!;
  const most = spec.max_tokens * CHARS_PER_TOKEN;
  const kept = ends(messageText(last), most, 0.5);
  const shown = ends(messageText(last), spec.request_tokens * CHARS_PER_TOKEN, 0.5);
  const tools = request.tools.slice(0, TOOLS_READ).map(readTool);
  const calls = (output.toolCalls ?? []).slice(0, CALLS_SHOWN);
  const called = new Set(calls.map((call) => call.name));
  const ofCalls = tools.filter((tool) => called.has(tool.name)).map((tool) => tool.shape);
  // a model that writes its calls as text says there what they say
  const text = calls.map(shownCall).join("; ") || output.text || "";
  const keptOutput = ends(text, most, spec.head_share);
  return {
    segments: [
      kindOfRequest(request, calls.length ? "call" : ""),
      first(clean(ofCalls.join("; ")), most),
      clean(shown),
      clean(keptOutput),
    ],
    features: [
      ...requestFeatures(request, last, kept, size(systemText(request, last)), tools),
      ...readFeatures(request, output, tier),
    ],
    cut: size(keptOutput) < size(text),
  };
}

/** Whether the message that would be answered holds nothing but white space. */
export function isEmpty(request: Request): boolean {
  return !strip(messageText(request.messages[lastPosition(request.messages)]!));
}

function kindOfRequest(request: Request, role: string): string {
  const words = [request.step ?? "", wantsJson(request) ? "json" : "", role].filter((word) => word !== "");
  return clean(first(words.join(" "), 64));
}

function systemText(request: Request, last: Message): string {
  const found = request.messages.find((m) => (m.role === "system" || m.role === "developer") && m !== last);
  return found === undefined ? "" : messageText(found);
}

function requestFeatures(
  request: Request,
  last: Message,
  kept: string,
  systemChars: number,
  tools: readonly Tool[],
): number[] {
  return [
    ...textFeatures(kept, size(messageText(last))),
    ...historyFeatures(request.messages, last, systemChars),
    Number(wantsJson(request)),
    ...toolFeatures(tools, request.tools.length, kept),
  ];
}

function shownCall(call: ToolCall): string {
  const name = first(call.name, DESCRIPTION_CHARS);
  if (!isMapping(call.arguments)) return `${name}(${shownValue(call.arguments, 0)})`;
  const parts = entries(call.arguments)
    .slice(0, VALUES_SHOWN)
    .map(([key, value]) => `${shownValue(key, 0)}=${shownValue(value, 0)}`);
  return `${name}(${parts.join(", ")})`;
}

/** A value in a few words, as Python spells it, whatever it is and however much it holds. */
function shownValue(value: unknown, depth: number): string {
  if (typeof value === "string") return first(value, VALUE_CHARS);
  if (value === null || value === undefined) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (isFloat(value)) return spellFloat(numeric(value));
  if (isInteger(value)) {
    const whole = BigInt(value);
    return -LARGEST_SHOWN < whole && whole < LARGEST_SHOWN ? String(whole) : "large";
  }
  if (depth < VALUE_DEPTH && Array.isArray(value)) {
    const items = value.slice(0, VALUES_SHOWN).map((item) => shownValue(item, depth + 1));
    return `[${items.join(", ")}]`;
  }
  if (depth < VALUE_DEPTH && isMapping(value)) {
    const pairs = entries(value)
      .slice(0, VALUES_SHOWN)
      .map(([key, inner]) => `${shownValue(key, depth + 1)}: ${shownValue(inner, depth + 1)}`);
    return `{${pairs.join(", ")}}`;
  }
  return "…";
}

function titled(title: string, text: string): string {
  return text ? `${title}: ${text}` : "";
}

/** Index of the last message the model is asked to react to: the last one that is not the assistant's own. */
function lastPosition(messages: readonly Message[]): number {
  const found = messages.findLastIndex((message) => message.role !== "assistant");
  return found < 0 ? messages.length - 1 : found;
}

function clean(text: string): string {
  // lone surrogates cannot be encoded for the tokenizer; NUL has no meaning in a prompt
  return withoutSurrogates(text).replaceAll("\0", " ");
}

/** What led to the last message: for a tool result the call and the user's words, else the turn before. */
function previous(before: readonly Message[], last: Message, limit: number): string {
  const ofTool = last.role === "tool";
  const call = ofTool ? before.findLast((message) => message.toolCalls.length) : undefined;
  const called = call === undefined ? "" : callName(call);
  const wanted = ofTool ? ["user"] : ["assistant", "tool", "user"];
  const turn = before.findLast((m) => wanted.includes(m.role) && (m.content?.length || m.toolCalls.length));
  if (turn === undefined) return called;
  const text = messageText(turn) || `called ${callName(turn)}`;
  return strip(`${called} ${turn.role}: ${ends(text, limit)}`);
}

function callName(message: Message): string {
  for (const call of message.toolCalls) {
    if (!isMapping(call)) continue;
    const inner = get(call, "function");
    const name = get(isMapping(inner) ? inner : call, "name");
    if (typeof name === "string") return first(name, DESCRIPTION_CHARS);
  }
  return "";
}
