import { expect, test } from "vitest";
import { int8Saturates, multiply } from "./int8-check.ts";

test("products of the largest values are exact, by the fast kernels or by the others", async () => {
  const products = await multiply({ exactInt8: await int8Saturates() });
  expect(new Set(products)).toEqual(new Set([8 * 254 * 127]));
});
