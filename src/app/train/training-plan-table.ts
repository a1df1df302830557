/** A training's plan as text. */
import { formatBytes, formatCount, formatDuration, formatNumber } from "../cli/quantities.ts";
import { textTable } from "../cli/text-table.ts";
import type { TrainingConfig } from "./config.ts";
import type { TrainingPlan } from "./plan-training.ts";

export function trainingPlanTable(config: TrainingConfig, plan: TrainingPlan): string {
  const { stages, numTrainable, numFrozen, encodedBytes, gflops } = plan;
  const overview = [
    ["training", config.kind],
    ["into", config.out],
    ["parameters", `${formatCount(numTrainable)} learn, ${formatCount(numFrozen)} do not`],
  ];
  if (encodedBytes !== null)
    overview.push(["encodings", `at most ${formatBytes(encodedBytes)} in the dataset's folder`]);
  const total = stages.reduce((sum, { estimatedMs }) => sum + estimatedMs, 0);
  const rows = [
    ["stage", "steps", "samples a step", "tokens a sample", "FLOP a step", "memory", "time"],
    ...stages.map((stage) => [
      stage.name,
      `${stage.numSteps}`,
      `${stage.samplesPerStep}`,
      stage.tokens ? `${stage.tokens.video} + ${stage.tokens.reference}` : "",
      formatCount(stage.flopsPerStep),
      formatBytes(stage.memoryBytes),
      formatDuration(stage.estimatedMs),
    ]),
    ["together", "", "", "", "", "", formatDuration(total)],
  ];
  return [
    textTable(overview),
    textTable(rows, ["left", "right", "right", "right", "right", "right", "right"]),
    `Estimates for this machine, which multiplies matrices at ${formatNumber(gflops, 0)} GFLOPS. Nothing was trained.`,
  ].join("\n\n");
}
