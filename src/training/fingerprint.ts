/** A fingerprint is JSON of all that determines a run; this says in words how two of them differ. */

const MAX_NAMED = 5;

/** "learningRate.peak was 0.001 and is 0.002, …", or both texts when one of them is no JSON object. */
export function describeDifference(was: string, is: string): string {
  const [before, after] = [parseObject(was), parseObject(is)];
  if (!before || !after) return `it was started as ${shorten(was)}, this is ${shorten(is)}`;
  const differences = differencesOf("", before, after);
  const named = differences.slice(0, MAX_NAMED).join(", ");
  return differences.length > MAX_NAMED ? `${named} and ${differences.length - MAX_NAMED} more` : named;
}

function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function differencesOf(path: string, was: unknown, is: unknown): string[] {
  if (isObject(was) && isObject(is)) {
    const names = new Set([...Object.keys(was), ...Object.keys(is)]);
    return [...names].flatMap((name) =>
      differencesOf(path === "" ? name : `${path}.${name}`, was[name], is[name]),
    );
  }
  const [before, after] = [was, is].map((value) => shorten(JSON.stringify(value) ?? "unset"));
  return JSON.stringify(was) === JSON.stringify(is) ? [] : [`${path} was ${before} and is ${after}`];
}

const MAX_LENGTH = 100;

function shorten(text: string): string {
  return text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH)}…` : text;
}
