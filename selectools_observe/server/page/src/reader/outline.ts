/** From a run to its rows: which step stands inside which, and when each began. */

import type { Json, JsonObject, Outline, Parents, Step, Totals, Trace } from "../types";

const LONGEST_LABEL = 160;
const LATEST = 253_402_300_800; // the year 10000, seconds since 1970

/** The parents are the steps that each one stands inside of, as the package finds them. */
export function outlineOf(trace: Trace, characters: number, parents: Parents): Outline {
  const steps = trace.steps;
  const rows = rowsOf(steps, parents);
  const begins = beginningsOf(trace);
  const started = startOf(trace, begins);
  const start = Float64Array.from(rows.step, (index) => {
    return Math.max(0, ((begins[index] ?? started) - started) * 1000);
  });
  const duration = Float64Array.from(rows.step, (index) => milliseconds(steps[index]!));
  const drawn = duration.map((ms, row) => (marksEnd(steps[rows.step[row]!]!) ? 0 : ms));
  const span = spans(start, drawn, rows.beyond);
  const { work, length } = withoutGaps(start, drawn);
  const kinds = [...new Set(steps.map(typeOf))];
  const numbers = new Map(kinds.map((name, number) => [name, number]));
  return {
    run_id: String(trace.run_id),
    name: typeof trace.name === "string" ? trace.name : "",
    parent_run_id: typeof trace.parent_run_id === "string" ? trace.parent_run_id : null,
    started,
    metadata: isObject(trace.metadata) ? trace.metadata : {},
    characters,
    count: steps.length,
    step: Int32Array.from(rows.step),
    kinds,
    kind: Uint16Array.from(rows.step, (index) => numbers.get(typeOf(steps[index]!))!),
    label: rows.step.map((index) => labelOf(steps[index]!)),
    depth: Uint8Array.from(rows.depth, (depth) => Math.min(depth, 255)),
    beyond: Int32Array.from(rows.beyond),
    start,
    work,
    duration,
    span,
    error: Uint8Array.from(rows.step, (index) => Number(failed(steps[index]!))),
    clockLength: Math.max(largestEnd(start, span), toEnd(trace, started)),
    workLength: length,
    totals: totalsOf(steps),
  };
}

export function typeOf(step: Step): string {
  return typeof step.type === "string" ? step.type : "error";
}

export function failed(step: Step): boolean {
  return step.type === "error" || (step.error !== undefined && step.error !== null);
}

export function finite(value: Json | undefined): number | null {
  return typeof value === "number" && Number.isFinite(value) ? value : null;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function timeOf(step: Step): number | null {
  const seconds = finite(step.timestamp);
  return seconds !== null && seconds > 0 ? seconds : null;
}

function milliseconds(step: Step): number {
  return Math.max(0, finite(step.duration_ms) ?? 0);
}

function startOf(trace: Trace, begins: (number | null)[]): number {
  let earliest = Infinity;
  for (const begin of begins) earliest = Math.min(earliest, begin ?? Infinity);
  const declared = finite(trace.start_time as Json) ?? 0;
  if (earliest === Infinity) return declared;
  // A start of zero, or one after the first step, is no start.
  return declared > 0 && declared <= earliest ? declared : earliest;
}

/**
 * When each step began, seconds. Recorders that write a step once it is over stamp its end
 * (selectools does), others its beginning: it is what makes fewer neighbours overlap.
 */
function beginningsOf(trace: Trace): (number | null)[] {
  const { steps } = trace;
  const seconds = steps.map((step) => (marksEnd(step) ? 0 : milliseconds(step) / 1000));
  const times = steps.map(timeOf);
  const declared = finite(trace.start_time as Json) ?? 0;
  const slack = 0.002;
  let asBeginnings = 0;
  let asEnds = 0;
  let before = 0;
  for (let at = 0; at < steps.length; at++) {
    const time = times[at];
    if (time === null || time === undefined) continue;
    if (declared > 0 && time - seconds[at]! < declared - slack) asEnds++;
    const last = times[before];
    if (at > 0 && last !== null && last !== undefined) {
      if (last + seconds[before]! > time + slack) asBeginnings++;
      if (time - seconds[at]! < last - slack) asEnds++;
    }
    before = at;
  }
  const isEnd = asEnds < asBeginnings;
  return times.map((time, at) => (time === null ? null : isEnd ? time - seconds[at]! : time));
}

/** The end of a node repeats the duration of what it ends. */
function marksEnd(step: Step): boolean {
  return step.type === "graph_node_end" || step.type === "graph_parallel_end";
}

function labelOf(step: Step): string {
  const text = [step.tool_name, step.model, routing(step), step.node_name, step.summary, step.error];
  const found = text.find((value) => typeof value === "string" && value !== "");
  return typeof found === "string" ? found.slice(0, LONGEST_LABEL) : "";
}

function routing(step: Step): string | undefined {
  const { from_node: from, to_node: to } = step;
  return from || to ? `${String(from ?? "?")} → ${String(to ?? "?")}` : undefined;
}

function rowsOf(steps: Step[], parents: Parents): { step: number[]; depth: number[]; beyond: number[] } {
  const children: number[][] = [];
  const tops: number[] = [];
  steps.forEach((_, index) => (parents[index] == null ? tops : (children[parents[index]] ??= [])).push(index));
  const step: number[] = [];
  const depth: number[] = [];
  const beyond: number[] = [];
  // An explicit stack: a run may nest deeper than the engine lets functions call each other.
  const path: { row: number; left: number[] }[] = [{ row: -1, left: tops.reverse() }];
  while (path.length) {
    const top = path.at(-1)!;
    const next = top.left.pop();
    if (next === undefined) {
      if (top.row >= 0) beyond[top.row] = step.length;
      path.pop();
      continue;
    }
    depth.push(path.length - 1);
    path.push({ row: step.push(next) - 1, left: (children[next] ?? []).reverse() });
  }
  return { step, depth, beyond };
}

function spans(start: Float64Array, duration: Float64Array, beyond: number[]): Float64Array {
  const span = duration.slice();
  // Backwards, so that what a row holds is done before the row; each child is looked at once.
  for (let row = span.length - 1; row >= 0; row--) {
    for (let inner = row + 1; inner < beyond[row]!; inner = beyond[inner]!) {
      span[row] = Math.max(span[row]!, start[inner]! + span[inner]! - start[row]!);
    }
  }
  return span;
}

function withoutGaps(start: Float64Array, duration: Float64Array) {
  const order = Array.from(start.keys()).sort((one, other) => start[one]! - start[other]!);
  const work = new Float64Array(start.length);
  let busyUntil = 0;
  let gaps = 0;
  for (const row of order) {
    gaps += Math.max(0, start[row]! - busyUntil);
    work[row] = start[row]! - gaps;
    busyUntil = Math.max(busyUntil, start[row]! + duration[row]!);
  }
  return { work, length: busyUntil - gaps };
}

function largestEnd(start: Float64Array, span: Float64Array): number {
  let end = 0;
  start.forEach((begin, row) => (end = Math.max(end, begin + span[row]!)));
  return end;
}

/** Milliseconds until the run says that it ended; 0 if it does not, or not when it began. */
function toEnd(trace: Trace, started: number): number {
  const ended = finite(trace.end_time as Json) ?? 0;
  return started > 0 && ended < LATEST ? (ended - started) * 1000 : 0;
}

function totalsOf(steps: Step[]): Totals {
  const sum = (name: string) => steps.reduce((all, step) => all + (finite(step[name]) ?? 0), 0);
  const names = (name: string) =>
    [...new Set(steps.map((step) => step[name]))].filter((value) => typeof value === "string");
  return {
    duration_ms: sum("duration_ms"),
    prompt_tokens: sum("prompt_tokens"),
    completion_tokens: sum("completion_tokens"),
    cost_usd: sum("cost_usd"),
    isEstimate: steps.some((step) => isObject(step.cost_estimate)),
    errors: steps.filter(failed).length,
    models: names("model"),
    tools: names("tool_name"),
  };
}
