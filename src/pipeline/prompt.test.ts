import { existsSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { generate } from "./generate.ts";
import { planGeneration } from "./generation-plan.ts";
import type { GenerateEvent } from "./progress.ts";
import { CAPTION_KEY } from "./prompt.ts";
import type { GenerateRequest } from "./request.ts";
import { plainPrompt } from "./settings.ts";
import { type TinyInputs, writeTinyInputs } from "./testing.ts";
import { hashFile } from "./work-directory.ts";

let folder: string;
let inputs: TinyInputs;
let server: Server;
/** Keys of the requests that were made, and what is answered to the next. */
const keys: (string | undefined)[] = [];
let caption = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "posegen-prompt-"));
  inputs = await writeTinyInputs(join(folder, "inputs"), 13);
  server = createServer((incoming, response) => {
    keys.push(incoming.headers.authorization);
    incoming.resume().on("end", () => {
      response.end(JSON.stringify({ choices: [{ message: { content: caption } }] }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await rm(folder, { recursive: true, force: true });
});

let numOutputs = 0;

/** A request that asks the endpoint for a prompt, and two bases that share a background. */
function request(change: Partial<GenerateRequest> = {}): GenerateRequest {
  const { model, image, keypoints } = inputs;
  const captionUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  const given = { model, image, keypoints, align: "off", captionUrl, captionModel: "seer" } as const;
  return { ...given, out: join(folder, `out-${numOutputs++}.mp4`), steps: 1, threads: 1, ...change };
}

async function run(asked: GenerateRequest, signal?: AbortSignal) {
  const notices: string[] = [];
  const onProgress = (event: GenerateEvent): void => {
    if (event.type === "notice") notices.push(event.message);
  };
  const { out, sharing } = await generate(asked, { onProgress, ...(signal && { signal }) });
  return { hash: await hashFile(out), sharing, notices: notices.join("\n") };
}

describe("without a prompt", () => {
  test("a model's description is the prompt, asked for once; a run that goes on keeps it", async () => {
    caption = "A woman in green on a stage.";
    keys.length = 0;
    const written = await run(request({ prompt: caption }));
    expect(keys).toEqual([]);

    vi.stubEnv(CAPTION_KEY, "secret");
    const asked = request();
    const controller = new AbortController();
    const stopped = generate(asked, {
      signal: controller.signal,
      onProgress: (event) => {
        if (event.type === "progress" && event.activity === "decode") controller.abort(new Error("enough"));
      },
    });
    await expect(stopped).rejects.toThrow("enough");
    vi.unstubAllEnvs();
    expect(keys).toEqual(["Bearer secret"]);

    await expect(run({ ...asked, captionModel: "other" })).rejects.toThrow(
      /prompt was described by seer, now described by other/,
    );

    caption = "Something else.";
    const { hash, notices } = await run(asked);
    expect(keys).toHaveLength(1);
    expect(notices).toContain('the prompt is "A woman in green on a stage."');
    expect(hash).toBe(written.hash);
  });

  test("a description that does not name the person is made to", async () => {
    caption = "Dancing on a stage.";
    const anybody = await run(request());
    expect(anybody.notices).toContain('the prompt is "a person: Dancing on a stage."');
    expect(anybody.sharing).not.toBeNull();
    const named = await run(request({ subject: "the clown" }));
    expect(named.notices).toContain('the prompt is "the clown: Dancing on a stage."');
    expect(named.sharing).not.toBeNull();
  });

  test("the plain one names the subject, and nothing is sent to anybody", async () => {
    keys.length = 0;
    expect(plainPrompt(null)).toBe("A person is dancing.");
    expect(plainPrompt("clown")).toBe("The clown is dancing.");
    expect(plainPrompt("a tall clown")).toBe("a tall clown is dancing.");
    const { captionUrl: _, captionModel: __, ...asked } = request({ subject: "clown" });
    expect((await run(asked)).sharing).not.toBeNull();
    expect(keys).toEqual([]);
  });

  test("a plan sends nothing either", async () => {
    keys.length = 0;
    expect((await planGeneration(request())).sharing).not.toBeNull();
    expect(keys).toEqual([]);
  });
});

test("an endpoint that fails leaves nothing behind", async () => {
  const failing = request();
  caption = "";
  await expect(run(failing)).rejects.toThrow(/captionUrl: .* answered without a text/);
  expect(existsSync(`${failing.out}.work`)).toBe(false);
});
