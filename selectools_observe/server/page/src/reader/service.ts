/** What the views ask of runs. It runs in a worker, so that no run is too large to be opened. */

import type { Comparison, FieldDifference, Outline, Step, StepDetail, Talk, Turn } from "../types";
import { compareSteps, comparisonOf, differencesOf, type ServedComparison } from "./compare";
import { detailOf, textOf } from "./details";
import { Embedded, type Block } from "./embedded";
import { outlineOf } from "./outline";
import { EmbeddedTraces, ServedTraces, type Traces } from "./traces";
import { getJson, type Query } from "../http";

/** Which text: a field of a step, a step as JSON, or a run as JSON. */
export interface TextName {
  run: string;
  step?: number;
  field?: string;
  plain?: boolean;
}

export interface Piece {
  text: string;
  length: number;
}

export class Reader {
  private latest: { name: string; text: Promise<string> } | null = null;

  constructor(
    private readonly traces: Traces,
    private readonly embedded: Embedded | null,
    private readonly base: string,
    private readonly talks: Map<string, string> | null = null,
  ) {}

  async outline(runId: string): Promise<Outline> {
    const opened = await this.traces.refresh(runId);
    this.latest = null;
    return outlineOf(opened.trace, opened.characters);
  }

  async detail(runId: string, index: number): Promise<StepDetail> {
    return detailOf(await this.traces.step(runId, index), index);
  }

  async piece(name: TextName, from: number, to: number): Promise<Piece> {
    const text = await this.text(name);
    return { text: text.slice(from, to), length: text.length };
  }

  /** The text that was asked for last is kept: its next piece is asked for next. */
  text(name: TextName): Promise<string> {
    const key = JSON.stringify(name);
    if (this.latest?.name !== key) this.latest = { name: key, text: this.write(name) };
    return this.latest.text;
  }

  async compare(left: string, right: string): Promise<[Outline, Outline, Comparison]> {
    const outlines = await Promise.all([this.outline(left), this.outline(right)]);
    return [...outlines, await this.pairs(left, right)];
  }

  async differences(left: string, one: number, right: string, other: number) {
    const steps = [this.traces.step(left, one), this.traces.step(right, other)];
    const [ours, theirs] = (await Promise.all(steps)) as [Step, Step];
    return differencesOf(ours, theirs) satisfies FieldDifference[];
  }

  list(query: Query) {
    return this.embedded!.list(query);
  }

  histogram(query: Query) {
    return this.embedded!.histogram(query);
  }

  stats(query: Query) {
    return this.embedded!.stats(query);
  }

  children(runId: string) {
    return this.embedded!.list({ parent_run_id: runId, limit: 1000 });
  }

  conversation(runId: string, offset: number, limit: number): Talk {
    const turns = JSON.parse(this.talks?.get(runId) ?? "[]") as Turn[];
    return { run_id: runId, total: turns.length, offset, turns: turns.slice(offset, offset + limit) };
  }

  summary(runId: string) {
    return this.embedded!.list({ run_ids: runId, limit: 1 });
  }

  private async pairs(left: string, right: string): Promise<Comparison> {
    if (!this.embedded) {
      const query = { one: left, other: right };
      return comparisonOf(await getJson<ServedComparison>(this.base, "api/compare", query));
    }
    const runs = await Promise.all([this.traces.full(left), this.traces.full(right)]);
    return compareSteps(runs[0].steps, runs[1].steps);
  }

  private async write(name: TextName): Promise<string> {
    if (name.step === undefined) return JSON.stringify(await this.traces.full(name.run), null, 2);
    const step = await this.traces.step(name.run, name.step);
    if (name.field === undefined) return JSON.stringify(step, null, 2);
    return textOf(step, name.field, name.plain ?? false);
  }
}

export function makeReader(base: string, blocks: Block[] | null): Reader {
  if (!blocks) return new Reader(new ServedTraces(base), null, base);
  const traces = new EmbeddedTraces(new Map(blocks.map((block) => [block.summary.run_id, block.trace])));
  const talks = new Map(blocks.map((block) => [block.summary.run_id, block.talk]));
  return new Reader(traces, new Embedded(blocks, traces), base, talks);
}
