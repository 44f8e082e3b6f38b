/**
 * Read a reasoning text: does its arithmetic hold, what does it state as its answer, and does that follow?
 *
 * Knows texts; knows nothing of calls or thresholds. Every expression that is searched for has a bounded length.
 */

import {
  asciiDigits,
  findAll,
  first,
  isLetters,
  last,
  occurs,
  pattern,
  size,
  strip,
  stripEnd,
  stripEndOf,
  stripStart,
} from "../unicode.js";
import { numberText, stemsOf, WORD, type Said } from "./said.js";

const EQUATIONS_READ = 40;

const N = String.raw`\d{1,15}(?:,\d{3}){0,5}(?:\.\d{1,15})?`;
const NUMBER = pattern(String.raw`(?<![\d.,])${N}`);
// 3 * $4 + 5% = $17: up to eight terms, and what stands before and after decides whether it is a whole
const EQUATION = pattern(
  String.raw`(?<![\d.,])-?(?:\$ ?)?${N}%?(?: ?[-+*/×÷x] ?(?:\$ ?)?${N}%?){1,8} ?= ?(?:\$ ?)?-?${N}`,
);
const TERM = pattern(String.raw`([-+*/×÷x])? ?(?:\$ ?)?(${N})(%?)`);
const STATED = pattern(
  String.raw`(?:answer(?: is|"? ?:)|####|\\boxed\{)[\s"(:$*\\]{0,12}(-?\$?${N}(?:/\d{1,9})?|[A-J]\b)`,
  "i",
);
const OPTION_LINE = pattern(String.raw`^[ \t]{0,8}\(?([A-J])[.)]\s{1,4}(.{1,200})$`, "m");
// what a text may compute with although nothing has said it: a whole, a half, months, hours, minutes
const KNOWN_TO_ALL = ["1", "2", "4", "7", "10", "12", "24", "30", "52", "60", "100", "365"];
const PARTS = pattern(String.raw`\b(?:how many|how much older|number of)\b`);
const BEFORE_A_PART = [..."-+*/×÷x)^", "="];
const AFTER_A_PART = [..."*/×÷^("];

/** What was seen of a reasoning text; the fields are those of the Python room of this name. */
export interface Reasoning {
  equations: number;
  wrong: number;
  unexplained: number;
  dangling: number;
  follows: boolean;
  answers: number;
  final: string;
  place: number;
  inReasoning: boolean;
  offOptions: boolean;
  newNumbers: number;
  unused: number;
  options: number;
  optionMatch: number;
  optionShare: number;
  optionLength: number;
  optionNumber: number;
  countsParts: boolean;
}

export function noReasoning(): Reasoning {
  return {
    equations: 0,
    wrong: 0,
    unexplained: 0,
    dangling: 0,
    follows: false,
    answers: 0,
    final: "",
    place: 0,
    inReasoning: false,
    offOptions: false,
    newNumbers: 0,
    unused: 0,
    options: 0,
    optionMatch: 0,
    optionShare: 0,
    optionLength: 0,
    optionNumber: 0,
    countsParts: false,
  };
}

/** answer: its text. asked, said: the request as it is, and what it says. */
export function readReasoning(answer: string, asked: string, said: Said): Reasoning {
  const found = noReasoning();
  const text = plainSigns(answer);
  const results = readEquations(text, said, found);
  const stated = [...text.matchAll(STATED)].map((match): [number, string] => [
    match.index,
    match[1]!.toUpperCase().replaceAll("$", "").replaceAll(",", ""),
  ]);
  const numbers = new Set(findAll(NUMBER, text).map(numberText));
  found.newNumbers = [...numbers].filter((number) => !said.numbers.has(number)).length;
  found.unused = said.numbers.size
    ? [...said.numbers].filter((number) => !numbers.has(number)).length / said.numbers.size
    : 0;
  const ending = stated[stated.length - 1];
  if (ending === undefined) return found;
  const [place, final] = ending;
  const before = text.slice(0, place);
  found.answers = new Set(stated.map(([, written]) => written)).size;
  found.final = final;
  found.place = size(before) / Math.max(size(text), 1);
  if (isLetters(final)) {
    matchOptions(before, final, asked, found);
    return found;
  }
  const plain = final.includes("/") ? final : numberText(final.replace(/^-+/, ""));
  const near = findAll(NUMBER, before).map(numberText).slice(-3);
  found.inReasoning = near.includes(plain);
  found.follows = results.length > 0 && plain === results[results.length - 1];
  found.countsParts = occurs(PARTS, said.text) && (plain.includes(".") || plain.includes("/") || final.startsWith("-"));
  return found;
}

/** What each equation of a text comes to, and whether it holds. */
function readEquations(text: string, said: Said, found: Reasoning): string[] {
  const results: string[] = [];
  const known = new Set([...said.numbers, ...KNOWN_TO_ALL]);
  const unused = new Set<string>();
  for (const match of text.matchAll(EQUATION)) {
    const whole = match[0];
    const middle = whole.lastIndexOf("=");
    const [left, right] = [whole.slice(0, middle), whole.slice(middle + 1)];
    const end = match.index + whole.length;
    // six units hold three code points
    const before = stripEnd(last(text.slice(Math.max(match.index - 6, 0), match.index), 3));
    const after = stripStart(first(text.slice(end, end + 6), 3));
    const result = strip(right.replaceAll("$", "").replaceAll(",", ""));
    const terms = new Set(findAll(NUMBER, left).map(numberText));
    for (const term of terms) {
      found.unexplained += Number(!known.has(term));
      unused.delete(term);
    }
    for (const term of terms) known.add(term);
    const comesTo = numberText(result.replace(/^-+/, ""));
    results.push(comesTo);
    known.add(comesTo);
    unused.add(comesTo);
    if (BEFORE_A_PART.includes(last(before, 1)) || AFTER_A_PART.includes(first(after, 1))) continue; // of a longer one
    const value = evaluate(left);
    found.equations += 1;
    if (value !== null) {
      const decimals = size(result.split(".")[1] ?? "");
      // the result may be rounded, or a percentage
      const near = 0.6 * Number(`1e-${decimals}`) + 1e-9 * Math.abs(value);
      const given = toNumber(result);
      const off = Math.abs(value - given);
      const offPercent = after.startsWith("%") ? Math.abs(100 * value - given) : Infinity;
      found.wrong += Number(Math.min(off, offPercent) > near);
    }
    if (found.equations >= EQUATIONS_READ) break;
  }
  const lastResult = results[results.length - 1];
  found.dangling = [...unused].filter((number) => number !== lastResult).length;
  return results;
}

function toNumber(written: string): number {
  return Number(asciiDigits(written.replaceAll(",", "")));
}

/** A sum of products; null where it divides by zero. */
function evaluate(expression: string): number | null {
  let [total, product] = [0, 1];
  let index = 0;
  for (const [, sign = "", digits, percent] of expression.matchAll(TERM)) {
    const value = toNumber(digits!) / (percent ? 100 : 1);
    if (index === 0) product = sign === "-" ? -value : value;
    else if (sign === "*" || sign === "×" || sign === "x") product *= value;
    else if (sign === "/" || sign === "÷") {
      if (value === 0) return null;
      product /= value;
    } else {
      total += product;
      product = sign === "-" ? -value : value;
    }
    index += 1;
  }
  return total + product;
}

/** How far the reasoning says what the chosen option says, against the best other option. */
function matchOptions(before: string, final: string, asked: string, found: Reasoning): void {
  const options = new Map([...asked.matchAll(OPTION_LINE)].map((match): [string, string] => [match[1]!, match[2]!]));
  found.options = options.size;
  const chosen = stripEndOf(strip(options.get(final) ?? ""), ".").toLowerCase();
  found.offOptions = options.size > 0 && !options.has(final);
  const lower = before.toLowerCase();
  found.inReasoning = chosen !== "" && lower.includes(chosen);
  if (options.size < 2 || chosen === "") return;
  const said = stemsOf(findAll(WORD, lower));
  const stems = new Map([...options].map(([letter, content]) => [letter, stemsOf(findAll(WORD, content.toLowerCase()))]));
  // what all options say tells nothing of any
  const isShared = (stem: string): boolean => [...stems.values()].every((own) => own.has(stem));
  const shares = new Map<string, number>();
  for (const [letter, all] of stems) {
    const own = [...all].filter((stem) => !isShared(stem));
    shares.set(letter, own.filter((stem) => said.has(stem)).length / Math.max(own.length, 1));
  }
  const others = [...shares].filter(([letter]) => letter !== final).map(([, share]) => share);
  found.optionShare = shares.get(final)!;
  found.optionMatch = found.optionShare - Math.max(...others);
  const chars = [...options.values()].reduce((sum, content) => sum + size(content), 0);
  found.optionLength = Math.log((size(chosen) * options.size) / chars);
  found.optionNumber = matchNumbers(before, final, options);
}

/**
 * 1 where a reasoning ends with the number of the chosen option, -1 where with another, 0 where options have none; and
 * between where that number is only the nearest.
 */
function matchNumbers(before: string, final: string, options: ReadonlyMap<string, string>): number {
  const ending = findAll(NUMBER, before).map(toNumber).slice(-3);
  const numbers = new Map<string, number>();
  for (const [letter, content] of options) {
    const [number] = findAll(NUMBER, content);
    if (number !== undefined) numbers.set(letter, toNumber(number));
  }
  const own = numbers.get(final);
  if (!ending.length || own === undefined) return 0;
  const distance = (number: number): number =>
    Math.min(
      ...ending.map((value) => Math.abs(number - value) / Math.max(Math.abs(number), Math.abs(value), 1e-9)),
    );
  if (distance(own) < 0.01) return 1;
  return distance(own) <= Math.min(...[...numbers.values()].map(distance)) ? -0.5 : -1;
}

/** LaTeX's signs as those of a calculator. */
function plainSigns(text: string): string {
  return text
    .replaceAll("\\\\", "\\")
    .replaceAll("\\cdot", "*")
    .replaceAll("\\times", "*")
    .replaceAll("\\div", "/");
}
