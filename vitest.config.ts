import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts"],
    // Two cores: each worker may hold an ONNX Runtime session with its own threads.
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 120_000,
  },
});
