// Shapes: N maps of P pixels each, BINS histogram bins.
import {
  type Value,
  add,
  argMax,
  cast,
  cumSum,
  div,
  expand,
  floor,
  greater,
  maximum,
  minimum,
  mul,
  scatterAdd,
  sub,
  slice,
} from "../../graph/index.ts";
import { tensor } from "../../tensor/tensor.ts";

const NUM_BINS = 256;

/** Thresholds of a batch of maps. */
export interface Threshold {
  /** Centre of the bin that parts the two classes best, [N, 1]. */
  readonly threshold: Value;
  /** bool [N, P]: map > threshold. */
  readonly mask: Value;
}

/**
 * Otsu's threshold of each map: the histogram bin with the largest variance between the pixels up to it and the
 * pixels above it, the first one on ties. A map whose pixels share one bin gives the centre of bin 0.
 * @param maps [N, P], values 0-1
 */
export function otsu(maps: Value): Threshold {
  const { graph } = maps;
  const [numMaps, numPixels] = [maps.dim(0), maps.dim(1)];
  const bins = cast(minimum(floor(mul(maps, NUM_BINS)), NUM_BINS - 1), "int64");
  const ones = expand(graph.scalar(1, "float64"), [numMaps, numPixels]);
  const empty = expand(graph.scalar(0, "float64"), [numMaps, NUM_BINS]);
  const histogram = scatterAdd(empty, bins, ones, 1);
  const centreRow = Float64Array.from({ length: NUM_BINS }, (_, i) => (i + 0.5) / NUM_BINS);
  const centres = graph.constant(tensor("float64", [1, NUM_BINS], centreRow));

  // Counts are whole numbers and centres multiples of 1/512, so all sums are exact and an empty bin ties with its
  // left neighbour. The mean of an empty class is 0/1; its weight of 0 removes it from the variance.
  const below = cumSum(histogram, 1);
  const above = sub(numPixels, below);
  const sumBelow = cumSum(mul(histogram, centres), 1);
  const sumAbove = sub(slice(sumBelow, 1, NUM_BINS - 1), sumBelow);
  const gap = sub(div(sumBelow, maximum(below, 1)), div(sumAbove, maximum(above, 1)));
  const variance = mul(mul(below, above), mul(gap, gap));

  const best = cast(argMax(variance, 1), maps.dtype);
  const threshold = div(add(best, 0.5), NUM_BINS);
  return { threshold, mask: greater(maps, threshold) };
}
