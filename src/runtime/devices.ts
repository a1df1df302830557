/** Which devices there are, which of them work, and which one to take. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { text } from "node:stream/consumers";
import { env, listSupportedBackends } from "onnxruntime-node";
import { UserError } from "../tensor/errors.ts";
import type { ProbeResult } from "./device-probe.ts";
import { DEVICES, type DeviceName, type Precision } from "./device-table.ts";
import { entryPoint } from "./entry-point.ts";

export type DeviceReport = ProbeResult & {
  readonly device: DeviceName;
  /** Whether the engine says that it leaves some operations to the CPU. */
  readonly leavesToCpu: boolean;
};

/** Words of the engine's warning about operations that a device lacks. */
const LEFT_TO_CPU = /not assigned to the preferred execution providers/;

/** A device is slower than it looks by its transfers: `auto` takes an accelerator from this gain on. */
const WORTHWHILE_GAIN = 2;

const PROBE_LIMIT_MS = 60_000;

/** Version of ONNX Runtime. */
export function engineVersion(): string {
  return env.versions.node ?? env.versions.common;
}

/** The devices that ONNX Runtime is built for on this platform, accelerators first. Not all of them may work. */
export function listDevices(): DeviceName[] {
  const built = new Set(listSupportedBackends().map((backend) => backend.name));
  return allDevices().filter((device) => built.has(device));
}

/**
 * Tries a device in a process of its own: multiplies matrices and runs a transformer block, checks the results and
 * takes the time.
 * @param threads for the CPU
 */
export async function probeDevice(
  device: DeviceName,
  threads: number = availableParallelism(),
): Promise<DeviceReport> {
  const { url, argv } = entryPoint("device-probe");
  const child = fork(fileURLToPath(url), [...argv, device, `${threads}`], {
    stdio: ["ignore", "ignore", "pipe", "ipc"],
    execArgv: [],
    timeout: PROBE_LIMIT_MS,
  });
  let result: ProbeResult | undefined;
  child.once("message", (message) => (result = message as ProbeResult));
  const [[code, signal], errors] = await Promise.all([once(child, "close"), text(child.stderr!)]);
  const leavesToCpu = LEFT_TO_CPU.test(errors);
  if (result) return { device, leavesToCpu, ...result };
  const lastWords = errors.trim().split("\n").at(-1) ?? "";
  const reason = `the test program ended with ${signal ?? code}: ${lastWords}`;
  return { device, leavesToCpu, usable: false, reason };
}

/** Tries every device of `listDevices`, one after another. */
export async function probeDevices(): Promise<DeviceReport[]> {
  const reports: DeviceReport[] = [];
  for (const device of listDevices()) reports.push(await probeDevice(device));
  return reports;
}

/**
 * The device to run on.
 * @param requested a device's name, or "auto": an accelerator that works and is much faster than the CPU, else
 *   the CPU
 * @param announce told in one sentence what "auto" took, and why
 * @throws UserError for an unknown device, or one that does not work here: there is no silent way back to the CPU
 */
export async function resolveDevice(
  requested: string,
  announce: (message: string) => void,
): Promise<DeviceName> {
  if (requested === "auto") return chooseDevice(announce);
  if (!isDevice(requested)) {
    const names = [...allDevices(), "auto"].join(", ");
    throw new UserError(`unknown device "${requested}"; expected one of ${names}`);
  }
  if (requested === "cpu") return requested;
  const built = listDevices();
  const { label, needs } = DEVICES[requested];
  const advice = `It needs ${needs}. Take another device (here: ${built.join(", ")}) or "auto"`;
  if (!built.includes(requested)) {
    throw new UserError(
      `the device "${requested}" (${label}) is not available on ${process.platform}-${process.arch}. ${advice}`,
    );
  }
  const report = await probeDevice(requested);
  if (!report.usable) {
    throw new UserError(
      `the device "${requested}" (${label}) does not work here: ${report.reason}. ${advice}`,
    );
  }
  if (report.leavesToCpu) announce(`device: ${requested} computes operations that it lacks on the CPU`);
  return requested;
}

/**
 * The precision to compute in.
 * @param requested a precision's name, or "auto": the device's default
 * @throws UserError for an unknown precision, or one that the device does not compute in
 */
export function resolvePrecision(requested: string, device: DeviceName): Precision {
  const { label, precisions } = DEVICES[device];
  const found = precisions.find((precision) => requested === "auto" || requested === precision);
  if (found === undefined) {
    throw new UserError(
      `the device "${device}" (${label}) does not compute in "${requested}"; expected ${precisions.join(", ")} or auto`,
    );
  }
  return found;
}

async function chooseDevice(announce: (message: string) => void): Promise<DeviceName> {
  const accelerators = listDevices().filter((device) => device !== "cpu");
  const reports = await Promise.all(accelerators.map((device) => probeDevice(device)));
  const refused: string[] = [];
  let cpu: DeviceReport | undefined;
  for (const report of reports) {
    if (!report.usable) {
      refused.push(`${report.device} does not work (${report.reason})`);
      continue;
    }
    cpu ??= await probeDevice("cpu");
    if (!cpu.usable || report.gflops >= WORTHWHILE_GAIN * cpu.gflops) {
      const rest = report.leavesToCpu ? "; operations that it lacks are computed on the CPU" : "";
      announce(`device: ${report.device}, ${DEVICES[report.device].label}, ${speed(report.gflops)}${rest}`);
      return report.device;
    }
    refused.push(`${report.device} (${speed(report.gflops)}) is not much faster (${speed(cpu.gflops)})`);
  }
  announce(`device: cpu${refused.length > 0 ? `, because ${refused.join("; ")}` : ""}`);
  return "cpu";
}

function speed(gflops: number): string {
  return `${gflops.toFixed(0)} GFLOPS`;
}

function allDevices(): DeviceName[] {
  return Object.keys(DEVICES).filter(isDevice);
}

function isDevice(name: string): name is DeviceName {
  return Object.hasOwn(DEVICES, name);
}
