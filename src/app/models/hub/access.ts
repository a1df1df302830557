/** Where the Hugging Face Hub is, who asks, and where what comes from it lies, as its other clients are told. */
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { getHFHubCachePath, HUB_URL } from "@huggingface/hub";
import { UserError } from "../../../tensor/errors.ts";

export interface HubAccess {
  /** Without a slash at the end. */
  readonly url: string;
  /** Null: what everybody may read. */
  readonly token: string | null;
  /** The cache that all clients share. */
  readonly cacheFolder: string;
}

/**
 * Reads the environment: `HF_ENDPOINT`, `HF_TOKEN` or the token that a login has left, and `HF_HUB_CACHE`, `HF_HOME` or
 * `XDG_CACHE_HOME`.
 * @throws UserError for an endpoint that is no address, and where `HF_HUB_OFFLINE` forbids to ask
 */
export async function hubAccess(): Promise<HubAccess> {
  const { HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE } = process.env;
  if (HF_HUB_OFFLINE && !/^(?:0|false|no|off)$/i.test(HF_HUB_OFFLINE)) {
    throw new UserError(`HF_HUB_OFFLINE is "${HF_HUB_OFFLINE}", so nothing is fetched; unset it to pull`);
  }
  const url = (HF_ENDPOINT || HUB_URL).replace(/\/+$/, "");
  if (!/^https?:$/.test(URL.canParse(url) ? new URL(url).protocol : "")) {
    throw new UserError(`HF_ENDPOINT: got "${url}"; expected an address such as ${HUB_URL}`);
  }
  const token = HF_TOKEN?.trim() || (await savedToken());
  return { url, token: token || null, cacheFolder: getHFHubCachePath() };
}

async function savedToken(): Promise<string> {
  const { HF_TOKEN_PATH, HF_HOME, XDG_CACHE_HOME } = process.env;
  const home = HF_HOME || join(XDG_CACHE_HOME || join(homedir(), ".cache"), "huggingface");
  return (await readFile(HF_TOKEN_PATH || join(home, "token"), "utf8").catch(() => "")).trim();
}

/** `fetch` with the token, for the Hub alone: files may lie with others, who must not see it. */
export function hubFetch({ url: hubUrl, token }: HubAccess, signal: AbortSignal): typeof fetch {
  return (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    const headers = new Headers(init?.headers);
    if (token !== null && url.origin === new URL(hubUrl).origin) {
      headers.set("Authorization", `Bearer ${token}`);
    }
    return fetch(url, { ...init, headers, signal });
  };
}
