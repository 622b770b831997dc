/** The shapes that the API sends, and those that the reader hands to the views. */

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

/** A step as it is stored; any field may be missing or of a foreign type. */
export interface Step {
  [field: string]: Json | undefined;
}

export interface Trace {
  run_id: string;
  start_time?: number;
  parent_run_id?: string | null;
  metadata?: JsonObject;
  steps: Step[];
  parents?: Parents;
  [field: string]: unknown;
}

/** The step that each step stands inside of; null at the top. */
export type Parents = (number | null)[];

export interface Summary {
  run_id: string;
  steps: number;
  total_ms: number;
  created_at: string;
  metadata: JsonObject;
  prompt_tokens: number;
  completion_tokens: number;
  cost_usd: number | null;
  has_error: boolean;
  name: string | null;
  input: string | null;
  output: string | null;
  session_id: string | null;
  user_id: string | null;
  agent: string | null;
  tags: string[];
  outcome: string;
  started_at: string | null;
  wall_ms: number | null;
  parent_run_id?: string | null;
  /** The newest annotation of each name. */
  annotations?: Record<string, Annotation>;
  /** All annotations, in an exported file. */
  all_annotations?: Annotation[];
}

export interface Page {
  traces: Summary[];
  next_cursor: string | null;
  /** Where nothing is found: a key of the filter that no run has, and the nearest one. */
  warning?: string;
}

/**
 * A run without its texts: one entry a row, in the order in which rows are shown (each group before
 * what it holds). Times are milliseconds since the run began.
 */
export interface Outline {
  run_id: string;
  name: string;
  parent_run_id: string | null;
  started: number;
  metadata: JsonObject;
  characters: number;
  count: number;
  /** Which step, in the order of the file. */
  step: Int32Array;
  kinds: string[];
  kind: Uint16Array;
  label: string[];
  depth: Uint8Array;
  /** The row after the last one inside this row. */
  beyond: Int32Array;
  start: Float64Array;
  /** The same with the times in which nothing ran cut out. */
  work: Float64Array;
  duration: Float64Array;
  /** How long the row's bar is: its own duration, or until the end of what it holds. */
  span: Float64Array;
  error: Uint8Array;
  clockLength: number;
  workLength: number;
  totals: Totals;
}

/** Where a search found its words. */
export interface Hit {
  run_id: string;
  /** The number of the step, from 1; null if it is in the run's own fields. */
  step: number | null;
  field: string;
  snippet: string;
  /** The beginning and the end of each word in the snippet, in characters. */
  marks: [number, number][];
}

export interface Totals {
  duration_ms: number;
  prompt_tokens: number;
  completion_tokens: number;
  cost_usd: number | null;
  /** Some step's cost was estimated from a table of prices. */
  isEstimate: boolean;
  errors: number;
  models: string[];
  tools: string[];
}

/** A part of a message, in the shape of the GenAI conventions. */
export interface Part {
  type: string;
  content?: string;
  modality?: string;
  mime_type?: string;
  uri?: string;
  file_id?: string;
  name?: string;
  value?: Json;
}

/** One entry of a conversation: a message, a tool call with its result, or an error. */
export interface Turn {
  kind: "message" | "tool" | "event";
  step: number;
  role?: string;
  parts?: Part[];
  name?: string;
  arguments?: Json;
  result?: Json;
  error?: string;
  call_id?: string;
  timestamp?: number;
  duration_ms?: number;
  cost_usd?: number;
  prompt_tokens?: number;
  completion_tokens?: number;
  /** How long the longest text was before it was cut. */
  cut?: number;
  /** How many characters capture cut off: they are stored nowhere. */
  not_kept?: number;
}

export interface Talk {
  run_id: string;
  total: number;
  offset: number;
  turns: Turn[];
  /** Of all turns, if asked for: of which step each is, from 0. */
  steps?: number[];
  /** Which of all turns have an error. */
  errors?: number[];
  /** What capture did not keep. */
  gaps?: { message: string };
}

/** One field of a step: the beginning of its text, and how long the whole is. */
export interface Field {
  name: string;
  form: "text" | "json" | "pairs";
  head: string;
  length: number;
  /** Short pairs of an object, when that is all it holds. */
  pairs?: [string, string][];
}

export interface StepDetail {
  index: number;
  type: string;
  timestamp: number | null;
  duration_ms: number | null;
  facts: [string, string][];
  fields: Field[];
}


/** Rows of two runs beside each other: step numbers, -1 for none. */
export interface Comparison {
  left: Int32Array;
  right: Int32Array;
  /** 0 same, 1 changed, 2 only left, 3 only right. */
  state: Uint8Array;
  first: number;
  counts: [number, number, number, number];
  /** Which of the runs' own input and output differ. */
  runFields: string[];
  deltas: Delta[];
}

/** One number of two runs; null for what is unknown. */
export interface Delta {
  name: string;
  left: number | null;
  right: number | null;
  change: number | null;
  ratio: number | null;
}

/** Runs next to each other, held against the first. */
export interface RunTable {
  metrics: string[];
  metadata: string[];
  rows: {
    summary: Summary;
    metrics: Record<string, number | null>;
    differing_steps: number;
    first_difference: number | null;
  }[];
}

/** Runs worth comparing with a run. */
export interface Candidates {
  reason: string;
  key: string | null;
  value: Json;
  traces: Summary[];
}

export interface Annotation {
  id: string;
  name: string;
  label?: string;
  score?: number;
  note?: string;
  step?: number;
  author?: string;
  source?: string;
  created_at?: string;
}

export interface DiffPart {
  text: string;
  side: -1 | 0 | 1;
}

export interface FieldDifference {
  name: string;
  parts: DiffPart[];
  /** Said instead of parts when the texts are too long to be marked word by word. */
  note: string | null;
}
