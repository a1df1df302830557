/** Runs `generate` on a request given as JSON and writes a line for each event: what kill tests kill. */
import { generate } from "../src/pipeline/generate.ts";
import type { GenerateRequest } from "../src/pipeline/request.ts";

const request = JSON.parse(process.argv[2]!) as GenerateRequest;
await generate(request, { onProgress: () => process.stdout.write("event\n") });
