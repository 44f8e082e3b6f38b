/**
 * Check a value against a JSON schema: types, enums, required and unknown fields, however deep within the limits.
 *
 * Knows schemas; knows nothing of requests. Bounded: so many values are looked at and no more, a `$ref` is not followed, a
 * `pattern` is never run.
 */

import { equal, firstEntries, get, has, isFloat, isInteger, isMapping, isNumber, numeric, type Mapping } from "../json.js";

const DEPTH_CHECKED = 6;
// of one list or object, and of all that a value holds
export const VALUES_CHECKED = 64;
export const NODES_CHECKED = 512;
export const ENUM_CHECKED = 256;

const isText = (value: unknown): boolean => typeof value === "string";
const isWhole = (value: unknown): boolean => isInteger(value) || (isFloat(value) && Number.isInteger(numeric(value)));
const isBoolean = (value: unknown): boolean => typeof value === "boolean";
// A dataset's or Python's own word for a type, as many tools are described
const TYPES: ReadonlyMap<string, (value: unknown) => boolean> = new Map([
  ["string", isText],
  ["str", isText],
  ["integer", isWhole],
  ["int", isWhole],
  ["number", isNumber],
  ["float", isNumber],
  ["double", isNumber],
  ["boolean", isBoolean],
  ["bool", isBoolean],
  ["array", Array.isArray],
  ["list", Array.isArray],
  ["tuple", Array.isArray],
  ["object", isMapping],
  ["dict", isMapping],
  ["null", (value: unknown): boolean => value === null],
]);

/** How many values a schema does not allow, by what is wrong; empty: values that hold nothing, which it may allow. */
export interface SchemaFaults {
  missing: number;
  unknown: number;
  wrongType: number;
  wrongEnum: number;
  empty: number;
}

export function noFaults(): SchemaFaults {
  return { missing: 0, unknown: 0, wrongType: 0, wrongEnum: 0, empty: 0 };
}

/** Faults of a value, added to those given; of so many of its parts. What is no schema allows everything. */
export function checkValue(
  whole: unknown,
  ofWhole: unknown,
  found: SchemaFaults,
  nodes = NODES_CHECKED,
): SchemaFaults {
  const waiting: [unknown, unknown, number][] = [[whole, ofWhole, 0]];
  for (let left = nodes; waiting.length && left; left -= 1) {
    const [value, schema, depth] = waiting.pop()!;
    if (!isMapping(schema) || has(schema, "$ref") || depth > DEPTH_CHECKED) continue;
    if (!isOfType(value, get(schema, "type"))) {
      found.wrongType += 1;
      continue;
    }
    const allowed = get(schema, "enum");
    if (Array.isArray(allowed) && allowed.length && !holds(value)) {
      const isAllowed = (item: unknown): boolean => !holds(item) && isSame(value, item);
      found.wrongEnum += Number(!allowed.slice(0, ENUM_CHECKED).some(isAllowed));
    }
    if (isNothing(value)) found.empty += 1;
    if (Array.isArray(value)) {
      const items = get(schema, "items");
      if (isMapping(items)) {
        for (const item of value.slice(0, VALUES_CHECKED) as unknown[]) waiting.push([item, items, depth + 1]);
      }
    } else if (isMapping(value)) {
      const [properties, required] = fieldsOf(schema);
      found.missing += required.filter((name) => !has(value, name)).length;
      const offersAny = firstEntries(properties, 1).length > 0;
      for (const [name, inner] of firstEntries(value, VALUES_CHECKED)) {
        if (has(properties, name)) waiting.push([inner, get(properties, name), depth + 1]);
        else if (offersAny) found.unknown += 1;
      }
    }
  }
  return found;
}

function isNothing(value: unknown): boolean {
  if (value === null || value === undefined || value === "") return true;
  return Array.isArray(value) ? !value.length : isMapping(value) && !firstEntries(value, 1).length;
}

const NONE: Mapping = new Map();

/** A schema's properties, and the names of those required. */
export function fieldsOf(schema: unknown): [Mapping, string[]] {
  if (!isMapping(schema)) return [NONE, []];
  const [properties, required] = [get(schema, "properties"), get(schema, "required")];
  const names = Array.isArray(required)
    ? required.slice(0, VALUES_CHECKED).filter((name): name is string => typeof name === "string")
    : [];
  return [isMapping(properties) ? properties : NONE, names];
}

/** Whether a value is of a schema's type, or of one of its types; of no type that we know, all are. */
function isOfType(value: unknown, kinds: unknown): boolean {
  const listed: unknown[] = typeof kinds === "string" ? [kinds] : Array.isArray(kinds) ? kinds.slice(0, 8) : [];
  if (!listed.length) return true;
  return listed.some((kind) => {
    const isOf = typeof kind === "string" ? TYPES.get(kind.toLowerCase()) : undefined;
    return isOf === undefined || isOf(value); // 'any', or no type that we know
  });
}

/** Strings and numbers that a value holds, in their order, as many as are looked at. */
export function leavesOf(whole: unknown): unknown[] {
  const leaves: unknown[] = [];
  const waiting: [unknown, number][] = [[whole, 0]];
  for (let left = NODES_CHECKED; waiting.length && left; left -= 1) {
    const [value, depth] = waiting.pop()!;
    if (typeof value === "string" || isNumber(value)) leaves.push(value);
    else if (depth <= DEPTH_CHECKED) {
      const inner: unknown[] = Array.isArray(value)
        ? value
        : isMapping(value)
          ? firstEntries(value, VALUES_CHECKED).map(([, part]) => part)
          : [];
      for (const item of inner.slice(0, VALUES_CHECKED).reverse()) waiting.push([item, depth + 1]);
    }
  }
  return leaves;
}

/** Whether two values are equal; lists and objects by their strings and numbers. */
export function same(left: unknown, right: unknown): boolean {
  if (holds(left)) return holds(right) && sameList(leavesOf(left), leavesOf(right));
  return !holds(right) && equal(left, right);
}

/** Whether two lists of strings and numbers are equal, one by one. */
export function sameList(left: readonly unknown[], right: readonly unknown[]): boolean {
  return left.length === right.length && left.every((value, index) => isSame(value, right[index]));
}

/** Whether two values are equal to a list that holds them: there NaN is itself, as it is in Python. */
function isSame(left: unknown, right: unknown): boolean {
  const isNaNumber = (value: unknown): boolean => isNumber(value) && Number.isNaN(numeric(value));
  return equal(left, right) || (isNaNumber(left) && isNaNumber(right));
}

function holds(value: unknown): boolean {
  return Array.isArray(value) || isMapping(value);
}
