/**
 * What is typed into the search box, and the filter that it means.
 *
 * `model:gpt-4o error:yes ms>2s user_id:alice since:2h refund`: words with a colon or a comparison
 * are filters, in the API's meaning; the rest is looked for in run ids and metadata.
 */

import type { Query } from "./http";

export interface Term {
  key: string;
  operator: string;
  value: string;
  quoted: boolean;
  from: number;
  to: number;
}

export interface Parsed {
  query: Query;
  words: string[];
  problems: string[];
  terms: Term[];
}

const TERM = /(-?[^\s:<>="]+)(:|>=|<=|>|<|=)("(?:[^"\\]|\\.)*"?|\S*)|("(?:[^"\\]|\\.)*"?|\S+)/g;

type Reading = (term: Term, now: number) => Query;

const READINGS: Record<string, Reading> = {
  model: ({ value }) => ({ model: value }),
  tool: ({ value }) => ({ tool_name: value }),
  type: ({ value }) => ({ step_type: value }),
  error: ({ value }) => ({ has_error: yesOrNo(value) }),
  parent: ({ value }) => ({ parent_run_id: value }),
  run: ({ value }) => ({ run_ids: value }),
  session: ({ value }) => ({ session_id: value }),
  user: ({ value }) => ({ user_id: value }),
  name: ({ value }) => ({ name: value }),
  agent: ({ value }) => ({ agent: value }),
  outcome: ({ value }) => ({ outcome: value }),
  tag: ({ value }) => ({ tags: value }),
  steps: (term) => bounds(term, "min_steps", "max_steps", wholeNumber),
  ms: (term) => bounds(term, "min_ms", "max_ms", duration),
  cost: (term) => bounds(term, "min_cost_usd", "max_cost_usd", dollars),
  since: ({ value }, now) => ({ since: instant(value, now) }),
  until: ({ value }, now) => ({ until: instant(value, now) }),
  // What is said by days or by words, the service's language reads.
  started: (term, now) => {
    if (!/^\d{4}-\d\d-\d\dT/.test(term.value) || !/^[<>]=/.test(term.operator))
      throw new Error("started takes a moment: started>=2026-03-01T10:30");
    return bounds(term, "started_since", "started_until", (value) => instant(value, now));
  },
};

export const KEYS: [string, string][] = [
  ["model:", "some step called this model"],
  ["tool:", "some step used this tool"],
  ["type:", "some step is of this type, such as llm_call"],
  ["error:", "yes or no"],
  ["ms>", "the steps took longer; ms<, ms>=2s, ms>1m"],
  ["cost>", "the steps cost more, US dollars; cost<0.01"],
  ["steps>", "it has more steps; steps<5"],
  ["since:", "saved since: 2h, 7d, 2026-03-01"],
  ["until:", "saved until"],
  ["parent:", "started by this run"],
  ["run:", "this run"],
  ["status:", "error or ok"],
  ["user:", "made for this user"],
  ["session:", "of this conversation"],
  ["name:", "the run's name; name:book* begins so"],
  ["agent:", "made by this agent"],
  ["tag:", "has this tag"],
  ["outcome:", "ok, error, cancelled, interrupted, unfinished"],
  ["latency>", "the steps took longer; latency>5s"],
  ["wall>", "from beginning to end it took longer"],
  ["tokens>", "more tokens; tokens>10k"],
  ["started>", "began after: 2h, 2026-03-01"],
  ["label:", "somebody gave this label"],
  ["score<", "some score is lower; score.quality<0.5"],
  ["has:", "cost, name, note, annotation or any metadata key"],
];

export function parse(text: string, now = Date.now()): Parsed {
  const parsed: Parsed = { query: {}, words: [], problems: [], terms: [] };
  for (const match of text.matchAll(TERM)) {
    const [whole, key, operator, value, word] = match;
    if (key === undefined || operator === undefined) {
      parsed.words.push(unquote(word ?? whole));
      continue;
    }
    const quoted = value!.startsWith('"');
    const from = match.index;
    const term = { key, operator, value: unquote(value!), quoted, from, to: from + whole.length };
    parsed.terms.push(term);
    if (term.value === "" && !quoted) continue; // still being typed
    try {
      add(parsed.query, read(term, now));
    } catch (error) {
      parsed.problems.push((error as Error).message);
    }
  }
  return parsed;
}

const WORDS_OF_LANGUAGE = new Set([
  "status", "session", "session_id", "user", "tag", "tags", "outcome", "name", "agent", "latency", "duration", "wall",
  "wall_ms", "total_ms", "tokens", "prompt_tokens", "completion_tokens", "cost_usd", "started_at", "saved",
  "created", "created_at", "has", "text", "label", "id", "run_id", "parent_run_id", "tool_name", "step_type",
]);
const OPERATORS = /[()]|(^|\s)(OR|NOT|AND)(\s|$)|(^|\s)-[^\s-]|!=|!\w+(\s|$)|\*/;

/** Whether only the service's filter language can say what is typed: `reward<1 -tool:think`. */
export function needsLanguage(text: string): boolean {
  const { terms, problems } = parse(text);
  const bare = text.replace(/"(?:[^"\\]|\\.)*"?/g, '""');
  return (
    problems.length > 0 ||
    OPERATORS.test(bare) ||
    terms.some(({ key }) => WORDS_OF_LANGUAGE.has(key) || /^(score|label|note|annotation)\./.test(key))
  );
}

const TIMES = new Set(["since", "until", "started", "started_at", "saved", "created", "created_at"]);

/** The text for the service: days and times without a zone are the reader's. */
export function inReadersZone(text: string): string {
  const local = parse(text).terms.filter(
    ({ key, value }) => TIMES.has(key) && /^\d{4}-\d\d-\d\d(T[\d:.]+)?$/.test(value),
  );
  let told = text;
  for (const { key, operator, value, from, to } of local.reverse()) {
    try {
      told = `${told.slice(0, from)}${key}${operator}${instant(value, Date.now())}${told.slice(to)}`;
    } catch {
      // The service says what is wrong with it.
    }
  }
  return told;
}

export interface Asked {
  query: Query;
  words: string[];
  problems: string[];
  /** The service reads the text, and says what is wrong with it. */
  isLanguage: boolean;
}

/** What is asked of the source. */
export function askedOf(text: string): Asked {
  if (needsLanguage(text)) {
    return { query: { filter: inReadersZone(text) }, words: [], problems: [], isLanguage: true };
  }
  const { query, words, problems } = parse(text);
  return { query, words, problems, isLanguage: false };
}

const FIELD_OF: Record<string, string> = {
  session: "session_id", user: "user_id", name: "name", agent: "agent", outcome: "outcome", tag: "tags",
};

/** What finds the runs of a group, the likeliest first: a key that is no text is grouped by its JSON. */
export function groupQueries(by: string, key: string): Query[] {
  const field = FIELD_OF[by];
  if (field) return [{ [field]: key }];
  const name = `metadata.${by.replace(/^meta\./, "")}`;
  const text = { [name]: JSON.stringify(key) };
  return looksTyped(key) ? [{ [name]: key }, text] : [text];
}

/** The filter that a group's runs are listed by. */
export function groupTerm(by: string, key: string): string {
  if (FIELD_OF[by]) return termOf(by, key);
  const name = by.replace(/^meta\./, "");
  if (!looksTyped(key) || /\s/.test(key)) return metadataTerm(name, key);
  return `${READINGS[name] ? "meta." : ""}${name}:${key}`;
}

const LOOSE = /(\S\s+)(or|and|not)(?=\s+\S)/g;

/** A filter with `or` between its terms, which looks for the word: what was perhaps meant, or null. */
export function withOperators(text: string): string | null {
  if (!parse(text).terms.length) return null;
  const pieces = text.split(/("(?:[^"\\]|\\.)*"?)/); // what is quoted has odd places
  const meant = pieces.map((piece, at) => (at % 2 ? piece : piece.replace(LOOSE, (_, before: string, word: string) => before + word.toUpperCase())));
  return meant.join("") === text ? null : meant.join("");
}

/** The words and phrases that a filter looks for in what was said; not those that must not be there. */
export function searchedWords(text: string): string[] {
  const found: string[] = [];
  let negated = false;
  for (const [, key, , of, word] of text.matchAll(TERM)) {
    const isNot = negated;
    negated = word === "NOT";
    if (isNot || (key !== undefined && key !== "text") || /^-./.test(word ?? "") || /^(OR|AND|NOT)$/.test(word ?? "")) continue;
    const bare = unquote((word ?? of!).startsWith('"') ? (word ?? of!) : (word ?? of!).replace(/^\(+|\)+$/g, "")).replace(/\*$/, "");
    if (bare) found.push(bare);
  }
  return found;
}

/** What stands side by side in a filter; nothing where OR or groups bind it together. */
export function partsOf(text: string): string[] {
  if (/[()]|(^|\s)OR(\s|$)/.test(text)) return [];
  return [...text.matchAll(TERM)].map(([part]) => part);
}

/** The word that is nearest to one, if any is near. */
export function nearest(word: string, words: Iterable<string>): string | null {
  let best: string | null = null;
  let least = Math.max(2, Math.ceil(word.length / 3)) + 1;
  for (const other of words) {
    const far = distance(word.toLowerCase(), other.toLowerCase(), least);
    if (far < least) [best, least] = [other, far];
  }
  return best;
}

function distance(one: string, other: string, most: number): number {
  if (Math.abs(one.length - other.length) >= most) return most;
  let row = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (let a = 1; a <= one.length; a++) {
    const next = [a];
    for (let b = 1; b <= other.length; b++) {
      const swap = row[b - 1]! + Number(one[a - 1] !== other[b - 1]);
      next.push(Math.min(row[b]! + 1, next[b - 1]! + 1, swap));
    }
    row = next;
  }
  return row.at(-1)!;
}

/** The text with one key's terms replaced; no value takes them out. */
export function withTerm(text: string, key: string, term: string | null): string {
  const kept = parse(text).terms.filter((one) => one.key === key);
  let rest = text;
  for (const { from, to } of kept.reverse()) rest = rest.slice(0, from) + rest.slice(to);
  return [rest.trim(), term].filter(Boolean).join(" ").replace(/\s+/g, " ");
}

/** What is asked for without the times that it is asked for. */
export function timeless(text: string): string {
  return ["since", "until", "started"].reduce((rest, key) => withTerm(rest, key, null), text);
}

export function termOf(key: string, value: string): string {
  return `${key}:${/[\s"]/.test(value) || value === "" ? JSON.stringify(value) : value}`;
}

/** The term that finds runs by one pair of their metadata. */
export function metadataTerm(key: string, value: unknown): string {
  const name = READINGS[key] ? `meta.${key}` : key;
  if (typeof value !== "string") return `${name}:${JSON.stringify(value)}`;
  return looksTyped(value) || /[\s"]/.test(value) || value === ""
    ? `${name}:${JSON.stringify(value)}`
    : `${name}:${value}`;
}

export function canBeTerm(key: string): boolean {
  return /^[^\s:<>="-][^\s:<>="]*$/.test(key);
}

function read(term: Term, now: number): Query {
  const reading = READINGS[term.key];
  if (reading) return reading(term, now);
  if (term.operator !== ":" && term.operator !== "=") {
    throw new Error(`${term.key} is metadata: write ${term.key}:value, only ms, cost and steps compare`);
  }
  const key = term.key.replace(/^meta\./, "");
  const value = term.quoted || !looksTyped(term.value) ? JSON.stringify(term.value) : term.value;
  return { [`metadata.${key}`]: value };
}

function add(query: Query, more: Query): void {
  for (const [name, value] of Object.entries(more)) {
    if (name in query) throw new Error(`${name} is asked for twice`);
    query[name] = value;
  }
}

function looksTyped(value: string): boolean {
  return /^(true|false|null|-?\d+(\.\d+)?([eE][+-]?\d+)?|[[{].*[\]}])$/.test(value);
}

function unquote(value: string): string {
  if (!value.startsWith('"')) return value;
  const closed = value.length > 1 && /[^\\]"$|^""$/.test(value) ? value : `${value}"`;
  try {
    return JSON.parse(closed) as string;
  } catch {
    return value.slice(1);
  }
}

function yesOrNo(value: string): boolean {
  if (/^(y|yes|true|1)$/i.test(value)) return true;
  if (/^(n|no|false|0)$/i.test(value)) return false;
  throw new Error(`error takes yes or no, not ${value}`);
}

function bounds(term: Term, low: string, high: string, read: (value: string) => number | string): Query {
  const bound = read(term.value);
  if (term.operator.startsWith(">")) return { [low]: bound };
  if (term.operator.startsWith("<")) return { [high]: bound };
  return { [low]: bound, [high]: bound };
}

function wholeNumber(value: string): number {
  if (/^\d+$/.test(value)) return Number(value);
  throw new Error(`steps takes a whole number, not ${value}`);
}

function dollars(value: string): number {
  const number = Number(value.replace(/^\$/, ""));
  if (Number.isFinite(number)) return number;
  throw new Error(`cost takes US dollars such as 0.05, not ${value}`);
}

const UNITS: Record<string, number> = { ms: 1, s: 1e3, m: 6e4, min: 6e4, h: 3.6e6, d: 8.64e7, w: 6.048e8 };

function duration(value: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|min|m|h|d|w)?$/.exec(value);
  if (!match) throw new Error(`ms takes 250, 2s or 1.5m, not ${value}`);
  return Number(match[1]) * UNITS[match[2] ?? "ms"]!;
}

function instant(value: string, now: number): string {
  const ago = /^(\d+(?:\.\d+)?)(s|min|m|h|d|w)$/.exec(value);
  if (ago) return new Date(now - Number(ago[1]) * UNITS[ago[2]!]!).toISOString();
  // A day alone begins at midnight where the reader is.
  const local = /^\d{4}-\d\d-\d\d$/.test(value) ? `${value}T00:00` : value;
  const time = /^\d{4}-/.test(value) ? Date.parse(local) : NaN;
  if (Number.isNaN(time)) throw new Error(`a time is 2h, 7d, 2026-03-01 or 2026-03-01T10:30, not ${value}`);
  return new Date(time).toISOString();
}
