import { Command } from "commander";
import { examples } from "../help.ts";

export function doctorCommand(): Command {
  return new Command("doctor")
    .summary("say what this machine can do")
    .description(
      "Says what this machine can do: Node, processor, memory, disk, ONNX Runtime, every device, video, caches and " +
        "the embedded model. Ends with 0 when videos can be generated on the CPU, else with 1.",
    )
    .addHelpText("after", examples({ "posegen doctor": "Check everything; takes some seconds" }))
    .action(async () => {
      const { diagnose } = await import("../diagnose.ts");
      let works = true;
      for await (const { title, text, status } of diagnose()) {
        const lines = text.split("\n");
        console.log(`${SIGNS[status]} ${title.padEnd(TITLE_WIDTH)} ${lines[0]}`);
        for (const line of lines.slice(1)) console.log(`${" ".repeat(TITLE_WIDTH + 6)} ${line}`);
        if (status === "fault") works = false;
      }
      console.log(
        works
          ? "\nGenerating on the CPU works here."
          : "\nGenerating does not work here: see the faults above.",
      );
      if (!works) process.exitCode = 1;
    });
}

const TITLE_WIDTH = 15;
const SIGNS = { good: "ok   ", missing: "--   ", fault: "FAULT" } as const;
