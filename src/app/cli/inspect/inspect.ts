import { readdir, stat } from "node:fs/promises";
import { extname } from "node:path";
import { MODEL_JSON } from "../../../diffusion/model-folder.ts";
import { isCheckpointName } from "../../../runtime/checkpoint.ts";
import { UserError } from "../../../tensor/errors.ts";

const IMAGE_EXTENSIONS = [".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff", ".svg"];

/**
 * Describes a file or folder for people.
 * @throws UserError when it is missing, damaged or of no known kind
 */
export async function inspect(path: string): Promise<string> {
  const found = await stat(path).catch((cause: Error) => {
    throw new UserError(`cannot open ${path}: ${cause.message}`, { cause });
  });
  if (found.isDirectory()) return inspectFolder(path);
  const extension = extname(path).toLowerCase();
  if (isCheckpointName(path)) return (await import("./checkpoint.ts")).describeCheckpoint(path);
  const { describeImage, describeVideo } = await import("./media.ts");
  return IMAGE_EXTENSIONS.includes(extension) ? describeImage(path) : describeVideo(path);
}

async function inspectFolder(path: string): Promise<string> {
  const names = await readdir(path);
  if (names.includes(MODEL_JSON)) return (await import("./model-folder.ts")).describeModelFolder(path);
  if (names.includes("run.json")) return (await import("./work-directory.ts")).describeWorkDirectory(path);
  if (names.some(isCheckpointName)) {
    return (await import("./checkpoint.ts")).describeCheckpoint(path);
  }
  throw new UserError(
    `${path} holds nothing known; expected a model folder (${MODEL_JSON}), a work directory (run.json) or a checkpoint ` +
      "(*.safetensors, *.bin, *.pth, *.ckpt)",
  );
}
