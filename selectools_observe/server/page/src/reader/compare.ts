/**
 * Two runs beside each other, as the package's `analytics.compare` lays them: when a step ran, how
 * long it took and what it cost are no differences.
 */

import { diffWordsWithSpace } from "diff";
import type { Comparison, Delta, DiffPart, FieldDifference, Json, Outline, Step, Turn } from "../types";
import { isObject } from "./outline";

const COMPARED = [
  "type", "tool_name", "tool_args", "tool_result", "model", "input", "output", "reasoning", "error",
  "node_name", "step_number", "interrupt_key", "from_node", "to_node", "children",
];
// What only `step_contents.py` of the package says at length: a summary counts where it is all there is, and
// fields of other programs count by their own names.
const CONTENT = ["tool_args", "tool_result", "input", "output", "reasoning", "error", "children"];
const OF_CAPTURE = new Set([...COMPARED, "summary", "otel", "cost_estimate"]);
const OF_THE_RUN = /(?:^|[._-])(?:id|ids|uuid|time|timestamp|at|date|duration|latency)$/i;
const KIND = ["type", "tool_name", "node_name", "from_node", "to_node"];
const LONGEST_TO_MARK = 20_000;
const MOST_CELLS = 500_000;
const PAIR = 1 << 20;

type Place = [number, number];

/** Steps as `contentsOf` gives them. */
export function compareSteps(left: Step[], right: Step[]): Omit<Comparison, "runFields" | "deltas"> {
  const [ours, theirs] = [left, right].map((steps) => steps.map((step) => JSON.stringify(ordered(step)))) as [string[], string[]];
  const places = aligned(left, right, ours, theirs);
  return rowsOf(places, ([one, other]) => {
    if (one < 0) return 3;
    if (other < 0) return 2;
    return ours[one] === theirs[other] ? 0 : 1;
  });
}

/** A step by what it did: its messages in one shape, text that is JSON read. */
export function contentsOf(steps: Step[], turns: Turn[]): Step[] {
  const said: { input: Json[]; output: Json[] }[] = steps.map(() => ({ input: [], output: [] }));
  for (const turn of turns) {
    const at = said[turn.step];
    if (!at || steps[turn.step]!.type === "tool_execution") continue;
    if (turn.kind === "tool") at.output.push({ name: turn.name ?? "", arguments: decoded(turn.arguments) });
    else if (turn.kind === "message") {
      const message = { role: turn.role ?? "", parts: (turn.parts ?? []) as unknown as Json };
      (turn.role === "assistant" ? at.output : at.input).push(message);
    }
  }
  return steps.map((step, at) => {
    const content: Step = {};
    for (const name of COMPARED) {
      const isSaid = name === "input" || name === "output";
      const messages = isSaid ? said[at]![name] : [];
      const value = isSaid && messages.length ? messages : isSaid && step.type !== "tool_execution" ? null : decoded(step[name]);
      if (value !== null) content[name] = value;
    }
    if (step.summary && !CONTENT.some((name) => Object.hasOwn(content, name))) content.summary = step.summary;
    for (const [name, value] of Object.entries(step)) {
      if (OF_CAPTURE.has(name) || OF_THE_RUN.test(name) || typeof value === "number" || value === null) continue;
      content[name] = decoded(value);
    }
    return content;
  });
}

function decoded(value: Json | undefined): Json {
  if (typeof value !== "string" || !/^\s*[[{]/.test(value) || value.length > 1_000_000) return value ?? null;
  try {
    return JSON.parse(value) as Json;
  } catch {
    return value;
  }
}

export interface ServedComparison {
  pairs: { one: number | null; other: number | null; fields: string[] }[];
  run_fields: string[];
  deltas: Delta[];
}

/** The service's answer as rows. */
export function comparisonOf({ pairs, run_fields, deltas }: ServedComparison): Comparison {
  const places = pairs.map(({ one, other }): Place => [one ?? -1, other ?? -1]);
  const rows = rowsOf(places, ([one, other], at) =>
    one < 0 ? 3 : other < 0 ? 2 : Number(pairs[at]!.fields.length > 0),
  );
  return { ...rows, runFields: run_fields, deltas };
}

/** The numbers of a run in a file, by the names that the service has for them. */
export function metricsOf(outline: Outline): Record<string, number | null> {
  const { totals, kinds, kind } = outline;
  const calls = (type: string) => kind.reduce((all, one) => all + Number(kinds[one] === type), 0);
  return {
    steps: outline.count,
    errors: totals.errors,
    llm_calls: calls("llm_call"),
    tool_calls: calls("tool_execution"),
    prompt_tokens: totals.prompt_tokens,
    completion_tokens: totals.completion_tokens,
    cost_usd: totals.cost_usd || null,
    duration_ms: totals.duration_ms,
    wall_ms: outline.clockLength,
  };
}

export function deltasBetween(one: Record<string, number | null>, other: Record<string, number | null>): Delta[] {
  return Object.keys(one).map((name) => {
    const [left, right] = [one[name]!, other[name]!];
    const change = left === null || right === null ? null : right - left;
    return { name, left, right, change, ratio: change === null || !left ? null : change / left };
  });
}

function rowsOf(places: Place[], stateOf: (place: Place, at: number) => number) {
  const state = Uint8Array.from(places, stateOf);
  const counts: [number, number, number, number] = [0, 0, 0, 0];
  for (const one of state) counts[one as 0]++;
  return {
    left: Int32Array.from(places, ([one]) => one),
    right: Int32Array.from(places, ([, other]) => other),
    state,
    first: state.findIndex((one) => one !== 0),
    counts,
  };
}

/** All steps in order, counterparts together: steps of one kind, as many as can be in this order. */
function aligned(left: Step[], right: Step[], ours: string[], theirs: string[]): Place[] {
  const kinds = left.map((step) => contentOf(step, KIND));
  const others = right.map((step) => contentOf(step, KIND));
  const shorter = Math.min(kinds.length, others.length);
  let head = 0;
  while (head < shorter && kinds[head] === others[head]) head++;
  let tail = 0;
  while (tail < shorter - head && kinds.at(-1 - tail) === others.at(-1 - tail)) tail++;
  const table = new Table(kinds, others, ours, theirs, head, tail);
  const places: Place[] = [];
  for (let at = 0; at < head; at++) places.push([at, at]);
  for (const place of table.best()) places.push(place);
  for (let at = tail; at > 0; at--) places.push([left.length - at, right.length - at]);
  return places;
}

/** The best alignment by dynamic programming, in a band about the diagonal. */
class Table {
  private readonly scores: Float64Array[] = [];
  private readonly slope: number;
  private readonly reach: number;
  private readonly rows: number;
  private readonly columns: number;

  constructor(
    private readonly kinds: string[],
    private readonly others: string[],
    private readonly ours: string[],
    private readonly theirs: string[],
    private readonly head: number,
    tail: number,
  ) {
    this.rows = kinds.length - head - tail;
    this.columns = others.length - head - tail;
    this.slope = this.rows ? this.columns / this.rows : 0;
    const narrowest = Math.trunc(this.slope) + 2;
    this.reach = Math.max(narrowest, Math.floor(MOST_CELLS / (2 * (this.rows + 1))));
  }

  best(): Place[] {
    this.fill();
    const places: Place[] = [];
    let row = 0;
    let column = 0;
    while (row < this.rows && column < this.columns) {
      const here = this.score(row, column);
      if (here === this.ifPaired(row, column)) places.push(this.moved(row++, column++));
      else if (here === this.score(row + 1, column)) places.push(this.moved(row++, -1));
      else places.push(this.moved(-1, column++));
    }
    while (row < this.rows) places.push(this.moved(row++, -1));
    while (column < this.columns) places.push(this.moved(-1, column++));
    return places;
  }

  private fill(): void {
    for (let row = this.rows - 1; row >= 0; row--) {
      const [first, last] = this.band(row);
      const scores = new Float64Array(Math.max(0, last - first + 1));
      let beside = 0;
      for (let column = last; column >= first; column--) {
        beside = Math.max(beside, this.score(row + 1, column), this.ifPaired(row, column));
        scores[column - first] = beside;
      }
      this.scores[row] = scores;
    }
  }

  private band(row: number): [number, number] {
    const middle = Math.trunc(row * this.slope);
    return [Math.max(0, middle - this.reach), Math.min(this.columns - 1, middle + this.reach)];
  }

  private score(row: number, column: number): number {
    if (row >= this.rows) return 0;
    const [first, last] = this.band(row);
    return first <= column && column <= last ? this.scores[row]![column - first]! : 0;
  }

  private ifPaired(row: number, column: number): number {
    const [one, other] = [row + this.head, column + this.head];
    if (this.kinds[one] !== this.others[other]) return -1;
    // An equal pair counts for a little more; so little that it never costs another pair.
    return PAIR + Number(this.ours[one] === this.theirs[other]) + this.score(row + 1, column + 1);
  }

  private moved(one: number, other: number): Place {
    return [one < 0 ? -1 : one + this.head, other < 0 ? -1 : other + this.head];
  }
}

/** One value that differs; a side that is not there is left out. */
export interface Difference {
  field: string;
  path?: string;
  left?: Json;
  right?: Json;
}

const MOST_DIFFERENCES = 500;

/** Two steps, as `contentsOf` gives them, key by key. */
export function differencesOf(left: Step, right: Step): Difference[] {
  const found: Difference[] = [];
  const between = (field: string, path: string, one: Json | undefined, other: Json | undefined) => {
    if (found.length >= MOST_DIFFERENCES || same(one, other)) return;
    if (isObject(one) && isObject(other)) {
      for (const key of new Set([...Object.keys(one), ...Object.keys(other)])) {
        const inner = /^[A-Za-z_][\w-]*$/.test(key) ? (path ? `${path}.${key}` : key) : `${path}[${JSON.stringify(key)}]`;
        between(field, inner, one[key], other[key]);
      }
    } else if (Array.isArray(one) && Array.isArray(other)) {
      for (let at = 0; at < Math.max(one.length, other.length); at++) between(field, `${path}[${at}]`, one[at], other[at]);
    } else {
      found.push({ field, path, ...(one === undefined ? {} : { left: one }), ...(other === undefined ? {} : { right: other }) });
    }
  };
  for (const name of new Set([...COMPARED, ...Object.keys(left), ...Object.keys(right)])) between(name, "", left[name], right[name]);
  return found;
}

/** What is shown of a difference: its place, and both texts as one. */
export function shownOf({ field, path = "", left, right }: Difference): FieldDifference {
  const name = path ? `${field}${path.startsWith("[") ? "" : "."}${path}` : field;
  const [one, other] = [left, right].map((value) =>
    value === undefined ? "" : typeof value === "string" ? value : JSON.stringify(value, null, 2),
  ) as [string, string];
  if (one.length + other.length > LONGEST_TO_MARK) return { name, ...longDifference(one, other) };
  const parts = diffWordsWithSpace(one, other).map((part): DiffPart => {
    return { text: part.value, side: part.added ? 1 : part.removed ? -1 : 0 };
  });
  return { name, parts, note: null };
}

function contentOf(step: Step, names: string[]): string {
  return JSON.stringify(names.map((name) => ordered(step[name] ?? null)));
}

function same(one: unknown, other: unknown): boolean {
  return JSON.stringify(ordered(one ?? null)) === JSON.stringify(ordered(other ?? null));
}

/** The same value with the keys of its objects sorted, as far down as arguments go. */
function ordered(value: unknown, depth = 0): unknown {
  if (typeof value !== "object" || value === null || depth > 50) return value;
  if (Array.isArray(value)) return value.map((inner) => ordered(inner, depth + 1));
  const entries = Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1));
  return entries.map(([key, inner]) => [key, ordered(inner, depth + 1)]);
}

function longDifference(one: string, other: string) {
  const shorter = Math.min(one.length, other.length);
  let at = 0;
  while (at < shorter && one[at] === other[at]) at++;
  const from = Math.max(0, at - 200);
  const parts: DiffPart[] = [
    { text: one.slice(from, at), side: 0 },
    { text: one.slice(at, at + 400), side: -1 },
    { text: other.slice(at, at + 400), side: 1 },
  ];
  const sizes = `${one.length.toLocaleString("en")} and ${other.length.toLocaleString("en")}`;
  return {
    parts,
    note: `Texts of ${sizes} characters; the first difference is at character ${(at + 1).toLocaleString("en")}.`,
  };
}
