import { Command } from "commander";
import { examples } from "../help.ts";
import { parseNumber } from "../request-flags.ts";

export function calibrateCommand(): Command {
  return new Command("calibrate")
    .summary("prepare a model to run in int8")
    .description(
      "Lets a model generate segments of rendered dancers in float32, chooses how its linear layers are smoothed and " +
        "which of them stay in float32, and writes int8.safetensors beside its weights. After that, generate takes " +
        "--precision int8. For models whose denoiser takes at most 2 GiB in float32.",
    )
    .argument("<model>", "model folder")
    .option(
      "--max-error <share>",
      "largest error of the denoiser's velocity, as a share of its root mean square; with a larger one more layers are " +
        "int8 (default: 0.01)",
      parseNumber,
    )
    .option("--threads <n>", "threads of the CPU (default: one per core)", parseNumber)
    .addHelpText(
      "after",
      examples({
        "posegen models calibrate my-model": "As exact as by default",
        "posegen models calibrate my-model --max-error 0.03": "Faster and less exact",
      }),
    )
    .action(async (model: string, { maxError, threads }: { maxError?: number; threads?: number }) => {
      const [{ calibrateModel }, { availableParallelism }] = await Promise.all([
        import("../../int8/calibrate-model.ts"),
        import("node:os"),
      ]);
      const request = { model, threads: threads ?? availableParallelism() };
      const announce = (message: string): void => console.error(message);
      const report = await calibrateModel(
        { ...request, ...(maxError !== undefined && { maxError }) },
        announce,
      );
      const { path, velocityError, groups } = report;
      const numInt8 = groups.filter(({ isQuantized }) => isQuantized).length;
      console.log(
        `${path}: ${numInt8} of ${groups.length} groups of linear layers in int8, velocity off by ` +
          `${(100 * velocityError).toFixed(2)} %`,
      );
    });
}
