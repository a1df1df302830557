// The shortest program: a reference image and a driving video in, a video out.
// Run it with: npx tsx examples/01-generate.ts
import { generate } from "posegen";

const result = await generate({
  image: "assets/sample/reference.png",
  video: "assets/sample/dance.mp4",
  out: "out/examples/01.mp4",
  prompt: "A man with short red hair, wearing a green shirt and blue trousers, is dancing in a room.",
  seed: 1,
});

console.log(`${result.out}: ${result.numFrames} frames from ${result.numSegments} segments`);
