/** The rows of a list that is fetched piece by piece, as they come into sight. */

import { FIRST_ROWS as PAGE } from "../early";
import { asPageError, type PageError } from "../errors";
import type { Query } from "../http";
import type { Source } from "../source";
import { drawn } from "./hooks";
import { entryBefore } from "./seek";
import type { Summary } from "../types";

const STRIDE = 1_000;
const KEPT_PAGES = 60;
/** So many rows are walked rather than jumped over. */
const NEAR = 2_000;

/** How the list is asked for what begins with a row. */
interface Place {
  cursor?: string;
  until?: string;
}

export interface Rows {
  /** How many there are; while `counted` is false, at least so many. */
  total: number;
  counted: boolean;
  problem: PageError | null;
  loading: boolean;
  /** Said of a search that has not looked at everything. */
  looked: { at: number; all: boolean } | null;
  row(index: number): Summary | undefined;
  want(from: number, to: number): void;
  further?(): void;
  stop(): void;
  /** Called whenever something of this has changed. */
  changed: () => void;
}

export class RunPages implements Rows {
  total = 0;
  counted = false;
  problem: PageError | null = null;
  loading = true;
  looked = null;
  private readonly pages = new Map<number, Summary[]>();
  /** Rows at which the list can be entered. */
  private readonly places = new Map<number, Place>([[0, {}]]);
  private newest: string | null = null;
  private readonly stopper = new AbortController();
  private wanted: [number, number] = [0, PAGE];
  private busy = false;
  private counting = false;

  constructor(
    private readonly source: Source,
    private readonly query: Query,
    /** What the rows are sorted by; empty for newest saved first. */
    private readonly sort: string,
    public changed: () => void,
  ) {
    void this.fill();
  }

  row(index: number): Summary | undefined {
    return this.pages.get(Math.floor(index / PAGE))?.[index % PAGE];
  }

  want(from: number, to: number): void {
    this.wanted = [from, to];
    if (!this.problem) void this.fill();
  }

  stop(): void {
    this.stopper.abort();
  }

  /** One request at a time, always for what is in sight now. */
  private async fill(): Promise<void> {
    if (this.busy) return;
    this.busy = true;
    try {
      for (let page = this.missing(); page !== null; page = this.missing()) {
        await this.load(page);
        this.loading = false;
        this.changed();
        if (!this.counting) void this.count();
      }
    } catch (error) {
      this.fail(error);
    } finally {
      this.busy = false;
    }
  }

  private missing(): number | null {
    const [from, to] = this.wanted;
    const end = this.counted ? Math.min(to, this.total) : to;
    for (let page = Math.floor(from / PAGE); page * PAGE < Math.max(end, 1); page++) {
      if (!this.pages.has(page) && !this.isPastEnd(page * PAGE)) return page;
    }
    return null;
  }

  private isPastEnd(index: number): boolean {
    return this.counted ? index > 0 && index >= this.total : index > 0 && index > this.total;
  }

  private async load(page: number): Promise<void> {
    const start = page * PAGE;
    let known = this.nearest(start);
    if (start - known > NEAR && this.newest && !this.sort) known = await this.jump(known, start);
    if (known < start) await this.walk(known, Math.min(STRIDE, start - known));
    else {
      const found = await this.fetch(start, PAGE);
      this.keep(page, found.traces);
      this.newest ??= found.traces[0]?.created_at ?? null;
      this.passed(start, found.traces.length, found.next_cursor);
    }
  }

  private async jump(known: number, start: number): Promise<number> {
    const entry = await entryBefore(this.source, this.query, this.newest!, start, this.stopper.signal);
    if (!entry || entry.row <= known) return known;
    this.places.set(entry.row, { until: entry.until });
    return entry.row;
  }

  private async walk(from: number, rows: number): Promise<void> {
    const found = await this.fetch(from, rows);
    this.passed(from, found.traces.length, found.next_cursor);
    const first = Math.ceil(from / PAGE);
    for (let page = first; (page + 1) * PAGE <= from + found.traces.length; page++) {
      this.keep(page, found.traces.slice(page * PAGE - from, (page + 1) * PAGE - from));
    }
  }

  private fetch(from: number, limit: number) {
    const query: Query = { ...this.query, ...this.places.get(from), limit };
    if (this.sort) query.order_by = this.sort;
    return this.source.list(query, this.stopper.signal);
  }

  /** A cursor goes on under the filter that it was given for. */
  private passed(from: number, rows: number, cursor: string | null): void {
    const at = from + rows;
    if (cursor !== null) this.places.set(at, { ...this.places.get(from), cursor });
    else [this.total, this.counted] = [at, true];
    if (!this.counted) this.total = Math.max(this.total, at + 1);
  }

  private keep(page: number, rows: Summary[]): void {
    this.pages.delete(page);
    this.pages.set(page, rows);
    for (const oldest of this.pages.keys()) {
      if (this.pages.size <= KEPT_PAGES) break;
      this.pages.delete(oldest);
    }
  }

  private nearest(index: number): number {
    let best = 0;
    for (const known of this.places.keys()) if (known <= index && known > best) best = known;
    return best;
  }

  private async count(): Promise<void> {
    this.counting = true;
    if (this.counted) return;
    await drawn(); // a count of many runs takes what the browser draws these rows with
    try {
      const total = await this.source.count(this.query, this.stopper.signal);
      if (this.counted) return; // the end came into sight first
      [this.total, this.counted] = [total, true];
      this.changed();
      void this.fill();
    } catch (error) {
      this.fail(error);
    }
  }

  private fail(error: unknown): void {
    if (this.stopper.signal.aborted) return;
    this.loading = false;
    this.problem = asPageError(error);
    this.changed();
  }
}

const LOOKED_AT_ONCE = 20_000;

/** Runs whose id or metadata hold all the words, looked for from the newest on. */
export class FoundRuns implements Rows {
  total = 0;
  counted = false;
  problem: PageError | null = null;
  loading = true;
  looked = { at: 0, all: false };
  private readonly found: Summary[] = [];
  private byId: string | null = null;
  private cursor: string | null = null;
  private until = LOOKED_AT_ONCE;
  private readonly stopper = new AbortController();

  constructor(
    private readonly source: Source,
    private readonly query: Query,
    private readonly words: string[],
    public changed: () => void,
  ) {
    void this.look();
  }

  row(index: number): Summary | undefined {
    return this.found[index];
  }

  want(): void {}

  further(): void {
    this.until = this.looked.at + LOOKED_AT_ONCE;
    this.loading = true;
    this.changed();
    void this.look();
  }

  stop(): void {
    this.stopper.abort();
  }

  private async look(): Promise<void> {
    try {
      if (this.looked.at === 0) await this.lookUp();
      while (!this.looked.all && this.looked.at < this.until) await this.lookAtPage();
      [this.loading, this.counted] = [false, this.looked.all];
      this.changed();
    } catch (error) {
      if (this.stopper.signal.aborted) return;
      this.problem = asPageError(error);
      this.loading = false;
      this.changed();
    }
  }

  /** A word may be a run's whole id: that is found however old it is. */
  private async lookUp(): Promise<void> {
    if (this.words.length !== 1) return;
    const query = { ...this.query, run_ids: this.words[0]!, limit: 1 };
    const page = await this.source.list(query, this.stopper.signal);
    this.byId = page.traces[0]?.run_id ?? null;
    this.add(page.traces);
  }

  private async lookAtPage(): Promise<void> {
    const query = { ...this.query, limit: STRIDE, ...(this.cursor ? { cursor: this.cursor } : {}) };
    const page = await this.source.list(query, this.stopper.signal);
    this.cursor = page.next_cursor;
    this.looked = { at: this.looked.at + page.traces.length, all: page.next_cursor === null };
    this.add(page.traces.filter((run) => run.run_id !== this.byId && this.holds(run)));
    this.changed();
  }

  private holds(run: Summary): boolean {
    const text = `${run.run_id}\n${JSON.stringify(run.metadata)}`.toLowerCase();
    return this.words.every((word) => text.includes(word.toLowerCase()));
  }

  private add(runs: Summary[]): void {
    this.found.push(...runs);
    this.total = this.found.length;
  }
}
