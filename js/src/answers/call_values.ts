/**
 * Look at one value that a call gives: does the request say it, and does it look as its description says?
 *
 * Knows requests and descriptions; knows nothing of schemas' types or of tools. Every look is at the first characters of a
 * value and of a description.
 */

import { isFloat, numeric } from "../json.js";
import { spellGeneral } from "../numbers.js";
import { asciiDigits, butLast, findAll, occurs, pattern, size, startsWithDigit } from "../unicode.js";
import { NUMBER, numberText, WORD, type Said } from "./said.js";

// A longer value is compared by its start, a longer description read by its start.
export const VALUE_CHARS = 400;
// An integer beyond this has thousands of digits; what it spells is not looked for in the request.
const LARGEST_NUMBER = 10n ** 18n;

const DATE_FORMAT = pattern(String.raw`\b[YMD]{2,4}([-/.])[YMD]{2,4}\1[YMD]{2,4}\b`, "i");
const DATE = pattern(String.raw`^(\d{4})-(\d{2})-(\d{2})(?:\D|$)`);
const DIGIT = pattern(String.raw`\d`);
const PLACEHOLDER = pattern(
  String.raw`^$|[<{\[]\s*\w+|\b(?:your|my)[_ ]\w+|` +
    String.raw`\b(?:placeholder|unknown|unspecified|n/?a|none|null|undefined|tbd|todo|example)\b`,
  "i",
);
const FRACTION = pattern(String.raw`decimal|fraction|\b0 (?:to|and) 1\b|\b0\.\d`, "i");
const MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
// Units of one dimension, each by all its spellings
const UNITS = [
  "mm millimeter millimetre|cm centimeter centimetre|m meter metre|km kilometer kilometre|inch inches in|ft foot feet|" +
    "yd yard|mile mi|nm nanometer",
  "mg milligram|g gram|kg kilogram kilo|lb lbs pound|oz ounce|ton tonne",
  "ms millisecond|s sec second|min minute|h hr hour|day|week|month|year",
  "c celsius|f fahrenheit|k kelvin",
  "µf uf microfarad|mf millifarad|farad",
  "mh millihenry|henry henries",
  "ml milliliter|l liter litre|cup|gallon|tablespoon|teaspoon",
  "kpa|pa pascal|atm atmosphere|bar",
  "cent|dollar usd|euro eur",
];
const UNIT_OF: ReadonlyMap<string, { dimension: number; unit: string }> = new Map(
  UNITS.flatMap((units, dimension) =>
    units.split("|").flatMap((spellings, unit) =>
      spellings
        .split(" ")
        .map((spelling): [string, { dimension: number; unit: string }] => [
          spelling,
          { dimension, unit: `${dimension}:${unit}` },
        ]),
    ),
  ),
);

/**
 * What was seen of one value. share: of its words, those that the request holds.
 *
 * offFormat: not as its description says. placeholder: it stands for a value that is not known. otherUnit: a number as it
 * stands in the request, beside another unit than the description names.
 */
export interface Look {
  readonly share: number;
  readonly offFormat: boolean;
  readonly placeholder: boolean;
  readonly otherUnit: boolean;
}

/** spelled: the number as `spellNumber` gives it. */
export function lookAtNumber(value: unknown, spelled: string, description: string, said: Said): Look {
  const text = spelled.replace(/^-+/, "");
  if (!said.numbers.has(text)) {
    // a percentage may be asked for as a fraction
    const percent = isFloat(value) ? spellFloating(Math.abs(numeric(value)) * 100) : "";
    return numberLook(said.measures.get(percent)?.has("%") ? 1 : 0, false);
  }
  const beside = said.measures.get(text) ?? new Set<string>();
  let other = beside.has("%") && occurs(FRACTION, description);
  if (!other && beside.size) {
    const spoken = [...beside].flatMap((word) => UNIT_OF.get(singular(word)) ?? []);
    if (spoken.length) {
      const named = findAll(WORD, description)
        .map(singular)
        .filter((unit) => size(unit) > 2)
        .flatMap((unit) => UNIT_OF.get(unit) ?? [])
        .filter((unit) => spoken.some(({ dimension }) => dimension === unit.dimension));
      other = named.length > 0 && !named.some(({ unit }) => spoken.some((heard) => heard.unit === unit));
    }
  }
  return numberLook(1, other);
}

function numberLook(share: number, otherUnit: boolean): Look {
  return { share, offFormat: false, placeholder: false, otherUnit };
}

/** description: in lower case. */
export function lookAtText(value: string, description: string, said: Said): Look {
  const lower = value.toLowerCase();
  const words = findAll(WORD, lower);
  const isThere = lower !== "" && said.text.includes(lower);
  const [date] = value.matchAll(DATE);
  let share = 1;
  if (!isThere && words.length) {
    share = date
      ? dateShare(date[1]!, Number(asciiDigits(date[2]!)), Number(asciiDigits(date[3]!)), said)
      : words.filter((word) => said.words.has(word)).length / words.length;
  }
  return {
    share,
    offFormat: isOffFormat(lower, description),
    placeholder: !isThere && occurs(PLACEHOLDER, value),
    otherUnit: false,
  };
}

/** A number as it would stand in a text; "" for one that would not. */
export function spellNumber(value: unknown): string {
  if (typeof value === "bigint") return -LARGEST_NUMBER < value && value < LARGEST_NUMBER ? String(value) : "";
  return spellFloating(numeric(value as number));
}

function spellFloating(value: number): string {
  if (!(Math.abs(value) < Number(LARGEST_NUMBER))) return ""; // also what is not a number
  if (Number.isInteger(value)) return BigInt(value).toString();
  const plain = spellGeneral(value);
  return plain && numberText(plain);
}

/** All numbers in a text. */
export function spokenNumbers(text: string): Set<string> {
  return new Set(findAll(NUMBER, text).map(numberText));
}

function singular(word: string): string {
  return size(word) > 3 && word.endsWith("s") && !UNIT_OF.has(word) ? word.slice(0, -1) : word;
}

/** Share of a date's three parts that the request says. */
function dateShare(year: string, month: number, day: number, said: Said): number {
  const name = MONTHS[month - 1] ?? "?";
  const words = [...said.words];
  const named = said.numbers.has(String(month)) || words.some((word) => word.startsWith(name));
  const days = words.filter(startsWithDigit).map((number) => butLast(number, 2));
  const told = said.numbers.has(String(day)) || days.includes(String(day));
  return (Number(said.numbers.has(year)) + Number(named) + Number(told)) / 3;
}

/** Whether a value is not as its description says. Both in lower case. */
function isOffFormat(value: string, description: string): boolean {
  const [date] = description.match(DATE_FORMAT) ?? [];
  if (date !== undefined) return value.replace(DIGIT, "0") !== date.toLowerCase().replace(/[ymd]/g, "0");
  if (value.includes(",")) return false;
  return description.includes("city, state") || (description.includes("city") && description.includes("state"));
}
