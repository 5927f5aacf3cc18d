// What is seen of a chart, kept while its bars become others: the stretch that somebody looks at, or the newest bars.

import { placeOf, type Row } from "./stream";

const STEPS = 20;

export interface Range {
  from: number;
  to: number;
}

/** The time from bar to bar, s: the shortest of the last few, as a market that was closed makes longer ones. */
export function stepOf(times: readonly number[]): number {
  const last = times.slice(-STEPS - 1);
  return last.slice(1).reduce((least, time, at) => Math.min(least, time - (last[at] ?? 0)), Infinity);
}

/** Where the bars that are seen lie among others; the newest one stays as far from the edge as it is. Null where none is among them. */
export function keptSight(seen: Range, before: readonly number[], rows: readonly Row[]): Range | null {
  const [first, newest] = [before[0] ?? Infinity, before.length - 1];
  const times = rows.map((row) => row[0] ?? 0);
  const isOther = first > (times.at(-1) ?? -Infinity) || (before[newest] ?? 0) < (times[0] ?? Infinity) || stepOf(before) !== stepOf(times);
  if (isOther) return null;
  const at = Math.max(0, Math.ceil(seen.from));
  const shift = seen.to >= newest ? rows.length - before.length : placeOf(rows, before[at] ?? Infinity) - at;
  return { from: seen.from + shift, to: seen.to + shift };
}
