/** What a request says, made ready to look words, numbers and names up in. Knows text; knows nothing of tools or answers. */

import { findAll, first, pattern, size, stripEndOf } from "../unicode.js";

// Words of one meaning mostly share a beginning: calculate, calculator, calculation.
const STEM_CHARS = 5;

export const WORD = pattern(String.raw`[^\W_]+`);
export const NUMBER = pattern(String.raw`\d+(?:[.,]\d+)*`);
const NAME = pattern(String.raw`(?<![.!?] )(?<!^)\b[A-Z][\w'-]+`);
// a percentage, or a number and the word that follows it
const MEASURE = pattern(String.raw`(?<![\d.,])(\d{1,18}(?:[.,]\d{1,9}){0,5})[ -]?(%|[^\W\d_]{1,16}²?)`);
const CAMEL = pattern("(?<=[a-z])(?=[A-Z])");
const THINGS = pattern(
  String.raw`\b(?:and|also|then|next|lastly|finally|additionally|plus|versus|vs|or)\b|[;?]|,(?= )|\n\d[.)]`,
);
const NUMBER_WORDS: ReadonlyMap<string, number> = new Map([
  ...["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"].map(
    (word, value): [string, number] => [word, value],
  ),
  ["twenty", 20],
  ["thirty", 30],
  ["forty", 40],
  ["fifty", 50],
  ["sixty", 60],
  ["hundred", 100],
  ["thousand", 1000],
  ["once", 1],
  ["twice", 2],
  ["double", 2],
  ["both", 2],
  ["half", 2],
  ["third", 3],
  ["thrice", 3],
  ["triple", 3],
  ["quarter", 4],
  ["dozen", 12],
]);
const STOP: ReadonlySet<string> = new Set(
  `a about after all also am an and any are as at be been but by can could did do does for from get give given
had has have her him his how i if in into is it its just like me my need no not of on or our out please she
should show so some tell than that the their them then there these they this those to up us use using want was
we were what when where which who will with would you your based specific specified certain provided including
e g default optional`.split(/\s+/),
);

/**
 * What a request says. text: lower case. numbers: without what only groups digits, also those written as words.
 *
 * places: where each number stands first. stems: of all words but those that say nothing. measures: the words that follow
 * each number. things: how many more things than one it seems to list.
 */
export interface Said {
  readonly text: string;
  readonly words: ReadonlySet<string>;
  readonly numbers: ReadonlySet<string>;
  readonly names: ReadonlySet<string>;
  readonly stems: ReadonlySet<string>;
  readonly places: ReadonlyMap<string, number>;
  readonly measures: ReadonlyMap<string, ReadonlySet<string>>;
  readonly things: number;
}

/** Read what a request says, once for all that is looked up in it. */
export function readSaid(text: string): Said {
  const lower = text.toLowerCase();
  const words = new Set(findAll(WORD, lower));
  const places = new Map<string, number>();
  for (const match of text.matchAll(NUMBER)) {
    const number = numberText(match[0]);
    if (!places.has(number)) places.set(number, match.index);
  }
  const numbers = new Set(places.keys());
  for (const word of words) {
    const value = NUMBER_WORDS.get(word);
    if (value !== undefined) numbers.add(String(value));
  }
  const measures = new Map<string, Set<string>>();
  for (const [, found, unit] of lower.matchAll(MEASURE)) {
    const number = numberText(found!);
    if (!measures.has(number)) measures.set(number, new Set());
    measures.get(number)!.add(unit!);
  }
  return {
    text: lower,
    words,
    numbers,
    names: new Set(findAll(NAME, text).map((name) => name.toLowerCase())),
    stems: stemsOf(words),
    places,
    measures,
    things: findAll(THINGS, lower).length,
  };
}

/** Beginnings of words in lower case, without those that say nothing. */
export function stemsOf(words: Iterable<string>): Set<string> {
  const stems = new Set<string>();
  for (const word of words) {
    if (STOP.has(word)) continue;
    stems.add(first(word.endsWith("s") && size(word) > 3 ? word.slice(0, -1) : word, STEM_CHARS));
  }
  return stems;
}

/** The words of an identifier: get_userName as get, user, name. */
export function splitName(name: string): string[] {
  return findAll(WORD, name.replace(CAMEL, " ").toLowerCase().replaceAll("_", " "));
}

/** 1,200.50 as 1200.5: without what only groups digits. */
export function numberText(found: string): string {
  const [digits = "", fraction = ""] = found.replaceAll(",", "").split(".");
  const part = stripEndOf(fraction, "0");
  const whole = digits.replace(/^0+/, "") || "0";
  return part ? `${whole}.${part}` : whole;
}
