/** A picture in words, from an image-language model behind an endpoint that speaks OpenAI's chat completions. */
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { encodeImage } from "../media/image.ts";
import type { Image } from "../media/pixels.ts";
import { resize } from "../media/resize.ts";
import { oneLine } from "../runtime/quote.ts";
import { parseStrictJson } from "../runtime/strict-json.ts";
import { UserError } from "../tensor/errors.ts";

export interface CaptionEndpoint {
  /** The base that "/chat/completions" is appended to, such as http://localhost:11434/v1. */
  readonly url: string;
  /** As the endpoint calls it. */
  readonly model: string;
  /** Sent as a bearer token; null sends none. */
  readonly key: string | null;
}

export interface AskOptions {
  readonly signal?: AbortSignal;
  /** For one answer. Image-language models on a CPU take a minute. */
  readonly timeoutMs?: number;
  /** Waits before each further attempt after a fault that may pass, where the endpoint names no other. */
  readonly retryDelaysMs?: readonly number[];
}

const TIMEOUT_MS = 180_000;
const RETRY_DELAYS_MS = [1_000, 4_000];
/** However long an endpoint asks to wait. */
const MAX_WAIT_MS = 30_000;

/** A picture's longer side as it is sent: larger ones are scaled down by the models themselves. */
const LONGEST_SIDE = 768;

const MAX_ANSWER_BYTES = 2 ** 20;
const MAX_DEPTH = 32;
/** Longer answers are cut: the text encoder takes 512 tokens. */
const MAX_CAPTION_CHARS = 1_000;

const answerSchema = z.object({
  choices: z.array(z.object({ message: z.object({ content: z.string().nullish() }) })).min(1),
});
const faultSchema = z.object({ error: z.union([z.string(), z.object({ message: z.string() })]) });

/**
 * Asks a model to describe a picture of a person in a sentence, as a prompt. The picture is sent to the endpoint, at
 * most 768 pixels long, to no other address: redirections are faults. Faults that may pass (no connection, status 408,
 * 429, 5xx) are tried again.
 * @param subject what to call the person; null leaves that to the model
 * @throws UserError when there is no usable answer; the signal's reason when it is aborted
 */
export async function describeImage(
  image: Image,
  endpoint: CaptionEndpoint,
  subject: string | null,
  options: AskOptions = {},
): Promise<string> {
  const { signal, timeoutMs = TIMEOUT_MS, retryDelaysMs = RETRY_DELAYS_MS } = options;
  const address = `${endpoint.url.replace(/\/+$/, "")}/chat/completions`;
  const body = await questionAbout(image, endpoint.model, subject);
  for (let attempt = 0; ; attempt++) {
    const timeout = AbortSignal.timeout(timeoutMs);
    const answer = await ask(
      address,
      endpoint.key,
      body,
      AbortSignal.any([timeout, ...(signal ? [signal] : [])]),
    );
    signal?.throwIfAborted();
    if (answer.caption !== null) return answer.caption;
    const fault = timeout.aborted ? `gave no answer within ${timeoutMs / 1000} s` : answer.fault;
    const delayMs = retryDelaysMs[attempt];
    if (!answer.mayPass || timeout.aborted || delayMs === undefined) {
      throw new UserError(
        `captionUrl: ${address} ${fault}; expected a description by the model "${endpoint.model}". ` +
          "Mend that, give a prompt, or leave captionUrl out",
      );
    }
    await sleep(Math.min(answer.waitMs ?? delayMs, MAX_WAIT_MS), null, signal ? { signal } : {}).catch(() =>
      signal?.throwIfAborted(),
    );
  }
}

async function questionAbout(image: Image, model: string, subject: string | null): Promise<string> {
  const scale = Math.min(1, LONGEST_SIDE / Math.max(image.width, image.height));
  const [width, height] = [image.width, image.height].map((side) => Math.max(1, Math.round(side * scale)));
  const picture = await encodeImage(resize(image, width!, height!), "jpeg");
  const name = subject === null ? "a woman, a man, a girl, a boy or a person" : `exactly "${subject}"`;
  const text =
    "Describe this picture as the prompt of a video in which the person dances, in one English sentence of at most " +
    `40 words: the person's looks and clothes, then the place. Call the person ${name}. ` +
    "Answer with the sentence alone.";
  const source = { url: `data:image/jpeg;base64,${picture.toString("base64")}` };
  const content = [
    { type: "text", text },
    { type: "image_url", image_url: source },
  ];
  return JSON.stringify({ model, messages: [{ role: "user", content }] });
}

type Answer =
  | { readonly caption: string }
  | {
      readonly caption: null;
      /** What the endpoint did, as the rest of a sentence. */
      readonly fault: string;
      readonly mayPass: boolean;
      /** How long it asks to wait. */
      readonly waitMs?: number;
    };

async function ask(address: string, key: string | null, body: string, signal: AbortSignal): Promise<Answer> {
  try {
    const headers = {
      "content-type": "application/json",
      ...(key !== null && { authorization: `Bearer ${key}` }),
    };
    const response = await fetch(address, { method: "POST", headers, body, signal, redirect: "manual" });
    const text = await readText(response);
    return response.ok ? captionIn(text) : faultOf(response, text);
  } catch (error) {
    const { message, cause } = error as Error;
    const reason = cause instanceof Error && cause.message !== "" ? cause.message : message;
    return { caption: null, fault: `cannot be reached (${oneLine(reason)})`, mayPass: true };
  }
}

async function readText({ body }: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let byteLength = 0;
  for await (const part of body ?? []) {
    byteLength += part.byteLength;
    if (byteLength > MAX_ANSWER_BYTES) return "";
    parts.push(part);
  }
  return Buffer.concat(parts).toString("utf8");
}

function captionIn(text: string): Answer {
  const answer = answerSchema.safeParse(parsed(text)).data;
  const said = answer?.choices[0]!.message.content ?? "";
  const caption = said
    .replaceAll(/\s+/g, " ")
    .trim()
    .replace(/^(["'])(.*)\1$/, "$2");
  if (caption !== "") return { caption: caption.slice(0, MAX_CAPTION_CHARS) };
  return { caption: null, fault: "answered without a text", mayPass: false };
}

function faultOf({ status, headers }: Response, text: string): Answer {
  const told = faultSchema.safeParse(parsed(text)).data?.error;
  const message = typeof told === "object" ? told.message : told;
  const mayPass = status === 408 || status === 429 || status >= 500;
  const waitS = Number(headers.get("retry-after") ?? Number.NaN);
  return {
    caption: null,
    fault: `answered with status ${status}${message === undefined ? "" : ` (${oneLine(message)})`}`,
    mayPass,
    ...(waitS >= 0 && { waitMs: 1000 * waitS }),
  };
}

/** Null for what is no JSON. */
function parsed(text: string): unknown {
  try {
    return parseStrictJson(text, MAX_DEPTH);
  } catch {
    return null;
  }
}
