import { Command } from "commander";
import { examples } from "../help.ts";
import { parseNumber, parseSize } from "../request-flags.ts";

interface CalibrateFlags {
  readonly maxError?: number;
  readonly size?: { readonly width: number; readonly height: number };
  readonly segmentFrames?: number;
  readonly steps?: number;
  readonly threads?: number;
}

export function calibrateCommand(): Command {
  return new Command("calibrate")
    .summary("prepare a model to run in int8")
    .description(
      "Lets a model generate segments of rendered dancers in float32, chooses how its linear layers are smoothed and " +
        "which of them stay in float32, and writes int8.safetensors beside its weights. After that, generate takes " +
        "--precision int8. A denoiser of more than 2 GiB in float32 is calibrated a few blocks at a time, on small segments " +
        "by default, which takes hours for the published one; its weights in int8 become a file of their own there.",
    )
    .argument("<model>", "model folder")
    .option(
      "--max-error <share>",
      "largest error of the denoiser's velocity, as a share of its root mean square; with a larger one more layers are " +
        "int8 (default: 0.01)",
      parseNumber,
    )
    .option(
      "--size <WxH>",
      "what is generated, multiples of 16 (default: the model's, or a longer side of 256)",
      parseSize,
    )
    .option("--segment-frames <n>", "frames of a segment, 4k + 1 (default: the model's, or 17)", parseNumber)
    .option("--steps <n>", "denoising steps (default: the model's, or 8)", parseNumber)
    .option("--threads <n>", "threads of the CPU (default: one per core)", parseNumber)
    .addHelpText(
      "after",
      examples({
        "posegen models calibrate my-model": "As exact as by default",
        "posegen models calibrate my-model --max-error 0.03": "Faster and less exact",
      }),
    )
    .action(async (model: string, flags: CalibrateFlags) => {
      const [{ calibrateModel }, { runWithBytes }, { availableParallelism }] = await Promise.all([
        import("../../int8/calibrate-model.ts"),
        import("../run-with-bytes.ts"),
        import("node:os"),
      ]);
      const request = { model, ...flags, threads: flags.threads ?? availableParallelism() };
      const kept = "Weights in int8 that were written whole are kept; the same command goes on with them.";
      const report = await runWithBytes(kept, (options) => calibrateModel(request, options));
      const { path, velocityError, groups } = report;
      const numInt8 = groups.filter(({ isQuantized }) => isQuantized).length;
      console.log(
        `${path}: ${numInt8} of ${groups.length} groups of linear layers in int8, velocity off by ` +
          `${(100 * velocityError).toFixed(2)} %`,
      );
    });
}
