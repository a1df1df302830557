/** Numbers as people read them. */

/** 1536 -> "1.5 KiB" */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let [value, unit] = [bytes, 0];
  while (value >= 1024 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** Counts in powers of a thousand: 1_563_000 -> "1.56 M" */
export function formatCount(count: number): string {
  if (count < 10_000) return `${Math.round(count)}`;
  const units = ["", " k", " M", " G", " T", " P", " E"];
  let [value, unit] = [count, 0];
  while (value >= 999.5 && unit < units.length - 1) [value, unit] = [value / 1000, unit + 1];
  return `${value.toPrecision(3)}${units[unit]}`;
}

/** 75_000 -> "1 min 15 s"; below ten seconds with a tenth. */
export function formatDuration(durationMs: number): string {
  if (durationMs < 9_950) return `${(durationMs / 1000).toFixed(1)} s`;
  const seconds = Math.round(durationMs / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

/** At most `digits` decimals, without trailing zeros: 23.976, 25, 12.5 */
export function formatNumber(value: number, digits = 3): string {
  return `${Number(value.toFixed(digits))}`;
}
