/** How a column is set: text to the left, numbers to the right. */
export type Alignment = "left" | "right";

/** Columns of equal width, two blanks apart, each line indented by two. */
export function textTable(
  rows: readonly (readonly string[])[],
  alignments: readonly Alignment[] = [],
): string {
  const numColumns = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: numColumns }, (_, c) =>
    Math.max(0, ...rows.map((row) => row[c]?.length ?? 0)),
  );
  return rows
    .map((row) => {
      const cells = row.map((cell, c) =>
        alignments[c] === "right" ? cell.padStart(widths[c]!) : cell.padEnd(widths[c]!),
      );
      return `  ${cells.join("  ")}`.trimEnd();
    })
    .join("\n");
}
