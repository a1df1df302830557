import { expect, test } from "vitest";
import { formatBytes, formatCount, formatDuration, formatNumber } from "./quantities.ts";
import { textTable } from "./text-table.ts";

test.each([
  [0, "0 B"],
  [1023, "1023 B"],
  [1536, "1.5 KiB"],
  [300 * 1024 ** 2, "300 MiB"],
  [5 * 1024 ** 4, "5.0 TiB"],
  [5000 * 1024 ** 4, "5000 TiB"],
])("%d bytes", (bytes, text) => expect(formatBytes(bytes)).toBe(text));

test.each([
  [194, "194"],
  [9_999, "9999"],
  [12_345, "12.3 k"],
  [999_600, "1.00 M"],
  [244.5e9, "245 G"],
  [3.1e15, "3.10 P"],
])("%d of something", (count, text) => expect(formatCount(count)).toBe(text));

test.each([
  [40, "0.0 s"],
  [9_949, "9.9 s"],
  [9_990, "10 s"],
  [59_700, "1 min 0 s"],
  [75_000, "1 min 15 s"],
  [3_599_900, "1 h 0 min"],
  [9_000_000, "2 h 30 min"],
])("%d ms", (durationMs, text) => expect(formatDuration(durationMs)).toBe(text));

test("numbers lose trailing zeros alone", () => {
  expect([16, 23.976_02, 12.5, 100].map((value) => formatNumber(value))).toEqual([
    "16",
    "23.976",
    "12.5",
    "100",
  ]);
});

test("a table sets numbers to the right", () => {
  expect(
    textTable(
      [
        ["a", "5"],
        ["long", "12", "end"],
      ],
      ["left", "right"],
    ),
  ).toBe("  a      5\n  long  12  end");
});
