/**
 * Look at an answer as a text: does it end, refuse, hedge, repeat itself, hold JSON? Knows nothing of requests.
 *
 * No expression here repeats without a bound.
 */

import type { Output } from "../answer.js";
import { parseJsonAt, type Value } from "../json.js";
import {
  count,
  countNonAscii,
  findAll,
  first,
  last,
  occurs,
  pattern,
  size,
  startsWithDigit,
  stripEnd,
} from "../unicode.js";
import { WORD } from "./said.js";

// A JSON answer longer than this is not parsed at run time.
const JSON_READ = 200_000;
const REFUSAL = pattern(
  String.raw`\bI(?:'m| am) (?:sorry|unable|not able)|\bI (?:can(?:no|')t|do(?:n't| not) have|apologi[sz]e)|\bas an AI\b|` +
    String.raw`\b(?:cannot|can't|unable to) (?:be determined|help|assist|answer|provide|fulfil)|\bnot enough information\b`,
  "i",
);
const HEDGING = pattern(
  String.raw`\b(?:approximately|roughly|about equal|closest|nearest|assum\w+|perhaps|maybe|might|likely|probably|seems?|` +
    String.raw`appears?|not (?:sure|clear|exactly|listed|among)|none of the|however|unclear|guess)\b`,
  "i",
);
const CORRECTION = pattern(
  String.raw`\b(?:wait|actually|let(?:'s| us| me) (?:re|try again|correct|check)|mistake|incorrect|instead|oops|` +
    String.raw`re-?evaluate)\b`,
  "i",
);
const LETTER = pattern(String.raw`\([A-J]\)`);
const STEP = pattern(String.raw`^[ \t]{0,8}(?:\d{1,3}[.)]|[-*]|step\b)`, "im");
const ENDS = [".", "!", "?", "}", "]", ")", '"', "'", "`", "*", ":", "…", "。", "！", "？", "$"];

/** Refusal, hedging, correction of itself, repetition, a question at the end, options named, steps told. */
export function readText(text: string): number[] {
  return [
    Number(occurs(REFUSAL, text)),
    Math.log1p(findAll(HEDGING, text).length),
    Math.log1p(findAll(CORRECTION, text).length),
    repetition(findAll(WORD, text.toLowerCase())),
    Number(stripEnd(text).endsWith("?")),
    Math.log1p(new Set(findAll(LETTER, text)).size),
    Math.log1p(findAll(STEP, text).length),
  ];
}

/** Whether an answer ends before its end, as the server says or as it looks. */
export function isCutOff(output: Output): boolean {
  if (output.finishReason !== null) return output.finishReason === "length";
  const text = stripEnd(output.text ?? "");
  if (!text) return false;
  if (count(text, "```") % 2 === 1) return true;
  return !(ENDS.some((end) => text.endsWith(end)) || startsWithDigit(last(text, 1)) || size(text) < 80);
}

/** The JSON that an answer is, or holds in a fenced block or after other words; null where there is none. */
export function findJson(text: string): Value {
  if (size(text) > JSON_READ) return null;
  const start = text.search(/[{[]/);
  if (start < 0) return null;
  try {
    return parseJsonAt(text, start);
  } catch {
    return null;
  }
}

/** Share of a text's characters that are not ASCII. */
export function nonAscii(text: string): number {
  return text ? countNonAscii(text) / size(text) : 0;
}

/** A text, or of a longer one the two ends. */
export function endsOf(text: string, limit: number): string {
  const half = Math.floor(limit / 2);
  return size(text) <= limit ? text : `${first(text, half)}\n${last(text, half)}`;
}

/** Share of the text's runs of four words that repeat an earlier one. */
function repetition(words: readonly string[]): number {
  const runs = words.length - 3;
  if (runs < 1) return 0;
  const different = new Set<string>();
  for (let at = 0; at < runs; at += 1) different.add(words.slice(at, at + 4).join(" "));
  return 1 - different.size / runs;
}
