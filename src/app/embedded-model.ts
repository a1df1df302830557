import { stat } from "node:fs/promises";
import { EMBEDDED_MODEL } from "../pipeline/request.ts";
import { UserError } from "../tensor/errors.ts";

/** @throws UserError when the package came without its model */
export async function checkEmbeddedModel(): Promise<void> {
  const found = await stat(EMBEDDED_MODEL).catch(() => null);
  if (found?.isDirectory()) return;
  throw new UserError(
    `the embedded model is missing: ${EMBEDDED_MODEL} is no folder; install posegen again, or name a model folder with ` +
      "--model",
  );
}
