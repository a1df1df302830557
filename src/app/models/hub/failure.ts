import { HubApiError } from "@huggingface/hub";
import { UserError } from "../../../tensor/errors.ts";

/** A server's answer other than the file. */
export class AnswerError extends Error {
  constructor(readonly status: number) {
    super(`the answer was ${status}`);
  }
}

/** A connection that ended before the file did, although the server did not say so. */
export class EarlyEndError extends Error {}

/** Faults of the network and of a busy server: the same request may succeed later. */
export function isPassing(error: unknown): boolean {
  const status = statusOf(error);
  return status === null ? isNetworkFault(error) : status === 429 || status >= 500;
}

/** `fetch` throws TypeErrors for everything, those of the network with a cause. */
function isNetworkFault(error: unknown): boolean {
  return error instanceof EarlyEndError || (error instanceof TypeError && error.cause instanceof Error);
}

/** A UserError for what the Hub answers; anything else is returned as it is. */
export function explainHubFailure(error: unknown, repo: string, hubUrl: string): unknown {
  if (error instanceof UserError) return error;
  const status = statusOf(error);
  if (status !== null) return new UserError(`${repo}: ${meaningOf(status, repo, hubUrl)}`, { cause: error });
  if (isNetworkFault(error)) {
    const reason = `${hubUrl} cannot be reached (${reasonOf(error)})`;
    return new UserError(`${reason}; look to the network, or name a mirror with HF_ENDPOINT`, {
      cause: error,
    });
  }
  // Something other than the expected JSON.
  if (!(error instanceof TypeError || error instanceof SyntaxError)) return error;
  return new UserError(`${hubUrl} does not answer as the Hub does: ${error.message}`, { cause: error });
}

/** Why a request failed: what `fetch` says itself is always the same. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.cause instanceof Error) return reasonOf(error.cause);
  const { code } = error as NodeJS.ErrnoException;
  return error.message || code || error.name;
}

function statusOf(error: unknown): number | null {
  if (error instanceof AnswerError) return error.status;
  return error instanceof HubApiError ? error.statusCode : null;
}

function meaningOf(status: number, repo: string, hubUrl: string): string {
  if (status === 401) return "the Hub wants to know who asks (401); set HF_TOKEN to a token that may read it";
  if (status === 403)
    return `the Hub refuses it (403); accept its terms at ${hubUrl}/${repo} and set HF_TOKEN`;
  if (status === 404) return `${hubUrl} has no such model or file (404)`;
  return `${hubUrl} answered ${status}; try again later`;
}
