import { describe, expect, it } from "vitest";
import { UserError } from "../tensor/errors.ts";
import { DEVICES, type DeviceName } from "./device-table.ts";
import { listDevices, probeDevice, resolveDevice, resolvePrecision } from "./devices.ts";

const silent = () => {};

describe("listDevices", () => {
  it("ends with the CPU and holds only devices of the table", () => {
    const devices = listDevices();
    expect(devices.at(-1)).toBe("cpu");
    for (const device of devices) expect(DEVICES).toHaveProperty(device);
  });
});

describe("probeDevice", () => {
  it("measures the CPU", async () => {
    const report = await probeDevice("cpu", 1);
    expect(report).toMatchObject({ device: "cpu", usable: true });
    expect(report.usable && report.gflops).toBeGreaterThan(0.1);
    expect(report.usable && report.block.error).toBeLessThan(1e-5);
    expect(report.leavesToCpu).toBe(false);
  });

  it("says why a device is not usable", async () => {
    const all = Object.keys(DEVICES) as DeviceName[];
    const foreign = all.find((device) => !listDevices().includes(device))!;
    const report = await probeDevice(foreign);
    expect(report).toMatchObject({ device: foreign, usable: false });
    expect(!report.usable && report.reason).toMatch(/^cannot prepare the matrix product: .*backend/);
  });
});

describe("resolveDevice", () => {
  it("takes the CPU without trying anything", async () => {
    expect(await resolveDevice("cpu", silent)).toBe("cpu");
  });

  it("refuses unknown names and lists the known ones", async () => {
    await expect(resolveDevice("gpu", silent)).rejects.toThrow(
      new UserError('unknown device "gpu"; expected one of cuda, dml, coreml, webgpu, cpu, auto'),
    );
    await expect(resolveDevice("toString", silent)).rejects.toThrow(UserError);
  });

  it("refuses devices of other platforms and names what they need and what there is", async () => {
    const foreign = process.platform === "win32" ? "coreml" : "dml";
    await expect(resolveDevice(foreign, silent)).rejects.toThrow(
      new RegExp(`"${foreign}" .* is not available on ${process.platform}.*It needs .*here: .*cpu`),
    );
  });

  it("announces what it chose", async () => {
    const messages: string[] = [];
    const device = await resolveDevice("auto", (message) => messages.push(message));
    expect(listDevices()).toContain(device);
    expect(messages).toHaveLength(1);
    expect(messages[0]).toMatch(new RegExp(`^device: ${device}`));
  });
});

describe("resolvePrecision", () => {
  it("takes the device's default or one that it has, and refuses others", () => {
    expect(resolvePrecision("auto", "cpu")).toBe("float32");
    expect(resolvePrecision("int8", "cpu")).toBe("int8");
    expect(resolvePrecision("auto", "cuda")).toBe("float32");
    expect(() => resolvePrecision("float16", "cpu")).toThrow(
      new UserError('the device "cpu" (CPU) does not compute in "float16"; expected float32, int8 or auto'),
    );
    expect(() => resolvePrecision("int8", "cuda")).toThrow(
      /"cuda" .* does not compute in "int8"; expected float32/,
    );
  });
});
