/** Run the graph of an artifact: views become token ids, token ids become predictions. Knows no tiers or thresholds. */

import { ArtifactError, firstLine } from "./errors.js";
import type { Tokenizer } from "./tokenizer.js";
import { budgetsOf, type AnswerViewSpec, type View, type ViewSpec } from "./view.js";

const INPUTS = ["input_ids", "attention_mask", "features"];
const OUTPUTS = ["quality", "step", "ood"];

/** What is needed of a tensor of onnxruntime. */
export interface RuntimeTensor {
  readonly data: unknown;
  readonly dims: readonly number[];
}

/** What is needed of a session of onnxruntime. */
export interface RuntimeSession {
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  run(feeds: { readonly [name: string]: RuntimeTensor }): Promise<{ readonly [name: string]: RuntimeTensor }>;
}

/** What is needed of `onnxruntime-node` or `onnxruntime-web`; either module is one. */
export interface Runtime {
  readonly InferenceSession: {
    create(graph: Uint8Array, options?: { [name: string]: unknown }): Promise<RuntimeSession>;
  };
  readonly Tensor: new (
    type: never,
    data: never,
    dims: readonly number[],
  ) => RuntimeTensor;
}

type TensorOf = new (
  type: string,
  data: BigInt64Array | Float32Array,
  dims: readonly number[],
) => RuntimeTensor;

/** quality: calibrated, cheapest tier first. step: a probability each. cut: the view was cut. */
export interface Prediction {
  readonly quality: readonly number[];
  readonly step: readonly number[];
  readonly ood: number;
  readonly cut: boolean;
}

/** Views to token ids: special tokens between the segments, each within its budget. */
export class Packer {
  private readonly start: number;
  private readonly separator: number;

  /** Raises ArtifactError when the tokenizer has no BERT-like start, separator and padding tokens. */
  constructor(
    private readonly tokenizer: Tokenizer,
    private readonly spec: ViewSpec | AnswerViewSpec,
  ) {
    this.start = tokenizer.special("[CLS]", "<s>");
    this.separator = tokenizer.special("[SEP]", "</s>");
    tokenizer.special("[PAD]", "<pad>");
  }

  /** Token ids of one view, at most `max_tokens`, and whether anything was left out. */
  pack(view: View): { ids: number[]; cut: boolean } {
    const lastIndex = view.segments.length - 1;
    const parts = view.segments.map((segment) => (segment ? this.tokenizer.encode(segment) : null));
    const present = parts.filter((part) => part !== null).length;
    const room = this.spec.max_tokens - 1 - present; // the start token and one separator a part
    let last = parts[lastIndex] ?? [];
    const budgets = budgetsOf(this.spec).map((budget, index) => Math.min(parts[index]?.length ?? 0, budget));
    const taken = (): number => budgets.reduce((sum, budget) => sum + budget, 0);
    const spare = room - taken() - last.length;
    const tools = parts[1]?.length ?? 0;
    // a short message leaves its room to the tools
    if (spare > 0 && tools > budgets[1]!) budgets[1] = Math.min(tools, budgets[1]! + spare);
    const left = room - taken();
    const isLong = last.length > left;
    if (isLong) {
      const head = Math.trunc(left * this.spec.head_share);
      last = [...last.slice(0, head), ...last.slice(last.length - (left - head))];
    }
    const ids = [this.start];
    for (const [index, part] of parts.entries()) {
      if (part === null) continue;
      ids.push(...(index === lastIndex ? last : part.slice(0, budgets[index])), this.separator);
    }
    return { ids, cut: view.cut || isLong };
  }
}

/** One loaded graph. tiers, steps: how many of each its outputs hold. */
export class Encoder {
  tiers = 0;
  steps = 0;
  // a session of onnxruntime-web refuses a run while another is under way
  private turn: Promise<unknown> = Promise.resolve();

  private constructor(
    private readonly runtime: Runtime,
    private readonly session: RuntimeSession,
    private readonly packer: Packer,
  ) {}

  /** Raises ArtifactError when it is no graph of the contract. name: of its file. features: how many a view has. */
  static async load(
    runtime: Runtime,
    graph: Uint8Array,
    packer: Packer,
    features: number,
    name: string,
    options: { [name: string]: unknown } = {},
  ): Promise<Encoder> {
    let session: RuntimeSession;
    try {
      session = await runtime.InferenceSession.create(graph, {
        intraOpNumThreads: 1,
        interOpNumThreads: 1,
        logSeverityLevel: 3,
        ...options,
      });
    } catch (error) {
      throw new ArtifactError(`${name} cannot be loaded (${firstLine(error)}); export the artifact again`);
    }
    const found = [session.inputNames, session.outputNames].map((names) => [...names].sort().join(", "));
    const wanted = [INPUTS, OUTPUTS].map((names) => [...names].sort().join(", "));
    if (found.join(" → ") !== wanted.join(" → ")) {
      throw new ArtifactError(
        `${name} goes from ${found.join(" to ")}; it must go from ${wanted.join(" to ")}; export the artifact again`,
      );
    }
    const encoder = new Encoder(runtime, session, packer);
    await encoder.try(features, name);
    return encoder;
  }

  /** Tiers and steps of an empty view's prediction, so that a graph that cannot run is refused before it must. */
  private async try(features: number, name: string): Promise<void> {
    let found: Prediction;
    try {
      found = await this.predict({ segments: [], features: new Array<number>(features).fill(0), cut: false });
    } catch (error) {
      throw new ArtifactError(`${name} cannot decide a request (${firstLine(error)}); export the artifact again`);
    }
    this.tiers = found.quality.length;
    this.steps = found.step.length;
  }

  /**
   * What the graph predicts of one view: a row a run, as in Python, since int8 arithmetic depends on what shares a batch.
   *
   * Throws whatever onnxruntime does, and where a number is not finite.
   */
  async predict(view: View): Promise<Prediction> {
    const { ids, cut } = this.packer.pack(view);
    const Tensor = this.runtime.Tensor as unknown as TensorOf;
    const feeds = {
      input_ids: new Tensor("int64", BigInt64Array.from(ids, BigInt), [1, ids.length]),
      attention_mask: new Tensor("int64", new BigInt64Array(ids.length).fill(1n), [1, ids.length]),
      features: new Tensor("float32", Float32Array.from(view.features), [1, view.features.length]),
    };
    const run = this.turn.then(() => this.session.run(feeds));
    this.turn = run.catch(() => undefined);
    const found = await run;
    const [quality, step, ood] = OUTPUTS.map((name) => finiteRow(name, found[name]!));
    return { quality: quality!, step: step!, ood: ood![0]!, cut };
  }
}

function finiteRow(name: string, tensor: RuntimeTensor): number[] {
  if (tensor.dims[0] !== 1) throw new Error(`${name} has the shape (${tensor.dims.join(", ")}), for one row`);
  const values = [...(tensor.data as Float32Array)];
  // a distance that is not finite would pass for a small one
  if (!values.every(Number.isFinite)) throw new Error(`the graph predicts ${name} that is not finite`);
  return values;
}
