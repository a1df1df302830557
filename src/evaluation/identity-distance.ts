/**
 * Does a generated clip show the same person? (paper Tab. 2: identity.) The paper compares embeddings of faces; faces of a
 * few pixels, and rendered ones, are nothing that such networks know. What tells small people apart are the colours of
 * skin, hair and clothes, and these stand in a video VAE's latents, averaged over the person. The average does not say
 * where they are, so that the right clothes in a wrong pose are nearer than other clothes in the right one. Distances of
 * latents have no meaning by themselves: the unit is how far different people are from each other.
 *
 * A blur in the middle between all people is as far from each as 1 / sqrt(2) = 0.71, where people differ independently in
 * many channels: that, not 1, is a model that shows nobody. What two people have in common (a face in the same colours)
 * the distance cannot see, and where the person has not moved to where it should be, it sees background. So it is to be
 * read beside the values of the truth through the VAE (what the VAE alone costs) and of the repeated reference (the same
 * person, elsewhere).
 */
import { UserError, invariant } from "../tensor/errors.ts";
import type { Tensor } from "../tensor/tensor.ts";

// Shapes: C channels, f h w latent frames, rows and columns, F H W frames, rows and columns of pixels

/**
 * The mean latents of a clip over the person, [C]. A cell weighs the square of the share of it that the person covers:
 * one at the border, half background, a quarter.
 * @param latents normalised, so that all channels count alike, [1, C, f, h, w]
 * @param coverage share of each pixel that the person covers, 0..255: F times [H, W]
 */
export function personFeature(latents: Tensor<"float32">, coverage: readonly Uint8Array[]): Float64Array {
  const [, channels, latentFrames, h, w] = latents.shape as [number, number, number, number, number];
  const weights = coveredShares(coverage, [latentFrames, h, w]).map((share) => share ** 2);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  invariant(total > 0, "a clip without a person has no identity");
  const feature = new Float64Array(channels);
  latents.data.forEach((value, i) => {
    const channel = Math.floor(i / weights.length);
    feature[channel] = feature[channel]! + (value * weights[i % weights.length]!) / total;
  });
  return feature;
}

/** Share (0..1) of each latent cell that is covered, over its pixels and frames, [f, h, w]. */
function coveredShares(
  coverage: readonly Uint8Array[],
  [latentFrames, h, w]: readonly [number, number, number],
): Float64Array {
  // Cells are square, and the first frame has a latent frame of its own.
  const stride = Math.sqrt(coverage[0]!.length / (h * w));
  const frameStride = latentFrames === 1 ? 1 : (coverage.length - 1) / (latentFrames - 1);
  invariant(
    Number.isInteger(stride) && Number.isInteger(frameStride) && (latentFrames > 1 || coverage.length === 1),
    `latents of ${latentFrames}x${h}x${w} are not those of ${coverage.length} frames`,
  );
  const shares = new Float64Array(latentFrames * h * w);
  coverage.forEach((frame, f) => {
    const t = Math.ceil(f / frameStride);
    const numPixels = stride ** 2 * (t === 0 ? 1 : frameStride);
    frame.forEach((value, pixel) => {
      const row = Math.floor(pixel / (w * stride) / stride);
      const column = Math.floor((pixel % (w * stride)) / stride);
      const cell = (t * h + row) * w + column;
      shares[cell] = shares[cell]! + value / 255 / numPixels;
    });
  });
  return shares;
}

/**
 * The unit of `identityDistance`: the mean distance between two people, over all pairs.
 * @param people the features of clips that each show somebody else
 * @throws UserError for fewer than two
 */
export function distanceBetweenPeople(people: readonly Float64Array[]): number {
  if (people.length < 2) {
    throw new UserError(
      `the distance between people needs at least 2 clips, of different people; got ${people.length}`,
    );
  }
  const distances = people.flatMap((person, i) =>
    people.slice(i + 1).map((other) => distance(person, other)),
  );
  return distances.reduce((sum, value) => sum + value, 0) / distances.length;
}

/** 0: the same person; 1: as far away as others are in the mean. @param unit of `distanceBetweenPeople` */
export function identityDistance(generated: Float64Array, truth: Float64Array, unit: number): number {
  return distance(generated, truth) / unit;
}

function distance(a: Float64Array, b: Float64Array): number {
  return Math.hypot(...a.map((value, i) => value - b[i]!));
}
