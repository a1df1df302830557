/** The end of a command's help: what to type, with what it does. */
export function examples(commands: Readonly<Record<string, string>>): string {
  const lines = Object.entries(commands).map(([command, purpose]) => `  # ${purpose}\n  ${command}`);
  return `\nExamples:\n${lines.join("\n")}`;
}
