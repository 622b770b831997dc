/**
 * Into the midst of a long list, without reading the rows before it.
 *
 * Lists are read from cursor to cursor, newest first. Histograms tell about when a row was saved,
 * and a count tells exactly how many rows are newer than that time: there the list can be entered.
 */

import type { Query } from "../http";
import type { Source } from "../source";

export interface Entry {
  /** Which row stands first there. */
  row: number;
  /** The list is asked for what was saved until then. */
  until: string;
}

const BUCKETS = 500;
const NARROW_ENOUGH = 500;
const DEEPEST = 4;

/** An entry shortly before the row; null if time does not tell the runs apart. */
export async function entryBefore(
  source: Source,
  query: Query,
  newest: string,
  row: number,
  signal: AbortSignal,
): Promise<Entry | null> {
  const time = await timeOf(source, { ...query, until: newest }, row, signal);
  if (time === null || time > Date.parse(newest)) return null;
  const since = new Date(time).toISOString();
  const before = await source.count({ ...query, since, until: newest }, signal);
  // Bounds are inclusive, and no clock here is finer than a microsecond.
  const until = new Date(time - 1).toISOString().replace("Z", "999Z");
  return before <= row ? { row: before, until } : null;
}

/** A time, milliseconds, shortly after that at which the row was saved. */
async function timeOf(source: Source, query: Query, row: number, signal: AbortSignal) {
  let span: Query = {};
  let newer = 0;
  let found: number | null = null;
  for (let depth = 0; depth < DEEPEST; depth++) {
    const parts = await source.histogram({ ...query, ...span, buckets: BUCKETS, time: "created_at" }, signal);
    if (!parts.since || !parts.runs.length) return found;
    let at = parts.runs.length - 1;
    while (at > 0 && newer + parts.runs[at]! <= row) newer += parts.runs[at--]!;
    const begin = Date.parse(parts.since) + at * parts.bucket_ms;
    found = Math.ceil(begin + parts.bucket_ms);
    if (parts.runs[at]! <= NARROW_ENOUGH || parts.bucket_ms < 2) return found;
    span = { since: new Date(Math.floor(begin)).toISOString(), until: new Date(found).toISOString() };
  }
  return found;
}
