/** Runs that are open: fetched from the service, or cut out of the file the page is written in. */

import { PageError } from "../errors";
import { getJson, getText, tracePath } from "../http";
import type { Step, Trace } from "../types";

/** What the outline of a run says of its steps; the rest stays with the service until somebody looks at a step. */
const OUTLINED = [
  "type", "timestamp", "duration_ms", "model", "tool_name", "node_name", "from_node", "to_node", "step_number",
  "prompt_tokens", "completion_tokens", "cost_usd", "cost_estimate", "summary", "error",
].join(",");
const TEXT_LIMIT = 1_000;
/** A larger run is no text that a browser can show. */
const MOST_BYTES = 200e6;
const KEPT = 6;

export interface OpenTrace {
  trace: Trace;
  characters: number;
  /** Steps that were fetched whole. */
  whole: Map<number, Step>;
  raw: string | null;
}

export interface Traces {
  open(runId: string): Promise<OpenTrace>;
  /** Open it as it is now: it may have gone on, or be gone. */
  refresh(runId: string): Promise<OpenTrace>;
  step(runId: string, index: number): Promise<Step>;
  /** The whole run, with nothing cut. */
  full(runId: string): Promise<Trace>;
  /** The run as a file has it, without keeping it. */
  stored?(runId: string): Trace;
}

abstract class Kept implements Traces {
  private readonly kept = new Map<string, Promise<OpenTrace>>();

  open(runId: string): Promise<OpenTrace> {
    const known = this.kept.get(runId);
    this.kept.delete(runId);
    const opened = known ?? this.fetch(runId);
    this.kept.set(runId, opened);
    opened.catch(() => this.kept.delete(runId));
    for (const oldest of this.kept.keys()) {
      if (this.kept.size <= KEPT) break;
      this.kept.delete(oldest);
    }
    return opened;
  }

  refresh(runId: string): Promise<OpenTrace> {
    this.kept.delete(runId);
    return this.open(runId);
  }

  abstract step(runId: string, index: number): Promise<Step>;
  abstract full(runId: string): Promise<Trace>;
  protected abstract fetch(runId: string): Promise<OpenTrace>;
}

export class ServedTraces extends Kept {
  constructor(private readonly base: string) {
    super();
  }

  async step(runId: string, index: number): Promise<Step> {
    const opened = await this.open(runId);
    stepAt(opened, index);
    const known = opened.whole.get(index);
    if (known) return known;
    const whole = await getJson<Step>(this.base, `${tracePath(runId)}/steps/${index}`);
    opened.whole.set(index, whole);
    return whole;
  }

  async full(runId: string): Promise<Trace> {
    const text = await getText(this.base, tracePath(runId), MOST_BYTES);
    if (text !== null) return checked(JSON.parse(text) as Trace);
    throw new PageError("refused", `This run is more than ${MOST_BYTES / 1e6} MB of JSON: export it with the command.`);
  }

  protected async fetch(runId: string): Promise<OpenTrace> {
    const query = { text_limit: TEXT_LIMIT, step_fields: OUTLINED, with_parents: true };
    const trace = checked(await getJson<Trace>(this.base, tracePath(runId), query));
    return { trace, characters: 0, whole: new Map(), raw: null };
  }
}

export class EmbeddedTraces extends Kept {
  constructor(private readonly texts: Map<string, string>) {
    super();
  }

  refresh(runId: string): Promise<OpenTrace> {
    return this.open(runId);
  }

  async step(runId: string, index: number): Promise<Step> {
    return stepAt(await this.open(runId), index);
  }

  async full(runId: string): Promise<Trace> {
    return (await this.open(runId)).trace;
  }

  stored(runId: string): Trace {
    return checked(JSON.parse(this.texts.get(runId) ?? "{}") as Trace);
  }

  protected async fetch(runId: string): Promise<OpenTrace> {
    const text = this.texts.get(runId);
    if (text === undefined) throw new PageError("missing", "This file does not hold that run.");
    const trace = checked(JSON.parse(text) as Trace);
    return { trace, characters: text.length, whole: new Map(), raw: null };
  }
}

function stepAt(opened: OpenTrace, index: number): Step {
  const step = opened.whole.get(index) ?? opened.trace.steps[index];
  if (step === undefined) throw new PageError("missing", `The run has no step ${index + 1}.`);
  return step;
}

function checked(trace: Trace): Trace {
  if (!Array.isArray(trace.steps)) throw new PageError("broken", "The run has no list of steps.");
  return trace;
}
