/**
 * Compares what this package makes of cases with what the Python runtime made of them; prints a JSON summary.
 *
 * usage: node same_as_python.js CASES.jsonl TOKENIZER.json
 */

import { readFileSync } from "node:fs";

import { parseOutput } from "../dist/answer.js";
import { spellNumber } from "../dist/answers/call_values.js";
import { findFailures } from "../dist/answers/features.js";
import { Packer } from "../dist/encoder.js";
import { InputError } from "../dist/errors.js";
import { toolFingerprint } from "../dist/fingerprints.js";
import { Float, numeric, parseJson } from "../dist/json.js";
import { findBlocked } from "../dist/limits.js";
import { contradicts, knownNames } from "../dist/model_names.js";
import { encodeFloat, roundToFour, spellFloat } from "../dist/numbers.js";
import { parseRequest } from "../dist/request.js";
import { Tokenizer } from "../dist/tokenizer.js";
import { asciiDigits, countDigits, countUpper, isLetters, isSpace, occurs, pattern } from "../dist/unicode.js";
import { GATE_FEATURES, isEmpty, makeAnswerView, makeView } from "../dist/view.js";

// a unit in the last place of a logarithm may differ; the graph takes float32, which is far coarser
const TOLERANCE = 1e-12;

const [casesPath, tokenizerPath] = process.argv.slice(2);
const tokenizer = new Tokenizer(readFileSync(tokenizerPath));
const compared = {};
const problems = [];
let [worst, unassigned] = [0, 0];

function note(kind, problem) {
  compared[kind] = (compared[kind] ?? 0) + 1;
  if (problem) problems.push(`${kind}: ${problem}`.slice(0, 1000));
}

function same(kind, found, wanted, place) {
  const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)];
  note(kind, a === b ? "" : `${place}: ${a}, not ${b}`);
}

function plain(value) {
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, inner]) => [key, plain(inner)]));
  return Array.isArray(value) ? value.map(plain) : value instanceof Float ? value.value : value;
}

function compareViews(kind, made, wanted, packer, place) {
  same(`${kind}: segments`, made.segments, wanted.segments, place);
  const off = made.features.map((value, index) => Math.abs(value - wanted.features[index]));
  worst = Math.max(worst, ...off);
  const odd = off.flatMap((distance, index) =>
    distance < TOLERANCE ? [] : [`${GATE_FEATURES[index]} ${made.features[index]}, not ${wanted.features[index]}`],
  );
  if (made.features.length !== wanted.features.length) odd.push(`${made.features.length} features`);
  note(`${kind}: features`, odd.length ? `${place}: ${odd.join("; ")}` : "");
  const { ids, cut } = packer.pack(made);
  same(`${kind}: token ids`, [ids, made.cut, cut], [wanted.ids, wanted.cut, wanted.packed_cut], place);
}

async function compareCase(line, place, settings) {
  let parsed, answer;
  try {
    const given = [line.get("request"), line.get("output")].map((value) => (settings.plain ? plain(value) : value));
    [parsed, answer] = [parseRequest(given[0]), parseOutput(given[1])];
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    note("refused", line.has("refused") ? "" : `${place}: ${error.message}`);
    return;
  }
  if (line.has("refused")) return note("refused", `${place}: Python refuses it`);
  const wanted = plain(line);
  compareViews("view", makeView(parsed, settings.view), wanted.view, settings.packer, place);
  const answerView = makeAnswerView(parsed, answer, 0.5, settings.answer_view);
  compareViews("view of an answer", answerView, wanted.answer_view, settings.answerPacker, place);
  same("empty", isEmpty(parsed), wanted.empty, place);
  same("failures", findFailures(parsed, answer), wanted.failures, place);
  same("blocked", [...findBlocked(parsed, settings.tiers)], wanted.blocked, place);
  same("fingerprints", await Promise.all(parsed.tools.map(toolFingerprint)), wanted.fingerprints, place);
  const isOther = answer.model !== null && contradicts(answer.model, knownNames("model-s"), false);
  same("unknown model", isOther, wanted.unknown_model, place);
}

function compareNumber(line, place) {
  const value = numeric(line.get("float"));
  const found = [spellFloat(value), spellNumber(new Float(value)), encodeFloat(value)];
  same("numbers", found, [line.get("repr"), line.get("spelled"), line.get("encoded")], place);
  const rounded = numeric(line.get("rounded"));
  note("numbers, rounded", Object.is(roundToFour(value), rounded) ? "" : `${value}: ${roundToFour(value)}, not ${rounded}`);
}

/** What both languages' versions of Unicode know is compared. */
function compareCharacters(line) {
  const wanted = plain(line);
  const all = [...wanted.signs];
  const kept = all.flatMap((sign, index) => (/\p{Cn}/u.test(sign) ? [] : [index]));
  unassigned += all.length - kept.length;
  const matching = (source) => (sign) => occurs(pattern(source), sign);
  const classes = {
    space: isSpace,
    white: matching(String.raw`\s`),
    word: matching(String.raw`\w`),
    decimal: matching(String.raw`[\d]`),
    digit: (sign) => countDigits(sign) === 1,
    upper: (sign) => countUpper(sign) === 1,
    letters: isLetters,
  };
  const report = (kind, isOdd) => {
    const odd = kept.filter(isOdd).map((index) => `U+${all[index].codePointAt(0).toString(16)}`);
    note(`characters: ${kind}`, odd.join(" "));
  };
  for (const [name, isOf] of Object.entries(classes)) {
    const members = new Set(wanted[name === "white" ? "space" : name]);
    report(name, (index) => members.has(all[index]) !== isOf(all[index]));
  }
  report("lower", (index) => all[index].toLowerCase() !== wanted.lower[index]);
  report("values", (index) => wanted.values[index] !== null && asciiDigits(all[index]) !== String(wanted.values[index]));
}

let settings = null;
for (const [index, text] of readFileSync(casesPath, "utf8").split("\n").filter(Boolean).entries()) {
  const line = parseJson(text);
  const place = `line ${index + 1}`;
  if (line.has("settings")) {
    settings = plain(line.get("settings"));
    settings.packer = new Packer(tokenizer, settings.view);
    settings.answerPacker = new Packer(tokenizer, settings.answer_view);
  } else if (line.has("signs")) compareCharacters(line);
  else if (line.has("float")) compareNumber(line, place);
  else await compareCase(line, place, settings);
}
console.log(JSON.stringify({ compared, problems, worst, unassigned, unicode: process.versions.unicode }));
