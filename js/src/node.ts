/** Load an artifact folder in Node, with `onnxruntime-node`. Knows folders; knows nothing of decisions. */

import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";

import * as onnxruntime from "onnxruntime-node";

import { checkHash, filesOf, parseConfig } from "./artifact.js";
import type { Runtime } from "./encoder.js";
import { ArtifactError } from "./errors.js";
import { parseReferences, replay, type Replay } from "./replay.js";
import { Router as PlainRouter, type LoadOptions } from "./router.js";

export * from "./index.js";

// Far above any encoder of this kind; a folder that claims more is not read into memory.
const LARGEST_FILE_BYTES = 2 * 1024 ** 3;

export class Router extends PlainRouter {
  /**
   * Load an artifact folder, as `learned-router train --out` wrote it; each file that is used is checked.
   *
   * ort: another build of onnxruntime than `onnxruntime-node`.
   * Raises ArtifactError when the folder cannot be trusted, InputError when mode or tier is not in it.
   */
  static async load(folder: string, options: LoadOptions & { ort?: Runtime } = {}): Promise<PlainRouter> {
    return within(folder, async () => {
      const config = await read(folder, "config.json");
      const names = filesOf(parseConfig(config));
      const [model, tokenizer, gate] = await Promise.all([
        read(folder, names.model),
        read(folder, names.tokenizer),
        names.gate === null ? null : read(folder, names.gate),
      ]);
      return PlainRouter.fromFiles({ config, model, tokenizer, gate }, { ort: onnxruntime as Runtime, ...options });
    });
  }
}

/** Load a folder and decide its reference requests again. Raises as `Router.load` does. */
export async function checkFolder(folder: string, options: LoadOptions & { ort?: Runtime } = {}): Promise<Replay> {
  const router = await Router.load(folder, options);
  return within(folder, async () => {
    const content = await read(folder, "reference.jsonl");
    await checkHash(router.config, "reference.jsonl", content);
    return replay(router, parseReferences(content));
  });
}

/** Says in an error of an artifact which folder it is about. */
async function within<Found>(folder: string, work: () => Promise<Found>): Promise<Found> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof ArtifactError ? new ArtifactError(`${folder}: ${error.message}`) : error;
  }
}

async function read(folder: string, name: string): Promise<Uint8Array> {
  try {
    const { size } = await stat(join(folder, name));
    if (size <= LARGEST_FILE_BYTES) return await readFile(join(folder, name));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") {
      throw new ArtifactError(`${name}: missing; give a folder that 'learned-router train --out' wrote, complete`);
    }
    throw new ArtifactError(`${name}: cannot be read (${message}). Restore the artifact or export it again`);
  }
  throw new ArtifactError(`${name}: larger than ${LARGEST_FILE_BYTES} bytes; not an artifact's file`);
}
