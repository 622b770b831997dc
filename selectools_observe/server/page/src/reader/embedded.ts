/** The list's questions, answered from a file that holds its runs: the API's meaning, in memory. */

import type { Query } from "../http";
import type { Facets, GroupPage, RunGroup } from "../source";
import type { Candidates, Json, JsonObject, Page, Summary } from "../types";
import { PageError } from "../errors";
import { conditionOfText, textCondition, wordsOfTrace } from "./language";
import { statisticsOf } from "./statistics";
import type { EmbeddedTraces } from "./traces";

/** What filters ask of a run beyond its summary. */
export interface Facts {
  tools: string[];
  models: string[];
  types: string[];
  failed_tools: string[];
  failed_models: string[];
  failed_types: string[];
}

export interface Block {
  summary: Summary & Facts;
  trace: string;
  /** The turns of its conversation, and how its steps nest, as JSON. */
  reading: string;
}

export class Embedded {
  private readonly summaries: (Summary & Facts)[];
  private readonly kept = new Map<string, string>();

  constructor(
    blocks: Block[],
    private readonly traces: EmbeddedTraces,
  ) {
    this.summaries = blocks.map((block) => block.summary);
    this.summaries.sort((one, other) => Date.parse(other.created_at) - Date.parse(one.created_at));
  }

  list(query: Query): Page & { total: number } {
    const found = inOrder(this.matching(query), query.order_by as string | undefined);
    const from = Number(query.cursor ?? 0) + Number(query.offset ?? 0);
    const to = from + Number(query.limit ?? 50);
    const next = to < found.length ? String(to) : null;
    return { traces: found.slice(from, to), next_cursor: next, total: found.length };
  }

  histogram(query: Query) {
    const found = this.matching(query);
    const isByStart = query.time !== "created_at";
    const times = found.map((run) => (isByStart ? began(run) : Date.parse(run.created_at)));
    const buckets = Number(query.buckets ?? 60);
    if (!found.length) return { since: null, until: null, bucket_ms: 0, runs: [], errors: [], total: 0 };
    const [from, to] = isByStart ? [query.started_since, query.started_until] : [query.since, query.until];
    const since = from ? Date.parse(String(from)) : least(times);
    const until = to ? Date.parse(String(to)) : -least(times.map((time) => -time));
    const width = Math.max(1, (until - since) / buckets);
    const runs = new Array<number>(buckets).fill(0);
    const errors = new Array<number>(buckets).fill(0);
    times.forEach((time, at) => {
      const bucket = Math.min(buckets - 1, Math.max(0, Math.floor((time - since) / width)));
      runs[bucket]!++;
      if (found[at]!.has_error) errors[bucket]!++;
    });
    return {
      since: new Date(since).toISOString(),
      until: new Date(until).toISOString(),
      bucket_ms: width,
      runs,
      errors,
      total: found.length,
    };
  }

  async stats(query: Query) {
    const { by, tz: _zone, ...filters } = query;
    const keys = [by ?? []].flat().map(String).filter((name) => !STEP_KEYS.has(name));
    const stepsOf = async (runId: string) => (await this.traces.full(runId)).steps;
    return statisticsOf(this.matching(filters), stepsOf, keys, keysOf);
  }

  /** Runs worth comparing with a run: of the same task, input, session or user. */
  candidates(runId: string): Candidates[] {
    const run = this.summaries.find((one) => one.run_id === runId);
    if (!run) return [];
    const others = this.summaries.filter((one) => one !== run);
    const groups: Candidates[] = [];
    const offer = (reason: string, key: string | null, value: Json | undefined, of: (one: Summary) => Json | undefined) => {
      if (value === undefined || value === null || typeof value === "object") return;
      const traces = others.filter((one) => of(one) === value).slice(0, 10);
      if (traces.length) groups.push({ reason, key, value, traces });
    };
    for (const key of TASK_KEYS) offer("task", key, run.metadata[key], (one) => one.metadata[key]);
    offer("input", null, run.input, (one) => one.input);
    offer("session", null, run.session_id, (one) => one.session_id);
    offer("user", null, run.user_id, (one) => one.user_id);
    return groups;
  }

  groups(query: Query): GroupPage {
    const { by, order_by: order = "-last", limit: _limit, ...filters } = query;
    const found = new Map<string, (Summary & Facts)[]>();
    for (const run of this.matching(filters).reverse()) {
      for (const key of keysOf(run, String(by))) found.set(key, [...(found.get(key) ?? []), run]);
    }
    const groups = [...found].map(([key, runs]) => groupOf(key, runs));
    const name = String(order).replace(/^-/, "");
    const read: Record<string, (group: RunGroup) => number | string> = {
      key: ({ key }) => key,
      first: ({ first_at }) => first_at,
      last: ({ last_at }) => last_at,
      tokens: (group) => group.prompt_tokens + group.completion_tokens,
      total_ms: ({ total_ms }) => total_ms.p50,
    };
    const value = read[name] ?? ((group: RunGroup) => group[name as "runs"]);
    const sign = String(order).startsWith("-") ? -1 : 1;
    groups.sort((one, other) => (value(one) < value(other) ? -sign : value(one) > value(other) ? sign : 0));
    return { groups, next_cursor: null };
  }

  facets(): Facets {
    const fields: Facets["fields"] = {};
    const metadata: Facets["metadata"] = {};
    const add = (to: Facets["fields"], name: string, of: unknown) => {
      const value = typeof of === "string" ? of : JSON.stringify(of);
      const facet = (to[name] ??= { runs: 0, values: [] });
      facet.runs++;
      const known = facet.values.find(([one]) => one === value);
      if (known) known[1]++;
      else if (facet.values.length < 100) facet.values.push([value, 1]);
    };
    for (const run of this.summaries) {
      for (const model of run.models) add(fields, "model", model);
      for (const tool of run.tools) add(fields, "tool", tool);
      for (const [key, value] of Object.entries(run.metadata)) if (Object.hasOwn(run.metadata, key)) add(metadata, key, value);
    }
    return { fields, metadata };
  }

  private inWords(text: string, isText: boolean): Condition {
    try {
      return isText ? textCondition(text, this.words) : conditionOfText(text, this.words);
    } catch (error) {
      throw new PageError("refused", (error as Error).message);
    }
  }

  /** Those of small runs are kept: they are asked for with each letter that is typed. */
  private readonly words = (run: Summary): string => {
    const known = this.kept.get(run.run_id);
    if (known !== undefined) return known;
    const words = wordsOfTrace(this.traces.stored(run.run_id));
    if (words.length < SMALL) this.kept.set(run.run_id, words);
    return words;
  };

  private matching(query: Query): (Summary & Facts)[] {
    const conditions = Object.entries(query).flatMap(([name, value]) => {
      if (name === "filter" || name === "text") return [this.inWords(String(value), name === "text")];
      const condition = value === undefined ? undefined : conditionOf(name, String(value));
      return condition ? [condition] : [];
    });
    return this.summaries.filter((summary) => conditions.every((holds) => holds(summary)));
  }
}

const SMALL = 200_000;

/** The runs by a number of theirs; those that have none come last, and newer ones first. */
function inOrder<Run extends Summary>(runs: Run[], order: string | undefined): Run[] {
  if (!order) return runs;
  const name = order.replace(/^-/, "");
  const sign = order.startsWith("-") ? -1 : 1;
  const read = (run: Run): number | null => {
    if (name === "tokens") return run.prompt_tokens + run.completion_tokens;
    if (name.startsWith("score.")) return run.annotations?.[name.slice("score.".length)]?.score ?? null;
    const value = run[name as keyof Summary];
    return typeof value === "string" ? Date.parse(value) : typeof value === "number" ? value : null;
  };
  return [...runs].sort((a, b) => {
    const [one, other] = [read(a), read(b)];
    if (one === null || other === null) return Number(one === null) - Number(other === null);
    return sign * (one - other);
  });
}

const TASK_KEYS = [
  "task_id", "task", "example_id", "dataset_item_id", "reference_example_id", "sample_id", "test_case",
  "case_id", "scenario", "question_id",
];

const STEP_KEYS = new Set(["model", "tool", "day", "hour"]);

function keysOf(run: Summary, by: string): string[] {
  if (by === "tag") return run.tags ?? [];
  const own: Record<string, string | null> = {
    session: run.session_id, user: run.user_id, name: run.name, agent: run.agent, outcome: run.outcome,
  };
  const key = by.replace(/^meta\./, "");
  const value = Object.hasOwn(own, by) ? own[by] : Object.hasOwn(run.metadata, key) ? run.metadata[key] : null;
  return value === null || value === undefined ? [] : [typeof value === "string" ? value : JSON.stringify(value)];
}

function groupOf(key: string, runs: Summary[]): RunGroup {
  const sum = (read: (run: Summary) => number) => runs.reduce((all, run) => all + read(run), 0);
  const times = runs.map((run) => run.started_at ?? run.created_at).sort();
  const durations = runs.map(({ total_ms }) => total_ms).sort((one, other) => one - other);
  return {
    key,
    runs: runs.length,
    errors: runs.filter(({ has_error }) => has_error).length,
    first_at: times[0]!,
    last_at: times.at(-1)!,
    prompt_tokens: sum((run) => run.prompt_tokens),
    completion_tokens: sum((run) => run.completion_tokens),
    cost_usd: sum((run) => run.cost_usd ?? 0),
    total_ms: { p50: durations[Math.ceil(durations.length / 2) - 1]! },
    first_input: runs[0]!.input,
    last_output: runs.at(-1)!.output,
  };
}

/** When a run began, or was saved where nothing tells. */
function began({ started_at, created_at }: Summary): number {
  return Date.parse(started_at ?? created_at);
}

type Condition = (summary: Summary & Facts) => boolean;

function conditionOf(name: string, value: string): Condition | undefined {
  if (name.startsWith("metadata.")) return metadataIs(name.slice("metadata.".length), value);
  const bound = /^(min|max)_(steps|ms|cost_usd)$/.exec(name);
  if (bound) return within(bound[2]!, bound[1] === "min", Number(value));
  const time = Date.parse(value);
  const conditions: Record<string, Condition> = {
    since: ({ created_at }) => Date.parse(created_at) >= time,
    until: ({ created_at }) => Date.parse(created_at) <= time,
    started_since: (run) => began(run) >= time,
    started_until: (run) => began(run) <= time,
    has_error: ({ has_error }) => has_error === (value === "true"),
    model: ({ models }) => models.includes(value),
    tool_name: ({ tools }) => tools.includes(value),
    step_type: ({ types }) => types.includes(value),
    session_id: (run) => run.session_id === value,
    user_id: (run) => run.user_id === value,
    name: (run) => run.name === value,
    agent: (run) => run.agent === value,
    outcome: (run) => run.outcome === value,
    tags: (run) => (run.tags ?? []).includes(value),
    parent_run_id: ({ parent_run_id }) => parent_run_id === value,
    run_ids: ({ run_id }) => run_id === value,
  };
  return Object.hasOwn(conditions, name) ? conditions[name] : undefined;
}

function within(name: string, isLeast: boolean, bound: number): Condition {
  const field = { steps: "steps", ms: "total_ms", cost_usd: "cost_usd" }[name] as "steps";
  return (summary) => summary[field] !== null && (isLeast ? summary[field] >= bound : summary[field] <= bound);
}

function metadataIs(key: string, value: string): Condition {
  const wanted = canonical(parsed(value));
  return ({ metadata }) => Object.hasOwn(metadata, key) && canonical(metadata[key]) === wanted;
}

function parsed(value: string): unknown {
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner as JsonObject).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
}

function least(numbers: number[]): number {
  return numbers.reduce((low, number) => Math.min(low, number), Infinity);
}
