/**
 * Runs `generate` on a request given as JSON and writes a line for each event, and at its end the processor time that
 * it took in seconds and the peak of its memory in bytes: what kill tests kill and memory tests measure.
 */
import { generate } from "../src/pipeline/generate.ts";
import { peakMemoryBytes } from "../src/runtime/measure.ts";
import type { GenerateRequest } from "../src/pipeline/request.ts";
import { processorSeconds } from "./stopwatch.ts";

const request = JSON.parse(process.argv[2]!) as GenerateRequest;
const seconds = await processorSeconds(() =>
  generate(request, { onProgress: () => process.stdout.write("event\n") }),
);
process.stdout.write(`processor ${seconds}\n`);
process.stdout.write(`peak ${peakMemoryBytes()}\n`);
