/** Tools that differ from what an artifact's labels always showed. Knows tools and hashes; knows nothing of decisions. */

import { encodeFloat } from "./numbers.js";
import { entries, isMapping, isFloat, numeric, type Mapping } from "./json.js";
import { functionOf, textOf } from "./request.js";
import { compareCodePoints, hasLoneSurrogate } from "./unicode.js";

// Characters of a hash in hexadecimal
const FINGERPRINT_CHARS = 16;
// A schema with more values, or nested deeper, is not read: no tool that a provider takes comes near it
const VALUES_READ = 4_096;
const DEPTH_READ = 64;
const TOOLS_READ = 10_000;

/** sha256 in hexadecimal. */
export async function sha256(content: Uint8Array): Promise<string> {
  const hash = new Uint8Array(await globalThis.crypto.subtle.digest("SHA-256", content as Uint8Array<ArrayBuffer>));
  return [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Hash of a tool's name, description and parameters, in whatever order their keys come; null for what cannot be read. */
export async function toolFingerprint(tool: Mapping): Promise<string | null> {
  const fields = new Map(
    entries(functionOf(tool))
      .slice(0, VALUES_READ)
      .filter(([, value]) => value !== null),
  );
  if (fields.get("type") === "function") fields.delete("type"); // of the flat shape, as the responses API has it
  const text = isBounded(fields) ? encode(fields) : null;
  return text === null ? null : (await sha256(new TextEncoder().encode(text))).slice(0, FINGERPRINT_CHARS);
}

/** The first tool offered under a recorded name that is not the recorded one; null where there is none. */
export async function findChangedTool(
  tools: readonly Mapping[],
  known: { readonly [name: string]: string },
): Promise<string | null> {
  const met = new Set<string>();
  for (const tool of tools.slice(0, TOOLS_READ)) {
    const name = textOf(functionOf(tool), "name");
    if (!Object.hasOwn(known, name)) continue;
    if (met.has(name) || (await toolFingerprint(tool)) !== known[name]) return name;
    met.add(name);
  }
  return null;
}

/** Whether a value is of so few parts, nested so little, that it is surely finite. */
function isBounded(value: Mapping): boolean {
  let left = VALUES_READ;
  let waiting: unknown[] = [value];
  for (let depth = 0; depth < DEPTH_READ; depth += 1) {
    const deeper: unknown[] = [];
    for (const item of waiting) {
      const inner = Array.isArray(item) ? item : entries(item as Mapping).map(([, part]) => part);
      left -= inner.length;
      if (left < 0) return false;
      for (const part of inner as unknown[]) if (Array.isArray(part) || isMapping(part)) deeper.push(part);
    }
    if (!deeper.length) return true;
    waiting = deeper;
  }
  return false;
}

/** JSON without spaces, with sorted keys; null for what UTF-8 or JSON cannot hold. */
function encode(value: unknown): string | null {
  if (value === null || typeof value === "boolean" || typeof value === "bigint") return String(value);
  if (isFloat(value)) return encodeFloat(numeric(value));
  if (typeof value === "number") return BigInt(value).toString();
  if (typeof value === "string") return hasLoneSurrogate(value) ? null : JSON.stringify(value);
  const parts: (string | null)[] = [];
  if (Array.isArray(value)) {
    for (const item of value as unknown[]) parts.push(encode(item));
  } else if (isMapping(value)) {
    for (const [key, item] of entries(value).sort(([a], [b]) => compareCodePoints(a, b))) {
      const [name, inner] = [encode(key), encode(item)];
      parts.push(name === null || inner === null ? null : `${name}:${inner}`);
    }
  } else return null;
  if (parts.includes(null)) return null;
  return Array.isArray(value) ? `[${parts.join(",")}]` : `{${parts.join(",")}}`;
}
