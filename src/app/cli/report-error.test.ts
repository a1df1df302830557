import { expect, test } from "vitest";
import { UserError } from "../../tensor/errors.ts";
import { InterruptedError } from "./interrupt.ts";
import { reportFailure } from "./report-error.ts";

test("what a user can mend is one line", () => {
  const error = new UserError('2 tensors are wrong\n  "a" is missing\n  "b" has shape [1]\nTake another.');
  expect(reportFailure(error)).toEqual({
    text: 'error: 2 tensors are wrong: "a" is missing; "b" has shape [1]. Take another.',
    exitCode: 1,
  });
});

test("names out of files reach no terminal as commands", () => {
  expect(reportFailure(new UserError('tensor "\u001B[2J\u0007"')).text).toBe(
    'error: tensor "\\u{1b}[2J\\u{7}"',
  );
});

test("a full disk is no bug, wherever it shows", () => {
  const full = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
  const text = "error: the disk is full; free some space and run again";
  expect(reportFailure(full)).toEqual({ text, exitCode: 1 });
  expect(reportFailure(new Error("the run failed", { cause: full })).text).toBe(text);
});

test("a bug shows its stack and asks for a report", () => {
  const { text, exitCode } = reportFailure(new TypeError("x is not a function"));
  expect(text).toMatch(/^TypeError: x is not a function\n +at /);
  expect(text).toMatch(/This is a bug in posegen\. Please report it/);
  expect(exitCode).toBe(1);
});

test("an interruption ends with 130", () => {
  expect(reportFailure(new InterruptedError("Interrupted."))).toEqual({
    text: "Interrupted.",
    exitCode: 130,
  });
});
