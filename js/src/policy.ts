/** Turn predicted qualities into a decision. Knows tiers and thresholds; knows nothing of text, ONNX or files. */

import { first } from "./unicode.js";

/** Why a decision came out as it did; the last six are of an answer alone. */
export type Reason =
  | "good_enough" // the cheapest tier whose predicted regret is within the threshold
  | "regret_too_high" // every cheaper tier is predicted to lose more than the threshold allows
  | "uncertified" // no threshold was proved to keep the mode's target: the top tier
  | "out_of_distribution" // unlike the labels the router learned from: the top tier
  | "empty_request" // nothing to judge: the top tier
  | "context_too_long" // a cheaper tier would do, but the request does not fit its context window
  | "lacks_capability" // a cheaper tier would do, but it lacks tools, vision or JSON mode
  | "changed_tool" // a tool that the labels always showed with one schema has another: the top tier
  | "unknown_model" // a tier is served by another model than the one that the labels are about
  | "router_error" // the router itself failed, out of memory or broken: the top tier; counted, never raised
  | Rule;

/** What may be certainly wrong with an answer whatever the model predicts. */
export type Rule = (typeof RULES)[number];

export const RULES = [
  "empty_output",
  "unreadable_arguments",
  "unknown_tool",
  "missing_argument",
  "not_json",
  "cut_off",
] as const;

// A threshold below every predicted regret, the least of which is -1: everything goes to the top tier.
const NEVER_DOWN = -2.0;
// Above every regret there is, the largest of which is 1: a threshold beyond it was not chosen by anybody.
const HIGHEST_THRESHOLD = 2.0;
const CAPABILITIES = ["tools", "vision", "json"];

/** One tier of an artifact, with the names of `config.json`. */
export interface Tier {
  readonly name: string;
  readonly model: string;
  readonly context_tokens?: number | null;
  readonly lacks?: readonly string[];
  readonly aliases?: readonly string[];
}

/** Thresholds of router and gate that were chosen together; `steps` holds pairs of the two for some steps. */
export interface GatedPoint {
  readonly route: number;
  readonly accept: number;
  readonly steps?: { readonly [step: string]: readonly [number, number] };
  readonly certified?: boolean;
}

/** A named operating point, with the names of `config.json`. */
export interface Mode {
  readonly target: number;
  readonly threshold: number;
  readonly steps?: { readonly [step: string]: number };
  readonly certified?: boolean;
  readonly gated?: GatedPoint | null;
}

/** What a tier cannot be, for a message; null where it can. */
export function problemOfTier({ name, context_tokens, lacks }: Tier): string | null {
  if (!name) return "a tier has no name";
  if (context_tokens != null && context_tokens < 1) {
    return `context_tokens is ${context_tokens}; it must be 1 or more, or absent`;
  }
  const strange = lacks?.find((lack) => !CAPABILITIES.includes(lack));
  return strange === undefined ? null : `lacks holds '${first(strange, 40)}'; it may hold ${CAPABILITIES.join(", ")}`;
}

/** What a mode cannot be, for a message; null where it can. */
export function problemOfMode({ target, threshold, steps, gated }: Mode): string | null {
  if (!(target >= 0 && target <= 1)) return `target is ${target}; it must lie in [0, 1]`;
  const thresholds: [string, number][] = [["threshold", threshold]];
  for (const [step, value] of Object.entries(steps ?? {})) thresholds.push([`steps.${step}`, value]);
  if (gated) {
    thresholds.push(["route", gated.route], ["accept", gated.accept]);
    for (const [step, [route, accept]] of Object.entries(gated.steps ?? {})) {
      thresholds.push([`steps.${step} before the call`, route], [`steps.${step} after it`, accept]);
    }
  }
  const odd = thresholds.find(([, value]) => !(value >= NEVER_DOWN && value <= HIGHEST_THRESHOLD));
  return odd ? `${odd[0]} is ${odd[1]}; a threshold lies in [${NEVER_DOWN}, ${HIGHEST_THRESHOLD}]` : null;
}

/** The regret allowed before the call, for a request of a step. gated: the gate will see the answer. */
export function thresholdOf(mode: Mode, step: string, gated: boolean): number {
  if (gated && mode.gated) return own(mode.gated.steps, step)?.[0] ?? mode.gated.route;
  return own(mode.steps, step) ?? mode.threshold;
}

/** The regret allowed of an answer; of all steps the strictest where the step is not known. */
export function acceptOf(point: GatedPoint, step: string | null): number {
  if (step === null) return Math.min(point.accept, ...Object.values(point.steps ?? {}).map(([, accept]) => accept));
  return own(point.steps, step)?.[1] ?? point.accept;
}

function own<Kept>(steps: { readonly [step: string]: Kept } | undefined, step: string): Kept | undefined {
  return steps && Object.hasOwn(steps, step) ? steps[step] : undefined;
}

/** index: the tier taken. regret: predicted quality given up by it, in quality units. */
export interface Choice {
  readonly index: number;
  readonly reason: Reason;
  readonly regret: number;
}

/**
 * Cheapest tier whose predicted regret is within the threshold and that is not blocked.
 *
 * quality: predicted, cheapest tier first, each in [0, 1]. blocked: tiers that cannot serve the request, by index. The top
 * tier is taken even if it is blocked, since nothing lies above it.
 */
export function chooseTier(quality: readonly number[], threshold: number, blocked: ReadonlyMap<number, Reason>): Choice {
  const top = quality.length - 1;
  if (threshold <= NEVER_DOWN) return { index: top, reason: "uncertified", regret: 0 };
  let reason: Reason = "regret_too_high";
  for (let index = 0; index < top; index += 1) {
    const regret = quality[top]! - quality[index]!;
    if (regret > threshold) continue;
    const block = blocked.get(index);
    if (block === undefined) return { index, reason: reason === "regret_too_high" ? "good_enough" : reason, regret };
    // the first tier that would have done tells the reader most about why it was passed over
    if (reason === "regret_too_high") reason = block;
  }
  return { index: top, reason, regret: 0 };
}

/** Whether a tier's answer may be kept, and why or why not. failures: what is certainly wrong with it, worst first. */
export function judgeOutput(
  regret: number,
  threshold: number,
  failures: readonly Reason[],
  unlike: boolean,
): { accept: boolean; reason: Reason } {
  const failure = failures[0];
  if (failure !== undefined) return { accept: false, reason: failure };
  if (unlike) return { accept: false, reason: "out_of_distribution" };
  if (threshold <= NEVER_DOWN) return { accept: false, reason: "uncertified" };
  if (regret > threshold) return { accept: false, reason: "regret_too_high" };
  return { accept: true, reason: "good_enough" };
}

/** Tiers that cannot serve a request of about so many tokens that needs some capabilities. */
export function blockTiers(tiers: readonly Tier[], tokens: number, needs: readonly string[]): Map<number, Reason> {
  const blocked = new Map<number, Reason>();
  for (const [index, tier] of tiers.entries()) {
    if (tier.context_tokens != null && tokens > tier.context_tokens) blocked.set(index, "context_too_long");
    else if (needs.some((need) => tier.lacks?.includes(need))) blocked.set(index, "lacks_capability");
  }
  return blocked;
}

/** Calibrated probability that an answer is as good as the top tier's. weights: bias, of its log-odds, of the top's. */
export function asGoodProbability(
  quality: number,
  topQuality: number,
  weights: readonly [number, number, number],
): number {
  const [bias, ownWeight, topWeight] = weights;
  const sum = bias + ownWeight * logit(quality) + topWeight * logit(topQuality);
  return 1 / (1 + Math.exp(-Math.max(-30, Math.min(30, sum))));
}

function logit(probability: number): number {
  const kept = Math.min(Math.max(probability, 1e-4), 1 - 1e-4);
  return Math.log(kept / (1 - kept));
}
