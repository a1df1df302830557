/** Background KV-sharing against the published loop: an anchor run, then a base run in every variant, with guidance. */
import { join } from "node:path";
import { type GuidanceBranch, guidedVelocity } from "../../diffusion/guidance.ts";
import { type Schedule, flowMatchSchedule, step } from "../../diffusion/schedule.ts";
import { gatherSharedRows } from "../../models/wan-dit/kv-gather.ts";
import { type KvSharing, type KvSharingMode, kvName } from "../../models/wan-dit/kv-sharing.ts";
import { openSafetensors } from "../../runtime/safetensors.ts";
import { type Tensor, float32 } from "../../tensor/tensor.ts";
import { type KvFixture, type Observed, Passes, openKvFixture } from "./dit-kvshare-passes.ts";
import { type Measure, type ParityCheck, type ParityRow, compare, parityRow } from "./rows.ts";

/** Our mode for each variant of the fixture; `plain` shares nothing. */
const MODES: Readonly<Record<string, KvSharingMode>> = {
  official: "official",
  nomask: "nomask",
  paper: "paper",
  paper_ref_own: "paper-ref-own",
};

export const ditKvShareCheck: ParityCheck = {
  folder: "dit_kvshare",
  async run(dir) {
    const fixture = await openKvFixture(dir);
    const golden = await openSafetensors(join(dir, "outputs.safetensors"));
    const results = new Map<string, Tensor>();
    const run = new Run(fixture, results);
    await run.anchor();
    for (const variant of fixture.config.variants) {
      if (variant !== "anchor") await run.base(variant, MODES[variant] ?? null);
    }
    await run.passes.release();

    const rows: ParityRow[] = [];
    for (const name of golden.tensors.keys()) {
      const { measure, tolerance } = toleranceOf(name);
      const result = results.get(name);
      rows.push(
        result
          ? compare(name, result, await golden.readTensor(name), measure, tolerance)
          : parityRow(`${name} (not computed)`, Infinity, tolerance),
      );
    }
    return rows;
  },
};

function toleranceOf(name: string): { measure: Measure; tolerance: number } {
  if (name.endsWith("_mask")) return { measure: "unequal", tolerance: 0 };
  if (name.endsWith("_thr")) return { measure: "absolute", tolerance: 1e-6 };
  if (/_(mean|map|logits)$/.test(name)) return { measure: "absolute", tolerance: 1e-5 };
  if (/\.(self|cross)_[kvq]$/.test(name)) return { measure: "absolute", tolerance: 2e-5 };
  return { measure: "relative", tolerance: 5e-5 };
}

/** What the anchor leaves behind, for one step, pass of guidance and block. */
interface Captured {
  readonly k: Tensor<"float32">;
  readonly v: Tensor<"float32">;
}

/** Denoises the anchor segment and then base segments, recording everything under the fixture's names. */
class Run {
  readonly passes: Passes;
  private readonly schedule: Schedule;
  private readonly captured = new Map<string, Captured>();
  /** The anchor's masks by step and block. */
  private readonly sourceSubjects = new Map<string, Tensor<"bool">>();

  constructor(
    private readonly fixture: KvFixture,
    private readonly results: Map<string, Tensor>,
  ) {
    const { numSteps, shift, sigmaMin } = fixture.config;
    this.passes = new Passes(fixture);
    this.schedule = flowMatchSchedule(numSteps, { shift, sigmaMin });
  }

  async anchor(): Promise<void> {
    await this.denoise("anchor", "anchor", async (index, branch, feeds) => {
      const kv = this.isShared(index) ? this.sharing("capture", "paper", branch) : null;
      const { outputs, observed } = await this.passes.run(kv, branch, feeds);
      for (const block of kv?.blocks ?? []) {
        const captured = { k: outputs[kvName(block, "k")], v: outputs[kvName(block, "v")] };
        this.captured.set(`${index}.${branch}.${block}`, captured as unknown as Captured);
        const subject = outputs[kvName(block, "subject")];
        if (subject) this.sourceSubjects.set(`${index}.${block}`, subject as Tensor<"bool">);
      }
      this.recordTokens(`anchor.step${index}.${branch}`, observed);
      for (const variant of Object.keys(MODES)) this.recordMaps(`${variant}.step${index}`, "src", observed);
      return outputs["velocity"] as Tensor<"float32">;
    });
  }

  async base(variant: string, mode: KvSharingMode | null): Promise<void> {
    const subjects = new Map<string, Tensor>();
    await this.denoise(variant, "base", async (index, branch, feeds) => {
      const kv = mode && this.isShared(index) ? this.sharing("share", mode, branch) : null;
      const shared = kv ? this.sharedFeeds(kv, index, subjects) : {};
      const { outputs, observed } = await this.passes.run(kv, branch, { ...feeds, ...shared });
      for (const block of kv?.blocks ?? []) {
        const subject = outputs[kvName(block, "subject")];
        if (subject) subjects.set(`${index}.${block}`, subject);
      }
      this.recordTokens(`${variant}.step${index}.${branch}`, observed);
      this.recordMaps(`${variant}.step${index}`, "cur", observed);
      return outputs["velocity"] as Tensor<"float32">;
    });
  }

  /** The denoising loop of one segment. */
  private async denoise(
    variant: string,
    segment: "anchor" | "base",
    predict: (
      index: number,
      branch: GuidanceBranch,
      feeds: Record<string, Tensor>,
    ) => Promise<Tensor<"float32">>,
  ): Promise<void> {
    const { inputs, config } = this.fixture;
    const { shape } = inputs.noise;
    let latents = inputs.noise.data;
    for (const [index, timestep] of this.schedule.timesteps.entries()) {
      const name = `${variant}.step${index}`;
      const velocity = await guidedVelocity(config.guidanceScale, async (branch) => {
        const feeds = { latents: float32(latents, shape), timestep: float32([timestep]), ...inputs[segment] };
        const predicted = await predict(index, branch, feeds);
        this.results.set(`${name}.pred_${branch === "positive" ? "pos" : "neg"}`, predicted);
        return predicted.data;
      });
      latents = step(this.schedule, index, latents, velocity);
      this.results.set(`${name}.latents`, float32(latents, shape));
    }
  }

  private isShared(index: number): boolean {
    return this.fixture.config.sharedSteps.includes(index);
  }

  private sharing(role: KvSharing["role"], mode: KvSharingMode, branch: GuidanceBranch): KvSharing {
    const { sharedBlocks, maxMapBlock } = this.fixture.config;
    return { role, mode, branch, blocks: sharedBlocks, maxMapBlock };
  }

  /** Feeds of a sharing pass: the anchor's keys and masks, and on the negative pass the positive pass's masks. */
  private sharedFeeds(
    { mode, blocks, branch }: KvSharing,
    index: number,
    subjects: ReadonlyMap<string, Tensor>,
  ): Record<string, Tensor> {
    const feeds: Record<string, Tensor> = {};
    for (const block of blocks) {
      const source = this.sourceSubjects.get(`${index}.${block}`) ?? null;
      const { k, v } = this.captured.get(`${index}.${branch}.${block}`)!;
      feeds[kvName(block, "k")] = gatherSharedRows(mode, k, source);
      feeds[kvName(block, "v")] = gatherSharedRows(mode, v, source);
      if (mode === "nomask") continue;
      feeds[kvName(block, "sourceSubject")] = source!;
      if (branch === "negative") feeds[kvName(block, "subject")] = subjects.get(`${index}.${block}`)!;
    }
    return feeds;
  }

  private recordTokens(prefix: string, observed: Observed): void {
    for (const [name, value] of observed.tokens) this.results.set(`${prefix}.${name}`, value);
  }

  /** Maps and masks: `src` the anchor's, `cur` the segment's own. Only positive passes make them. */
  private recordMaps(prefix: string, kind: "src" | "cur", observed: Observed): void {
    for (const [name, value] of observed.maps) {
      const [block, what] = name.split(".");
      this.results.set(`${prefix}.${block}.${kind}_${what}`, value);
    }
  }
}
