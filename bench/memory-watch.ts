import { readFile } from "node:fs/promises";

/** Peaks of this process' memory, sampled 20 times a second; zero outside Linux. */
export class MemoryWatch {
  /** Without the pages of files, which the system may drop. */
  anonymousBytes = 0;
  residentBytes = 0;
  private readonly timer = setInterval(() => void this.sample(), 50);

  async sample(): Promise<void> {
    const status = await readFile("/proc/self/status", "utf8").catch(() => "");
    const bytes = (name: string): number =>
      1024 * Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1] ?? 0);
    this.anonymousBytes = Math.max(this.anonymousBytes, bytes("RssAnon") + bytes("RssShmem"));
    this.residentBytes = Math.max(this.residentBytes, bytes("VmRSS"));
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    await this.sample();
  }
}
