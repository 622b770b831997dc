/** Totals and percentiles: what the service tells, and the same reckoned from a file's own runs. */

import type { Step, Summary } from "../types";
import { failed, finite, typeOf } from "./outline";

export interface Spread {
  count: number;
  total: number;
  mean: number;
  min: number;
  p50: number;
  p90: number;
  p95: number;
  p99: number;
  max: number;
}

export interface Group {
  key: string;
  start: string | null;
  runs: number;
  calls: number;
  errors: number;
  prompt_tokens: number;
  completion_tokens: number;
  cost_usd: Spread;
  duration_ms: Spread;
  tokens: Spread;
  /** Of a day or an hour: what the calls of each model add up to. */
  models?: Record<string, ModelUse>;
}

export interface ModelUse {
  calls: number;
  prompt_tokens: number;
  completion_tokens: number;
  /** Null where no call says what it cost. */
  cost_usd: number | null;
}

export interface Statistics {
  warning?: string;
  /** How many runs were read, and how many match. */
  runs: number;
  matching_runs: number;
  total: Group;
  days: Group[];
  hours?: Group[];
  models: Group[];
  tools: Group[];
  groups?: Record<string, Group[]>;
  /** By name: what the newest annotations of the runs say together. */
  annotations?: Record<string, { runs: number; score: Spread; labels: Record<string, number> }>;
}

class Builder {
  runs = 0;
  calls = 0;
  errors = 0;
  prompt = 0;
  completion = 0;
  readonly costs: number[] = [];
  readonly durations: number[] = [];
  readonly tokens: number[] = [];
  readonly models = new Map<string, ModelUse>();

  constructor(
    readonly key: string,
    readonly start: string | null = null,
  ) {}

  take(prompt: number, completion: number, cost: number | null, ms: number, isError: boolean, calls = 1) {
    this.calls += calls;
    this.errors += Number(isError);
    this.prompt += prompt;
    this.completion += completion;
    if (cost !== null) this.costs.push(cost);
    this.durations.push(ms);
    this.tokens.push(prompt + completion);
  }

  takeUse(model: string, prompt: number, completion: number, cost: number | null) {
    const use = this.models.get(model) ?? { calls: 0, prompt_tokens: 0, completion_tokens: 0, cost_usd: null };
    this.models.set(model, use);
    use.calls++;
    use.prompt_tokens += prompt;
    use.completion_tokens += completion;
    if (cost !== null) use.cost_usd = (use.cost_usd ?? 0) + cost;
  }

  built(): Group {
    return {
      key: this.key,
      start: this.start,
      runs: this.runs,
      calls: this.calls,
      errors: this.errors,
      prompt_tokens: this.prompt,
      completion_tokens: this.completion,
      cost_usd: spreadOf(this.costs),
      duration_ms: spreadOf(this.durations),
      tokens: spreadOf(this.tokens),
      models: Object.fromEntries(this.models),
    };
  }
}

export async function statisticsOf(
  summaries: Summary[],
  stepsOf: (runId: string) => Promise<Step[]>,
  by: string[] = [],
  keysOf: (run: Summary, by: string) => string[] = () => [],
): Promise<Statistics> {
  const total = new Builder("");
  const days = new Map<string, Builder>();
  const hours = new Map<string, Builder>();
  const models = new Map<string, Builder>();
  const tools = new Map<string, Builder>();
  const groups = new Map(by.map((name) => [name, new Map<string, Builder>()]));
  for (const run of summaries) {
    const over = [startOf(days, run, "day"), startOf(hours, run, "hour")];
    const own = [...groups].flatMap(([name, of]) => keysOf(run, name).map((key) => named(of, key)));
    for (const builder of [total, ...over, ...own]) {
      builder.runs++;
      const { prompt_tokens: prompt, completion_tokens: completion, cost_usd: cost } = run;
      builder.take(prompt, completion, cost, run.total_ms, run.has_error, run.steps);
    }
    addSteps(await stepsOf(run.run_id), models, tools, over);
  }
  return {
    runs: summaries.length,
    matching_runs: summaries.length,
    total: total.built(),
    days: byTime(days),
    hours: byTime(hours),
    models: byCalls(models),
    tools: byCalls(tools),
    groups: Object.fromEntries([...groups].map(([name, of]) => [name, byCalls(of)])),
    annotations: judgedOf(summaries),
  };
}

function judgedOf(summaries: Summary[]): NonNullable<Statistics["annotations"]> {
  const found = new Map<string, { runs: number; scores: number[]; labels: Map<string, number> }>();
  for (const { name, score, label } of summaries.flatMap((run) => Object.values(run.annotations ?? {}))) {
    const one = found.get(name) ?? { runs: 0, scores: [], labels: new Map<string, number>() };
    found.set(name, one);
    one.runs++;
    if (score != null) one.scores.push(score);
    if (label != null) one.labels.set(label, (one.labels.get(label) ?? 0) + 1);
  }
  return Object.fromEntries(
    [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, { runs, scores, labels }]) => [
      name,
      { runs, score: spreadOf(scores), labels: Object.fromEntries([...labels].sort((a, b) => b[1] - a[1])) },
    ]),
  );
}

function addSteps(steps: Step[], models: Map<string, Builder>, tools: Map<string, Builder>, over: Builder[]): void {
  const met = new Set<Builder>();
  for (const step of steps) {
    const { model, tool_name: tool } = step;
    const of: Builder[] = [];
    if (typeof model === "string") of.push(named(models, model));
    if (typeof tool === "string" && typeOf(step) !== "tool_selection") of.push(named(tools, tool));
    for (const builder of of) {
      if (!met.has(builder)) builder.runs++;
      met.add(builder);
      const number = (name: string) => Math.max(0, finite(step[name]) ?? 0);
      const [prompt, completion] = [number("prompt_tokens"), number("completion_tokens")];
      const cost = finite(step.cost_usd) === null ? null : number("cost_usd");
      builder.take(prompt, completion, cost, number("duration_ms"), failed(step));
      if (builder === of[0] && typeof model === "string") over.forEach((one) => one.takeUse(model, prompt, completion, cost));
    }
  }
}

/** The day or hour, of the reader's zone, in which a run began. */
function startOf(builders: Map<string, Builder>, run: Summary, over: "day" | "hour"): Builder {
  const start = new Date(run.started_at ?? run.created_at);
  start.setMinutes(0, 0, 0);
  if (over === "day") start.setHours(0);
  const two = (value: number) => String(value).padStart(2, "0");
  const day = `${start.getFullYear()}-${two(start.getMonth() + 1)}-${two(start.getDate())}`;
  return named(builders, over === "day" ? day : `${day}T${two(start.getHours())}:00`, start.toISOString());
}

function byTime(builders: Map<string, Builder>): Group[] {
  return [...builders.values()].sort((a, b) => (a.start! < b.start! ? -1 : 1)).map((one) => one.built());
}

function named(builders: Map<string, Builder>, key: string, start: string | null = null): Builder {
  const known = builders.get(key) ?? new Builder(key, start);
  builders.set(key, known);
  return known;
}

function byCalls(builders: Map<string, Builder>): Group[] {
  const groups = [...builders.values()].map((one) => one.built());
  return groups.sort((a, b) => b.calls - a.calls || (a.key < b.key ? -1 : 1));
}

function spreadOf(values: number[]): Spread {
  const sorted = Float64Array.from(values).sort();
  const total = sorted.reduce((sum, value) => sum + value, 0);
  const at = (share: number) => sorted[Math.max(1, Math.ceil(share * sorted.length)) - 1] ?? 0;
  return {
    count: sorted.length,
    total,
    mean: sorted.length ? total / sorted.length : 0,
    min: sorted[0] ?? 0,
    p50: at(0.5),
    p90: at(0.9),
    p95: at(0.95),
    p99: at(0.99),
    max: sorted.at(-1) ?? 0,
  };
}
