/**
 * `torch.randn` on the CPU, so that a seed means the same initial noise here as in the published pipeline.
 * Facts: Matsumoto & Nishimura 1998 (MT19937); PyTorch fills 16 elements and more block-wise, fewer one by one.
 */
import { sizeOf, tensor, type Tensor } from "./tensor.ts";

/**
 * `torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed), dtype=float32)`.
 * Equal to PyTorch within 1e-6: its vectorised logarithm and cosine differ from ours in the last bits.
 * @param seed whole number; as in PyTorch only its low 32 bits count
 */
export function torchNoise(shape: readonly number[], seed: number): Tensor<"float32"> {
  const generator = new MersenneTwister(seed);
  const values = new Float32Array(sizeOf(shape));
  if (values.length < BLOCK) fillOneByOne(values, generator);
  else fillBlocks(values, generator);
  return tensor("float32", shape, values);
}

const BLOCK = 16;

/** All uniforms first, then Box-Muller per block; a ragged end redraws the last 16 elements. */
function fillBlocks(values: Float32Array, generator: MersenneTwister): void {
  for (let i = 0; i < values.length; i++) values[i] = generator.uniform24();
  for (let i = 0; i + BLOCK <= values.length; i += BLOCK) transformBlock(values.subarray(i, i + BLOCK));
  if (values.length % BLOCK !== 0) {
    const last = values.subarray(-BLOCK);
    for (let i = 0; i < BLOCK; i++) last[i] = generator.uniform24();
    transformBlock(last);
  }
}

/** Turns 16 uniforms into normals in place: elements j and j + 8 make a pair. Rounds as float32 arithmetic does. */
function transformBlock(block: Float32Array): void {
  const { fround } = Math;
  for (let j = 0; j < BLOCK / 2; j++) {
    const radius = fround(Math.sqrt(fround(-2 * fround(Math.log(fround(1 - block[j]!))))));
    const angle = fround(TWO_PI * block[j + 8]!);
    block[j] = radius * fround(Math.cos(angle));
    block[j + 8] = radius * fround(Math.sin(angle));
  }
}

const TWO_PI = Math.fround(2 * Math.PI);

/** Pairs from 53-bit uniforms in float64; the second of a pair is kept for the next element. */
function fillOneByOne(values: Float32Array, generator: MersenneTwister): void {
  for (let i = 0; i < values.length; i += 2) {
    const angle = 2 * Math.PI * generator.uniform53();
    const radius = Math.sqrt(-2 * Math.log1p(-generator.uniform53()));
    values[i] = radius * Math.cos(angle);
    if (i + 1 < values.length) values[i + 1] = radius * Math.sin(angle);
  }
}

const STATE_WORDS = 624;
const OFFSET = 397;

class MersenneTwister {
  readonly #state = new Uint32Array(STATE_WORDS);
  #next = STATE_WORDS;

  constructor(seed: number) {
    const state = this.#state;
    // ToUint32 keeps the low 32 bits of any safe integer.
    state[0] = seed;
    for (let i = 1; i < STATE_WORDS; i++) {
      const previous = state[i - 1]!;
      state[i] = Math.imul(previous ^ (previous >>> 30), 1812433253) + i;
    }
  }

  bits(): number {
    if (this.#next === STATE_WORDS) this.#refill();
    let word = this.#state[this.#next++]!;
    word ^= word >>> 11;
    word ^= (word << 7) & 0x9d2c5680;
    word ^= (word << 15) & 0xefc60000;
    return (word ^ (word >>> 18)) >>> 0;
  }

  /** Uniform in [0, 1) from the low 24 bits of one draw. */
  uniform24(): number {
    return (this.bits() & 0xffffff) * 2 ** -24;
  }

  /** Uniform in [0, 1) from the low 53 bits of two draws, high word first. */
  uniform53(): number {
    const high = this.bits() & 0x1fffff;
    return (high * 2 ** 32 + this.bits()) * 2 ** -53;
  }

  #refill(): void {
    const state = this.#state;
    for (let i = 0; i < STATE_WORDS; i++) {
      const word = (state[i]! & 0x80000000) | (state[(i + 1) % STATE_WORDS]! & 0x7fffffff);
      state[i] = state[(i + OFFSET) % STATE_WORDS]! ^ (word >>> 1) ^ (word & 1 ? 0x9908b0df : 0);
    }
    this.#next = 0;
  }
}
