import type { Command } from "commander";
import { expect, test } from "vitest";
import { createProgram } from "./program.ts";

/** Every command with its path, `avatar clip` for one. */
function allCommands(command: Command, path: readonly string[] = []): { path: string; command: Command }[] {
  const name = [...path, command.name()];
  return [
    { path: name.join(" "), command },
    ...command.commands.flatMap((child) => allCommands(child, name)),
  ];
}

function flagsOf({ path, command }: { path: string; command: Command }): string {
  const lines = [
    ...command.registeredArguments.map((argument) => `  <${argument.name()}>`),
    ...command.options.map(
      ({ flags, mandatory, defaultValue }) =>
        `  ${flags}${mandatory ? " (required)" : ""}${defaultValue === undefined ? "" : ` = ${JSON.stringify(defaultValue)}`}`,
    ),
  ];
  return [path, ...lines].join("\n");
}

function helpOf(command: Command): string {
  let text = "";
  command.configureOutput({ writeOut: (part) => (text += part) });
  command.outputHelp();
  return text;
}

const commands = () => allCommands(createProgram());

test("the commands and their flags are those written down", async () => {
  await expect(`${commands().map(flagsOf).join("\n\n")}\n`).toMatchFileSnapshot("flags.txt");
});

test.each(commands())("$path: every flag is explained", ({ command }) => {
  for (const { description, flags } of command.options) expect(description, flags).not.toBe("");
  expect(command.description()).not.toBe("");
});

/** Command lines of a help text, as words. */
function exampleLines(text: string): string[][] {
  const lines = text.split("\n").filter((line) => /^ {2}posegen /.test(line));
  return lines.map((line) => [...line.matchAll(/"([^"]*)"|(\S+)/g)].map((match) => match[1] ?? match[2]!));
}

test.each(commands().filter(({ command }) => command.commands.length === 0))(
  "$path: its help has examples that it accepts",
  async ({ path, command }) => {
    const examples = exampleLines(helpOf(command));
    expect(examples.length).toBeGreaterThan(0);
    for (const words of examples) {
      const program = createProgram();
      const called: string[] = [];
      for (const entry of allCommands(program)) {
        entry.command.exitOverride().configureOutput({ writeErr: () => {} });
        if (entry.command.commands.length === 0) entry.command.action(() => void called.push(entry.path));
      }
      await program.parseAsync(words.slice(1), { from: "user" });
      expect(called, words.join(" ")).toEqual([path]);
    }
  },
);
