/** From a run to its rows: which step stands inside which, and when each began. */

import type { Json, JsonObject, Outline, Step, Totals, Trace } from "../types";

const LONGEST_LABEL = 160;

export function outlineOf(trace: Trace, characters: number): Outline {
  const steps = trace.steps;
  const rows = rowsOf(parentsOf(steps));
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
    clockLength: largestEnd(start, span),
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

interface Open {
  index: number;
  node: string | null;
  branches: Set<string>;
}

/** The step that each step stands inside, or -1. */
export function parentsOf(steps: Step[]): Int32Array {
  const parents = new Int32Array(steps.length).fill(-1);
  const bySpan = spanIndex(steps);
  const open: Open[] = [];
  steps.forEach((step, index) => {
    const type = typeOf(step);
    const named = bySpan?.get(spanOf(step)?.parent ?? "") ?? outerStep(step, index);
    parents[index] = named !== undefined && named !== index ? named : groupOf(open, step, type);
    if (type === "graph_node_start" || type === "graph_parallel_start") {
      open.push({ index, node: textOrNull(step.node_name), branches: branchesOf(step) });
    } else if (type === "graph_node_end") {
      close(open, (group) => group.node === textOrNull(step.node_name));
    } else if (type === "graph_parallel_end") {
      close(open, (group) => group.branches.size > 0 || group.node === textOrNull(step.node_name));
    }
  });
  if (bySpan) breakCycles(parents);
  return parents;
}

/** Where spans are named, the names say what stands inside what. */
function spanIndex(steps: Step[]): Map<string, number> | null {
  const found = new Map<string, number>();
  steps.forEach((step, index) => {
    const span = spanOf(step);
    if (span && !span.isEnd) found.set(span.id, index);
  });
  return found.size ? found : null;
}

/** The step that the recorder says this one happened in: its number, from 1. */
function outerStep(step: Step, index: number): number | undefined {
  const number = step.parent_step;
  return typeof number === "number" && Number.isInteger(number) && number > 0 && number <= index
    ? number - 1
    : undefined;
}

/** What the OpenTelemetry and OpenAI Agents integrations keep of a step's span. */
function spanOf(step: Step): { id: string; parent: string | null; isEnd: boolean } | null {
  for (const kept of [step.otel, step.openai]) {
    if (!isObject(kept) || typeof kept.span_id !== "string") continue;
    const isEnd = kept.end === true;
    // An end stands inside its start.
    const parent = isEnd ? kept.span_id : (kept.parent_span_id ?? kept.parent_id);
    return { id: kept.span_id, parent: typeof parent === "string" ? parent : null, isEnd };
  }
  return null;
}

function groupOf(open: Open[], step: Step, type: string): number {
  const node = textOrNull(step.node_name);
  if (node !== null) {
    for (let at = open.length - 1; at >= 0; at--) {
      const group = open[at]!;
      const inside = type === "graph_node_start" ? group.branches.has(node) : group.node === node;
      if (inside) return group.index;
    }
  }
  return open.at(-1)?.index ?? -1;
}

function close(open: Open[], isIt: (group: Open) => boolean): void {
  const at = open.findLastIndex(isIt);
  if (at >= 0) open.splice(at, 1);
}

function branchesOf(step: Step): Set<string> {
  return new Set(Array.isArray(step.children) ? step.children.map(String) : []);
}

function textOrNull(value: Json | undefined): string | null {
  return typeof value === "string" ? value : null;
}

/** A span that names itself as its own ancestor stands at the top. */
function breakCycles(parents: Int32Array): void {
  const seen = new Int32Array(parents.length).fill(-1);
  for (let first = 0; first < parents.length; first++) {
    for (let at = first; at >= 0 && seen[at]! < 0; at = parents[at]!) {
      seen[at] = first;
      const next = parents[at]!;
      if (next >= 0 && seen[next] === first) parents[at] = -1;
    }
  }
}

function rowsOf(parents: Int32Array): { step: number[]; depth: number[]; beyond: number[] } {
  const children: number[][] = [];
  const tops: number[] = [];
  parents.forEach((parent, index) => (parent < 0 ? tops : (children[parent] ??= [])).push(index));
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
