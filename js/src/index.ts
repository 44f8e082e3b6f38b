/** The door: everything a caller may import. `learned-router/node` and `learned-router/web` add where files come from. */

export type { Logprobs, OutputInput } from "./answer.js";
export type { ArtifactFiles, Config } from "./artifact.js";
export type { Runtime } from "./encoder.js";
export { ArtifactError, InferenceError, InputError, LearnedRouterError } from "./errors.js";
export type { Errors } from "./failures.js";
export type { Acceptance } from "./gate.js";
export { parseJson, type Mapping } from "./json.js";
export type { Mode, Reason, Tier } from "./policy.js";
export { parseReferences, replay, type Reference, type Replay } from "./replay.js";
export { STEPS, type MessageInput, type RequestInput, type Step, type ToolInput } from "./request.js";
export {
  Router,
  type AcceptOptions,
  type Decision,
  type LoadOptions,
  type RouteOptions,
} from "./router.js";
