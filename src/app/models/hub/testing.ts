/** For tests: a server that answers as the Hub does, with files on a second host as the Hub has them, and faults. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readdir, readFile, stat } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";

/** Files longer than this lie on the second host, with a SHA-256. */
const LARGE_BYTES = 2_000;
/** Entries of a listing's page. */
const PAGE = 5;

/** What goes wrong, by path of a file. */
export interface HubFaults {
  /** The connection ends when so many bytes of the file have been sent, counted from its beginning; so often. */
  readonly cutAt?: ReadonlyMap<string, { readonly byte: number; times: number }>;
  /** Bytes that differ from those the digest was made of. */
  readonly corrupt?: ReadonlySet<string>;
  /** Whole files whatever range is asked for. */
  readonly ignoresRanges?: boolean;
  /** Answers 503 to so many requests for files. */
  busy?: number;
  /** What stands in a listing in place of the truth. */
  readonly listed?: (entry: HubEntry) => HubEntry;
}

export interface HubEntry {
  readonly type: string;
  readonly path: string;
  readonly size: number;
  readonly oid: string;
  readonly lfs?: { readonly oid: string; readonly size: number; readonly pointerSize: number };
}

export interface TestHub {
  readonly url: string;
  /** Requests for bytes: "PATH RANGE". */
  readonly requests: string[];
  /** Authorization of every request, by host. */
  readonly tokens: { readonly hub: Set<string>; readonly files: Set<string> };
  faults: HubFaults;
  close(): Promise<void>;
}

/**
 * @param folders of each model's files
 * @param secret a token without which nothing is shown
 */
export async function startHub(
  folders: Readonly<Record<string, string>>,
  secret: string | null = null,
): Promise<TestHub> {
  const tokens = { hub: new Set<string>(), files: new Set<string>() };
  const requests: string[] = [];
  const files = await listen((request, response) => {
    tokens.files.add(request.headers.authorization ?? "");
    const [, repo, path] = /^\/bytes\/([^/]+\/[^/]+)\/(.+)$/.exec(request.url!)!;
    return sendFile(request, response, join(folders[repo!]!, path!), path!);
  });
  const hub = await listen(async (request, response) => {
    tokens.hub.add(request.headers.authorization ?? "");
    const { pathname, searchParams } = new URL(request.url!, "http://hub");
    if (secret !== null && request.headers.authorization !== `Bearer ${secret}`) {
      return sendJson(response, { error: "Invalid username or password." }, 401);
    }
    const [, api, repo, verb, revision, path] =
      /^(\/api\/models)?\/([^/]+\/[^/]+)\/(\w+)\/([^/]+)(?:\/(.+))?$/.exec(pathname) ?? [];
    const folder = repo === undefined ? undefined : folders[repo];
    if (folder === undefined) return sendJson(response, { error: "Repository not found" }, 404);
    const commit = commitOf(repo!);
    if (api && verb === "revision") {
      const facts = { _id: "1", id: repo, sha: commit, private: false, gated: false, downloads: 0, likes: 0 };
      return sendJson(response, { ...facts, lastModified: "2025-01-01T00:00:00.000Z" });
    }
    if (revision !== commit) return sendJson(response, { error: "Revision not found" }, 404);
    if (api && verb === "tree") {
      const entries = await listing(folder);
      const from = Number(searchParams.get("cursor") ?? 0);
      const next = `<http://${request.headers.host}${pathname}?recursive=true&cursor=${from + PAGE}>; rel="next"`;
      if (from + PAGE < entries.length) response.setHeader("Link", next);
      const page = entries.slice(from, from + PAGE);
      return sendJson(response, page.map(state.faults.listed ?? ((entry) => entry)));
    }
    const bytes = await readFile(join(folder, path!));
    if (bytes.length <= LARGE_BYTES) return sendFile(request, response, join(folder, path!), path!);
    const { port } = files.address() as AddressInfo;
    response.writeHead(302, {
      "X-Linked-ETag": `"${sha256(bytes)}"`,
      "X-Linked-Size": bytes.length,
      // Another name of the same machine: another host to those who ask.
      Location: `http://localhost:${port}/bytes/${repo}/${path}`,
    });
    response.end();
  });

  async function sendFile(
    { headers: { range } }: IncomingMessage,
    response: ServerResponse,
    file: string,
    path: string,
  ): Promise<void> {
    const { cutAt, corrupt, ignoresRanges } = state.faults;
    const probe = range === "bytes=0-0";
    if (!probe) requests.push(`${path} ${range ?? "whole"}`);
    if (!probe && state.faults.busy) {
      state.faults.busy--;
      response.writeHead(503).end();
      return;
    }
    let bytes: Buffer = await readFile(file);
    if (corrupt?.has(path))
      bytes = Buffer.from(bytes.map((byte, i) => (i === bytes.length - 1 ? byte ^ 1 : byte)));
    const [, from = 0, to = bytes.length - 1] = /^bytes=(\d+)-(\d+)?$/.exec(range ?? "") ?? [];
    const isPartial = range !== undefined && (probe || !ignoresRanges);
    const [begin, end] = isPartial ? [Number(from), Number(to) + 1] : [0, bytes.length];
    response.writeHead(isPartial ? 206 : 200, {
      ETag: `"${sha256(bytes)}"`,
      "Content-Length": end - begin,
      ...(isPartial && { "Content-Range": `bytes ${begin}-${end - 1}/${bytes.length}` }),
    });
    const cut = cutAt?.get(path);
    if (probe || !cut || cut.times === 0) {
      response.end(bytes.subarray(begin, end));
      return;
    }
    cut.times--;
    const rest = bytes.subarray(begin, Math.max(begin, cut.byte));
    if (rest.length === 0) response.flushHeaders();
    else await new Promise((sent) => response.write(rest, sent));
    // What was written must have left before the end.
    setTimeout(() => response.destroy(), 20);
  }

  const { port } = hub.address() as AddressInfo;
  const state: TestHub = {
    url: `http://127.0.0.1:${port}`,
    requests,
    tokens,
    faults: {},
    close: async () => {
      for (const server of [hub, files]) {
        server.closeAllConnections();
        server.close();
        await once(server, "close");
      }
    },
  };
  return state;
}

/** 40 digits that stand for a model's newest revision. */
export function commitOf(repo: string): string {
  return createHash("sha1").update(repo).digest("hex");
}

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

async function listing(folder: string): Promise<HubEntry[]> {
  const entries: HubEntry[] = [];
  for (const path of (await readdir(folder, { recursive: true })).sort()) {
    const found = await stat(join(folder, path));
    if (found.isDirectory()) {
      entries.push({ type: "directory", path, size: 0, oid: "0".repeat(40) });
      continue;
    }
    const bytes = await readFile(join(folder, path));
    const oid = createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");
    const file = { type: "file", path, size: bytes.length, oid };
    const isLarge = bytes.length > LARGE_BYTES;
    const lfs = { oid: sha256(bytes), size: bytes.length, pointerSize: 130 };
    entries.push(isLarge ? { ...file, lfs } : file);
  }
  return entries;
}

async function listen(
  answer: (request: IncomingMessage, response: ServerResponse) => Promise<void> | void,
): Promise<Server> {
  const server = createServer((request, response) => void answer(request, response));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

function sendJson(response: ServerResponse, value: unknown, status = 200): void {
  response.writeHead(status, { "Content-Type": "application/json" });
  response.end(JSON.stringify(value));
}
