/**
 * What can be seen of an answer without asking anybody: a vector of counts and shares, and the failures that are certain.
 *
 * Knows requests, answers and texts; knows nothing of models or thresholds. Runs nothing, and reads a long text by its two
 * ends.
 */

import { boundLogprobs, type Output } from "../answer.js";
import { firstEntries, get, isFloat, isMapping, numeric } from "../json.js";
import { spellFloat } from "../numbers.js";
import type { Rule } from "../policy.js";
import { messageText, wantsJson, type Request } from "../request.js";
import { count, first, isLetters, size, splitWords, strip, stripStart } from "../unicode.js";
import { checkCalls, checkShapes, fitTools, readTools, type CallChecks, type ToolFit } from "./call_checks.js";
import { noReasoning, readReasoning, type Reasoning } from "./reasoning_checks.js";
import { readSaid, type Said } from "./said.js";
import { checkValue, noFaults } from "./schema_checks.js";
import { endsOf, findJson, isCutOff, nonAscii, readText } from "./text.js";

const TEXT_READ = 6_000;
const REQUEST_READ = 6_000;
const FIELDS_READ = 64;
const FIELD_CHARS = 400;

export const ANSWER_FEATURES: readonly string[] = [
  // which tier answered, and how long
  "tier",
  "out_chars",
  "out_words",
  "out_to_request",
  "out_lines",
  "has_text",
  // the calls against the tools' schemas
  "calls",
  "no_call_though_offered",
  "call_though_none_offered",
  "unknown_tools",
  "unreadable_arguments",
  "unnamed_arguments",
  "missing_arguments",
  "unknown_arguments",
  "wrong_types",
  "wrong_enums",
  "empty_values",
  "arguments",
  "optional_share",
  "defaults",
  "booleans",
  // their values against the request
  "strings",
  "numbers_given",
  "ungrounded_required",
  "ungrounded_optional",
  "ungrounded_share",
  "least_grounded",
  "off_format",
  "placeholders",
  "other_units",
  "out_of_order",
  // what the request says and the calls do not
  "optional_missed",
  "missed_share",
  "missed_values",
  "unused_numbers",
  "unused_names",
  // how many calls
  "duplicate_calls",
  "tools_called",
  "tools_not_called",
  "things_listed",
  "things_per_call",
  "one_call_many_numbers",
  // which tools
  "tool_name_fit",
  "tool_fit_margin",
  "covered",
  "covered_by_others",
  "unfit_call",
  "fit_without_call",
  "unrunnable_unfit_call",
  // JSON
  "json_missing",
  "json_parses",
  "json_missing_fields",
  "json_wrong",
  "json_nested",
  "json_last_told",
  "json_last_asked",
  "json_last_chars",
  // the text
  "cut_off",
  "language_switch",
  "refusal",
  "hedging",
  "self_correction",
  "repetition",
  "asks_back",
  "options_named",
  "steps_told",
  // the reasoning
  "final_answers",
  "final_in_reasoning",
  "final_off_options",
  "final_place",
  "final_digits",
  "final_fraction",
  "final_follows",
  "counts_parts",
  "equations",
  "wrong_equations",
  "unexplained_terms",
  "dangling_results",
  "new_numbers",
  "unused_request_numbers",
  "request_numbers",
  "options",
  "option_match",
  "option_share",
  "option_length",
  "option_number",
  // token probabilities
  "logprobs_known",
  "mean_logprob",
  "least_logprob",
  "argument_logprob",
];

const NO_TOOLS: ToolFit = { fit: 0, nameFit: 0, fitOfOthers: 0, covered: 0, coveredByOthers: 0 };
const log = Math.log1p;

/**
 * One number for each name in `ANSWER_FEATURES`. tier: place of the tier that answered, 0 for the cheapest.
 *
 * Counts enter as log(1 + count), so that no single huge answer leaves the range seen in training.
 */
export function readFeatures(request: Request, output: Output, tier: number): number[] {
  const whole = output.text ?? "";
  const text = endsOf(whole, TEXT_READ);
  const asked = askedIn(request);
  const said = readSaid(asked);
  const calls = output.toolCalls ?? [];
  const offered = readTools(request.tools);
  const checks = checkCalls(calls, offered, said);
  const logLength = log(size(whole));
  return [
    tier,
    logLength,
    log(splitWords(text).length),
    logLength - log(size(asked)),
    log(count(text, "\n")),
    Number(strip(whole) !== ""),
    ...callFeatures(checks, offered.size),
    ...countFeatures(checks, offered.size, said),
    ...fitFeatures(checks, offered.size ? fitTools(calls, offered, said) : NO_TOOLS),
    ...jsonFeatures(request, whole, said),
    Number(isCutOff(output)),
    nonAscii(text) - nonAscii(asked),
    ...readText(text),
    ...reasoningFeatures(text ? readReasoning(text, asked, said) : noReasoning(), said.places.size),
    ...logprobFeatures(output),
  ];
}

/** What is certainly wrong with an answer, worst first: rules, each a reason to go up a tier. */
export function findFailures(request: Request, output: Output): Rule[] {
  const calls = output.toolCalls ?? [];
  const text = strip(output.text ?? "");
  if (!calls.length && !text) return ["empty_output"];
  const found: Rule[] = [];
  if (calls.length) {
    // among all tools: one that only stands far down the list is not unknown
    const checks = checkShapes(calls, readTools(request.tools, Infinity));
    if (checks.unreadable) found.push("unreadable_arguments");
    if (checks.unknownTools) found.push("unknown_tool");
    if (checks.missing) found.push("missing_argument");
  } else if (wantsJson(request) && findJson(text) === null) found.push("not_json");
  if (output.finishReason === "length") found.push("cut_off");
  return found;
}

/** What the user and the tools said, the last of it first kept. */
function askedIn(request: Request): string {
  const texts = request.messages
    .slice(-16)
    .filter((message) => message.role !== "assistant")
    .map(messageText);
  const kept: string[] = [];
  let left = REQUEST_READ;
  for (const text of texts.reverse()) {
    if (left <= 0) break;
    const some = endsOf(text, left);
    kept.push(some);
    left -= size(some);
  }
  return kept.reverse().join("\n");
}

function callFeatures(checks: CallChecks, offered: number): number[] {
  const leaves = checks.strings + checks.numbers;
  const ungrounded = checks.ungroundedRequired + checks.ungroundedOptional;
  return [
    log(checks.calls),
    Number(offered > 0 && !checks.calls),
    Number(!offered && checks.calls > 0),
    log(checks.unknownTools),
    log(checks.unreadable),
    log(checks.unnamed),
    log(checks.missing + checks.faults.missing),
    log(checks.faults.unknown),
    log(checks.faults.wrongType),
    log(checks.faults.wrongEnum),
    log(checks.faults.empty),
    log(checks.arguments),
    checks.optional / Math.max(checks.arguments, 1),
    log(checks.defaults),
    log(checks.booleans),
    log(checks.strings),
    log(checks.numbers),
    log(checks.ungroundedRequired),
    log(checks.ungroundedOptional),
    ungrounded / Math.max(leaves, 1),
    checks.leastGrounded,
    log(checks.offFormat),
    log(checks.placeholders),
    log(checks.otherUnit),
    checks.outOfOrder,
    log(checks.missed),
    checks.missedShare,
    log(checks.missedValues),
    checks.unusedNumbers,
    checks.unusedNames,
  ];
}

function countFeatures(checks: CallChecks, offered: number, said: Said): number[] {
  return [
    log(checks.duplicates),
    log(checks.toolsCalled),
    checks.calls ? log(Math.max(offered - checks.toolsCalled, 0)) : 0,
    log(said.things),
    checks.calls ? log(said.things) - log(checks.calls) : 0,
    Number(checks.calls === 1) * log(said.numbers.size),
  ];
}

function fitFeatures(checks: CallChecks, fit: ToolFit): number[] {
  const called = Number(checks.calls > 0);
  return [
    fit.nameFit,
    fit.fit - fit.fitOfOthers,
    fit.covered,
    fit.coveredByOthers,
    called * (1 - fit.nameFit) * (1 - fit.covered),
    (1 - called) * fit.fitOfOthers,
    Number(checks.unnamed + checks.unknownTools > 0) * (1 - fit.fit),
  ];
}

function jsonFeatures(request: Request, text: string, said: Said): number[] {
  const wanted = wantsJson(request);
  const looksLikeJson = ["{", "[", "`"].includes(first(stripStart(text), 1));
  const found = wanted || looksLikeJson ? findJson(text) : null;
  const asked = request.responseFormat === null ? null : get(request.responseFormat, "json_schema");
  const schema = isMapping(asked) ? get(asked, "schema") : null;
  const faults = found === null ? noFaults() : checkValue(found, schema, noFaults());
  const fields = isMapping(found) ? firstEntries(found, FIELDS_READ).map(([, field]) => field) : [];
  const ending = fields[fields.length - 1];
  let last = "";
  if (typeof ending === "string") last = ending;
  else if (isFloat(ending)) last = spellFloat(numeric(ending));
  last = first(last, FIELD_CHARS).toLowerCase();
  const texts = fields.slice(0, -1).filter((field) => typeof field === "string");
  const rest = endsOf(texts.join(" "), TEXT_READ).toLowerCase();
  return [
    Number(wanted && found === null),
    Number(found !== null),
    log(faults.missing),
    log(faults.wrongType + faults.wrongEnum + faults.unknown),
    Number(Array.isArray(ending) || isMapping(ending)),
    Number(last !== "" && rest.includes(last)),
    Number(last !== "" && said.text.includes(last)),
    log(size(last)),
  ];
}

function reasoningFeatures(found: Reasoning, askedNumbers: number): number[] {
  return [
    log(found.answers),
    Number(found.inReasoning),
    Number(found.offOptions),
    found.place,
    isLetters(found.final) ? 0 : log(size(found.final)),
    Number(found.final.includes("/") || found.final.includes(".")),
    Number(found.follows),
    Number(found.countsParts),
    log(found.equations),
    log(found.wrong),
    log(found.unexplained),
    log(found.dangling),
    log(found.newNumbers),
    found.unused,
    log(askedNumbers),
    log(found.options),
    found.optionMatch,
    found.optionShare,
    found.optionLength,
    found.optionNumber,
  ];
}

function logprobFeatures(output: Output): number[] {
  const logprobs = boundLogprobs(output.logprobs);
  if (logprobs === null) return [0, 0, 0, 0];
  return [1, logprobs.mean, logprobs.least, logprobs.arguments ?? logprobs.mean];
}
