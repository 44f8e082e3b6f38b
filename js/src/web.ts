/** Load an artifact from a URL in a browser, with `onnxruntime-web`. Knows URLs; knows nothing of decisions. */

import * as onnxruntime from "onnxruntime-web";

import { filesOf, parseConfig } from "./artifact.js";
import type { Runtime } from "./encoder.js";
import { ArtifactError, firstLine } from "./errors.js";
import { Router as PlainRouter, type LoadOptions } from "./router.js";

export * from "./index.js";

export class Router extends PlainRouter {
  /**
   * Load an artifact whose files lie under a URL; each file that is used is checked.
   *
   * ort: another build of onnxruntime than `onnxruntime-web`. request: another `fetch`.
   * Raises ArtifactError when the files cannot be had or trusted, InputError when mode or tier is not in them.
   */
  static async load(
    base: string | URL,
    { request = fetch, ...options }: LoadOptions & { ort?: Runtime; request?: typeof fetch } = {},
  ): Promise<PlainRouter> {
    const folder = String(base).replace(/\/*$/, "/");
    const get = async (name: string): Promise<Uint8Array> => {
      try {
        const answer = await request(folder + name);
        if (!answer.ok) throw new Error(`status ${answer.status}`);
        return new Uint8Array(await answer.arrayBuffer());
      } catch (error) {
        throw new ArtifactError(`${folder}${name}: cannot be fetched (${firstLine(error)}); is the artifact complete?`);
      }
    };
    const config = await get("config.json");
    const names = filesOf(parseConfig(config));
    const [model, tokenizer, gate] = await Promise.all([
      get(names.model),
      get(names.tokenizer),
      names.gate === null ? null : get(names.gate),
    ]);
    return PlainRouter.fromFiles({ config, model, tokenizer, gate }, { ort: onnxruntime as Runtime, ...options });
  }
}
