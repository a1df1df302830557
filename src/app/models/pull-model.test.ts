import { mkdir, mkdtemp, readdir, readFile, readlink, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { writePublishedModel } from "../../diffusion/layouts/testing.ts";
import { openModelFolder } from "../../diffusion/model-folder.ts";
import { runHere } from "../cli/testing.ts";
import { commitOf, sha256, startHub, type TestHub } from "./hub/testing.ts";
import { pullModel, type PullOptions } from "./pull-model.ts";
import { describeChecks } from "./verify-model.ts";

const POSEGEN = "Jessie459/PoseGen";
const WAN = "Wan-AI/Wan2.1-I2V-14B-720P";
const COND = "720p-81f-cond/pytorch_model-00001-of-00002.bin";

let folder: string;
let hub: TestHub;
let place: string;
const at = (name: string): string => join(place, name);
const cached = (repo: string, ...path: string[]): string =>
  join(place, "hub", `models--${repo.replace("/", "--")}`, ...path);

/** Splits a model that the tests write into what its two repositories hold. */
async function publish(name: string, layout: "posegen" | "original"): Promise<Record<string, string>> {
  const wan = await writePublishedModel(join(folder, `${name}-wan`), layout);
  const posegen = join(folder, `${name}-posegen`);
  await mkdir(posegen);
  for (const phase of ["720p-81f-base", "720p-81f-cond"])
    await rename(join(wan, phase), join(posegen, phase));
  await writeFile(join(wan, "README.md"), "not needed");
  return { [POSEGEN]: posegen, [WAN]: wan };
}

let whole: Record<string, string>;
let trainedOnly: Record<string, string>;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "pull-model-"));
  whole = await publish("whole", "posegen");
  trainedOnly = await publish("trained", "original");
  hub = await startHub(whole);
});
afterAll(async () => {
  await hub.close();
  await rm(folder, { recursive: true });
});

beforeEach(async () => {
  place = await mkdtemp(join(folder, "place-"));
  hub.faults = {};
  hub.requests.length = 0;
  useHub(hub.url);
  vi.stubEnv("HF_HUB_CACHE", at("hub"));
  vi.stubEnv("XDG_CACHE_HOME", at("cache"));
  vi.stubEnv("HF_HOME", at("home"));
  vi.stubEnv("HF_TOKEN", "");
});
afterEach(() => vi.unstubAllEnvs());

function useHub(url: string): void {
  vi.stubEnv("HF_ENDPOINT", url);
}

const quiet: PullOptions = {
  signal: new AbortController().signal,
  onProgress: () => {},
  onNotice: () => {},
  pausesMs: [1],
};
const pull = (to?: string, options = quiet): Promise<string> => pullModel({ name: "posegen", to }, options);
const modelOf = (text: string): string => /^posegen is in (.+)$/m.exec(text)![1]!;

async function expectRight(): Promise<void> {
  const link = cached(POSEGEN, "snapshots", commitOf(POSEGEN), COND);
  expect((await readFile(link)).equals(await readFile(join(whole[POSEGEN]!, COND)))).toBe(true);
}

async function expectRefusal(message: RegExp, ...args: string[]): Promise<void> {
  const { exitCode, stdout, stderr } = await runHere(["models", "pull", ...args]);
  const errors = stderr.split("\n").filter((line) => line.startsWith("error: "));
  expect(errors).toHaveLength(1);
  expect(errors[0]).toMatch(message);
  expect([stdout, exitCode]).toEqual(["", 1]);
}

describe("posegen models pull", () => {
  it("fills the cache as other clients do, names what is there, and fetches nothing twice", async () => {
    const { stdout, stderr, exitCode } = await runHere(["models", "pull", "posegen"]);
    expect(exitCode).toBe(0);
    expect(stderr).toMatch(/^10 files, .* MiB, of which 0 B are there, in .*hub\n/);
    const model = modelOf(stdout);
    expect(model).toBe(at("cache/posegen/models/posegen.json"));
    expect(stdout).toContain(`posegen generate --model ${model} `);
    expect((await describeChecks(model)).isWhole).toBe(true);

    const commit = commitOf(POSEGEN);
    expect(await readFile(cached(POSEGEN, "refs", "main"), "utf8")).toBe(commit);
    const original = await readFile(join(whole[POSEGEN]!, COND));
    const link = cached(POSEGEN, "snapshots", commit, COND);
    expect(await readlink(link)).toBe(`../../../blobs/${sha256(original)}`);
    expect((await readFile(link)).equals(original)).toBe(true);
    expect((await readdir(cached(WAN, "blobs"))).some((name) => /\./.test(name))).toBe(false);
    expect(await readdir(cached(WAN, "snapshots", commitOf(WAN)))).not.toContain("README.md");

    hub.requests.length = 0;
    const again = await runHere(["models", "pull", "Jessie459/PoseGen".toLowerCase()]);
    expect(again.exitCode).toBe(0);
    expect(hub.requests).toEqual([]);
  });

  it("puts real files into one folder, which is a model; what was changed there is fetched again", async () => {
    const to = at("checkpoints");
    expect(modelOf(await pull(to))).toBe(to);
    await (await openModelFolder(to)).open("vae");
    const file = join(to, COND);
    const right = await readFile(file);
    expect((await stat(join(to, "Wan2.1_VAE.pth"))).isFile()).toBe(true);
    await writeFile(file, Buffer.alloc(right.length));
    hub.requests.length = 0;
    await pull(to);
    expect(hub.requests).toEqual([`${COND} whole`]);
    expect((await readFile(file)).equals(right)).toBe(true);
    await expect(stat(join(to, ".posegen-pull.lock"))).rejects.toThrow();
  });

  it("gets the original denoiser where the finetuning has no frozen weights", async () => {
    const other = await startHub(trainedOnly);
    useHub(other.url);
    const notices: string[] = [];
    const text = await pull(undefined, { ...quiet, onNotice: (line) => void notices.push(line) });
    await other.close();
    expect(notices.join("\n")).toMatch(/holds no frozen weights/);
    const { sources } = (await openModelFolder(modelOf(text))) as { sources?: { dit?: string } };
    expect(sources?.dit).toMatch(/snapshots\/\w+\/diffusion_pytorch_model\.safetensors\.index\.json$/);
    expect((await describeChecks(modelOf(text))).isWhole).toBe(true);
  });

  it("goes on by itself after a connection that ended, and after a busy server", async () => {
    hub.faults = { cutAt: new Map([[COND, { byte: 5_000, times: 1 }]]), busy: 1 };
    await pull();
    await expectRight();
    expect(hub.requests).toContain(`${COND} bytes=5000-`);
  });

  it("goes on in the next run from where the last one broke off", async () => {
    hub.faults = { cutAt: new Map([[COND, { byte: 7_000, times: 99 }]]) };
    await expect(pull()).rejects.toThrow(
      /^Jessie459\/PoseGen: 720p-81f-cond\/.* broke off after 7000 of \d+ bytes \(.*\); run the command again/,
    );
    const unfinished = (await readdir(cached(POSEGEN, "blobs"))).filter((name) =>
      name.endsWith(".incomplete"),
    );
    expect(unfinished).toHaveLength(1);
    hub.faults = {};
    hub.requests.length = 0;
    await pull();
    await expectRight();
    expect(hub.requests.filter((line) => line.startsWith(COND))).toEqual([`${COND} bytes=7000-`]);
  });

  it("goes on with a server that knows no ranges, and after Ctrl-C", async () => {
    const controller = new AbortController();
    let reported = 0;
    const options = {
      ...quiet,
      signal: controller.signal,
      onProgress: () => void (reported++ === 3 && controller.abort()),
    };
    await expect(pull(undefined, options)).rejects.toThrow(/abort/);
    hub.faults = { cutAt: new Map([[COND, { byte: 3_000, times: 2 }]]), ignoresRanges: true };
    await pull();
    await expectRight();
  });

  it("refuses a file with a wrong checksum and leaves nothing of it", async () => {
    hub.faults = { corrupt: new Set([COND]) };
    await expectRefusal(
      /PoseGen: what came as 720p-81f-cond\/.* has another checksum than the Hub gives/,
      "posegen",
    );
    const digest = sha256(await readFile(join(whole[POSEGEN]!, COND)));
    expect((await readdir(cached(POSEGEN, "blobs"))).filter((name) => name.startsWith(digest))).toEqual([]);
    // A small file too, whose digest is git's.
    hub.faults = { corrupt: new Set(["720p-81f-base/model_config.json"]) };
    await expectRefusal(/model_config\.json has another checksum/, "posegen", "--to", at("to"));
  });

  it("shows its token to the Hub and to nobody else", async () => {
    const closed = await startHub(whole, "a-token");
    useHub(closed.url);
    await expectRefusal(
      /Jessie459\/PoseGen: the Hub wants to know who asks \(401\); set HF_TOKEN/,
      "posegen",
    );
    await mkdir(at("home"));
    await writeFile(at("home/token"), "a-token\n");
    closed.tokens.hub.clear();
    await pull();
    await closed.close();
    expect([...closed.tokens.hub]).toEqual(["Bearer a-token"]);
    expect([...closed.tokens.files]).toEqual([""]);
  });

  it("says in one line what cannot be done", async () => {
    await expectRefusal(/nothing is called "gpt"; expected posegen \(.*\) or wan2\.1-i2v-14b-720p/, "gpt");
    useHub("http://127.0.0.1:9");
    await expectRefusal(/http:\/\/127\.0\.0\.1:9 cannot be reached \(.+\); look to the network/, "posegen");
    useHub("ftp://x");
    await expectRefusal(/HF_ENDPOINT: got "ftp:\/\/x"; expected an address/, "posegen");
    useHub(hub.url);
    vi.stubEnv("HF_HUB_OFFLINE", "1");
    await expectRefusal(/HF_HUB_OFFLINE is "1", so nothing is fetched/, "posegen");
    vi.stubEnv("HF_HUB_OFFLINE", "");
    await writeFile(at("file"), "");
    await expectRefusal(/cannot write .*EEXIST/, "posegen", "--to", at("file"));
    hub.faults = {
      listed: (entry) => ({ ...entry, size: 1e15, ...(entry.lfs && { lfs: { ...entry.lfs, size: 1e15 } }) }),
    };
    await expectRefusal(/the disk is too full: .* needs \d+\.\d GiB, and \d+\.\d GiB are free/, "posegen");
    const empty = await startHub({ [POSEGEN]: place, [WAN]: place });
    useHub(empty.url);
    await expectRefusal(/Jessie459\/PoseGen has no 720p-81f-base\/\* in its revision \w{40}/, "posegen");
    await empty.close();
    const absent = await startHub({});
    useHub(absent.url);
    await expectRefusal(/Wan2\.1-I2V-14B-720P: .* has no such model or file \(404\)/, "wan2.1-i2v-14b-720p");
    await absent.close();
    // A cache that is empty, with the place of its lock.
    const left = (await readdir(place, { recursive: true })).sort();
    expect(left).toEqual(["file", "hub", "hub/.locks"]);
  });

  it.each([
    [
      "path",
      { path: "720p-81f-base/.." },
      /names the file "720p-81f-base\/\.\."; expected a plain relative path/,
    ],
    ["digest", { lfs: undefined, oid: "../../x" }, /gives ".*x" as the digest of 720p-81f-base/],
    ["length", { lfs: undefined, size: -1 }, /is said to be -1 bytes long/],
  ])("believes no %s that could do harm", async (_, fields, message) => {
    hub.faults = {
      listed: (entry) =>
        entry.path === "720p-81f-base/model_config.json" ? ({ ...entry, ...fields } as typeof entry) : entry,
    };
    await expectRefusal(message, "posegen");
    expect(
      (await readdir(place, { recursive: true })).filter((name) => /blobs|snapshots/.test(name)),
    ).toEqual([]);
  });
});
