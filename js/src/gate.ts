/** The gate: a request and a lower tier's answer in, whether to keep it and why out. Joins the rooms, as the router does. */

import type { Output } from "./answer.js";
import { findFailures } from "./answers/features.js";
import type { Artifact, GateConfig } from "./artifact.js";
import { Encoder, Packer, type Runtime } from "./encoder.js";
import { ArtifactError } from "./errors.js";
import { acceptOf, asGoodProbability, judgeOutput, type Mode, type Reason } from "./policy.js";
import type { Request } from "./request.js";
import type { Served } from "./served.js";
import type { Tokenizer } from "./tokenizer.js";
import { makeAnswerView, placeOf } from "./view.js";

// A gate's graph predicts two qualities: of the answer, and of what the top tier's would be.
const TIERS_PREDICTED = 2;

/**
 * What the gate says of one answer, and why.
 *
 * accept: keep it, or ask the top tier. tier: whose answer it is. confidence: calibrated probability that the answer is as
 * good as the top tier's. quality: predicted of the answer and of the top tier's, by tier, in [0, 1]. regret: predicted
 * quality given up by keeping it; threshold: the regret that the mode allows. ood: distance from the training data, 1 being
 * the limit. truncated: the view left out a part of the answer. router: name and hash of the artifact.
 */
export interface Acceptance {
  readonly accept: boolean;
  readonly tier: string;
  readonly reason: Reason;
  readonly confidence: number;
  readonly quality: { readonly [tier: string]: number };
  readonly regret: number;
  readonly threshold: number;
  readonly ood: number;
  readonly truncated: boolean;
  readonly mode: string;
  readonly router: string;
}

/** The second decision point of a loaded artifact. The router makes it, and asks it. */
export class Gate {
  private constructor(
    private readonly encoder: Encoder,
    private readonly config: GateConfig,
    private readonly modes: { readonly [mode: string]: Mode },
    private readonly tiers: readonly string[],
    private readonly name: string,
    private readonly served: Served,
  ) {}

  static async load(
    runtime: Runtime,
    artifact: Artifact,
    tokenizer: Tokenizer,
    name: string,
    served: Served,
    session: { [name: string]: unknown },
  ): Promise<Gate | null> {
    const { gate, modes, tiers } = artifact.config;
    if (!gate || !artifact.gate) return null;
    const packer = new Packer(tokenizer, gate.view);
    const encoder = await Encoder.load(runtime, artifact.gate, packer, gate.features.length, "gate.onnx", session);
    if (encoder.tiers !== TIERS_PREDICTED) {
      throw new ArtifactError(
        `gate.onnx predicts ${encoder.tiers} qualities; it must predict ${TIERS_PREDICTED}, of the answer and of the top ` +
          "tier's; export the artifact again",
      );
    }
    return new Gate(
      encoder,
      gate,
      modes,
      tiers.map((tier) => tier.name),
      name,
      served,
    );
  }

  /** What is said of an answer that could not be looked at: not kept, and predicted to be worth nothing. */
  refuse(tier: string, mode: string, step: string | null): Acceptance {
    return {
      accept: false,
      tier,
      reason: "router_error",
      confidence: 0,
      quality: { [tier]: 0, [this.tiers[this.tiers.length - 1]!]: 1 },
      regret: 1,
      threshold: acceptOf(this.modes[mode]!.gated!, step),
      ood: 0,
      truncated: false,
      mode,
      router: this.name,
    };
  }

  /** What a mode makes of an answer of a lower tier. step: of the request, null where it is not known. */
  async judge(request: Request, output: Output, tier: string, mode: string, step: string | null): Promise<Acceptance> {
    const view = makeAnswerView(request, output, placeOf(tier, this.tiers), this.config.view);
    const prediction = await this.encoder.predict(view);
    const failures: Reason[] = findFailures(request, output).filter((rule) => this.config.rules.includes(rule));
    // nothing that was measured of a tier's model says anything of another's answer
    if (this.served.isUnknown(tier, output.model)) failures.unshift("unknown_model");
    const { target, gated } = this.modes[mode]!;
    const [own, top] = prediction.quality as [number, number];
    let threshold = acceptOf(gated!, step);
    // the threshold is of answers of which more was known: one that tells less must keep the target alone
    if (this.config.expects_logprobs && output.logprobs === null) threshold = Math.min(threshold, (1 - target) * top);
    const ood = prediction.ood / this.config.ood_threshold;
    const regret = top - own;
    return {
      ...judgeOutput(regret, threshold, failures, ood > 1),
      tier,
      confidence: asGoodProbability(own, top, this.config.confidence),
      quality: { [tier]: own, [this.tiers[this.tiers.length - 1]!]: top },
      regret,
      threshold,
      ood,
      truncated: prediction.cut,
      mode,
      router: this.name,
    };
  }
}
