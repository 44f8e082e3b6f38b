/** The errors a caller can meet. Knows nothing of what raises them. */

/** Root of every error raised on purpose; its message says where, what was found, what was wanted, what to do. */
export class LearnedRouterError extends Error {
  override name = "LearnedRouterError";
}

/** A request, file or option that cannot be used; the message names the field. */
export class InputError extends LearnedRouterError {
  override name = "InputError";
}

/** An artifact that is missing, truncated, tampered with, or written by a newer version. */
export class ArtifactError extends LearnedRouterError {
  override name = "ArtifactError";
}

/** A call that could not be decided because the router itself failed; raised by a strict router alone. */
export class InferenceError extends LearnedRouterError {
  override name = "InferenceError";
}

/** The first line of whatever was thrown, for a message. */
export function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error);
  return (text.split("\n")[0] ?? "").slice(0, 200);
}
