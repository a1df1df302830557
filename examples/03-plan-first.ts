// What would a run cost? Nothing is generated.
// Run it with: npx tsx examples/03-plan-first.ts
import { planGeneration } from "posegen";

for (const guidanceScale of [1, 2]) {
  const { plan, tokens, work, memory, estimatedMs } = await planGeneration({
    image: "assets/sample/reference.png",
    video: "assets/sample/dance.mp4",
    out: "out/examples/03.mp4",
    guidanceScale,
  });
  console.log(
    `guidance ${guidanceScale}: ${plan.segments.length} segments of ${tokens.video} video tokens, ` +
      `${(work.totalFlops / 1e12).toFixed(1)} TFLOP, ${(memory.totalBytes / 2 ** 30).toFixed(1)} GiB, ` +
      `${Math.round(estimatedMs.total / 1000)} s`,
  );
}
