import { stat } from "node:fs/promises";
import { UserError } from "../tensor/errors.ts";

/** Throws UserError unless `path` is a file with content; `kind` says what was expected there. */
export async function checkSourceFile(
  path: string,
  kind: "image" | "video" | "frame store" | "keypoints",
): Promise<void> {
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    const reason =
      error.code === "ENOENT" ? "does not exist" : `cannot be opened (${error.code ?? error.message})`;
    throw new UserError(`${path} ${reason}; expected the path of a readable ${kind} file`, { cause: error });
  });
  if (!found.isFile()) throw new UserError(`${path} is no file; expected the path of a ${kind} file`);
  if (found.size === 0) throw new UserError(`${path} is empty (0 bytes); expected a ${kind} file`);
}
