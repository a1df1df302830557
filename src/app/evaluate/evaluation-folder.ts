/** Where an evaluation keeps its finished clips, and what they depend on. */
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { MODEL_FILES, MODEL_JSON, TOKENIZER_JSON } from "../../diffusion/model-folder.ts";
import { encodeImage, readImage } from "../../media/image.ts";
import type { Image } from "../../media/pixels.ts";
import { WorkDirectory, hashFile } from "../../pipeline/work-directory.ts";

/** SHA-256 of all files of a model, in hexadecimal. */
export async function hashModel(model: string): Promise<string> {
  const hash = createHash("sha256");
  for (const name of [MODEL_JSON, TOKENIZER_JSON, ...Object.values(MODEL_FILES)]) {
    hash.update(await hashFile(join(model, name)));
  }
  return hash.digest("hex");
}

/** The folder of one model and setting; those of others stay beside it. */
export async function openWork(
  folder: string,
  settings: Readonly<Record<string, number | string>>,
): Promise<WorkDirectory> {
  const texts = Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, String(value)]));
  const id = createHash("sha256").update(JSON.stringify(texts)).digest("hex").slice(0, 16);
  return WorkDirectory.open(join(folder, id), texts);
}

/**
 * What an earlier run has found out of a clip, or the result of `run`, as JSON.
 * @param name of what is found out; one folder may hold several
 */
export async function clipStep<T>(
  work: WorkDirectory,
  name: string,
  index: number,
  run: () => Promise<T>,
): Promise<T> {
  const id = clipId(name, index);
  const { paths } = await work.step({
    id,
    files: [`${id}.figures`],
    run: async ([path]) => writeFile(path!, JSON.stringify(await run())),
  });
  return JSON.parse(await readFile(paths[0]!, "utf8")) as T;
}

/** What is found out of a clip, and its row of the contact sheet. */
export interface PicturedClip<T> {
  readonly figures: T;
  readonly row: Image;
}

/** `clipStep` with the picture kept too. */
export async function picturedClipStep<T>(
  work: WorkDirectory,
  name: string,
  index: number,
  run: () => Promise<PicturedClip<T>>,
): Promise<PicturedClip<T>> {
  const id = clipId(name, index);
  const { paths } = await work.step({
    id,
    files: [`${id}.figures`, `${id}.png`],
    async run([figuresPath, rowPath]) {
      const { figures, row } = await run();
      await writeFile(figuresPath!, JSON.stringify(figures));
      await writeFile(rowPath!, await encodeImage(row, "png"));
    },
  });
  const [figuresPath, rowPath] = paths as [string, string];
  return { figures: JSON.parse(await readFile(figuresPath, "utf8")) as T, row: await readImage(rowPath) };
}

/** The id of a clip's step. */
function clipId(name: string, index: number): string {
  return `${name}-${String(index).padStart(4, "0")}`;
}
