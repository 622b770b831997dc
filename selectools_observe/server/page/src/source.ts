/** Where runs come from: the service that sent the page, or the file that the page is. */

import { early } from "./early";
import { address, encoded, getJson, post, remove, tracePath, type Query } from "./http";
import { connect, type Ask } from "./reader/remote";
import type { Block } from "./reader/embedded";
import type { Statistics } from "./reader/statistics";
import type { Annotation, Candidates, Hit, Page, Summary, Talk } from "./types";

export interface About {
  version: string;
  read_only: boolean;
  runs: number;
}

/** Runs that have something in common. */
export interface RunGroup {
  key: string;
  runs: number;
  errors: number;
  first_at: string;
  last_at: string;
  prompt_tokens: number;
  completion_tokens: number;
  cost_usd: number;
  total_ms: { p50: number };
  first_input: string | null;
  last_output: string | null;
}

export interface GroupPage {
  groups: RunGroup[];
  next_cursor: string | null;
  warning?: string;
}

interface Facet {
  runs: number;
  /** A value that is no text, as JSON. */
  values: [string, number][];
}

export interface Facets {
  fields: Record<string, Facet>;
  metadata: Record<string, Facet>;
}

export interface Histogram {
  since: string | null;
  until: string | null;
  bucket_ms: number;
  runs: number[];
  errors: number[];
  total: number;
}

/** What somebody says of a run or a step. */
export type Said = Omit<Annotation, "id" | "created_at">;

export interface Source {
  /** Whether runs can arrive and be removed. */
  live: boolean;
  ask: Ask;
  list(query: Query, signal?: AbortSignal): Promise<Page>;
  count(query: Query, signal?: AbortSignal): Promise<number>;
  histogram(query: Query, signal?: AbortSignal): Promise<Histogram>;
  stats(query: Query, signal?: AbortSignal): Promise<Statistics>;
  groups(query: Query, signal?: AbortSignal): Promise<GroupPage>;
  /** Which keys and values runs have. */
  facets(): Promise<Facets>;
  /** Turns of a run's conversation; texts are cut unless the limit is null. The index tells of all turns. */
  conversation(runId: string, offset: number, limit: number, textLimit: number | null, index?: boolean): Promise<Talk>;
  /** In which turns words are said. */
  findInRun(runId: string, words: string, signal: AbortSignal): Promise<number[]>;
  children(runId: string): Promise<Summary[]>;
  candidates(runId: string): Promise<Candidates[]>;
  /** Where in these runs words were said. */
  search(words: string, runIds: string[], hits: number, signal: AbortSignal): Promise<Hit[]>;
  /** Runs that are under way, the one that began last first. */
  running(): Promise<Summary[]>;
  summary(runId: string): Promise<Summary | null>;
  about(): Promise<About>;
  /** All annotations of a run and its steps, oldest first. */
  annotations(runId: string): Promise<Annotation[]>;
  annotate(runId: string, said: Said): Promise<void>;
  removeAnnotation(runId: string, id: string): Promise<void>;
  delete(runId: string): Promise<void>;
  /** Hand over runs as they are saved; call what is returned to stop. */
  follow(query: Query, onRun: (run: Summary) => void, onState: (state: LiveState) => void): () => void;
}

export type LiveState = "open" | "gap" | "lost";

export function served(base: string, script: string | null): Source {
  const ask = connect(script, base, null);
  return {
    live: true,
    ask,
    list: (query, signal) => early(query) ?? getJson<Page>(base, "api/traces", query, signal),
    count: async (query, signal) =>
      (await getJson<{ count: number }>(base, "api/count", query, signal)).count,
    histogram: (query, signal) => getJson<Histogram>(base, "api/histogram", query, signal),
    stats: (query, signal) => getJson<Statistics>(base, "api/stats", query, signal),
    groups: (query, signal) => getJson<GroupPage>(base, "api/groups", query, signal),
    facets: () => getJson<Facets>(base, "api/facets", { most: 100, max_runs: NEWEST }),
    conversation: (runId, offset, limit, textLimit, index = false) =>
      getJson<Talk>(base, `${tracePath(runId)}/conversation`, {
        offset,
        limit,
        ...(textLimit === null ? {} : { text_limit: textLimit }),
        ...(index ? { with_index: true } : {}),
      }),
    findInRun: async (runId, find, signal) =>
      (await getJson<{ found: number[] }>(base, `${tracePath(runId)}/conversation`, { limit: 0, find }, signal)).found,
    children: async (runId) =>
      (await getJson<Page>(base, `${tracePath(runId)}/children`, { limit: 1000 })).traces,
    running: async () => (await getJson<{ traces: Summary[] }>(base, "api/running")).traces,
    search: async (words, runIds, hits, signal) =>
      (await getJson<{ hits: Hit[] }>(base, "api/search", { q: words, run_ids: runIds, hits, limit: 1000 }, signal)).hits,
    candidates: async (runId) =>
      (await getJson<{ groups: Candidates[] }>(base, `${tracePath(runId)}/candidates`)).groups,
    summary: async (runId) =>
      (await getJson<Page>(base, "api/traces", { run_ids: runId, limit: 1 })).traces[0] ?? null,
    about: () => getJson<About>(base, "api/about"),
    delete: (runId) => remove(base, tracePath(runId)),
    annotations: async (runId) =>
      (await getJson<{ annotations: Annotation[] }>(base, `${tracePath(runId)}/annotations`)).annotations,
    annotate: (runId, said) => post(base, `${tracePath(runId)}/annotations`, said),
    removeAnnotation: (runId, id) => remove(base, `${tracePath(runId)}/annotations/${encoded(id)}`),
    follow: (query, onRun, onState) => follow(base + address("api/live", query), onRun, onState),
  };
}

/** Keys and values are those of so many of the newest runs: to count those of a million takes seconds. */
const NEWEST = 20_000;

export function embedded(blocks: Block[], script: string | null): Source {
  const ask = connect(script, "", blocks);
  const fixed = () => Promise.reject(new Error("This is a file: its runs are as they were written."));
  return {
    live: false,
    ask,
    list: (query) => ask("list", query),
    count: async (query) => (await ask("list", { ...query, limit: 0 })).total,
    histogram: (query) => ask("histogram", query),
    stats: (query) => ask("stats", query),
    groups: (query) => ask("groups", query),
    facets: () => ask("facets"),
    conversation: (runId, offset, limit, textLimit, index = false) =>
      ask("conversation", runId, offset, limit, textLimit, index),
    findInRun: (runId, words) => ask("findInRun", runId, words),
    children: async (runId) => (await ask("children", runId)).traces,
    candidates: (runId) => ask("candidates", runId),
    search: (words, runIds, hits) => ask("search", words, runIds, hits),
    running: () => Promise.resolve([]),
    summary: async (runId) => (await ask("summary", runId)).traces[0] ?? null,
    about: () => Promise.resolve({ version: "", read_only: true, runs: blocks.length }),
    delete: fixed,
    annotations: async (runId) => (await ask("summary", runId)).traces[0]?.all_annotations ?? [],
    annotate: fixed,
    removeAnnotation: fixed,
    follow: () => () => {},
  };
}

function follow(url: string, onRun: (run: Summary) => void, onState: (state: LiveState) => void) {
  const events = new EventSource(url);
  events.addEventListener("open", () => onState("open"));
  events.addEventListener("gap", () => onState("gap"));
  // EventSource tries again by itself, from where it stopped.
  events.addEventListener("error", () => onState("lost"));
  events.addEventListener("trace", (event) => onRun(JSON.parse((event as MessageEvent<string>).data)));
  return () => events.close();
}
