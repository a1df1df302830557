import { createHash } from "node:crypto";
import {
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join, relative } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { writePublishedModel } from "../../diffusion/layouts/testing.ts";
import { type Outcome, runHere } from "../cli/testing.ts";
import { checkHashes } from "./verify-hashes.ts";

let folder: string;
let model: string;
let blobs: string;

/** Turns a folder of files into one of a Hub cache: blobs by their digests, and links to them. */
async function intoCache(from: string, repo: string): Promise<string> {
  const snapshot = join(repo, "snapshots", "0".repeat(40));
  await mkdir(join(repo, "blobs"), { recursive: true });
  for (const path of (await readdir(from, { recursive: true })).sort()) {
    const file = join(from, path);
    if (!(await stat(file)).isFile()) continue;
    const bytes = await readFile(file);
    const digest = path.endsWith(".json")
      ? createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex")
      : createHash("sha256").update(bytes).digest("hex");
    const blob = join(repo, "blobs", digest);
    await rename(file, blob);
    const link = join(snapshot, path);
    await mkdir(dirname(link), { recursive: true });
    await symlink(relative(dirname(link), blob), link);
  }
  return snapshot;
}

/** `posegen models verify`, with the exit code that it leaves to the process. */
async function verify(): Promise<Outcome> {
  const outcome = await runHere(["models", "verify", model]);
  const exitCode = Number(process.exitCode ?? outcome.exitCode);
  process.exitCode = undefined;
  return { ...outcome, exitCode };
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "verify-hashes-"));
  const repo = join(folder, "models--a--b");
  model = await intoCache(await writePublishedModel(join(folder, "posegen"), "posegen"), repo);
  blobs = join(repo, "blobs");
});
afterAll(() => rm(folder, { recursive: true }));

test("files of a Hub cache are compared with their names, with progress up to the last byte", async () => {
  const seen: number[] = [];
  let total = 0;
  const { numCompared, numUnknown, faults } = await checkHashes(model, {
    onProgress: ({ doneBytes, totalBytes }) => {
      seen.push(doneBytes);
      total = totalBytes;
    },
  });
  expect([numUnknown, faults]).toEqual([0, []]);
  expect(numCompared).toBeGreaterThanOrEqual(8);
  expect(seen).toEqual(seen.toSorted((a, b) => a - b));
  expect(seen.at(-1)).toBe(total);
  const { stdout, exitCode } = await verify();
  expect(stdout).toMatch(new RegExp(`ok +checksums +${numCompared} files compared, 0 without a known one\n`));
  expect(exitCode).toBe(0);
});

test("a changed byte and a lost end are named with both digests and what to do", async () => {
  const blobOf = async (path: string): Promise<string> => basename(await readlink(join(model, path)));
  const name = await blobOf("Wan2.1_VAE.pth");
  const vae = [name, await readFile(join(blobs, name))] as const;
  const small = await blobOf("google/umt5-xxl/tokenizer.json");
  const whole = await readFile(join(blobs, small));
  const changed = Buffer.from(vae[1]);
  changed[changed.length - 100]! ^= 1;
  await writeFile(join(blobs, vae[0]), changed);
  await writeFile(join(blobs, small), whole.subarray(0, -1));
  try {
    const { faults } = await checkHashes(model);
    expect(faults).toHaveLength(2);
    const got = createHash("sha256").update(changed).digest("hex");
    expect(faults.join("\n")).toContain(
      `got SHA-256 ${got}, expected ${vae[0]}; delete ${join(blobs, vae[0])} and`,
    );
    expect(faults.join("\n")).toMatch(
      new RegExp(`is damaged: got git's SHA-1 [0-9a-f]{40}, expected ${small};`),
    );
    const { stdout, stderr, exitCode } = await verify();
    expect(stdout).toMatch(/FAULT +checksums /);
    expect([stdout.match(/is damaged/g)?.length, exitCode]).toEqual([2, 1]);
    expect(stderr).not.toContain("error");
  } finally {
    await writeFile(join(blobs, vae[0]), vae[1]);
    await writeFile(join(blobs, small), whole);
  }
});

test("a damage that keeps files from being opened is named all the same", async () => {
  const name = (await readdir(blobs)).find((blob) => blob.length === 64)!;
  const whole = await readFile(join(blobs, name));
  await writeFile(join(blobs, name), whole.subarray(0, 10));
  try {
    const { stdout, exitCode } = await verify();
    expect(stdout).toMatch(new RegExp(`is damaged: got SHA-256 [0-9a-f]{64}, expected ${name};`));
    expect(exitCode).toBe(1);
  } finally {
    await writeFile(join(blobs, name), whole);
  }
});

test("files elsewhere have no known checksum, and a link by a blob's name is none", async () => {
  const plain = await writePublishedModel(join(folder, "plain"), "posegen");
  const tokenizer = join(plain, "google/umt5-xxl/tokenizer.json");
  const other = join(folder, "f".repeat(64));
  await rename(tokenizer, other);
  await symlink(other, tokenizer);
  const { numCompared, numUnknown, faults } = await checkHashes(plain);
  expect([numCompared, faults]).toEqual([0, []]);
  expect(numUnknown).toBeGreaterThanOrEqual(8);
});
