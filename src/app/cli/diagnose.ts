/** The checks of `posegen doctor`. */
import { readdir, readFile, stat, statfs } from "node:fs/promises";
import { arch, availableParallelism, cpus, freemem, platform, release, totalmem } from "node:os";
import { join } from "node:path";
import { formatBytes } from "./quantities.ts";

export interface Finding {
  readonly title: string;
  /** One line, or several. */
  readonly text: string;
  /** `missing`: not here, but generating on the CPU works without it. `fault`: it does not. */
  readonly status: "good" | "missing" | "fault";
}

type Check = () => Promise<Finding | Finding[]>;

const CHECKS: readonly Check[] = [node, processor, memory, disk, engine, devices, video, caches, model];

/** Finding after finding, each as soon as it is known. A check that throws is a fault. */
export async function* diagnose(): AsyncGenerator<Finding> {
  for (const check of CHECKS) {
    try {
      yield* [await check()].flat();
    } catch (error) {
      yield { title: check.name, text: (error as Error).message, status: "fault" };
    }
  }
}

const OLDEST_NODE = [20, 9] as const;

async function node(): Promise<Finding> {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const isNewEnough = major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1]);
  const text = `${process.versions.node} on ${platform()}-${arch()} (${release()})`;
  return isNewEnough
    ? { title: "node", text, status: "good" }
    : { title: "node", text: `${text}; expected ${OLDEST_NODE.join(".")} or newer`, status: "fault" };
}

/** Instructions that matrix products gain from. */
const FEATURES = ["avx2", "fma", "f16c", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "sve"];

async function processor(): Promise<Finding> {
  const models = [...new Set(cpus().map((cpu) => cpu.model.trim()))].join(", ") || "unknown";
  const info = await readFile("/proc/cpuinfo", "utf8").catch(() => "");
  const flags = new Set(/^(?:flags|Features)\s*:(.*)$/m.exec(info)?.[1]?.trim().split(/\s+/));
  const features = FEATURES.filter((feature) => flags.has(feature));
  const numThreads = availableParallelism();
  const text = `${models}, ${numThreads} thread${numThreads === 1 ? "" : "s"}`;
  return {
    title: "processor",
    text: features.length > 0 ? `${text} (${features.join(" ")})` : text,
    status: "good",
  };
}

async function memory(): Promise<Finding> {
  const limit = process.constrainedMemory() ?? 0;
  const limited = limit > 0 && limit < totalmem() ? `, this process may use ${formatBytes(limit)}` : "";
  return {
    title: "memory",
    text: `${formatBytes(totalmem())}, ${formatBytes(freemem())} free${limited}`,
    status: "good",
  };
}

/** Below this a long video's work directory may not fit. */
const LITTLE_DISK_BYTES = 1024 ** 3;

async function disk(): Promise<Finding> {
  const { bavail, bsize } = await statfs(process.cwd());
  const freeBytes = bavail * bsize;
  const text = `${formatBytes(freeBytes)} free in ${process.cwd()}`;
  return { title: "disk", text, status: freeBytes < LITTLE_DISK_BYTES ? "missing" : "good" };
}

async function engine(): Promise<Finding> {
  const { engineVersion } = await import("../../runtime/devices.ts");
  return { title: "engine", text: `ONNX Runtime ${engineVersion()}`, status: "good" };
}

async function devices(): Promise<Finding[]> {
  const [{ probeDevices }, { DEVICES }] = await Promise.all([
    import("../../runtime/devices.ts"),
    import("../../runtime/device-table.ts"),
  ]);
  const reports = await probeDevices();
  return reports.map((report): Finding => {
    const { label, needs } = DEVICES[report.device];
    const title = `device ${report.device}`;
    if (report.usable) {
      const { gflops, block, leavesToCpu } = report;
      const trial =
        `a transformer block in ${block.durationMs.toPrecision(3)} ms, off by ${block.error.toExponential(1)}` +
        (leavesToCpu ? "; operations that it lacks go to the CPU" : "");
      const text = `${label}, ${gflops.toFixed(0)} GFLOPS in matrix products\n${trial}`;
      return { title, text, status: "good" };
    }
    const status = report.device === "cpu" ? "fault" : "missing";
    return { title, text: `${label}: ${report.reason.split("\n")[0]}\nit needs ${needs}`, status };
  });
}

async function video(): Promise<Finding[]> {
  const { hasFfmpeg } = await import("../../media/ffmpeg-process.ts");
  const bindings = await import("../../media/video-node-av.ts").then(
    () => null,
    (error: Error) => error.message.split("\n")[0]!,
  );
  const programs = await hasFfmpeg();
  const absent = bindings !== null && !programs ? "fault" : "missing";
  return [
    bindings === null
      ? { title: "video bindings", text: "node-av, used for reading and writing", status: "good" }
      : { title: "video bindings", text: `node-av does not load: ${bindings}`, status: absent },
    programs
      ? {
          title: "ffmpeg",
          text: `on PATH${bindings === null ? ", not needed" : ", used for reading and writing"}`,
          status: "good",
        }
      : { title: "ffmpeg", text: "not on PATH; needed only where the bindings do not load", status: absent },
  ];
}

async function caches(): Promise<Finding> {
  const { defaultCacheFolder } = await import("../../perception/tflite/model-cache.ts");
  const folder = defaultCacheFolder();
  const names = (await readdir(folder).catch(() => [])).filter((name) => name.endsWith(".model"));
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(folder, name))).size));
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  const text =
    names.length > 0
      ? `${names.length} converted perception models, ${formatBytes(bytes)}, in ${folder}`
      : `no converted perception models yet in ${folder}; the first use makes them`;
  return { title: "cache", text, status: "good" };
}

async function model(): Promise<Finding> {
  const [{ EMBEDDED_MODEL }, { MODEL_FILES, openModelFolder }] = await Promise.all([
    import("../../pipeline/request.ts"),
    import("../../diffusion/model-folder.ts"),
  ]);
  const title = "embedded model";
  if (!(await stat(EMBEDDED_MODEL).catch(() => null))) {
    return {
      title,
      text: `not at ${EMBEDDED_MODEL}; generate with --model FOLDER, or install posegen again`,
      status: "missing",
    };
  }
  const folder = await openModelFolder(EMBEDDED_MODEL);
  for (const part of Object.keys(MODEL_FILES) as (keyof typeof MODEL_FILES)[]) await folder.open(part);
  const { name, defaults } = folder.description;
  const text = `${name}, ${defaults.width}x${defaults.height} at ${defaults.fps} fps, in ${EMBEDDED_MODEL}`;
  return { title, text, status: "good" };
}
