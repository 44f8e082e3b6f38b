/** Reference decisions: requests and answers kept in an artifact with the exact decision expected, and their replay. */

import { ArtifactError, firstLine, InferenceError, InputError } from "./errors.js";
import { get, isMapping, isNumber, keys, numeric, parseJson, type Mapping } from "./json.js";
import type { OutputInput } from "./answer.js";
import type { RequestInput } from "./request.js";
import type { Router } from "./router.js";

// int8 arithmetic differs between processors by about this much; tiers are compared exactly, away from thresholds
export const QUALITY_TOLERANCE = 0.02;

/** One line of `reference.jsonl`: a decision of the router or, where there is an output, of the gate. */
export interface Reference {
  readonly request: RequestInput;
  readonly mode: string;
  readonly tier: string;
  readonly reason: string;
  readonly quality: ReadonlyMap<string, number>;
  readonly margin: number;
  readonly output: OutputInput | null;
}

/** What a replay found. off: the largest difference of a quality. problems: a sentence for each that came out otherwise. */
export interface Replay {
  readonly routed: number;
  readonly judged: number;
  readonly off: number;
  readonly problems: readonly string[];
}

/** The reference decisions of `reference.jsonl`. Raises ArtifactError naming the line that is damaged. */
export function parseReferences(content: Uint8Array): Reference[] {
  const lines = new TextDecoder().decode(content).split("\n");
  return lines.filter((line) => line !== "").map((line, index) => {
    try {
      return readReference(parseJson(line));
    } catch (error) {
      throw new ArtifactError(`reference.jsonl:${index + 1}: ${firstLine(error)}; export the artifact again`);
    }
  });
}

function readReference(line: unknown): Reference {
  if (!isMapping(line)) throw new TypeError("no object");
  const text = (field: string): string => {
    const value = get(line, field);
    if (typeof value !== "string") throw new TypeError(`${field} is no text`);
    return value;
  };
  const mapping = (field: string): Mapping => {
    const value = get(line, field);
    if (!isMapping(value)) throw new TypeError(`${field} is no object`);
    return value;
  };
  const number = (value: unknown): number => {
    if (!isNumber(value)) throw new TypeError("no number where one is wanted");
    return numeric(value);
  };
  const quality = mapping("quality");
  return {
    request: mapping("request") as RequestInput,
    mode: text("mode"),
    tier: text("tier"),
    reason: text("reason"),
    quality: new Map(keys(quality).map((tier) => [tier, number(get(quality, tier))])),
    margin: number(get(line, "margin")),
    output: get(line, "output") === null ? null : mapping("output"),
  };
}

/**
 * Decide every reference request again.
 *
 * A request so near a threshold that int8 arithmetic of another processor may tip it is compared by quality alone.
 */
export async function replay(router: Router, references: readonly Reference[]): Promise<Replay> {
  const problems: string[] = [];
  let worst = 0;
  for (const [index, expected] of references.entries()) {
    const place = `reference.jsonl:${index + 1} (${expected.mode})`;
    const { request, output, mode, tier } = expected;
    let found;
    try {
      found =
        output === null ? await router.route(request, { mode }) : await router.accept(request, output, { mode, tier });
    } catch (error) {
      if (!(error instanceof InputError || error instanceof InferenceError)) throw error;
      problems.push(`${place}: cannot be decided: ${error.message}`);
      continue;
    }
    if (found.reason === "router_error") {
      problems.push(`${place}: cannot be decided: ${router.errors.last}`);
      continue;
    }
    const tiers = [...expected.quality.keys()];
    if ([...tiers].sort().join() !== Object.keys(found.quality).sort().join()) {
      problems.push(`${place}: recorded for the tiers ${tiers.join(", ")}; found ${router.tiers.join(", ")}`);
      continue;
    }
    const off = Math.max(...tiers.map((name) => Math.abs(found.quality[name]! - expected.quality.get(name)!)));
    worst = Math.max(worst, off);
    if (off > QUALITY_TOLERANCE) {
      problems.push(`${place}: quality differs by ${off.toFixed(4)}; allowed is ${QUALITY_TOLERANCE}`);
    } else if ((found.tier !== tier || found.reason !== expected.reason) && expected.margin > 2 * off) {
      problems.push(`${place}: ${found.tier} (${found.reason}); expected ${tier} (${expected.reason})`);
    }
  }
  const judged = references.filter((reference) => reference.output !== null).length;
  return { routed: references.length - judged, judged, off: worst, problems };
}
