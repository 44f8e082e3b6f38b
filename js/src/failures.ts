/** Count what failed while deciding, and tell of it without a flood. Knows nothing of requests or artifacts. */

import { firstLine } from "./errors.js";

// A broken session fails on every call; each kind of failure is told of at most this often.
const MILLISECONDS_BETWEEN_WARNINGS = 60_000;

/** count: calls that could not be decided and went to the top tier. last: what the latest met. */
export interface Errors {
  readonly count: number;
  readonly last: string | null;
}

/** The count of one router. */
export class Failures {
  errors: Errors = { count: 0, last: null };
  private readonly warned = new Map<string, number>();

  constructor(private readonly warn: (message: string) => void) {}

  /** Count one. router: name and hash of the artifact. */
  add(router: string, error: unknown): void {
    const last = firstLine(error);
    this.errors = { count: this.errors.count + 1, last };
    const kind = error instanceof Error ? error.name : typeof error;
    const before = this.warned.get(kind);
    if (before !== undefined && performance.now() - before < MILLISECONDS_BETWEEN_WARNINGS) return;
    this.warned.set(kind, performance.now());
    this.warn(
      `${router}: a call could not be decided (${last}); the top tier takes it; ${this.errors.count} so far`,
    );
  }
}
