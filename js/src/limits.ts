/** What sends a request up before any prediction is asked: nothing to judge, a changed tool, what a tier cannot serve. */

import { findChangedTool } from "./fingerprints.js";
import { blockTiers, type Reason, type Tier } from "./policy.js";
import { messageText, needsVision, wantsJson, type Request } from "./request.js";
import { size } from "./unicode.js";
import { isEmpty } from "./view.js";

// Tokens of a whole request are only estimated, from below four characters a token, so that a window is not overrun.
const CHARS_PER_TOKEN_LEAST = 3;

/** Why a request goes to the top tier whatever is predicted; null where nothing says so. */
export async function findRefusal(request: Request, known: { readonly [name: string]: string }): Promise<Reason | null> {
  if (isEmpty(request)) return "empty_request";
  return (await findChangedTool(request.tools, known)) === null ? null : "changed_tool";
}

/** Tiers that cannot serve a request, by index, and why. */
export function findBlocked(request: Request, tiers: readonly Tier[]): Map<number, Reason> {
  if (!tiers.some((tier) => tier.context_tokens != null || tier.lacks?.length)) return new Map();
  const chars = request.messages.reduce((sum, message) => sum + size(messageText(message)), 0);
  const needs: string[] = [];
  if (request.tools.length) needs.push("tools");
  if (needsVision(request)) needs.push("vision");
  if (wantsJson(request)) needs.push("json");
  return blockTiers(tiers, Math.floor(chars / CHARS_PER_TOKEN_LEAST), needs);
}
