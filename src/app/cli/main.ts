#!/usr/bin/env node
import { createProgram } from "./program.ts";
import { reportFailure } from "./report-error.ts";

// A reader that closes early, such as `head`, is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit();
});

try {
  await createProgram().parseAsync();
} catch (error) {
  const { text, exitCode } = reportFailure(error);
  console.error(text);
  process.exitCode = exitCode;
}
