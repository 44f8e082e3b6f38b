/**
 * Plain counts of a request, and of each tool's schema, beside the texts of its view. Knows requests and text; knows
 * nothing of views, token ids or thresholds.
 */

import { firstEntries, get, has, isMapping, keys, type Mapping } from "./json.js";
import { functionOf, messageText, textOf, type Message } from "./request.js";
import {
  count,
  countDigits,
  countNonAscii,
  countUpper,
  findAll,
  first,
  last,
  pattern,
  size,
  splitWords,
  strip,
} from "./unicode.js";

// A schema is walked this far and no further, so that a hostile one costs microseconds.
export const TOOLS_READ = 32;
const PARAMETERS_READ = 24;
const SCHEMA_DEPTH_READ = 6;
// of one tool; a schema that holds itself has 24^6 of them within these limits
const SCHEMAS_READ = 1_000;
export const DESCRIPTION_CHARS = 60;
// Of a transcript, so many of the last messages are searched for errors.
const HISTORY_READ = 64;

// Counts enter as log(1 + count), shares as they are, so that no single huge prompt leaves the range seen in training.
export const FEATURES: readonly string[] = [
  "last_chars",
  "last_words",
  "word_length",
  "digit_share",
  "upper_share",
  "non_ascii_share",
  "lines",
  "sentences",
  "questions",
  "numbers",
  "code_marks",
  "json_marks",
  "math_marks",
  "options",
  "messages",
  "user_turns",
  "tool_results",
  "tool_errors",
  "total_chars",
  "system_chars",
  "last_is_tool",
  "json_wanted",
  "tools",
  "parameters",
  "most_parameters",
  "required",
  "schema_depth",
  "enums",
  "tools_overlapping",
  "best_overlap",
];

const NUMBER = pattern(String.raw`\d+`);
const WORD = pattern("[a-z0-9]+");
const OPTION = pattern(String.raw`^[^\S\n]*\(?[A-Ja-j1-9][.)]\s`, "m");
const SENTENCE = pattern(String.raw`[.!?](?:\s|$)`);
const TOOL_ERRORS = [
  "error",
  "exception",
  "traceback",
  "failed",
  "not found",
  "invalid",
  "denied",
  "timeout",
  "time out",
  "timedout",
  "timed out",
];

/** The two ends of a text that is longer than so many code points. */
export function ends(text: string, limit: number, headShare = 0.6): string {
  if (size(text) <= limit) return text;
  const head = Math.trunc(limit * headShare);
  return first(text, head) + last(text, limit - head);
}

/** Counts over the kept text; `length` is that of the whole, in code points. */
export function textFeatures(text: string, length: number): number[] {
  const words = splitWords(text).length;
  const chars = size(text);
  const shared = Math.max(chars, 1);
  const marks = (...parts: string[]): number =>
    Math.log1p(parts.reduce((sum, part) => sum + count(text, part), 0));
  return [
    Math.log1p(length),
    Math.log1p(words),
    words < shared ? (chars - count(text, " ")) / Math.max(words, 1) : 0,
    countDigits(text) / shared,
    countUpper(text) / shared,
    countNonAscii(text) / shared,
    marks("\n"),
    Math.log1p(findAll(SENTENCE, text).length),
    marks("?"),
    Math.log1p(findAll(NUMBER, text).length),
    marks("```", "()", "def ", "return", "=="),
    marks('":', "{", "["),
    marks("$", "\\", "^", "=", "%"),
    Math.log1p(findAll(OPTION, text).length),
  ];
}

export function historyFeatures(messages: readonly Message[], last: Message, systemChars: number): number[] {
  const isTool = (message: Message): boolean => message.role === "tool" || message.role === "function";
  const errors = messages.slice(-HISTORY_READ).filter((message) => isTool(message) && tellsError(message));
  const total = messages.reduce((sum, { content }) => sum + (typeof content === "string" ? size(content) : 0), 0);
  return [
    Math.log1p(messages.length),
    Math.log1p(messages.filter((message) => message.role === "user").length),
    Math.log1p(messages.filter(isTool).length),
    Math.log1p(errors.length),
    Math.log1p(total),
    Math.log1p(systemChars),
    Number(isTool(last)),
  ];
}

function tellsError(message: Message): boolean {
  const text = ends(messageText(message), 400, 0.8).toLowerCase();
  return TOOL_ERRORS.some((word) => text.includes(word));
}

/** What is read of a tool. shape: name(parameter, optional?) and the start of the description. */
export interface Tool {
  readonly name: string;
  readonly shape: string;
  readonly words: ReadonlySet<string>;
  readonly parameters: number;
  readonly required: number;
  readonly depth: number;
  readonly enums: number;
}

export function readTool(tool: Mapping): Tool {
  const inner = functionOf(tool);
  const name = first(textOf(inner, "name"), DESCRIPTION_CHARS);
  const about = first(textOf(inner, "description"), DESCRIPTION_CHARS);
  const schema = get(inner, "parameters");
  const properties = isMapping(schema) ? get(schema, "properties") : null;
  const required = isMapping(schema) ? get(schema, "required") : null;
  const all = isMapping(properties) ? keys(properties) : [];
  const needed = new Set(
    Array.isArray(required) ? required.slice(0, PARAMETERS_READ).filter((item) => typeof item === "string") : [],
  );
  const shown = all.slice(0, PARAMETERS_READ).map((item) => (needed.has(item) ? first(item, 32) : `${first(item, 32)}?`));
  const [depth, enums] = schemaShape(schema);
  return {
    name,
    shape: strip(`${name}(${shown.join(", ")}) ${about}`),
    words: new Set(findAll(WORD, `${name} ${about}`.toLowerCase().replaceAll("_", " "))),
    parameters: all.length,
    required: needed.size,
    depth,
    enums,
  };
}

const LEAF_FIELDS = ["type", "description", "default"];

/** Nesting depth of a JSON schema and its number of enums, both within the reading limits. */
function schemaShape(whole: unknown): [number, number] {
  let [deepest, enums] = [0, 0];
  const waiting: [unknown, number][] = [[whole, 0]];
  for (let left = SCHEMAS_READ; waiting.length && left; left -= 1) {
    const [schema, depth] = waiting.pop()!;
    deepest = Math.max(deepest, depth);
    if (!isMapping(schema) || depth >= SCHEMA_DEPTH_READ) continue;
    enums += Number(has(schema, "enum"));
    const [properties, items] = [get(schema, "properties"), get(schema, "items")];
    const children = isMapping(properties) ? firstEntries(properties, PARAMETERS_READ).map(([, child]) => child) : [];
    if (isMapping(items)) children.push(items);
    for (const child of children) {
      // a plain leaf counts as one deeper, as any other child does
      if (isLeaf(child)) deepest = Math.max(deepest, depth + 1);
      else waiting.push([child, depth + 1]);
    }
  }
  return [deepest, enums];
}

function isLeaf(schema: unknown): boolean {
  return isMapping(schema) && firstEntries(schema, LEAF_FIELDS.length + 1).every(([key]) => LEAF_FIELDS.includes(key));
}

export function toolFeatures(tools: readonly Tool[], offered: number, text: string): number[] {
  if (!tools.length) return new Array<number>(8).fill(0);
  const words = new Set(findAll(WORD, text.toLowerCase()));
  const overlaps = tools.map((tool) => overlap(tool.words, words) / Math.max(tool.words.size, 1));
  const sum = (field: "parameters" | "required" | "enums"): number =>
    tools.reduce((found, tool) => found + tool[field], 0);
  return [
    Math.log1p(offered),
    Math.log1p(sum("parameters")),
    Math.log1p(Math.max(...tools.map((tool) => tool.parameters))),
    Math.log1p(sum("required")),
    Math.max(...tools.map((tool) => tool.depth)),
    Math.log1p(sum("enums")),
    Math.log1p(overlaps.filter((share) => share > 0.3).length),
    Math.max(...overlaps),
  ];
}

/** How many of some words are among others. */
export function overlap(some: ReadonlySet<string>, others: ReadonlySet<string>): number {
  let found = 0;
  for (const word of some) if (others.has(word)) found += 1;
  return found;
}
