/**
 * Check an answer's calls against the tools offered and the request, without running anything.
 *
 * Joins what is seen of schemas and of values; knows nothing of models or thresholds. Everything is bounded: so many calls,
 * tools and values are looked at and no more.
 */

import type { ToolCall } from "../answer.js";
import { entries, firstEntries, get, has, isMapping, type Mapping } from "../json.js";
import { functionOf, textOf } from "../request.js";
import { overlap } from "../request_features.js";
import { findAll, first, last, size, startsWithDigit } from "../unicode.js";
import { lookAtNumber, lookAtText, spellNumber, spokenNumbers, VALUE_CHARS } from "./call_values.js";
import { splitName, stemsOf, WORD, type Said } from "./said.js";
import {
  checkValue,
  ENUM_CHECKED,
  fieldsOf,
  leavesOf,
  NODES_CHECKED,
  noFaults,
  same,
  sameList,
  VALUES_CHECKED,
  type SchemaFaults,
} from "./schema_checks.js";

const CALLS_CHECKED = 64;
const TOOLS_CHECKED = 64;
// of all calls of an answer, strings and numbers that are looked for in the request
const LEAVES_CHECKED = 256;
// and parts of values that are held against schemas, shared by all arguments
const NODES_SHARED = 8_192;
// Under these a log keeps arguments that came without names, or that could not be read.
const UNNAMED = ["__positional__", "__raw__"];
// Verbs that begin the names of tools whatever they are about
const VERBS = stemsOf(
  "get find calculate calc compute fetch search retrieve create make set update list check determine function".split(" "),
);
const NOTHING: Mapping = new Map();

/** The functions offered, by name. */
export type Offered = ReadonlyMap<string, Mapping>;

/** What was found of all calls of an answer together; the fields are those of the Python room of this name. */
export interface CallChecks {
  calls: number;
  unknownTools: number;
  unreadable: number;
  unnamed: number;
  missing: number;
  faults: SchemaFaults;
  arguments: number;
  optional: number;
  defaults: number;
  strings: number;
  numbers: number;
  booleans: number;
  ungroundedRequired: number;
  ungroundedOptional: number;
  missed: number;
  missedValues: number;
  offFormat: number;
  placeholders: number;
  otherUnit: number;
  duplicates: number;
  toolsCalled: number;
  missedShare: number;
  leastGrounded: number;
  unusedNumbers: number;
  unusedNames: number;
  outOfOrder: number;
}

function noChecks(calls: number): CallChecks {
  return {
    calls,
    unknownTools: 0,
    unreadable: 0,
    unnamed: 0,
    missing: 0,
    faults: noFaults(),
    arguments: 0,
    optional: 0,
    defaults: 0,
    strings: 0,
    numbers: 0,
    booleans: 0,
    ungroundedRequired: 0,
    ungroundedOptional: 0,
    missed: 0,
    missedValues: 0,
    offFormat: 0,
    placeholders: 0,
    otherUnit: 0,
    duplicates: 0,
    toolsCalled: 0,
    missedShare: 0,
    leastGrounded: 1,
    unusedNumbers: 0,
    unusedNames: 0,
    outOfOrder: 0,
  };
}

/**
 * How far the tools called are about what the request is about, all shares.
 *
 * fit: of the words of their names and descriptions, those that the request holds; nameFit: of their names alone.
 * fitOfOthers: the fit of the best tool not called. covered: of the request's words, those that stand in the tools called,
 * their arguments or the calls; coveredByOthers: in any tool not called, and not in these.
 */
export interface ToolFit {
  readonly fit: number;
  readonly nameFit: number;
  readonly fitOfOthers: number;
  readonly covered: number;
  readonly coveredByOthers: number;
}

/** The functions offered by name, the first of them, or all. */
export function readTools(tools: readonly Mapping[], most = TOOLS_CHECKED): Map<string, Mapping> {
  const named = new Map<string, Mapping>();
  for (const tool of tools.slice(0, most)) {
    const inner = functionOf(tool);
    named.set(textOf(inner, "name"), inner);
  }
  named.delete("");
  return named;
}

/** Check the calls of an answer, the first of them. */
export function checkCalls(calls: readonly ToolCall[], offered: Offered, said: Said): CallChecks {
  const found = noChecks(calls.length);
  const used: string[] = [];
  const wholes: unknown[][] = [];
  const called = new Set<string>();
  for (const call of calls.slice(0, CALLS_CHECKED)) {
    const [name, given] = checkShape(call, offered, found);
    const leaves = leavesOf(given);
    called.add(name);
    const booleans = entries(given)
      .map(([, value]) => value)
      .filter((value) => typeof value === "boolean");
    const names = firstEntries(given, VALUES_CHECKED).map(([key]) => key);
    const whole = [name, ...names, ...leaves, ...booleans.slice(0, VALUES_CHECKED)];
    found.duplicates += Number(wholes.some((other) => sameList(whole, other)));
    wholes.push(whole);
    if (isUnnamed(given)) {
      found.unnamed += 1;
      continue;
    }
    checkArguments(given, offered.get(name) ?? NOTHING, said, found, used);
    found.outOfOrder = Math.max(found.outOfOrder, disorder(leaves, said));
  }
  found.toolsCalled = called.size;
  if (calls.length) {
    const spoken = used.join(" ").toLowerCase();
    found.unusedNumbers = shareAbsent(said.numbers, spokenNumbers(spoken));
    found.unusedNames = shareAbsent(said.names, new Set(findAll(WORD, spoken)));
  }
  return found;
}

/** Of `checkCalls` only what makes a call fail for certain: unknownTools, unreadable and missing. */
export function checkShapes(calls: readonly ToolCall[], offered: Offered): CallChecks {
  const found = noChecks(calls.length);
  for (const call of calls.slice(0, CALLS_CHECKED)) checkShape(call, offered, found);
  return found;
}

/** How the tools called, and the others, fit the request. */
export function fitTools(calls: readonly ToolCall[], offered: Offered, said: Said): ToolFit {
  const called = new Set(calls.slice(0, CALLS_CHECKED).map((call) => matchTool(call.name, offered)));
  const own = new Set<string>();
  const others = new Set<string>();
  const add = (stems: ReadonlySet<string>, to: Set<string>): void => stems.forEach((stem) => to.add(stem));
  let [fit, nameFit, fitOfOthers] = [0, 0, 0];
  for (const [name, offer] of offered) {
    const named = new Set([...stemsOf(splitName(first(name, VALUE_CHARS)))].filter((stem) => !VERBS.has(stem)));
    const told = first(textOf(offer, "description"), VALUE_CHARS).toLowerCase();
    const about = new Set([...named, ...stemsOf(findAll(WORD, told))]);
    const share = overlap(about, said.stems) / Math.max(about.size, 1);
    if (!called.has(name)) {
      fitOfOthers = Math.max(fitOfOthers, share);
      add(about, others);
      continue;
    }
    fit = Math.max(fit, share);
    nameFit = Math.max(nameFit, overlap(named, said.stems) / Math.max(named.size, 1));
    add(about, own);
    for (const [argument, aboutIt] of firstEntries(fieldsOf(get(offer, "parameters"))[0], VALUES_CHECKED)) {
      add(stemsOf(splitName(first(argument, VALUE_CHARS))), own);
      add(stemsOf(findAll(WORD, descriptionOf(aboutIt))), own);
    }
  }
  for (const call of calls.slice(0, CALLS_CHECKED)) {
    for (const leaf of leavesOf(call.arguments)) {
      if (typeof leaf === "string") add(stemsOf(findAll(WORD, first(leaf, VALUE_CHARS).toLowerCase())), own);
    }
  }
  const subject = [...said.stems].filter((stem) => !startsWithDigit(stem));
  const among = Math.max(subject.length, 1);
  return {
    fit,
    nameFit,
    fitOfOthers,
    covered: subject.filter((stem) => own.has(stem)).length / among,
    coveredByOthers: subject.filter((stem) => others.has(stem) && !own.has(stem)).length / among,
  };
}

/** The offered name that was meant: servers that allow no dots make `a.b` to `a_b`. */
function matchTool(name: string, offered: Offered): string {
  if (offered.has(name) || size(name) > VALUE_CHARS) return name;
  const plain = name.replaceAll(".", "_");
  for (const other of offered.keys()) if (other.replaceAll(".", "_") === plain) return other;
  return name;
}

/** The name of the tool meant, and the arguments that can be read; counts what is certainly wrong with either. */
function checkShape(call: ToolCall, offered: Offered, found: CallChecks): [string, Mapping] {
  const name = matchTool(call.name, offered);
  // without a list of tools there is nothing that a name could be missing from
  if (!offered.has(name)) found.unknownTools += Number(offered.size > 0);
  let given = NOTHING;
  if (isMapping(call.arguments)) given = call.arguments;
  else found.unreadable += Number(call.arguments !== null);
  if (!isUnnamed(given)) {
    const [, required] = fieldsOf(get(offered.get(name) ?? NOTHING, "parameters"));
    found.missing += required.filter((wanted) => !has(given, wanted)).length;
  }
  return [name, given];
}

function isUnnamed(given: Mapping): boolean {
  return UNNAMED.some((key) => has(given, key));
}

function checkArguments(given: Mapping, offer: Mapping, said: Said, found: CallChecks, used: string[]): void {
  const [properties, required] = fieldsOf(get(offer, "parameters"));
  const all = entries(given);
  const offersAny = firstEntries(properties, 1).length > 0;
  found.arguments += all.length;
  for (const [name, value] of all.slice(0, VALUES_CHECKED)) {
    const described = get(properties, name);
    const optional = !required.includes(name);
    found.optional += Number(optional);
    found.faults.unknown += Number(offersAny && described === null);
    const about = isMapping(described) ? described : NOTHING;
    if (optional && has(about, "default") && same(get(about, "default"), value)) {
      found.defaults += 1;
      continue;
    }
    found.booleans += Number(typeof value === "boolean");
    checkValue(value, about, found.faults, Math.min(NODES_CHECKED, Math.floor(NODES_SHARED / found.arguments)));
    checkGrounds(value, about, optional, said, found, used);
  }
  for (const [name, about] of firstEntries(properties, VALUES_CHECKED)) {
    if (!has(given, name) && !required.includes(name) && isMapping(about)) checkLeftOut(name, about, said, found);
  }
}

/** Whether strings and numbers come from the request, and look as their description says. */
function checkGrounds(
  value: unknown,
  about: Mapping,
  optional: boolean,
  said: Said,
  found: CallChecks,
  used: string[],
): void {
  const description = descriptionOf(about);
  const hasEnum = Array.isArray(get(about, "enum"));
  const left = Math.max(LEAVES_CHECKED - found.strings - found.numbers, 0);
  for (const leaf of leavesOf(value).slice(0, Math.min(VALUES_CHECKED, left))) {
    const text = typeof leaf === "string" ? first(leaf, VALUE_CHARS) : spellNumber(leaf);
    if (!text) continue;
    used.push(text);
    if (typeof leaf === "string") {
      found.strings += 1;
      if (hasEnum) continue;
    } else found.numbers += 1;
    const look =
      typeof leaf === "string"
        ? lookAtText(text, description, said)
        : lookAtNumber(leaf, text, description, said);
    if (typeof leaf === "string") found.leastGrounded = Math.min(found.leastGrounded, look.share);
    found.offFormat += Number(look.offFormat);
    found.placeholders += Number(look.placeholder);
    found.otherUnit += Number(look.otherUnit);
    if (look.share <= 0.99) {
      found.ungroundedRequired += Number(!optional);
      found.ungroundedOptional += Number(optional);
    }
  }
}

/** Whether the request seems to ask for an optional argument that a call does without. */
function checkLeftOut(name: string, about: Mapping, said: Said, found: CallChecks): void {
  const words = splitName(first(name, VALUE_CHARS));
  const stems = stemsOf(words);
  found.missedShare = Math.max(found.missedShare, stems.size ? overlap(stems, said.stems) / stems.size : 0);
  const allowed = get(about, "enum");
  const fallback = get(about, "default");
  const values = (Array.isArray(allowed) ? allowed.slice(0, ENUM_CHECKED) : [])
    .filter((item): item is string => typeof item === "string" && item !== fallback)
    .map((item) => first(item, VALUE_CHARS).toLowerCase());
  const mentioned = values.some((item) => said.words.has(item));
  found.missed += Number(mentioned || (words.length > 0 && words.every((word) => said.words.has(word))));
  found.missedValues += Number(mentioned || quotedIn(descriptionOf(about)).some((item) => said.words.has(item)));
}

/** Values that a description names in quotes, but for the default: that is what a call left out means. */
function quotedIn(description: string): string[] {
  const pieces = description.replaceAll('"', "'").split("'");
  const found: string[] = [];
  for (let at = 1; at < pieces.length; at += 2) {
    const value = pieces[at]!;
    if (value && size(value) <= 40 && !last(pieces[at - 1]!, 24).includes("default")) found.push(value);
  }
  return found;
}

function descriptionOf(about: unknown): string {
  return isMapping(about) ? first(textOf(about, "description"), VALUE_CHARS).toLowerCase() : "";
}

/** Of numbers that follow each other in a call, the share that stand the other way round in the request. */
function disorder(leaves: readonly unknown[], said: Said): number {
  const places = leaves
    .filter((leaf) => typeof leaf !== "string")
    .flatMap((leaf) => said.places.get(spellNumber(leaf).replace(/^-+/, "")) ?? []);
  const pairs = places.length - 1;
  return pairs > 0 ? places.filter((place, at) => at < pairs && place > places[at + 1]!).length / pairs : 0;
}

function shareAbsent(wanted: ReadonlySet<string>, there: ReadonlySet<string>): number {
  return wanted.size ? (wanted.size - overlap(wanted, there)) / wanted.size : 0;
}
