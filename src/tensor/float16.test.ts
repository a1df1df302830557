import { describe, expect, it } from "vitest";
import { UserError } from "./errors.ts";
import {
  bfloat16ToFloat32,
  float16ToFloat32,
  float32ToBfloat16,
  float32ToFloat16,
  roundToBfloat16,
  toFloat32,
} from "./float16.ts";
import { float32, int64, tensor } from "./tensor.ts";

const all16 = Uint16Array.from({ length: 0x10000 }, (_, bits) => bits);
const next = (value: number): number => new Float32Array(Int32Array.of(bitsOf(value) + 1).buffer)[0]!;
const bitsOf = (value: number): number => new Int32Array(Float32Array.of(value).buffer)[0]!;

describe("float16", () => {
  it("widens by the definition of binary16", () => {
    const widened = float16ToFloat32(all16);
    for (const bits of all16) {
      const sign = bits & 0x8000 ? -1 : 1;
      const exponent = (bits >> 10) & 31;
      const fraction = (bits & 1023) / 1024;
      const finite = exponent === 0 ? fraction * 2 ** -14 : (1 + fraction) * 2 ** (exponent - 15);
      const expected = exponent < 31 ? sign * finite : fraction === 0 ? sign * Infinity : NaN;
      expect(widened[bits]).toBe(expected);
    }
  });

  it("gives every value's own bits back, a NaN's quiet", () => {
    const narrowed = float32ToFloat16(float16ToFloat32(all16));
    expect(narrowed).toEqual(all16.map((bits) => ((bits & 0x7fff) > 0x7c00 ? bits | 0x200 : bits)));
  });

  it("rounds to the nearest value, ties to even", () => {
    const widened = float16ToFloat32(all16);
    for (let bits = 0; bits < 0x7bff; bits++) {
      const middle = (widened[bits]! + widened[bits + 1]!) / 2;
      const below = new Float32Array(Int32Array.of(bitsOf(middle) - 1).buffer)[0]!;
      const even = bits & 1 ? bits + 1 : bits;
      expect([...float32ToFloat16(Float32Array.of(below, middle, next(middle), -middle))]).toEqual([
        bits,
        even,
        bits + 1,
        even | 0x8000,
      ]);
    }
  });

  it("overflows to infinity from 65520 on", () => {
    const values = Float32Array.of(65519.99609375, 65520, 3e38, -Infinity);
    expect([...float32ToFloat16(values)]).toEqual([0x7bff, 0x7c00, 0x7c00, 0xfc00]);
  });
});

describe("bfloat16", () => {
  it("gives every value's own bits back, a NaN's quiet", () => {
    const narrowed = float32ToBfloat16(bfloat16ToFloat32(all16));
    expect(narrowed).toEqual(all16.map((bits) => ((bits & 0x7fff) > 0x7f80 ? bits | 0x40 : bits)));
  });

  it("rounds to the nearest value, ties to even", () => {
    // One bfloat16 step at 1 is 2^-7.
    expect([
      ...roundToBfloat16(Float32Array.of(1 + 2 ** -8, 1 + 3 * 2 ** -8, next(1 + 2 ** -8), 937.5)),
    ]).toEqual([1, 1 + 2 ** -6, 1 + 2 ** -7, 936]);
    expect([...roundToBfloat16(Float32Array.of(3.4e38, -3.4e38, -0))]).toEqual([Infinity, -Infinity, -0]);
  });

  it("reads its own part of a larger buffer", () => {
    expect([...float32ToBfloat16(Float32Array.of(5, 1, 5).subarray(1, 2))]).toEqual([0x3f80]);
  });
});

describe("toFloat32", () => {
  it("widens floats and refuses the rest", () => {
    const same = float32([1, 2], [1, 2]);
    expect(toFloat32(same)).toBe(same);
    expect(toFloat32(tensor("float16", [1, 1], Uint16Array.of(0x3c00)))).toEqual(float32([1], [1, 1]));
    expect(toFloat32(tensor("bfloat16", [1], Uint16Array.of(0x3f80)))).toEqual(float32([1]));
    expect(() => toFloat32(int64([1]), "ids")).toThrow(UserError);
    expect(() => toFloat32(int64([1]), "ids")).toThrow(/ids has elements of type int64/);
  });
});
