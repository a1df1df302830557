/** Makes the embedded model, step by step: `tsx src/app/embedded/main.ts --help`. */
import { Command } from "commander";
import { captionTokenizer, openTrainedVae, renderSeries } from "./clips.ts";
import { absentConditions, trainPhase } from "./denoiser.ts";
import { exportModel } from "./export.ts";
import { PHASES, type PhaseName, SERIES, type SeriesName } from "./recipe.ts";
import { trainEmbeddedVae, trainEmbeddedVaeDecoder } from "./vae.ts";

interface Options {
  readonly run: string;
  readonly threads: string;
}

function log(line: string): void {
  console.log(`${new Date().toISOString().slice(11, 19)} ${line}`);
}

const stop = new AbortController();
process.once("SIGINT", () => {
  log("finishing the step; run the same command to go on");
  stop.abort();
});

const program = new Command("embedded")
  .description("Makes the embedded model. Every step can be stopped and goes on where it was.")
  .option("--run <folder>", "where datasets, logs and checkpoints go", "runs/embedded")
  .option("--threads <count>", "threads of the training step", "2");

program
  .command("vae")
  .description("trains the VAE; everything else follows from its latents")
  .action(async () => {
    const { run, threads } = program.opts<Options>();
    await trainEmbeddedVae(run, { threads: Number(threads), log, signal: stop.signal });
  });

program
  .command("vae-decoder <steps>")
  .description("goes on with the VAE's decoder in <run>/vae-decoder; latents stay as they are")
  .action(async (steps: string) => {
    const { run, threads } = program.opts<Options>();
    const options = { threads: Number(threads), log, signal: stop.signal };
    await trainEmbeddedVaeDecoder(run, Number(steps), options);
  });

for (const name of Object.keys(SERIES) as SeriesName[]) {
  program
    .command(`clips-${name} <count>`)
    .description(`renders and encodes clips of the series "${name}"`)
    .action(async (count: string) => {
      const { run } = program.opts<Options>();
      const vae = await openTrainedVae(run);
      await renderSeries(run, name, Number(count), vae, (finished, total) =>
        log(`shard ${finished}/${total}`),
      );
      await vae.release();
    });
}

for (const name of Object.keys(PHASES) as PhaseName[]) {
  program
    .command(name)
    .description(`trains the ${name} weights on their clips`)
    .action(async () => {
      const { run, threads } = program.opts<Options>();
      const vae = await openTrainedVae(run);
      const absent = await absentConditions(vae.vae, captionTokenizer());
      await vae.release();
      await trainPhase(name, {
        run,
        threads: Number(threads),
        datasetFingerprint: vae.fingerprint,
        absent,
        signal: stop.signal,
        onStep: ({ step, numSteps, metrics, learningRate, gradientNorm, durationMs }) => {
          if (step % 10 !== 0) return;
          log(
            `${step}/${numSteps} loss ${metrics["loss"]!.toFixed(4)} rate ${learningRate.toExponential(2)} ` +
              `gradient ${gradientNorm.toFixed(2)} ${durationMs.toFixed(0)} ms`,
          );
        },
      });
    });
}

program
  .command("export <folder>")
  .description("writes a model folder from the newest weights")
  .action(async (folder: string) => {
    await exportModel(program.opts<Options>().run, folder);
    log(`wrote ${folder}`);
  });

await program.parseAsync();
