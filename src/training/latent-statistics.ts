export interface ChannelStatistics {
  readonly mean: number;
  readonly deviation: number;
}

/** Mean and deviation of each channel of latents, collected clip by clip. */
export class LatentStatistics {
  private readonly sums: Float64Array;
  private readonly squares: Float64Array;
  private count = 0;

  constructor(private readonly numChannels: number) {
    this.sums = new Float64Array(numChannels);
    this.squares = new Float64Array(numChannels);
  }

  /** @param latents [C, f, h, w] */
  add(latents: Float32Array): void {
    const size = latents.length / this.numChannels;
    for (let channel = 0; channel < this.numChannels; channel++) {
      for (let i = channel * size; i < (channel + 1) * size; i++) {
        this.sums[channel]! += latents[i]!;
        this.squares[channel]! += latents[i]! ** 2;
      }
    }
    this.count += size;
  }

  /** By channel. */
  get channels(): ChannelStatistics[] {
    return Array.from(this.sums, (sum, channel): ChannelStatistics => {
      const mean = sum / Math.max(1, this.count);
      const variance = this.squares[channel]! / Math.max(1, this.count) - mean ** 2;
      return { mean, deviation: Math.sqrt(Math.max(0, variance)) };
    });
  }
}
