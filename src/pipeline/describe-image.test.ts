import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import sharp from "sharp";
import { afterEach, describe, expect, test } from "vitest";
import { createImage } from "../media/pixels.ts";
import { UserError } from "../tensor/errors.ts";
import { type AskOptions, describeImage } from "./describe-image.ts";

interface Asked {
  readonly path: string | undefined;
  readonly key: string | undefined;
  readonly body: string;
}

const IMAGE = createImage(32, 48, [200, 40, 40]);

let server: Server | null = null;
afterEach(() => {
  server?.closeAllConnections();
  server?.close();
  server = null;
});

/** Answers one request after another; further ones as the last. */
type Handler = (response: ServerResponse) => void;

/** Starts an endpoint. */
async function serve(...handlers: Handler[]): Promise<{ url: string; asked: Asked[] }> {
  const asked: Asked[] = [];
  server = createServer((request: IncomingMessage, response) => {
    void text(request).then((body) => {
      asked.push({ path: request.url, key: request.headers.authorization, body });
      handlers[Math.min(asked.length, handlers.length) - 1]!(response);
    });
  });
  await new Promise<void>((resolve) => server!.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/`, asked };
}

const say =
  (content: unknown): Handler =>
  (response) => {
    response.end(
      JSON.stringify({ id: "1", choices: [{ index: 0, message: { role: "assistant", content } }] }),
    );
  };

const fail =
  (status: number, body = "", headers: Record<string, string> = {}): Handler =>
  (response) => {
    response.writeHead(status, headers).end(body);
  };

function ask(url: string, options: AskOptions = {}, key: string | null = null) {
  return describeImage(IMAGE, { url, model: "seer", key }, null, { retryDelaysMs: [0, 0], ...options });
}

describe("describeImage", () => {
  test("sends the picture, smaller, with the question and the key, and gives the sentence", async () => {
    const { url, asked } = await serve(say(' "A woman in red\n stands on a beach."\n'));
    const endpoint = { url, model: "seer", key: "secret" };
    const image = createImage(1024, 1536, [200, 40, 40]);
    expect(await describeImage(image, endpoint, "the dancer")).toBe("A woman in red stands on a beach.");
    expect(asked).toHaveLength(1);
    expect(asked[0]).toMatchObject({ path: "/v1/chat/completions", key: "Bearer secret" });
    const { model, messages } = JSON.parse(asked[0]!.body);
    expect(model).toBe("seer");
    const [question, picture] = messages[0].content;
    expect(question.text).toMatch(/Call the person exactly "the dancer"/);
    const [, base64] = /^data:image\/jpeg;base64,(.+)$/.exec(picture.image_url.url)!;
    const { format, width, height } = await sharp(Buffer.from(base64!, "base64")).metadata();
    expect({ format, width, height }).toEqual({ format: "jpeg", width: 512, height: 768 });
  });

  test("sends no key where there is none", async () => {
    const { url, asked } = await serve(say("A man."));
    await ask(url);
    expect(asked[0]!.key).toBeUndefined();
  });

  test("tries again after faults that may pass, and waits as long as it is told to", async () => {
    const { url, asked } = await serve(fail(503), fail(429, "", { "retry-after": "0.2" }), say("A man."));
    const startedAt = performance.now();
    expect(await ask(url)).toBe("A man.");
    expect(performance.now() - startedAt).toBeGreaterThan(150);
    expect(asked).toHaveLength(3);
  });

  test("gives up after some attempts", async () => {
    const { url, asked } = await serve(fail(500, '{"error":"out of memory"}'));
    await expect(ask(url)).rejects.toThrow(/status 500 \(out of memory\)/);
    expect(asked).toHaveLength(3);
  });

  test.each<[string, Handler, RegExp]>([
    [
      "a refused key",
      fail(401, '{"error":{"message":"no such\\nkey"}}'),
      /status 401 \(no such\\u\{a\}key\)/,
    ],
    ["an unknown path", fail(404, "<html>"), /status 404;/],
    ["another address", fail(307, "", { location: "http://127.0.0.1:1/" }), /status 307/],
    ["no text", say(null), /answered without a text/],
    ["an empty text", say('""'), /answered without a text/],
    ["no JSON", (response) => response.end("hello"), /answered without a text/],
    ["no choices", (response) => response.end('{"choices":[]}'), /answered without a text/],
    ["an answer without end", (response) => response.end(" ".repeat(3e6)), /answered without a text/],
  ])("%s is one error, at once", async (_, handler, message) => {
    const { url, asked } = await serve(handler);
    const error = await ask(url, {}, "secret").catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(UserError);
    expect((error as UserError).message).toMatch(message);
    expect((error as UserError).message).toMatch(/^captionUrl: http:[^\n]*"seer"[^\n]*leave captionUrl out$/);
    expect((error as UserError).message).not.toContain("secret");
    expect(asked).toHaveLength(1);
  });

  test("does not wait for ever, and not at all once it is stopped", async () => {
    const { url } = await serve(() => {});
    await expect(ask(url, { timeoutMs: 100 })).rejects.toThrow(/gave no answer within 0.1 s/);
    const signal = AbortSignal.timeout(100);
    const error = await ask(url, { signal }).catch((reason: unknown) => reason);
    expect(error).toBe(signal.reason);
  });

  test("stops while it waits for another attempt", async () => {
    const { url } = await serve(fail(503));
    const controller = new AbortController();
    const asking = ask(url, { signal: controller.signal, retryDelaysMs: [60_000] });
    setTimeout(() => controller.abort(new Error("enough")), 100);
    await expect(asking).rejects.toThrow("enough");
  });

  test("says where nobody listens", async () => {
    const { url } = await serve(say("A man."));
    await new Promise((resolve) => server!.close(resolve));
    await expect(ask(url)).rejects.toThrow(/cannot be reached \(.*ECONNREFUSED/);
  });
});
