/** Who is in the reference image, and where. */
import type { Image } from "../media/pixels.ts";
import { PersonFinder } from "../perception/analyze-video.ts";
import type { EyeModels } from "../perception/onnx/open-models.ts";
import type { PersonFrame } from "../perception/person-frame.ts";
import { invariant, UserError } from "../tensor/errors.ts";

/** The largest person in a picture, found by the networks that look at the driving video; perhaps nobody. */
export async function findReference(
  image: Image,
  eyes: EyeModels,
  signal: AbortSignal | undefined,
): Promise<PersonFrame> {
  const finder = await PersonFinder.load({ eyes });
  try {
    const frames = finder.find([{ image, timeS: 0 }], signal ? { signal } : {});
    const { value } = await frames.next();
    invariant(value, "a picture is one frame");
    return value;
  } finally {
    await finder.release();
  }
}

export function nobodyIn(path: string): UserError {
  return new UserError(
    `no person was found in ${path}; expected one whose body, at least from the hips up, is clearly visible`,
  );
}

export function severalIn(path: string, numPeople: number): string {
  return `${path} shows ${numPeople} people; expected one: the result may mix them`;
}
