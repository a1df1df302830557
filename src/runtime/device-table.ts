/** Facts about the devices ONNX Runtime can compute on. */

/** Named as ONNX Runtime names its execution providers. */
export type DeviceName = "cpu" | "cuda" | "dml" | "coreml" | "webgpu";

/** Element type of matrix products; with `int8`, activations between them are float32. */
export type Precision = "float32" | "int8";

export interface DeviceTraits {
  /** For people. */
  readonly label: string;
  /** What the networks compute in there, the default first. */
  readonly precisions: readonly Precision[];
  /**
   * When weights stored in 16 bits become float32. `use`: one matrix at a time, whenever a run comes to it, from its
   * mapped file. `start`: all of them when a graph is opened, into the device's own memory.
   */
  readonly widening: "use" | "start";
  /** What must be installed, for messages. */
  readonly needs: string;
  /**
   * Lowest severity of ONNX Runtime's messages on stderr. Accelerators report operations that they leave to
   * the CPU as warnings (2): those must be seen. On the CPU everything that matters is thrown (4: fatal only).
   */
  readonly logSeverityLevel: 2 | 4;
}

/** Every device, the most capable accelerator first, the CPU last. */
export const DEVICES: Readonly<Record<DeviceName, DeviceTraits>> = {
  cuda: {
    label: "NVIDIA GPU (CUDA)",
    precisions: ["float32"],
    widening: "start",
    needs:
      "Linux on x64, an NVIDIA driver, CUDA 12 with cuDNN 9, and ONNX Runtime's CUDA files " +
      "(cd node_modules/onnxruntime-node && node script/install.js --onnxruntime-node-install=cuda12)",
    logSeverityLevel: 2,
  },
  dml: {
    label: "GPU through DirectML",
    precisions: ["float32"],
    widening: "start",
    needs: "Windows and a DirectX 12 GPU",
    logSeverityLevel: 2,
  },
  coreml: {
    label: "Apple CoreML",
    precisions: ["float32"],
    widening: "start",
    needs: "macOS",
    logSeverityLevel: 2,
  },
  webgpu: {
    label: "GPU through WebGPU",
    precisions: ["float32"],
    widening: "start",
    needs: "a GPU with a Vulkan, Metal or Direct3D 12 driver (not on Linux arm64)",
    logSeverityLevel: 2,
  },
  cpu: {
    label: "CPU",
    precisions: ["float32", "int8"],
    widening: "use",
    needs: "nothing",
    logSeverityLevel: 4,
  },
};
