/**
 * The one seeded generator of everything but the diffusion noise (see torch-noise.ts): xoshiro128** over a
 * state that is a hash of the seed and of a path of names. The same seed and names give the same numbers
 * on every machine.
 *
 * Streams are forked by name, not drawn from their parent, so a new use of chance in one place moves nothing
 * anywhere else, and work resumed at step 1,000 draws what an uninterrupted run would have drawn:
 *
 *     const random = new Random(seed);
 *     const dropout = random.fork("dropout").fork(step).chance(0.1);
 */
export class Random {
  readonly #path: string;
  #a: number;
  #b: number;
  #c: number;
  #d: number;
  #spareNormal: number | undefined;

  /** @param seed a whole number, or a text */
  constructor(seed: number | string) {
    const path = String(seed);
    this.#path = path;
    this.#a = murmur3(path, 0x9e3779b9);
    this.#b = murmur3(path, 0x243f6a88);
    this.#c = murmur3(path, 0xb7e15162);
    this.#d = murmur3(path, 0x6a09e667);
  }

  /** A stream of its own. It depends on this one's seed and on `name` alone, never on how much was drawn. */
  fork(name: number | string): Random {
    // The length keeps fork("a/b") and fork("a").fork("b") apart.
    return new Random(`${this.#path}/${String(name).length}:${name}`);
  }

  /** 32 random bits, as a whole number in [0, 2^32). */
  bits(): number {
    const scaled = Math.imul(this.#b, 5);
    const result = Math.imul((scaled << 7) | (scaled >>> 25), 9);
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return result >>> 0;
  }

  /** Uniform in [low, high), with 53 random bits. */
  uniform(low = 0, high = 1): number {
    const unit = ((this.bits() >>> 5) * 2 ** 26 + (this.bits() >>> 6)) * 2 ** -53;
    return low + (high - low) * unit;
  }

  /** Whole number in [0, count), each equally likely; `count` is 1 to 2^32. */
  integer(count: number): number {
    // Draws at or above the largest multiple of count would favour the small numbers.
    const limit = 2 ** 32 - (2 ** 32 % count);
    for (;;) {
      const bits = this.bits();
      if (bits < limit) return bits % count;
    }
  }

  /** True with the given probability. */
  chance(probability: number): boolean {
    return this.uniform() < probability;
  }

  /** One element of a list that is not empty. */
  choice<T>(list: readonly T[]): T {
    return list[this.integer(list.length)]!;
  }

  /** Normal with mean 0 and variance 1 (Box-Muller, in pairs). */
  normal(): number {
    if (this.#spareNormal !== undefined) {
      const spare = this.#spareNormal;
      this.#spareNormal = undefined;
      return spare;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    const angle = 2 * Math.PI * this.uniform();
    this.#spareNormal = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  /** `count` normal numbers. */
  normals(count: number): Float32Array {
    const values = new Float32Array(count);
    for (let i = 0; i < count; i++) values[i] = this.normal();
    return values;
  }
}

/** MurmurHash3 (32 bits) of the UTF-16 units of a text, two units to a word. */
function murmur3(text: string, seed: number): number {
  let hash = seed;
  for (let i = 0; i < text.length; i += 2) {
    const word = text.charCodeAt(i) | (i + 1 < text.length ? text.charCodeAt(i + 1) << 16 : 0);
    const mixed = Math.imul(word, 0xcc9e2d51);
    hash ^= Math.imul((mixed << 15) | (mixed >>> 17), 0x1b873593);
    hash = (Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64) | 0;
  }
  hash ^= text.length;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
