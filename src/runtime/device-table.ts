/** Facts about the devices ONNX Runtime can compute on. */
import type { InferenceSession } from "onnxruntime-node";

export type DeviceName = "cpu" | "cuda" | "dml" | "coreml" | "webgpu";

/** Element type of activations and matrix products. */
export type Precision = "float32" | "float16";

export interface DeviceTraits {
  /** For people. */
  readonly label: string;
  readonly executionProviders: readonly InferenceSession.ExecutionProviderConfig[];
  /** What its kernels compute in, the default first. */
  readonly precisions: readonly Precision[];
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
    executionProviders: ["cuda", "cpu"],
    precisions: ["float32", "float16"],
    needs:
      "Linux on x64, an NVIDIA driver, CUDA 12 with cuDNN 9, and ONNX Runtime's CUDA files " +
      "(node node_modules/onnxruntime-node/script/install.js)",
    logSeverityLevel: 2,
  },
  dml: {
    label: "GPU through DirectML",
    executionProviders: ["dml", "cpu"],
    precisions: ["float32", "float16"],
    needs: "Windows and a DirectX 12 GPU",
    logSeverityLevel: 2,
  },
  coreml: {
    label: "Apple CoreML",
    executionProviders: ["coreml", "cpu"],
    precisions: ["float32"],
    needs: "macOS",
    logSeverityLevel: 2,
  },
  webgpu: {
    label: "GPU through WebGPU",
    executionProviders: ["webgpu", "cpu"],
    precisions: ["float32", "float16"],
    needs: "a GPU with a Vulkan, Metal or Direct3D 12 driver (not on Linux arm64)",
    logSeverityLevel: 2,
  },
  cpu: {
    label: "CPU",
    executionProviders: ["cpu"],
    precisions: ["float32"],
    needs: "nothing",
    logSeverityLevel: 4,
  },
};
