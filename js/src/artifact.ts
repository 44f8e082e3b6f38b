/** The artifact's files: the schema of `config.json`, and checking each file that is used. Knows no inference. */

import { ArtifactError, firstLine } from "./errors.js";
import { sha256 } from "./fingerprints.js";
import { findDuplicate, isMapping, type Mapping } from "./json.js";
import { problemOfMode, problemOfTier, RULES, type Mode, type Rule, type Tier } from "./policy.js";
import { kindOf } from "./request.js";
import { FEATURES } from "./request_features.js";
import { first } from "./unicode.js";
import { budgetsOf, GATE_FEATURES, MOST_TOKENS, type AnswerViewSpec, type ViewSpec } from "./view.js";

export const SCHEMA_VERSION = 1;

/** What the gate needs beside its graph. */
export interface GateConfig {
  readonly view: AnswerViewSpec;
  readonly features: readonly string[];
  readonly ood_threshold: number;
  readonly confidence: readonly [number, number, number];
  readonly rules: readonly Rule[];
  readonly expects_logprobs?: boolean;
}

/** `config.json`, as far as it is read here. */
export interface Config {
  readonly schema_version: number;
  readonly name: string;
  readonly tiers: readonly Tier[];
  readonly steps: readonly string[];
  readonly view: ViewSpec;
  readonly features: readonly string[];
  readonly modes: { readonly [mode: string]: Mode };
  readonly default_mode: string;
  readonly ood_threshold: number;
  readonly confidence: { readonly [tier: string]: readonly [number, number, number] };
  readonly files: { readonly [name: string]: string };
  readonly gate?: GateConfig | null;
  readonly fingerprints?: { readonly tools?: { readonly [name: string]: string } };
}

/** The bytes of an artifact's files. gate: only of an artifact that has one. */
export interface ArtifactFiles {
  config: Uint8Array;
  model: Uint8Array;
  tokenizer: Uint8Array;
  gate?: Uint8Array | null;
}

/** Files that have been read and checked. hash: sha256 of `config.json`, which holds those of all other files. */
export interface Artifact {
  readonly config: Config;
  readonly hash: string;
  readonly model: Uint8Array;
  readonly tokenizer: Uint8Array;
  readonly gate: Uint8Array | null;
}

/** Names of the files that are used. */
export function filesOf(config: Config): { model: string; tokenizer: string; gate: string | null } {
  return { model: "model.onnx", tokenizer: "tokenizer.json", gate: config.gate ? "gate.onnx" : null };
}

/** Check an artifact's files. Raises ArtifactError when one is missing, changed, or of a newer version. */
export async function checkArtifact(files: ArtifactFiles): Promise<Artifact> {
  const config = parseConfig(files.config);
  for (const [key, name] of Object.entries(filesOf(config))) {
    if (name === null) continue;
    const content = files[key as keyof ArtifactFiles];
    if (!content) {
      throw new ArtifactError(`${name}: missing; the artifact is incomplete. Restore it or export it again`);
    }
    await checkHash(config, name, content);
  }
  const { model, tokenizer } = files;
  return { config, hash: await sha256(files.config), model, tokenizer, gate: config.gate ? files.gate! : null };
}

/** Raises ArtifactError when a file is not the one that `config.json` was written for. */
export async function checkHash(config: Config, name: string, content: Uint8Array): Promise<void> {
  const expected = Object.hasOwn(config.files, name) ? config.files[name] : undefined;
  if (expected === undefined) {
    throw new ArtifactError(`config.json: 'files' has no hash of ${name}; export the artifact again`);
  }
  const found = await sha256(content);
  if (found === expected) return;
  throw new ArtifactError(
    `${name}: sha256 is ${found.slice(0, 12)}…, config.json says ${expected.slice(0, 12)}…; the file was changed or cut ` +
      "short. Restore the artifact or export it again",
  );
}

/** `config.json` from its bytes. Raises ArtifactError naming the field that is wrong. */
export function parseConfig(raw: Uint8Array): Config {
  let config: unknown;
  let twice: string | null;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(raw);
    twice = findDuplicate(text); // readers differ in which one they believe
    config = JSON.parse(text);
  } catch (error) {
    throw damaged(firstLine(error));
  }
  checkFields(config, twice);
  const found: [readonly string[], readonly string[]][] = [[config.features, FEATURES]];
  if (config.gate) found.push([config.gate.features, GATE_FEATURES]);
  for (const [made, computed] of found) {
    if (made.join() !== computed.join()) {
      throw new ArtifactError(
        `config.json: made for ${made.length} features, this version computes ${computed.length}; export the artifact ` +
          "again with this version",
      );
    }
  }
  const problem = findContradiction(config);
  if (problem !== null) {
    throw new ArtifactError(`config.json: ${problem}; the file was edited or damaged. Export the artifact again`);
  }
  return config;
}

function damaged(what: string): ArtifactError {
  return new ArtifactError(`config.json: ${what}; the file is damaged or not an artifact's. Export it again`);
}

// what str.isprintable() allows none of: it ends up in every decision and in logs
const UNPRINTABLE = /(?! )[\p{C}\p{Z}]/u;

function findContradiction(config: Config): string | null {
  if (!config.name || UNPRINTABLE.test(config.name)) {
    return `name is ${JSON.stringify(first(config.name, 40))}; it must be printable`;
  }
  const names = config.tiers.map((tier) => tier.name);
  if (names.length < 2) return `${names.length} tier; a router needs at least two`;
  if (new Set(names).size < names.length) return `two tiers have the same name (${names.join(", ")})`;
  if (!config.steps.length || new Set(config.steps).size < config.steps.length) {
    return `steps are ${first(config.steps.join(", ") || "none", 200)}; there must be some, each once`;
  }
  for (const [index, tier] of config.tiers.entries()) {
    const problem = problemOfTier(tier);
    if (problem !== null) return `tiers[${index}]: ${problem}`;
  }
  for (const [name, mode] of Object.entries(config.modes)) {
    const problem = problemOfMode(mode);
    if (problem !== null) return `modes.${name}: ${problem}`;
  }
  const unsure = names.slice(0, -1).filter((name) => !Object.hasOwn(config.confidence, name));
  if (unsure.length) return `confidence has no weights for ${unsure.join(", ")}`;
  if (!Object.hasOwn(config.modes, config.default_mode)) {
    return `default mode '${config.default_mode}' is not among ${Object.keys(config.modes).join(", ")}`;
  }
  for (const part of [config, config.gate]) {
    if (part && part.ood_threshold <= 0) return `ood_threshold is ${part.ood_threshold}; it must be above 0`;
  }
  for (const { max_tokens, head_share, budgets } of [config, ...(config.gate ? [config.gate] : [])].map(({ view }) => ({
    ...view,
    budgets: budgetsOf(view),
  }))) {
    if (max_tokens > MOST_TOKENS) return `max_tokens is above ${MOST_TOKENS}, more than any encoder of this kind takes`;
    // a start token, a separator for each segment, and a token at least for the last one
    const least = budgets.reduce((sum, budget) => sum + budget, 0) + budgets.length + 3;
    if (Math.min(...budgets) < 0 || max_tokens < least) return `max_tokens is ${max_tokens}; at least ${least}`;
    if (!(head_share >= 0 && head_share <= 1)) return `head_share is ${head_share}; it must lie in [0, 1]`;
  }
  if (config.gate) {
    const ungated = Object.keys(config.modes).filter((mode) => !config.modes[mode]!.gated);
    if (ungated.length) return `there is a gate, and no threshold of it in mode ${ungated.join(", ")}`;
  }
  return null;
}

type Kind = (value: unknown, place: string) => void;

const number: Kind = (value, place) => {
  // JSON.parse makes 1e999 infinite
  if (typeof value !== "number" || !Number.isFinite(value)) {
    throw damaged(`${place} is ${kindOf(value)}; it must be a number`);
  }
};
const whole: Kind = (value, place) => {
  number(value, place);
  if (!Number.isInteger(value)) throw damaged(`${place} is ${value as number}; it must be an integer`);
};
const text: Kind = (value, place) => {
  if (typeof value !== "string") throw damaged(`${place} is ${kindOf(value)}; it must be text`);
};
const flag: Kind = (value, place) => {
  if (typeof value !== "boolean") throw damaged(`${place} is ${kindOf(value)}; it must be true or false`);
};
const optional =
  (kind: Kind): Kind =>
  (value, place) => {
    if (value !== undefined && value !== null) kind(value, place);
  };
const listOf =
  (kind: Kind, length?: number): Kind =>
  (value, place) => {
    if (!Array.isArray(value) || (length !== undefined && value.length !== length)) {
      throw damaged(`${place} is ${kindOf(value)}; it must be a list${length === undefined ? "" : ` of ${length}`}`);
    }
    value.forEach((item, index) => kind(item, `${place}[${index}]`));
  };
const mapOf =
  (kind: Kind): Kind =>
  (value, place) => {
    if (!isMapping(value)) throw damaged(`${place} is ${kindOf(value)}; it must be an object`);
    for (const [key, inner] of Object.entries(value)) kind(inner, `${place}.${key}`);
  };
const fields =
  (kinds: { readonly [field: string]: Kind }): Kind =>
  (value, place) => {
    if (!isMapping(value)) throw damaged(`${place} is ${kindOf(value)}; it must be an object`);
    for (const [field, kind] of Object.entries(kinds)) {
      const inner = Object.hasOwn(value, field) ? (value as { [key: string]: unknown })[field] : undefined;
      kind(inner, place === "config.json" ? field : `${place}.${field}`);
    }
  };
const rule: Kind = (value, place) => {
  if (!(RULES as readonly unknown[]).includes(value)) {
    throw damaged(`${place} is no rule about answers; there are ${RULES.join(", ")}`);
  }
};
const weights = listOf(number, 3);
const budgets = { max_tokens: whole, tools_tokens: whole, head_share: number };

const CONFIG = fields({
  name: text,
  tiers: listOf(
    fields({
      name: text,
      model: text,
      context_tokens: optional(whole),
      lacks: optional(listOf(text)),
      aliases: optional(listOf(text)),
    }),
  ),
  steps: listOf(text),
  view: fields({ ...budgets, system_tokens: whole, previous_tokens: whole }),
  features: listOf(text),
  modes: mapOf(
    fields({
      target: number,
      threshold: number,
      steps: optional(mapOf(number)),
      gated: optional(fields({ route: number, accept: number, steps: optional(mapOf(listOf(number, 2))) })),
    }),
  ),
  default_mode: text,
  ood_threshold: number,
  confidence: mapOf(weights),
  files: mapOf(text),
  gate: optional(
    fields({
      view: fields({ ...budgets, request_tokens: whole }),
      features: listOf(text),
      ood_threshold: number,
      confidence: weights,
      rules: listOf(rule),
      expects_logprobs: optional(flag),
    }),
  ),
  fingerprints: optional(fields({ tools: optional(mapOf(text)) })),
});

function checkFields(config: unknown, twice: string | null): asserts config is Config {
  const version = isMapping(config) ? (config as Mapping & { schema_version?: unknown }).schema_version : undefined;
  whole(version, "schema_version");
  if ((version as number) > SCHEMA_VERSION) {
    throw new ArtifactError(
      `config.json: schema version ${version as number}; this learned-router reads up to ${SCHEMA_VERSION}. Upgrade it: ` +
        "npm install learned-router@latest",
    );
  }
  if ((version as number) < 1) {
    throw new ArtifactError(
      `config.json: schema version ${version as number}; there never was one. Export the artifact again`,
    );
  }
  if (twice !== null) {
    throw new ArtifactError(
      `config.json: '${first(twice, 60)}' is there twice; the file was edited. Export the artifact again`,
    );
  }
  CONFIG(config, "config.json");
}
