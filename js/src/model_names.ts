/** Whether two names are one model's: servers, gateways and logs spell it differently. Knows names; knows no models. */

import { pattern, strip, stripEndOf } from "./unicode.js";

// A version by its day, as -2024-05-13 and -20240620 at the end of a name
const DAY = pattern(String.raw`-20\d\d-?[01]\d-?[0-3]\d$`);
const FILE = [".gguf", ".safetensors", ".bin"];
// Joins the models of one tier whose labels come from several
const JOINT = " / ";

/** A model's name without what says where it is served: "openai/gpt-4o" and "GPT-4o" are "gpt-4o". */
export function plainName(name: string): string {
  const path = stripEndOf(strip(name).replaceAll("\\", "/"), "/");
  let plain = path.slice(path.lastIndexOf("/") + 1).toLowerCase().replaceAll("@", "-");
  for (const ending of [":latest", ...FILE]) if (plain.endsWith(ending)) plain = plain.slice(0, -ending.length);
  return plain;
}

/** Plain names of a tier: of its model or of each of several joined by " / ", and of the aliases. */
export function knownNames(models: string, aliases: readonly string[] = []): ReadonlySet<string> {
  return new Set([...models.split(JOINT), ...aliases].map(plainName).filter((name) => name !== ""));
}

/** Whether a name is of one of the known ones; a name without a day leaves the version to the provider. */
export function isKnown(name: string, known: ReadonlySet<string>): boolean {
  const plain = plainName(name);
  return known.has(plain) || known.has(plain.replace(DAY, ""));
}

/** Whether an answer that names its model says that it comes from another. files: names of files are known of the tier. */
export function contradicts(name: string, known: ReadonlySet<string>, files: boolean): boolean {
  return plainName(name) !== "" && !isKnown(name, known) && (files || !isFile(name));
}

/** Whether a name is that of a file of weights. */
export function isFile(name: string): boolean {
  const plain = strip(name).toLowerCase();
  return FILE.some((ending) => plain.endsWith(ending));
}
