import type { Tensor } from "../tensor/tensor.ts";

/**
 * What a clip looks like in 2 C numbers, for a Frechet distance between sets of clips: mean and standard deviation of
 * each channel of a video VAE's latents over all places and times, means first.
 *
 * FVD takes hundreds of features from a network that has learned from real videos, and thousands of clips. Its
 * bias for few samples grows with the number of features, so that a few dozen clips allow for few of them only.
 * @param latents normalised, so that all channels count alike, [1, C, f, h, w]
 */
export function latentFeatures({ shape, data }: Tensor<"float32">): Float64Array {
  const channels = shape[1]!;
  const size = data.length / channels;
  const features = new Float64Array(2 * channels);
  for (let c = 0; c < channels; c++) {
    const values = data.subarray(c * size, (c + 1) * size);
    const mean = values.reduce((sum, value) => sum + value, 0) / size;
    features[c] = mean;
    features[channels + c] = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / size);
  }
  return features;
}
