import { readFile, stat } from "node:fs/promises";
import { Tokenizer } from "@huggingface/tokenizers";
import { UserError } from "../tensor/errors.ts";
import { cleanPrompt } from "./prompt-cleaning.ts";
import { type TokenizerFile, parseTokenizerFile } from "./tokenizer-file.ts";

/** Tokens of a prompt that the denoiser sees; shorter prompts are padded to this length. */
export const CONTEXT_LENGTH = 512;

/** The id of padding in all T5 vocabularies. */
export const PADDING_ID = 0;

const MAX_FILE_BYTES = 128 * 2 ** 20;
const MAX_PROMPT_LENGTH = 20_000;

export interface PromptToken {
  readonly id: number;
  /**
   * The text it stands for after normalisation, with "▁" for a blank; empty for its further bytes and the end token.
   */
  readonly text: string;
}

export interface TokenizedPrompt {
  /** At most the context length, the end token included. */
  readonly tokens: readonly PromptToken[];
  /** Tokens cut off because the prompt is too long. */
  readonly numDropped: number;
}

/** What we use of the library, whose own type declarations do not resolve for ES modules. */
interface UnigramLibrary {
  encode(text: string, options: { add_special_tokens: boolean }): { ids: number[]; tokens: string[] };
  token_to_id(token: string): number | undefined;
}

/** The tokenizer of the text encoder. */
export class PromptTokenizer {
  private readonly library: UnigramLibrary;
  private readonly endId: number;
  private readonly unknownId: number;
  /** Ids of the 256 byte pieces where the vocabulary spells unknown text in bytes, else null. */
  private readonly byteIds: readonly number[] | null;
  /** One more than the largest id. */
  readonly vocabSize: number;

  /** @throws UserError when the vocabulary lacks the tokens that T5 needs */
  constructor(file: TokenizerFile, source: string) {
    const { model, added_tokens: added } = file;
    this.library = new Tokenizer({ ...file, post_processor: null, decoder: null }, { eos_token: "</s>" });
    this.unknownId = model.unk_id;
    this.endId = this.idOf("</s>", source);
    if (this.idOf("<pad>", source) !== PADDING_ID) {
      throw new UserError(
        `${source}: <pad> has the id ${this.idOf("<pad>", source)}, expected ${PADDING_ID}`,
      );
    }
    this.byteIds = model.byte_fallback
      ? Array.from({ length: 256 }, (_, byte) => this.idOf(bytePiece(byte), source))
      : null;
    this.vocabSize = added.reduce((size, { id }) => Math.max(size, id + 1), model.vocab.length);
  }

  /**
   * Reads a tokenizer.json, such as the one of google/umt5-xxl.
   * @throws UserError when it is missing, too large, or not of that kind
   */
  static async load(path: string): Promise<PromptTokenizer> {
    const found = await stat(path).catch((cause: Error) => {
      throw new UserError(`cannot open the tokenizer ${path}: ${cause.message}`, { cause });
    });
    if (!found.isFile() || found.size > MAX_FILE_BYTES) {
      throw new UserError(`${path} is no tokenizer.json: expected a file of at most ${MAX_FILE_BYTES} bytes`);
    }
    return new PromptTokenizer(parseTokenizerFile(await readFile(path, "utf8"), path), path);
  }

  /**
   * Cleans a prompt (see `cleanPrompt`), splits it into tokens, cuts it to the context length and ends it with the
   * end token.
   * @throws UserError when the prompt is longer than any context could hold
   */
  tokenize(prompt: string, contextLength = CONTEXT_LENGTH): TokenizedPrompt {
    if (prompt.length > MAX_PROMPT_LENGTH) {
      throw new UserError(
        `the prompt has ${prompt.length} characters; at most ${MAX_PROMPT_LENGTH} are allowed`,
      );
    }
    const { ids, tokens: pieces } = this.library.encode(cleanPrompt(prompt), { add_special_tokens: false });
    const tokens = ids.flatMap((id, i) => this.spelled({ id, text: pieces[i]! }));
    const kept = tokens.slice(0, contextLength - 1);
    return { tokens: [...kept, { id: this.endId, text: "" }], numDropped: tokens.length - kept.length };
  }

  /** An unknown piece in bytes where the vocabulary has them; any other token as it is. */
  private spelled(token: PromptToken): PromptToken[] {
    const { byteIds } = this;
    if (token.id !== this.unknownId || byteIds === null) return [token];
    return Array.from(Buffer.from(token.text), (byte, i) => ({
      id: byteIds[byte]!,
      text: i === 0 ? token.text : "",
    }));
  }

  private idOf(piece: string, source: string): number {
    const id = this.library.token_to_id(piece);
    if (id === undefined) throw new UserError(`${source} has no token ${piece}; expected a T5 vocabulary`);
    return id;
  }
}

const bytePiece = (byte: number): string => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;

/** A prompt's token ids with padding up to `length`. */
export function paddedIds({ tokens }: TokenizedPrompt, length: number): number[] {
  return padded(
    tokens.map(({ id }) => id),
    length,
  );
}

/** Token ids with padding up to `length`. */
export function padded(ids: readonly number[], length: number): number[] {
  return Array.from({ length }, (_, i) => ids[i] ?? PADDING_ID);
}
