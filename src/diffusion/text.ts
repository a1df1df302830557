// Shapes: L tokens that are computed, M context length, D width of the text encoder
import { buildUmt5 } from "../models/umt5/build.ts";
import { type Umt5Config } from "../models/umt5/config.ts";
import { type OpenGraph } from "../runtime/open-graph.ts";
import { type Runner } from "../runtime/runner.ts";
import { UserError, invariant } from "../tensor/errors.ts";
import { type Tensor, int64, zeros } from "../tensor/tensor.ts";
import { CONTEXT_LENGTH, type PromptTokenizer, type TokenizedPrompt, padded } from "./tokenizer.ts";

export interface EncodedPrompt extends TokenizedPrompt {
  /** The denoiser's text context [1, M, D]: zero from the first padded row on. */
  readonly context: Tensor<"float32">;
}

/**
 * Graphs are built for multiples of this number of tokens. Padding is masked in attention and its rows end as zeros,
 * so computing less of it changes nothing.
 */
const LENGTH_STEP = 64;

/** Turns tokens into rows of features. Graphs are opened when first needed, and kept until `release`. */
export class TokenEncoder {
  private readonly runners = new Map<number, Promise<Runner>>();

  /** @param maxTokens the most that `encode` is given */
  constructor(
    private readonly config: Umt5Config,
    private readonly open: OpenGraph,
    private readonly maxTokens: number,
  ) {}

  /**
   * @param ids of tokens, without padding
   * @returns a row for each, [L, D]
   */
  async encode(ids: readonly number[]): Promise<Float32Array> {
    const numTokens = ids.length;
    const length = Math.min(this.maxTokens, Math.ceil(numTokens / LENGTH_STEP) * LENGTH_STEP);
    const mask = Array.from({ length }, (_, i) => (i < numTokens ? 1 : 0));
    const runner = await this.runnerFor(length);
    const { context } = await runner.run({
      ids: int64(padded(ids, length), [1, length]),
      mask: int64(mask, [1, length]),
    });
    invariant(context?.dtype === "float32", "the text encoder gave no float32 context");
    return (context.data as Float32Array).subarray(0, numTokens * this.config.dim);
  }

  /** Closes all graphs. */
  async release(): Promise<void> {
    const opened = await Promise.all(this.runners.values());
    this.runners.clear();
    await Promise.all(opened.map((runner) => runner.release()));
  }

  private runnerFor(numTokens: number): Promise<Runner> {
    const known = this.runners.get(numTokens);
    if (known) return known;
    const opened = this.open(buildUmt5(this.config, { numTokens }), "text encoder");
    this.runners.set(numTokens, opened);
    return opened;
  }
}

/** Turns prompts into the denoiser's text context. */
export class PromptEncoder {
  private readonly encoder: TokenEncoder;

  /**
   * @param contextLength M; the published model has learned with 512, whatever the prompt
   * @throws UserError when the tokenizer has ids that the text encoder does not know
   */
  constructor(
    readonly tokenizer: PromptTokenizer,
    private readonly config: Umt5Config,
    open: OpenGraph,
    readonly contextLength: number = CONTEXT_LENGTH,
  ) {
    if (tokenizer.vocabSize > config.vocabSize) {
      throw new UserError(
        `the tokenizer has ${tokenizer.vocabSize} tokens, the text encoder only ${config.vocabSize}; ` +
          "use the tokenizer that belongs to it",
      );
    }
    this.encoder = new TokenEncoder(config, open, contextLength);
  }

  /** @throws UserError when the prompt is absurdly long */
  async encode(prompt: string): Promise<EncodedPrompt> {
    const tokenized = this.tokenizer.tokenize(prompt, this.contextLength);
    const context = zeros([1, this.contextLength, this.config.dim]);
    context.data.set(await this.encoder.encode(tokenized.tokens.map(({ id }) => id)));
    return { ...tokenized, context };
  }

  /** Closes all graphs. */
  release(): Promise<void> {
    return this.encoder.release();
  }
}
