/**
 * JSON values as the Python runtime sees them: fields in their order, and 1.0 another thing than 1. Knows JSON; knows
 * nothing of requests.
 *
 * `JSON.parse` moves keys like "1" to the front and makes 1.0 to 1; `parseJson` keeps both, so use it where the text is at
 * hand. Plain objects are read too, and are as JavaScript has them.
 */

// Python gives up at about the same depth, wherever its stack then is
const DEPTH_READ = 970;
// an integer with more digits is none to Python
const INTEGER_DIGITS = 4300;

/** A JSON number written with a point or an exponent: a float to Python even where it is whole. */
export class Float {
  constructor(readonly value: number) {}

  toJSON(): number {
    return this.value;
  }

  valueOf(): number {
    return this.value;
  }
}

/** An object: of `parseJson` a Map, else a plain object. */
export type Mapping = ReadonlyMap<string, unknown> | { readonly [key: string]: unknown };
/** What `JSON.parse` and Python's `json` give for one text, as `parseJson` gives it. */
export type Value = null | boolean | number | bigint | Float | string | Value[] | Map<string, Value>;

export function isMapping(value: unknown): value is Mapping {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Float);
}

/** The value under a key; null where there is none, or undefined. */
export function get(mapping: Mapping, key: string): unknown {
  if (mapping instanceof Map) return mapping.get(key) ?? null;
  return Object.hasOwn(mapping, key) ? ((mapping as { [key: string]: unknown })[key] ?? null) : null;
}

export function has(mapping: Mapping, key: string): boolean {
  if (mapping instanceof Map) return mapping.has(key);
  return Object.hasOwn(mapping, key) && (mapping as { [key: string]: unknown })[key] !== undefined;
}

export function entries(mapping: Mapping): [string, unknown][] {
  if (mapping instanceof Map) return [...mapping.entries()];
  return Object.entries(mapping).filter(([, value]) => value !== undefined);
}

/** The first fields of an object, without looking at the others: it may have a million. */
export function firstEntries(mapping: Mapping, most: number): [string, unknown][] {
  const found: [string, unknown][] = [];
  if (mapping instanceof Map) {
    for (const entry of mapping as ReadonlyMap<string, unknown>) {
      if (found.length >= most) break;
      found.push(entry);
    }
    return found;
  }
  for (const key in mapping) {
    if (found.length >= most) break;
    if (has(mapping, key)) found.push([key, get(mapping, key)]);
  }
  return found;
}

export function keys(mapping: Mapping): string[] {
  return entries(mapping).map(([key]) => key);
}

export function isFloat(value: unknown): value is number | Float {
  return value instanceof Float || (typeof value === "number" && !Number.isInteger(value));
}

export function isInteger(value: unknown): value is number | bigint {
  return typeof value === "bigint" || (typeof value === "number" && Number.isInteger(value));
}

export function isNumber(value: unknown): value is number | bigint | Float {
  return typeof value === "number" || typeof value === "bigint" || value instanceof Float;
}

/** A number as JavaScript has it, an integer beyond 2^53 rounded. */
export function numeric(value: number | bigint | Float): number {
  return value instanceof Float ? value.value : Number(value);
}

/** Whether two texts, numbers, booleans or nulls are equal in Python, to which True is 1. */
export function equal(left: unknown, right: unknown): boolean {
  const [a, b] = [left, right].map((value) =>
    value instanceof Float ? value.value : typeof value === "boolean" ? Number(value) : value,
  );
  // a bigint and a number are compared by what they are worth, as Python does
  if (typeof a === "bigint" || typeof b === "bigint") return typeof a !== "string" && typeof b !== "string" && a == b;
  return a === b;
}

/** The value that a JSON text spells. Raises SyntaxError for what is none. */
export function parseJson(text: string): Value {
  return new Reader(text, true).whole();
}

/** A key that one object of a JSON text holds twice; null where none does. Raises SyntaxError for what is no JSON. */
export function findDuplicate(text: string): string | null {
  const reader = new Reader(text, true);
  reader.whole();
  return reader.twice;
}

/** The value that begins at a place of a text, whatever follows it; texts may hold control characters. */
export function parseJsonAt(text: string, at: number): Value {
  const reader = new Reader(text, false);
  reader.at = at;
  return reader.value(0);
}

const NUMBER = /(-?(?:0|[1-9][0-9]*))(\.[0-9]+)?([eE][-+]?[0-9]+)?/y;
const PLAIN = /[^"\\\x00-\x1f]+/y;
const ESCAPES: { [sign: string]: string } = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};
// Python reads these too
const WORDS: [string, Value][] = [
  ["null", null],
  ["true", true],
  ["false", false],
  ["NaN", new Float(NaN)],
  ["Infinity", new Float(Infinity)],
  ["-Infinity", new Float(-Infinity)],
];

class Reader {
  at = 0;
  twice: string | null = null; // the first key that came again in its object

  constructor(
    private readonly text: string,
    private readonly strict: boolean,
  ) {}

  fail(): never {
    throw new SyntaxError(`no JSON at character ${this.at}`);
  }

  whole(): Value {
    this.skipSpace();
    const value = this.value(0);
    this.skipSpace();
    if (this.at < this.text.length) this.fail();
    return value;
  }

  skipSpace(): void {
    while (this.at < this.text.length && " \t\n\r".includes(this.text[this.at]!)) this.at += 1;
  }

  value(depth: number): Value {
    const sign = this.text[this.at];
    if (sign === "{" || sign === "[") {
      if (depth >= DEPTH_READ) this.fail();
      return sign === "{" ? this.object(depth) : this.list(depth);
    }
    if (sign === '"') return this.string();
    for (const [word, value] of WORDS) {
      if (this.text.startsWith(word, this.at)) {
        this.at += word.length;
        return value;
      }
    }
    return this.number();
  }

  private object(depth: number): Map<string, Value> {
    const found = new Map<string, Value>();
    this.at += 1;
    this.skipSpace();
    if (this.text[this.at] === "}") {
      this.at += 1;
      return found;
    }
    for (;;) {
      if (this.text[this.at] !== '"') this.fail();
      const key = this.string();
      this.skipSpace();
      if (this.text[this.at] !== ":") this.fail();
      this.at += 1;
      this.skipSpace();
      if (found.has(key)) this.twice ??= key;
      found.set(key, this.value(depth + 1));
      if (this.ends("}")) return found;
    }
  }

  private list(depth: number): Value[] {
    const found: Value[] = [];
    this.at += 1;
    this.skipSpace();
    if (this.text[this.at] === "]") {
      this.at += 1;
      return found;
    }
    for (;;) {
      found.push(this.value(depth + 1));
      if (this.ends("]")) return found;
    }
  }

  /** Whether a list or an object ends here; else steps over the comma. */
  private ends(mark: string): boolean {
    this.skipSpace();
    const sign = this.text[this.at];
    if (sign !== mark && sign !== ",") this.fail();
    this.at += 1;
    if (sign === ",") this.skipSpace();
    return sign === mark;
  }

  private number(): Value {
    NUMBER.lastIndex = this.at;
    const match = NUMBER.exec(this.text);
    if (!match) this.fail();
    this.at += match[0].length;
    const [whole, integer, fraction, exponent] = match;
    if (fraction !== undefined || exponent !== undefined) return new Float(Number(whole));
    if (integer!.replace("-", "").length > INTEGER_DIGITS) this.fail();
    const plain = Number(integer);
    return Number.isSafeInteger(plain) ? plain + 0 : BigInt(integer!);
  }

  private string(): string {
    let found = "";
    this.at += 1;
    for (;;) {
      PLAIN.lastIndex = this.at;
      const plain = PLAIN.exec(this.text);
      if (plain) {
        found += plain[0];
        this.at += plain[0].length;
      }
      const sign = this.text[this.at];
      if (sign === undefined) this.fail();
      this.at += 1;
      if (sign === '"') return found;
      if (sign !== "\\") {
        if (this.strict) this.fail();
        found += sign;
        continue;
      }
      const escaped = this.text[this.at] ?? "";
      this.at += 1;
      if (escaped !== "u") {
        if (!Object.hasOwn(ESCAPES, escaped)) this.fail();
        found += ESCAPES[escaped];
        continue;
      }
      const digits = this.text.slice(this.at, this.at + 4);
      if (!/^[0-9a-fA-F]{4}$/.test(digits)) this.fail();
      found += String.fromCharCode(parseInt(digits, 16));
      this.at += 4;
    }
  }
}
