/** The router: a request in, a decision with its reason out; the gate after it. Joins the rooms; holds no rule itself. */

import { parseOutput, type OutputInput } from "./answer.js";
import { checkArtifact, type ArtifactFiles, type Config } from "./artifact.js";
import { Encoder, Packer, type Runtime } from "./encoder.js";
import { ArtifactError, firstLine, InferenceError, InputError, LearnedRouterError } from "./errors.js";
import { Failures, type Errors } from "./failures.js";
import { Gate, type Acceptance } from "./gate.js";
import { findBlocked, findRefusal } from "./limits.js";
import { asGoodProbability, chooseTier, thresholdOf, type Choice, type Mode, type Reason } from "./policy.js";
import { kindOf, parseRequest, STEPS, type Beside, type Request, type RequestInput } from "./request.js";
import { Served } from "./served.js";
import { Tokenizer } from "./tokenizer.js";
import { makeView } from "./view.js";

/**
 * What the router chose for one request, and why.
 *
 * tier, model: what to call. confidence: calibrated probability that this tier's answer is as good as the top tier's.
 * quality: predicted quality by tier, in [0, 1]. regret: predicted quality given up; threshold: the regret that the mode
 * allows. step: the step given, or the one predicted. ood: distance from the training data, 1 being the limit. truncated:
 * the view left out a part of the request's last message. router: name and hash of the artifact.
 */
export interface Decision {
  readonly tier: string;
  readonly model: string;
  readonly reason: Reason;
  readonly confidence: number;
  readonly quality: { readonly [tier: string]: number };
  readonly regret: number;
  readonly threshold: number;
  readonly step: string;
  readonly ood: number;
  readonly truncated: boolean;
  readonly mode: string;
  readonly router: string;
}

export interface LoadOptions {
  /** The operating point of calls that name none; by default the artifact's own. */
  mode?: string;
  /** By tier, the model that serves it, where that is another name than the artifact's. */
  models?: { readonly [tier: string]: string };
  /** By tier, further names of the very model that it was trained for. */
  aliases?: { readonly [tier: string]: readonly string[] };
  /** Raise InferenceError where the router itself fails, instead of going to the top tier with "router_error". */
  strict?: boolean;
  /** Is told of calls that could not be decided, once a minute at most; by default `console.warn`. */
  warn?: (message: string) => void;
  /** Options of onnxruntime's session, beside one thread. */
  session?: { [name: string]: unknown };
}

export interface RouteOptions extends Beside {
  /** The operating point, instead of the router's own. */
  mode?: string | undefined;
  /** The answer will be shown to `accept` before it is trusted, so that more may be tried. */
  gated?: boolean;
}

export interface AcceptOptions extends Beside {
  mode?: string | undefined;
  /** Whose answer it is; of a router with two tiers it can only be the lower one's. */
  tier?: string | undefined;
  /** What `route` said; its tier, its mode and the threshold of its step are meant where no other is given. */
  decision?: Decision;
}

/** A loaded artifact. Make one and keep it: loading costs far more than a decision. */
export class Router {
  protected constructor(
    readonly config: Config,
    /** Name and hash of the artifact. */
    readonly name: string,
    /** The operating point of calls that name none. */
    readonly mode: string,
    private readonly served: Served,
    private readonly encoder: Encoder,
    private readonly gate: Gate | null,
    private readonly failures: Failures,
    private readonly strict: boolean,
  ) {}

  /**
   * A router of an artifact's files, each checked. ort: `onnxruntime-node` or `onnxruntime-web`.
   *
   * Raises ArtifactError when the files cannot be trusted, InputError when mode or tier is not in them.
   */
  static async fromFiles(files: ArtifactFiles, { ort, ...options }: LoadOptions & { ort: Runtime }): Promise<Router> {
    const artifact = await checkArtifact(files);
    const { config } = artifact;
    const served = new Served(config.tiers, options.models ?? {}, options.aliases ?? {});
    const mode = knownMode(config, options.mode ?? config.default_mode);
    const tokenizer = new Tokenizer(artifact.tokenizer);
    const packer = new Packer(tokenizer, config.view);
    const session = options.session ?? {};
    const encoder = await Encoder.load(ort, artifact.model, packer, config.features.length, "model.onnx", session);
    if (encoder.tiers !== config.tiers.length || encoder.steps !== config.steps.length) {
      throw new ArtifactError(
        `model.onnx predicts ${encoder.tiers} tiers and ${encoder.steps} steps, config.json names ${config.tiers.length} ` +
          `and ${config.steps.length}; export the artifact again`,
      );
    }
    const name = `${config.name}@${artifact.hash.slice(0, 12)}`;
    const gate = await Gate.load(ort, artifact, tokenizer, name, served, session);
    const failures = new Failures(options.warn ?? console.warn);
    return new Router(config, name, mode, served, encoder, gate, failures, options.strict ?? false);
  }

  /** Names of the tiers, cheapest first. */
  get tiers(): readonly string[] {
    return this.config.tiers.map((tier) => tier.name);
  }

  /** The model to call, by tier. */
  get models(): { readonly [tier: string]: string } {
    return this.served.models;
  }

  get modes(): { readonly [mode: string]: Mode } {
    return this.config.modes;
  }

  /** Whether the artifact was trained with answers, so that `accept` works. */
  get hasGate(): boolean {
    return this.gate !== null;
  }

  /** How many calls could not be decided since this router was loaded, and what the latest met. */
  get errors(): Errors {
    return this.failures.errors;
  }

  /**
   * Decide one request: a prompt, a list of OpenAI messages, or an object with `messages`.
   *
   * Raises InputError naming the field when the request is none, or when there is no gate and `gated` is asked for; a
   * strict router also InferenceError.
   */
  async route(request: RequestInput, { mode, gated = false, ...beside }: RouteOptions = {}): Promise<Decision> {
    const operating = mode === undefined ? this.mode : knownMode(this.config, mode);
    if (gated) this.gateOf();
    const parsed = parseRequest(request, beside);
    return this.orElse(
      () => this.decide(parsed, operating, gated),
      () => this.sendUp(operating, parsed.step ?? STEPS[STEPS.length - 1]!, gated),
    );
  }

  private async decide(parsed: Request, operating: string, gated: boolean): Promise<Decision> {
    const { config } = this;
    const { quality, step: steps, ood, cut } = await this.encoder.predict(makeView(parsed, config.view));
    const step = parsed.step ?? config.steps[steps.indexOf(Math.max(...steps))]!;
    const threshold = thresholdOf(config.modes[operating]!, step, gated);
    const relativeOod = ood / config.ood_threshold;
    const { index, reason, regret } = await this.choose(parsed, quality, threshold, relativeOod);
    const tier = config.tiers[index]!.name;
    const weights = Object.hasOwn(config.confidence, tier) ? config.confidence[tier] : undefined;
    return {
      tier,
      model: this.models[tier]!,
      reason,
      confidence: weights ? asGoodProbability(quality[index]!, quality[quality.length - 1]!, weights) : 1,
      quality: Object.fromEntries(this.tiers.map((name, place) => [name, quality[place]!])),
      regret,
      threshold,
      step,
      ood: relativeOod,
      truncated: cut,
      mode: operating,
      router: this.name,
    };
  }

  /** The decision for a request that could not be decided: nothing was predicted, and whatever is made of it leads up. */
  private sendUp(mode: string, step: string, gated: boolean): Decision {
    const top = this.tiers[this.tiers.length - 1]!;
    return {
      tier: top,
      model: this.models[top]!,
      reason: "router_error",
      confidence: 1,
      quality: Object.fromEntries(this.tiers.map((name) => [name, Number(name === top)])),
      regret: 0,
      threshold: thresholdOf(this.config.modes[mode]!, step, gated),
      step,
      ood: 0,
      truncated: false,
      mode,
      router: this.name,
    };
  }

  /** What work comes to; where it fails by no fault of the caller's, what is said instead. */
  private async orElse<Said>(work: () => Promise<Said>, instead: () => Said): Promise<Said> {
    try {
      return await work();
    } catch (error) {
      if (error instanceof LearnedRouterError) throw error;
      if (this.strict) throw new InferenceError(`${this.name}: a call could not be decided (${firstLine(error)})`);
      this.failures.add(this.name, error);
      return instead();
    }
  }

  /**
   * Whether a lower tier's answer may be kept: the gate, after `route(…, { gated: true })` and the call.
   *
   * output: a text, an OpenAI message or chat completion, or an object with `text` and `tool_calls`.
   * Raises InputError naming the field when request or output is none, when the tier is not a lower one or not said where
   * there are several, and when the artifact has no gate; a strict router also InferenceError.
   */
  async accept(
    request: RequestInput,
    output: OutputInput,
    { mode, tier, decision, ...beside }: AcceptOptions = {},
  ): Promise<Acceptance> {
    const wanted = mode ?? decision?.mode;
    const operating = wanted === undefined ? this.mode : knownMode(this.config, wanted);
    const [gate, lower] = [this.gateOf(), this.lowerTier(tier ?? decision?.tier)];
    const [parsed, answer] = [parseRequest(request, beside), parseOutput(output)];
    const step = parsed.step ?? decision?.step ?? null;
    return this.orElse(
      () => gate.judge(parsed, answer, lower, operating, step),
      () => gate.refuse(lower, operating, decision?.step ?? null),
    );
  }

  private async choose(request: Request, quality: readonly number[], threshold: number, ood: number): Promise<Choice> {
    const up = (reason: Reason): Choice => ({ index: quality.length - 1, reason, regret: 0 });
    const refusal = await findRefusal(request, this.config.fingerprints?.tools ?? {});
    if (refusal === "empty_request") return up(refusal);
    if (this.served.blocked.has(quality.length - 1)) return up("unknown_model");
    if (refusal !== null) return up(refusal);
    if (ood > 1) return up("out_of_distribution");
    const blocked = new Map([...findBlocked(request, this.config.tiers), ...this.served.blocked]);
    return chooseTier(quality, threshold, blocked);
  }

  private gateOf(): Gate {
    if (this.gate !== null) return this.gate;
    throw new InputError(
      `${this.name} has no gate; train it on labels that hold the lower tiers' answers, as 'learned-router label' ` +
        "writes them",
    );
  }

  private lowerTier(tier: string | undefined): string {
    const lower = this.tiers.slice(0, -1);
    if (tier === undefined && lower.length === 1) return lower[0]!;
    if (tier === undefined) {
      throw new InputError(`tier is absent; of several lower ones say whose answer it is: ${lower.join(", ")}`);
    }
    if (lower.includes(tier)) return tier;
    const found = typeof tier === "string" ? `'${tier}'` : kindOf(tier);
    throw new InputError(`tier is ${found}; an answer is judged when it comes from ${lower.join(", ")}`);
  }
}

function knownMode(config: Config, mode: string): string {
  if (typeof mode === "string" && Object.hasOwn(config.modes, mode)) return mode;
  const found = typeof mode === "string" ? `'${mode}'` : kindOf(mode);
  throw new InputError(`mode is ${found}; ${config.name} has ${Object.keys(config.modes).join(", ")}`);
}
