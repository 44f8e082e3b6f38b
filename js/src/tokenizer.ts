/** The tokenizer of an artifact, with the ids that Python's gives. Knows `tokenizer.json`; knows nothing of views. */

import { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers";

import { ArtifactError, firstLine } from "./errors.js";

// The blocks that Python's BERT normalizer sets apart and the one from npm, which looks at UTF-16 units, cannot see
const LATE_IDEOGRAPHS =
  /[\u{20000}-\u{2a6df}\u{2a700}-\u{2b73f}\u{2b740}-\u{2b81f}\u{2b920}-\u{2ceaf}\u{2f800}-\u{2fa1f}]/gu;

export class Tokenizer {
  private readonly tokenizer: HuggingFaceTokenizer;
  private readonly lowers: boolean;
  private readonly setsApart: boolean;

  /** Raises ArtifactError for bytes that are no tokenizer. */
  constructor(content: Uint8Array) {
    try {
      const spec = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(content)) as {
        normalizer?: { type?: string; lowercase?: boolean; handle_chinese_chars?: boolean };
      };
      // padding and truncation are the packer's business
      this.tokenizer = new HuggingFaceTokenizer({ ...spec, padding: null, truncation: null }, {});
      const isBert = spec.normalizer?.type === "BertNormalizer";
      this.lowers = isBert && spec.normalizer?.lowercase === true;
      this.setsApart = isBert && spec.normalizer?.handle_chinese_chars === true;
    } catch (error) {
      throw new ArtifactError(`tokenizer.json: no tokenizer in it (${firstLine(error)}); export the artifact again`);
    }
  }

  /** Token ids of a text, without special tokens around it. */
  encode(text: string): number[] {
    let read = text;
    // JavaScript makes a sigma that ends a word ς, Python's tokenizer looks at no neighbours
    if (this.lowers) read = read.replaceAll("Σ", "σ");
    if (this.setsApart) read = read.replace(LATE_IDEOGRAPHS, " $& ");
    return this.tokenizer.encode(read, { add_special_tokens: false }).ids;
  }

  /** The id of the first of some special tokens that there is. */
  special(...names: readonly string[]): number {
    for (const name of names) {
      const id = this.tokenizer.token_to_id(name);
      if (id !== undefined) return id;
    }
    throw new ArtifactError(
      `tokenizer.json has none of ${names.join(", ")}; only BERT-like tokenizers are supported`,
    );
  }
}
