/** Which model serves each tier, and whether it is the one that the labels are about. Knows tiers and names; asks nobody. */

import { InputError } from "./errors.js";
import { contradicts, isFile, isKnown, knownNames } from "./model_names.js";
import type { Reason, Tier } from "./policy.js";
import { kindOf } from "./request.js";
import { strip } from "./unicode.js";

/** models: by tier, the name to call. blocked: tiers of other models, by index, and why. */
export class Served {
  readonly models: { readonly [tier: string]: string };
  readonly blocked: ReadonlyMap<number, Reason>;
  private readonly known = new Map<string, ReadonlySet<string>>();
  private readonly files = new Set<string>();
  private readonly other: ReadonlySet<string>;
  private readonly topIsOther: boolean;

  /** models, aliases: as the router takes them. Raises InputError for an unknown tier, or what is no name. */
  constructor(
    tiers: readonly Tier[],
    models: { readonly [tier: string]: string },
    aliases: { readonly [tier: string]: readonly string[] },
  ) {
    const names = tiers.map((tier) => tier.name);
    for (const [option, given] of Object.entries({ models, aliases })) {
      const strange = Object.keys(given).find((name) => !names.includes(name));
      if (strange !== undefined) {
        throw new InputError(`${option} names the tier '${strange}'; this artifact has ${names.join(", ")}`);
      }
    }
    for (const [name, model] of Object.entries(models)) {
      if (typeof model !== "string" || !strip(model)) {
        throw new InputError(`models['${name}'] is ${kindOf(model)}, or empty; give the name of a model`);
      }
    }
    for (const [name, others] of Object.entries(aliases)) {
      if (!Array.isArray(others) || !others.every((other) => typeof other === "string")) {
        throw new InputError(`aliases['${name}'] is ${kindOf(others)}; give a list of names`);
      }
    }
    const given = new Map(Object.entries(models));
    const further = new Map(Object.entries(aliases));
    this.models = Object.fromEntries(tiers.map((tier) => [tier.name, given.get(tier.name) ?? tier.model]));
    const blocked = new Map<number, Reason>();
    for (const [index, tier] of tiers.entries()) {
      const also = [...(tier.aliases ?? []), ...(further.get(tier.name) ?? [])];
      const known = knownNames(tier.model, also);
      this.known.set(tier.name, known);
      if ([tier.model, ...also].some(isFile)) this.files.add(tier.name);
      const model = given.get(tier.name);
      if (model !== undefined && !isKnown(model, known)) blocked.set(index, "unknown_model");
    }
    this.blocked = blocked;
    this.other = new Set([...blocked.keys()].map((index) => names[index]!));
    this.topIsOther = blocked.has(tiers.length - 1);
  }

  /** Whether an answer is not of the model that the labels are about. named: whose it says it is, or null. */
  isUnknown(tier: string, named: string | null): boolean {
    if (this.topIsOther || this.other.has(tier)) return true;
    return named !== null && contradicts(named, this.known.get(tier)!, this.files.has(tier));
  }
}
