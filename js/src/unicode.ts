/**
 * Text as the Python runtime sees it: lengths in code points, its white space, digits and word characters, its regular
 * expressions. Knows text; knows nothing of requests.
 *
 * JavaScript counts UTF-16 units, and its \s, \d, \w, \b, ^, $ and . mean other characters, so each is spelled out here.
 */

// str.isspace(), and \s; and that without the line end
const SPACE_BUT_LINE_END = "\\t\\x0b-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const SPACE = `${SPACE_BUT_LINE_END}\\n`;
// str.isalnum() or "_", and \w: no combining marks
const WORD = "\\p{L}\\p{N}_";
const BOUNDARY = `(?:(?<=[${WORD}])(?![${WORD}])|(?<![${WORD}])(?=[${WORD}]))`;
// what else than i and I is i to a Python expression that ignores case, and not to JavaScript's
const ALSO_I = "İı";
// str.isdigit() holds for these beside decimal digits (Unicode's Numeric_Type=Digit), for which there is no \p{…}
const OTHER_DIGITS =
  "\\xb2\\xb3\\xb9\\u1369-\\u1371\\u19da\\u2070\\u2074-\\u2079\\u2080-\\u2089\\u2460-\\u2468\\u2474-\\u247c\\u2488-\\u2490" +
  "\\u24ea\\u24f5-\\u24fd\\u24ff\\u2776-\\u277e\\u2780-\\u2788\\u278a-\\u2792\\u{10a40}-\\u{10a43}\\u{10e60}-\\u{10e68}" +
  "\\u{11052}-\\u{1105a}\\u{1f100}-\\u{1f10a}";

const IS_SPACE = new RegExp(`[${SPACE}]`, "u");
const SPACES = new RegExp(`[${SPACE}]+`, "u");
const DIGITS = new RegExp(`[\\p{Nd}${OTHER_DIGITS}]`, "gu");
const DIGIT_FIRST = new RegExp(`^[\\p{Nd}${OTHER_DIGITS}]`, "u");
const DECIMAL = /\p{Nd}/u;
const OTHER_DECIMALS = /(?![0-9])\p{Nd}/gu;
const UPPER = /\p{Uppercase}/gu;
const LETTERS = /^\p{L}+$/u;
const NON_ASCII = /[^\x00-\x7f]/gu;
const LONE_SURROGATE = /\p{Surrogate}/gu;

/**
 * A Python regular expression as a JavaScript one, always global: use it with `matchAll`, `search` and `replaceAll`.
 *
 * flags: "i" as re.IGNORECASE, "m" as re.MULTILINE. Covers what the expressions of this package use, and no more.
 */
export function pattern(source: string, flags = ""): RegExp {
  const ignoreCase = flags.includes("i");
  const multiline = flags.includes("m");
  let written = "";
  let inside = false; // of a character class
  for (let at = 0; at < source.length; at += 1) {
    const sign = source[at]!;
    const next = source[at + 1] ?? "";
    if (source.startsWith("[^\\W_]", at)) {
      written += "[\\p{L}\\p{N}]";
      at += "[^\\W_]".length - 1;
    } else if (source.startsWith("[^\\S\\n]", at)) {
      written += `[${SPACE_BUT_LINE_END}]`;
      at += "[^\\S\\n]".length - 1;
    } else if (source.startsWith("[^\\W\\d_]", at)) {
      written += "[\\p{L}\\p{Nl}\\p{No}]";
      at += "[^\\W\\d_]".length - 1;
    } else if (sign === "\\") {
      at += 1;
      const members = { s: SPACE, d: "\\p{Nd}", w: WORD }[next];
      if (members !== undefined) written += inside ? members : `[${members}]`;
      else if (next === "D") written += "\\P{Nd}";
      else if (next === "b" && !inside) written += BOUNDARY;
      else written += sign + next;
    } else if (inside && sign === "]") {
      inside = false;
      written += sign;
    } else if (inside) {
      const range = next === "-" && source[at + 2] !== "]" ? [sign, source[at + 2]!] : [sign, sign];
      const holdsI = ["i", "I"].some((letter) => range[0]! <= letter && letter <= range[1]!);
      written += sign;
      if (range[0] !== range[1]) {
        written += `-${range[1]}`;
        at += 2;
      }
      if (ignoreCase && holdsI) written += ALSO_I;
    } else if (sign === "[") {
      inside = true;
      written += next === "^" ? "[^" : "[";
      if (next === "^") at += 1;
    } else if (sign === "(" && next === "?") {
      const mark = /^\(\?(?::|=|!|<=|<!)/.exec(source.slice(at))![0];
      written += mark;
      at += mark.length - 1;
    } else if (sign === ".") written += "[^\\n]";
    else if (sign === "^") written += multiline ? "(?<![^\\n])" : "^";
    else if (sign === "$") written += multiline ? "(?![^\\n])" : "(?=\\n?$)";
    else written += ignoreCase && (sign === "i" || sign === "I") ? `[iI${ALSO_I}]` : sign;
  }
  return new RegExp(written, ignoreCase ? "giu" : "gu");
}

/** All whole matches, in their order. */
export function findAll(expression: RegExp, text: string): string[] {
  return text.match(expression) ?? [];
}

/** Whether an expression is found anywhere in a text. */
export function occurs(expression: RegExp, text: string): boolean {
  return text.search(expression) >= 0;
}

/** How often a part occurs in a text, without overlaps. */
export function count(text: string, part: string): number {
  let found = 0;
  for (let at = text.indexOf(part); at >= 0; at = text.indexOf(part, at + part.length)) found += 1;
  return found;
}

function countMatches(expression: RegExp, text: string): number {
  return text.match(expression)?.length ?? 0;
}

function isPair(text: string, at: number): boolean {
  const high = text.charCodeAt(at);
  if (high < 0xd800 || high > 0xdbff) return false;
  const low = text.charCodeAt(at + 1);
  return low >= 0xdc00 && low <= 0xdfff;
}

/** Length in code points. */
export function size(text: string): number {
  let found = text.length;
  for (let at = 0; at < text.length - 1; at += 1) {
    if (isPair(text, at)) {
      found -= 1;
      at += 1;
    }
  }
  return found;
}

/** The first code points of a text. */
export function first(text: string, most: number): string {
  if (text.length <= most) return text;
  let at = 0;
  for (let left = most; left > 0 && at < text.length; left -= 1) at += isPair(text, at) ? 2 : 1;
  return text.slice(0, at);
}

/** The last code points of a text. */
export function last(text: string, most: number): string {
  if (text.length <= most) return text;
  let at = text.length;
  for (let left = most; left > 0 && at > 0; left -= 1) at -= at > 1 && isPair(text, at - 2) ? 2 : 1;
  return text.slice(at);
}

/** A text without its last code points. */
export function butLast(text: string, most: number): string {
  return text.slice(0, text.length - last(text, most).length);
}

export function isSpace(sign: string): boolean {
  return IS_SPACE.test(sign);
}

export function stripStart(text: string): string {
  let at = 0;
  while (at < text.length && isSpace(text[at]!)) at += 1;
  return text.slice(at);
}

export function stripEnd(text: string): string {
  let at = text.length;
  while (at > 0 && isSpace(text[at - 1]!)) at -= 1;
  return text.slice(0, at);
}

/** A text without any of one sign at its end; in one pass, which an expression is not. */
export function stripEndOf(text: string, sign: string): string {
  let at = text.length;
  while (at > 0 && text[at - 1] === sign) at -= 1;
  return text.slice(0, at);
}

export function strip(text: string): string {
  return stripStart(stripEnd(text));
}

/** The words between white space. */
export function splitWords(text: string): string[] {
  return text.split(SPACES).filter((word) => word !== "");
}

export function countDigits(text: string): number {
  return countMatches(DIGITS, text);
}

export function countUpper(text: string): number {
  return countMatches(UPPER, text);
}

export function countNonAscii(text: string): number {
  return countMatches(NON_ASCII, text);
}

/** Whether a text begins with a digit. */
export function startsWithDigit(text: string): boolean {
  return DIGIT_FIRST.test(text);
}

/** Whether a text is letters only, and some. */
export function isLetters(text: string): boolean {
  return LETTERS.test(text);
}

/** A text without lone surrogates, which JSON can spell and UTF-8 cannot hold. */
export function withoutSurrogates(text: string): string {
  return text.replace(LONE_SURROGATE, "?");
}

export function hasLoneSurrogate(text: string): boolean {
  return text.search(LONE_SURROGATE) >= 0;
}

/** A number's text with decimal digits of all scripts as those of ASCII. */
export function asciiDigits(text: string): string {
  return text.replace(OTHER_DECIMALS, (digit) => {
    // Unicode keeps the ten digits of a script together, in their order; runs that touch are whole ones
    const point = digit.codePointAt(0)!;
    let before = 0;
    while (DECIMAL.test(String.fromCodePoint(point - before - 1))) before += 1;
    return String(before % 10);
  });
}

/** Order of code points, which is that of UTF-8; JavaScript's own is that of UTF-16 units. */
export function compareCodePoints(left: string, right: string): number {
  const [a, b] = [[...left], [...right]];
  for (let at = 0; at < Math.min(a.length, b.length); at += 1) {
    const difference = a[at]!.codePointAt(0)! - b[at]!.codePointAt(0)!;
    if (difference) return difference;
  }
  return a.length - b.length;
}
