/** What the views ask of runs. It runs in a worker, so that no run is too large to be opened. */

import type { Candidates, Comparison, FieldDifference, Hit, Outline, Parents, RunTable, Step, StepDetail, Talk } from "../types";
import {
  compareSteps,
  comparisonOf,
  contentsOf,
  deltasBetween,
  differencesOf,
  metricsOf,
  shownOf,
  type Difference,
  type ServedComparison,
} from "./compare";
import { detailOf, textOf } from "./details";
import { Embedded, type Block } from "./embedded";
import { outlineOf } from "./outline";
import { hitsIn } from "./snippets";
import { isError, says, shortened, turnsThat } from "./turns";
import { EmbeddedTraces, ServedTraces, type Traces } from "./traces";
import { getJson, type Query } from "../http";

/** What the package found out about a run when it wrote the file. */
interface Reading extends Pick<Talk, "turns" | "gaps"> {
  parents: Parents;
}

const NOTHING = '{"turns": [], "parents": []}';

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
  private reading: { runId: string; found: Reading } | null = null;

  constructor(
    private readonly traces: Traces,
    private readonly embedded: Embedded | null,
    private readonly base: string,
    private readonly readings: Map<string, string> | null = null,
  ) {}

  async outline(runId: string): Promise<Outline> {
    const opened = await this.traces.refresh(runId);
    this.latest = null;
    const parents = this.embedded ? this.readingOf(runId).parents : opened.trace.parents;
    return outlineOf(opened.trace, opened.characters, parents ?? []);
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
    const outlines: [Outline, Outline] = [await this.outline(left), await this.outline(right)];
    return [...outlines, await this.pairs(outlines)];
  }

  async differences(left: string, one: number, right: string, other: number): Promise<FieldDifference[]> {
    if (!this.embedded) {
      const query = { one: left, other: right, left: one, right: other };
      const found = await getJson<{ differences: Difference[] }>(this.base, "api/compare/steps", query);
      return found.differences.map(shownOf);
    }
    const [ours, theirs] = await Promise.all([this.contents(left), this.contents(right)]);
    return differencesOf(ours[one]!, theirs[other]!).map(shownOf);
  }

  async table(runIds: string[]): Promise<RunTable> {
    if (!this.embedded) return getJson<RunTable>(this.base, "api/compare/runs", { run_ids: runIds });
    const outlines = await Promise.all(runIds.map((runId) => this.outline(runId)));
    const contents = await Promise.all(runIds.map((runId) => this.contents(runId)));
    const rows = outlines.map((outline, at) => {
      const { first, state } = compareSteps(contents[0]!, contents[at]!);
      return {
        summary: this.summary(outline.run_id).traces[0]!,
        metrics: metricsOf(outline),
        differing_steps: state.filter(Boolean).length,
        first_difference: first < 0 ? null : first,
      };
    });
    const keys = [...new Set(outlines.flatMap((outline) => Object.keys(outline.metadata)))].sort();
    const text = (outline: Outline, key: string) => JSON.stringify(outline.metadata[key]);
    const metadata = keys.filter((key) => outlines.some((one) => text(one, key) !== text(outlines[0]!, key)));
    return { metrics: Object.keys(rows[0]!.metrics), metadata, rows };
  }

  candidates(runId: string): Candidates[] {
    return this.embedded!.candidates(runId);
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

  groups(query: Query) {
    return this.embedded!.groups(query);
  }

  facets() {
    return this.embedded!.facets();
  }

  children(runId: string) {
    return this.embedded!.list({ parent_run_id: runId, limit: 1000 });
  }

  conversation(runId: string, offset: number, limit: number, textLimit: number | null, index: boolean): Talk {
    const { turns, gaps } = this.readingOf(runId);
    const some = turns.slice(offset, offset + limit);
    const shown = textLimit === null ? some : some.map((turn) => shortened(turn, textLimit));
    const talk = { run_id: runId, total: turns.length, offset, turns: shown };
    if (!index) return talk;
    return { ...talk, steps: turns.map(({ step }) => step), errors: turnsThat(turns, isError), gaps };
  }

  search(words: string, runIds: string[], hits: number): Hit[] {
    return runIds.flatMap((runId) => hitsIn(this.traces.stored!(runId), words, hits));
  }

  findInRun(runId: string, words: string): number[] {
    return turnsThat(this.readingOf(runId).turns, (turn) => says(turn, words.toLowerCase()));
  }

  /** What the file says of a run beside its steps; that of the run that was asked for last is kept. */
  private readingOf(runId: string): Reading {
    if (this.reading?.runId !== runId) {
      const text = this.readings?.get(runId) ?? NOTHING;
      this.reading = { runId, found: JSON.parse(text) as Reading };
    }
    return this.reading.found;
  }

  summary(runId: string) {
    return this.embedded!.list({ run_ids: runId, limit: 1 });
  }

  private async contents(runId: string): Promise<Step[]> {
    return contentsOf((await this.traces.full(runId)).steps, this.readingOf(runId).turns);
  }

  private async pairs(outlines: [Outline, Outline]): Promise<Comparison> {
    const [left, right] = [outlines[0].run_id, outlines[1].run_id];
    if (!this.embedded) {
      const query = { one: left, other: right };
      return comparisonOf(await getJson<ServedComparison>(this.base, "api/compare", query));
    }
    const [ours, theirs] = await Promise.all([this.contents(left), this.contents(right)]);
    const deltas = deltasBetween(metricsOf(outlines[0]), metricsOf(outlines[1]));
    return { ...compareSteps(ours, theirs), runFields: [], deltas };
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
  const readings = new Map(blocks.map((block) => [block.summary.run_id, block.reading]));
  return new Reader(traces, new Embedded(blocks, traces), base, readings);
}
