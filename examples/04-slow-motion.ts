// Poses are a file of lines of JSON, which can be edited: here the first line says that fewer of them make a second, and
// the same dance takes longer.
// Run it with: npx tsx examples/04-slow-motion.ts
import { readFile, writeFile } from "node:fs/promises";
import { generate, prepare } from "posegen";

const { files, fps } = await prepare({ video: "assets/sample/dance.mp4", out: "out/examples/04-prepared" });

const [, ...frames] = (await readFile(files.keypoints!, "utf8")).split("\n");
const slowHeader = JSON.stringify({ format: "posegen-keypoints", version: 1, fps: fps / 2 });
const keypoints = "out/examples/04-slow.jsonl";
await writeFile(keypoints, [slowHeader, ...frames.slice(0, 5 * fps)].join("\n"));

const result = await generate({
  image: "assets/sample/reference.png",
  keypoints,
  out: "out/examples/04.mp4",
});
console.log(`${result.out}: ${result.numFrames / result.fps} s`);
