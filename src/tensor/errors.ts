/**
 * A fault its caller can mend: bad input, a missing file, an impossible setting.
 * The message says what was got, what was expected and what to do; the CLI prints it and exits with 1.
 */
export class UserError extends Error {
  override readonly name = "UserError";
}

/** Throws when `condition` is false: a bug of ours, never the caller's. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`invariant violated: ${message}`);
}
