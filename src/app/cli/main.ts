#!/usr/bin/env node
import { createProgram } from "./program.ts";
import { reportFailure } from "./report-error.ts";

function fail(error: unknown): void {
  const { text, exitCode } = reportFailure(error);
  console.error(text);
  process.exitCode = exitCode;
}

// A reader that closes early, such as `head`, is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit();
});
process.on("uncaughtException", (error) => {
  fail(error);
  process.exit();
});

try {
  await createProgram().parseAsync();
} catch (error) {
  fail(error);
}
