import type { VideoEncoder } from "./video-backend.ts";

/**
 * The same encoder, which encodes a frame while its caller makes the next one: `write` waits for the frame before. A
 * failure is reported by the call after the one that it belongs to.
 */
export function writeBehind(encoder: VideoEncoder): VideoEncoder {
  let underWay: Promise<void> = Promise.resolve();
  return {
    async write(frame) {
      await underWay;
      underWay = encoder.write(frame);
      // The next call awaits it; until then nobody does.
      underWay.catch(() => {});
    },
    async close() {
      await underWay;
      return encoder.close();
    },
    async abort() {
      await underWay.catch(() => {});
      await encoder.abort();
    },
  };
}
