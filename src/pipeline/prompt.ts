/** The prompt of a run that was given none: from an image-language model, if the request names one, or a plain one. */
import { readFile, writeFile } from "node:fs/promises";
import { findSubject, mentions } from "../diffusion/subject.ts";
import { centerCropBox, crop } from "../media/resize.ts";
import { describeImage } from "./describe-image.ts";
import type { Run } from "./run.ts";
import { plainPrompt } from "./settings.ts";

/** Holds the key of the endpoint: it never stands on a command line or in a file of ours. */
export const CAPTION_KEY = "POSEGEN_CAPTION_KEY";

/** Stands for the person where a description does not name one. */
const ANYBODY = "a person";

/**
 * The prompt of a run. A description is asked for once and kept in the work directory, so that a run that goes on has
 * the same prompt, even where the endpoint is gone.
 * @throws UserError when the endpoint gives no description
 */
export async function choosePrompt(run: Run): Promise<string> {
  const { request, sampling, image, work, signal } = run;
  const { prompt, subject, width, height } = sampling;
  const { captionUrl: url, captionModel: model } = request;
  if (prompt !== null) return prompt;
  if (url === undefined || model === undefined) return plainPrompt(subject);
  const step = await work.step({
    id: "caption",
    files: ["caption.txt"],
    run: async ([path]) => {
      run.notify(`sending the reference to ${url} to be described by ${model}`);
      // What of the reference the video will show.
      const seen = crop(image, centerCropBox(image.width, image.height, width, height));
      const key = process.env[CAPTION_KEY]?.trim() || null;
      const caption = await describeImage(seen, { url, model, key }, subject, signal ? { signal } : {});
      await writeFile(path!, withSubject(caption, subject));
    },
  });
  const described = await readFile(step.paths[0]!, "utf8");
  run.notify(`the prompt is "${described}"`);
  return described;
}

/** A description that names the person: background sharing asks for them by these words. */
function withSubject(caption: string, subject: string | null): string {
  const isNamed = subject === null ? findSubject(caption) !== null : mentions(caption, subject);
  return isNamed ? caption : `${subject ?? ANYBODY}: ${caption}`;
}
