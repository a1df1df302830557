/**
 * Runs `generate` on a request given as JSON, with looks at the memory. A look is the index of a segment, which is
 * looked at when it has been decoded, or "frame N", when N frames have been written. A line for each tells the bytes
 * of all arrays that are referred to then.
 */
import { generate } from "../src/pipeline/generate.ts";
import type { GenerateRequest } from "../src/pipeline/request.ts";
import { reachableBytes } from "../src/runtime/reachable-bytes.ts";

const request = JSON.parse(process.argv[2]!) as GenerateRequest;
const looks = new Set(process.argv.slice(3));

await generate(request, {
  onProgress(event) {
    if (event.type !== "progress") return;
    const { activity, segment, step, of } = event;
    const isDecoded = activity === "decode" && step === of && looks.has(`${segment}`);
    const isWritten = activity === "write" && looks.has(`frame ${step}`);
    if (isDecoded || isWritten) process.stdout.write(`${reachableBytes()}\n`);
  },
});
