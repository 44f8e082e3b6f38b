/** Artifacts in memory: the shipped one with another `config.json`, and graphs that answer every request alike. */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

export const SHIPPED = new URL("../../exported/small-frontier/", import.meta.url);

const hash = (content) => createHash("sha256").update(content).digest("hex");

// What each mode allows a lower tier to give up: what training found for the shipped artifact is another every time
const THRESHOLDS = { quality: 0.1, balanced: 0.25, economy: 0.5 };

/** The files of the shipped artifact, with limits of our own; `change` edits its config. */
export function files(change = () => {}) {
  const config = JSON.parse(readFileSync(new URL("config.json", SHIPPED), "utf8"));
  for (const [mode, threshold] of Object.entries(THRESHOLDS)) Object.assign(config.modes[mode], { threshold, steps: {} });
  config.ood_threshold = 10;
  const model = Buffer.from("a graph");
  config.files["model.onnx"] = hash(model);
  change(config);
  return {
    config: Buffer.from(JSON.stringify(config)),
    model,
    tokenizer: readFileSync(new URL("tokenizer.json", SHIPPED)),
    gate: config.gate ? model : null,
  };
}

/** Gives a config a gate, whose graph is that of the router. */
export function addGate(config, changes = {}) {
  config.files["gate.onnx"] = config.files["model.onnx"];
  config.gate = {
    view: { max_tokens: 128, tools_tokens: 24, request_tokens: 40, head_share: 0.4 },
    features: changes.features,
    ood_threshold: 2,
    confidence: [0, 1, -1],
    rules: ["empty_output", "not_json", "cut_off"],
    ...changes,
  };
  for (const mode of Object.values(config.modes)) {
    mode.gated = { route: 0.5, accept: 0.1, steps: { code: [0.6, 0.05], plan: [0.7, 0.3] } };
  }
}

/** A runtime whose graphs predict `found` for every request; `seen` are the inputs of each run. */
export function constantRuntime({ quality = [0.8, 0.9], step = [0, 0, 1, 0, 0, 0, 0, 0, 0, 0], ood = 1 } = {}) {
  const seen = [];
  let running = 0;
  const session = {
    inputNames: ["features", "input_ids", "attention_mask"],
    outputNames: ["quality", "step", "ood"],
    async run(feeds) {
      if (running) throw new Error("Session already started");
      if (session.broken) throw new Error("out of memory\nat …");
      running += 1;
      await new Promise((resolve) => setTimeout(resolve, 1));
      running -= 1;
      seen.push(feeds);
      const one = (values) => ({ data: Float32Array.from(values), dims: [1, values.length] });
      return { quality: one(quality), step: one(step), ood: { data: Float32Array.of(ood), dims: [1] } };
    },
  };
  class Tensor {
    constructor(type, data, dims) {
      Object.assign(this, { type, data, dims });
    }
  }
  return { seen, session, ort: { InferenceSession: { create: async () => session }, Tensor } };
}
