/**
 * The filter language for a file that holds its runs: what the service's `filter_language` reads, and
 * what `conditions` holds it to be.
 */

import { nearest } from "../query";
import type { Annotation, Json, Summary } from "../types";
import type { Facts } from "./embedded";

type Run = Summary & Facts;
type Holds = (run: Run) => boolean;
type Compare = (one: number, other: number) => boolean;

/** The words of a run's texts, a space around each. */
export type WordsOf = (run: Run) => string;

interface Token {
  kind: string;
  text: string;
  key: string;
  sign: string;
  value: string;
  quoted: boolean;
  failed: boolean;
}

const TOKEN =
  /(?<space>\s+)|(?<open>\()|(?<close>\))|(?<minus>-(?=[^\s-]))|(?<key>[\p{L}_][\p{L}\p{M}\p{N}_.\-/]*|"[^"]+"(?=[:<>=]))(?<sign>:?(?:>=|<=|<|>)|:=?|!=|=)(?<value>"(?:[^"\\]|\\.)*(?:"|$)|[^\s()"]*)(?<failed>!\w+)?|(?<phrase>"[^"]*(?:"|$))|(?<word>[^\s()"]+)/uy;

const COMPARE: Record<string, Compare> = {
  "<": (one, other) => one < other,
  "<=": (one, other) => one <= other,
  ">": (one, other) => one > other,
  ">=": (one, other) => one >= other,
  "=": (one, other) => one === other,
};
const STEP_KEYS: Record<string, [keyof Facts, keyof Facts]> = {
  tool: ["tools", "failed_tools"], tool_name: ["tools", "failed_tools"], model: ["models", "failed_models"],
  type: ["types", "failed_types"], step_type: ["types", "failed_types"],
};
const RUN_KEYS: Record<string, keyof Summary> = {
  run: "run_id", run_id: "run_id", id: "run_id", parent: "parent_run_id", parent_run_id: "parent_run_id", name: "name",
  session: "session_id", session_id: "session_id", user: "user_id", user_id: "user_id", agent: "agent", tag: "tags",
  tags: "tags", outcome: "outcome",
};
type NumberOf = (run: Run) => number | null;
const tokensOf: NumberOf = (run) => run.prompt_tokens + run.completion_tokens;
const NUMBER_KEYS: Record<string, [NumberOf, "time" | "count" | "dollars"]> = {
  steps: [(run) => run.steps, "count"], tokens: [tokensOf, "count"],
  prompt_tokens: [(run) => run.prompt_tokens, "count"], completion_tokens: [(run) => run.completion_tokens, "count"],
  ...Object.fromEntries(["latency", "duration", "ms", "total_ms"].map((name) => [name, [(run: Run) => run.total_ms, "time"]])),
  ...Object.fromEntries(["wall", "wall_ms"].map((name) => [name, [(run: Run) => run.wall_ms, "time"]])),
  ...Object.fromEntries(["cost", "cost_usd"].map((name) => [name, [(run: Run) => run.cost_usd, "dollars"]])),
};
const TIME_KEYS: Record<string, "created_at" | "started_at"> = {
  saved: "created_at", created: "created_at", created_at: "created_at", started: "started_at", started_at: "started_at",
  since: "created_at", until: "created_at",
};
const FAILED = new Set(["error", "failed", "failure", "yes", "true", "y", "1"]);
const FINE = new Set(["ok", "success", "no", "false", "n", "0"]);
const OWN_KEYS = [
  ...Object.keys(STEP_KEYS), ...Object.keys(RUN_KEYS), ...Object.keys(NUMBER_KEYS), ...Object.keys(TIME_KEYS),
  "status", "error", "has", "text", "label",
];
const UNITS: Record<string, Record<string, number>> = {
  time: { "": 1, ms: 1, s: 1e3, m: 6e4, min: 6e4, h: 3.6e6 },
  count: { "": 1, k: 1e3, m: 1e6 },
  dollars: { "": 1, usd: 1 },
};
const WANTED: Record<string, string> = {
  time: "a time such as 500ms, 5s or 2m", count: "a number such as 12, 10k or 1.5M", dollars: "US dollars such as 0.05",
};
const FORMS = "2h, 30m, 3d, 1w, today, yesterday, 2026-03-01 or 2026-03-01T14:30";

/** What a filter's text means; an error says what is wrong with it. */
export function conditionOfText(text: string, wordsOf: WordsOf, now = Date.now()): Holds {
  const tokens = tokensOfText(text);
  let at = 0;
  const isWord = (word: string) => tokens[at]?.kind === "word" && tokens[at]!.text === word;

  const alternatives = (): Holds => {
    const parts = [row()];
    while (isWord("OR")) {
      at++;
      parts.push(row());
    }
    return parts.length === 1 ? parts[0]! : (run) => parts.some((holds) => holds(run));
  };
  const row = (): Holds => {
    const parts: Holds[] = [];
    while (at < tokens.length && tokens[at]!.kind !== "close" && !isWord("OR")) {
      if (isWord("AND") && parts.length) at++;
      else parts.push(negatable());
    }
    if (!parts.length) throw new Error("a condition is missing here");
    return parts.length === 1 ? parts[0]! : (run) => parts.every((holds) => holds(run));
  };
  const negatable = (): Holds => {
    let negated = false;
    while (tokens[at]?.kind === "minus" || isWord("NOT")) {
      negated = !negated;
      at++;
    }
    const holds = one();
    return negated ? (run) => !holds(run) : holds;
  };
  const one = (): Holds => {
    const token = tokens[at++];
    if (!token || token.kind === "close") throw new Error("a condition is missing here");
    if (token.kind !== "open") return holdsOf(token, wordsOf, now);
    const inside = alternatives();
    if (!tokens[at]) throw new Error("this '(' is never closed");
    at++;
    return inside;
  };
  if (!tokens.length) return () => true;
  const condition = alternatives();
  if (at < tokens.length) throw new Error("a ')' without its '('");
  return condition;
}

function tokensOfText(text: string): Token[] {
  const tokens: Token[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.length) {
    const groups = TOKEN.exec(text)?.groups;
    if (!groups) throw new Error("unexpected text");
    const kind = Object.keys(groups).find((name) => groups[name] !== undefined)!;
    if (groups.key !== undefined) tokens.push(keyed(groups as Record<string, string>));
    else if (kind !== "space") tokens.push({ kind, text: groups[kind]!, key: "", sign: "", value: "", quoted: false, failed: false });
  }
  return tokens;
}

function keyed({ key, sign, value: given, failed: mark }: Record<string, string>): Token {
  const quoted = given!.startsWith('"');
  let [value, failed] = [given!, mark];
  const found = quoted || failed !== undefined ? null : /^(.*)(!(?:er+o*r[\p{L}\p{N}_]*|fail[\p{L}\p{N}_]*))$/sui.exec(value);
  if (found) [value, failed] = [found[1]!, found[2]];
  if (failed !== undefined && failed !== "!error" && failed !== "!failed") throw new Error(`${failed} is not known here: write !error, or quote the whole value`);
  if (quoted) value = unquoted(value);
  return { kind: "key", text: "", key: key!.replace(/^"|"$/g, ""), sign: sign!, value, quoted, failed: failed !== undefined };
}

function unquoted(value: string): string {
  for (const text of [value, `${value}"`]) {
    try {
      return String(JSON.parse(text));
    } catch {
      // still being typed
    }
  }
  return value.replace(/^"|"$/g, "");
}

function holdsOf(token: Token, wordsOf: WordsOf, now: number): Holds {
  if (token.kind !== "key") return contains(token.kind === "phrase" ? token.text : token.text.replace(/\*+$/, ""), wordsOf);
  if (token.sign === "!=") {
    const holds = compared({ ...token, sign: "=" }, wordsOf, now);
    return (run) => !holds(run);
  }
  return compared(token, wordsOf, now);
}

function compared(token: Token, wordsOf: WordsOf, now: number): Holds {
  const key = token.key.toLowerCase();
  const sign = token.sign.replace(/^:/, "") || "=";
  const isComparison = /[<>]/.test(sign);
  if (!token.value && !token.quoted) throw new Error(`a value is missing after ${token.key}${token.sign}`);
  if (token.failed && !Object.hasOwn(STEP_KEYS, key)) throw new Error("only tool, model and type can be followed by !error");
  if (Object.hasOwn(NUMBER_KEYS, key)) {
    const [read, unit] = NUMBER_KEYS[key]!;
    return bound(read, sign, withUnit(token.value, unit));
  }
  if (Object.hasOwn(TIME_KEYS, key)) return moment(key, sign, token.value, now);
  const score = /^score\.(.+)$/s.exec(token.key)?.[1];
  if (score !== undefined) {
    const of = (run: Run) => annotation(run, score)?.score ?? null;
    if (token.value === "*" && sign === "=") return (run) => of(run) !== null;
    return bound(of, sign, numberOf(token.key, token.value));
  }
  const metadata = /^(?:meta|metadata)\.(.+)$/s.exec(token.key)?.[1];
  if (isComparison) {
    if (metadata === undefined && OWN_KEYS.includes(key)) throw new Error(`${token.key} cannot be compared: write ${token.key}:value`);
    const name = metadata ?? token.key;
    const number = numberOf(name, token.value, nearest(name, [...Object.keys(NUMBER_KEYS), ...Object.keys(TIME_KEYS)]));
    return bound((run) => (typeof own(run.metadata, name) === "number" ? (run.metadata[name] as number) : null), sign, number);
  }
  if (Object.hasOwn(STEP_KEYS, key)) {
    const field = STEP_KEYS[key]![token.failed ? 1 : 0];
    const is = likeness(token.value);
    return (run) => (run[field] ?? []).some(is);
  }
  if (Object.hasOwn(RUN_KEYS, key)) {
    const is = likeness(token.value);
    return (run) => textsIn(run[RUN_KEYS[key]!]).some(is);
  }
  if (key === "text") return contains(token.quoted ? `"${token.value}"` : token.value, wordsOf);
  if (key === "status" || key === "error") return status(token.key, token.value.toLowerCase());
  const label = key === "label" ? "" : /^label\.(.+)$/s.exec(token.key)?.[1];
  if (label !== undefined) {
    const is = likeness(token.value);
    return (run) => annotations(run, label).some((said) => said.label != null && is(said.label));
  }
  return key === "has" ? has(token.value) : metadataIs(metadata ?? token.key, token);
}

function bound(read: NumberOf, sign: string, value: number): Holds {
  return (run) => {
    const number = read(run);
    return number !== null && number !== undefined && COMPARE[sign]!(number, value);
  };
}

function withUnit(text: string, kind: "time" | "count" | "dollars"): number {
  const found = /^([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)([a-z]*)$/i.exec(kind === "dollars" ? text.replace(/^\$|\$$/g, "") : text);
  const unit = found && UNITS[kind]![found[2]!.toLowerCase()];
  if (!unit) throw new Error(`'${text}' is not ${WANTED[kind]}`);
  return Number(found[1]) * unit;
}

function numberOf(key: string, text: string, near: string | null = null): number {
  const hint = near === null ? "" : `: did you mean '${near}'?`;
  if (!/^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i.test(text)) throw new Error(`${key} is compared with a number, not with '${text}'${hint}`);
  return Number(text);
}

function moment(key: string, given: string, value: string, now: number): Holds {
  const isSince = key === "since" || key === "until";
  if (isSince && /[<>]/.test(given)) throw new Error(`${key} takes a time: ${key}:2h`);
  const sign = isSince ? (key === "since" ? ">=" : "<=") : given;
  const [begin, end] = instants(value, now);
  const read: NumberOf = (run) => (run[TIME_KEYS[key]!] === null ? null : Date.parse(run[TIME_KEYS[key]!]!));
  if (sign === "=") {
    if (begin === end) throw new Error(`${key} takes a day, or a comparison with one of ${FORMS}: ${key}>2h`);
    const [from, to] = [bound(read, ">=", begin), bound(read, "<=", end)];
    return (run) => from(run) && to(run);
  }
  return bound(read, sign, sign === ">=" || sign === "<" ? begin : end);
}

/** The first and the last moment that a person means; a day has two. */
function instants(value: string, now: number): [number, number] {
  const wanted = value.trim().toLowerCase();
  if (wanted === "now") return [now, now];
  const ago = /^(\d+(?:\.\d+)?)\s*([smhdw])(?:\s+ago)?$/.exec(wanted);
  if (ago) {
    const then = now - Number(ago[1]) * { s: 1e3, m: 6e4, h: 3.6e6, d: 8.64e7, w: 6.048e8 }[ago[2] as "s"]!;
    return [then, then];
  }
  const isDay = /^(\d{4}-\d\d-\d\d|today|yesterday)$/.test(wanted);
  const day = new Date(wanted.includes("day") ? now - (wanted === "yesterday" ? 8.64e7 : 0) : `${wanted}T00:00`);
  if (isDay) day.setHours(0, 0, 0, 0);
  const time = isDay ? day.getTime() : /^\d{4}-\d\d-\d\dt/.test(wanted) ? Date.parse(wanted.toUpperCase()) : NaN;
  if (Number.isNaN(time)) throw new Error(`'${value}' is not a time: write ${FORMS}`);
  const end = new Date(time);
  end.setHours(23, 59, 59, 999);
  return isDay ? [time, end.getTime()] : [time, time];
}

function likeness(name: string): (text: string) => boolean {
  if (!name.includes("*")) return (text) => text === name;
  const pattern = new RegExp(`^${name.split("*").map((part) => part.replace(/[.*+?^${}()|[\]\\/-]/g, "\\$&")).join(".*")}$`, "s");
  return (text) => pattern.test(text);
}

function textsIn(value: unknown): string[] {
  return [value].flat().filter((one): one is string => typeof one === "string");
}

function status(key: string, value: string): Holds {
  if (FAILED.has(value)) return (run) => run.has_error;
  if (FINE.has(value)) return (run) => !run.has_error;
  const near = nearest(value, [...FAILED, ...FINE]);
  throw new Error(`${key} is error or ok, not '${value}'${near ? `: did you mean '${near}'?` : ""}`);
}

function annotations(run: Run, name: string): Annotation[] {
  if (!name) return Object.values(run.annotations ?? {});
  const found = annotation(run, name);
  return found ? [found] : [];
}

function annotation(run: Run, name: string): Annotation | undefined {
  return own(run.annotations ?? {}, name);
}

function own<Value>(of: Record<string, Value>, name: string): Value | undefined {
  return Object.hasOwn(of, name) ? of[name] : undefined;
}

type Said = "label" | "score" | "note";

function has(name: string): Holds {
  const metadata = /^(?:meta|metadata)\.(.+)$/s.exec(name)?.[1];
  if (metadata !== undefined) return (run) => Object.hasOwn(run.metadata, metadata);
  const said = /^(score|label|note|annotations?)(?:\.(.+))?$/s.exec(name);
  if (said) {
    const field = said[1]!.startsWith("annotation") ? null : (said[1] as Said);
    return (run) => annotations(run, said[2] ?? "").some((one) => field === null || one[field] != null);
  }
  const field = name === "tag" ? "tags" : name.replace(/_usd$/, "").replace(/_id$/, "");
  const fields: Record<string, Holds> = {
    cost: (run) => run.cost_usd !== null,
    tokens: (run) => run.prompt_tokens > 0 || run.completion_tokens > 0,
    error: (run) => run.has_error,
    tool: (run) => run.tools.length > 0,
    model: (run) => run.models.length > 0,
  };
  if (Object.hasOwn(fields, field)) return fields[field]!;
  const text = { parent: "parent_run_id", name: "name", session: "session_id", user: "user_id", agent: "agent", tags: "tags", outcome: "outcome" }[field];
  if (text) return (run) => textsIn(run[text as keyof Summary]).length > 0;
  return (run) => Object.hasOwn(run.metadata, name);
}

function metadataIs(key: string, { value, quoted }: Token): Holds {
  if (!quoted && value === "*") return (run) => Object.hasOwn(run.metadata, key);
  const every = (run: Run): Json[] => {
    const found = own(run.metadata, key);
    return found === undefined ? [] : Array.isArray(found) ? [found, ...found] : [found];
  };
  if (!quoted && value.includes("*")) {
    const is = likeness(value);
    return (run) => every(run).some((one) => typeof one === "string" && is(one));
  }
  const wanted: unknown[] = [value];
  if (!quoted && /^(true|false|null|-?\d{1,300}(\.\d+)?([eE][+-]?\d+)?)$/.test(value)) {
    try {
      wanted.push(JSON.parse(value));
    } catch {
      // such as 007, which is a text
    }
  }
  return (run) => every(run).some((one) => wanted.includes(one));
}

const ALONE = "\\p{Script=Thai}\\p{Script=Lao}\\p{Script=Myanmar}\\p{Script=Khmer}\\p{Script=Hiragana}\\p{Script=Katakana}\\p{Script=Han}\\p{Extended_Pictographic}";
export const WORD = new RegExp(`(?![0-9])[${ALONE}]|(?:(?!(?![0-9])[${ALONE}])[\\p{L}\\p{N}\\p{M}])+`, "gu");
const PLAIN: Record<string, string> = { ø: "o", ł: "l", đ: "d", ħ: "h", ŧ: "t", æ: "ae", œ: "oe", ı: "i", ð: "d", ß: "ss" };

/** The words of a text, small and without accents, a space around each. */
export function joined(text: string): string {
  const plain = text
    .toLowerCase()
    .normalize("NFKD")
    .replace(/[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u064b-\u065f\u0670]+/g, "")
    .normalize("NFC")
    .replace(/[øłđħŧæœıðß]/g, (letter) => PLAIN[letter]!);
  return ` ${(plain.match(WORD) ?? []).join(" ")} `;
}

/** What a query of words and phrases means. */
export const textCondition = contains;

function contains(text: string, wordsOf: WordsOf): Holds {
  const patterns = patternsOf(text);
  return (run) => {
    const words = wordsOf(run);
    return patterns.every((pattern) => words.includes(pattern));
  };
}

/** What each term of a query is in joined words: with a space behind it, its last word is whole. */
export function patternsOf(text: string): string[] {
  const patterns: string[] = [];
  for (const [whole, phrase] of text.matchAll(/"([^"]*)(?:"|$)|[^\s"]+/g)) {
    const words = joined(phrase ?? whole);
    const isBare = phrase === undefined && !words.trim().includes(" ") && !new RegExp(`^ (?![0-9])[${ALONE}]`, "u").test(words);
    if (words.trim()) patterns.push(isBare ? words.trimEnd() : words);
  }
  if (!patterns.length) throw new Error(`no word to search for: '${text}'`);
  return patterns;
}

// Of messages, what only programs read.
const NOT_SAID = new Set([
  "role", "type", "id", "object", "index", "call_id", "tool_call_id", "tool_use_id", "status", "finish_reason",
  "stop_reason", "signature", "mime_type", "media_type",
]);
const STEP_FIELDS = ["summary", "reasoning", "tool_name", "tool_args", "tool_result", "error", "input", "output"];

type Stored = { steps: Record<string, unknown>[]; [field: string]: unknown };

/** A text of a run, and where it stands: the number of the step, from 1, or null. */
export interface FieldText {
  step: number | null;
  field: string;
  text: string;
}

/** All texts of a run that a person can read. */
export function textsOfTrace(trace: Stored): FieldText[] {
  const found: FieldText[] = [];
  const take = (step: number | null, field: string, value: unknown, numbers = true): void => {
    const isMessage = field === "input" || field === "output";
    if (typeof value === "string") found.push({ step, field, text: value });
    else if (numbers && typeof value === "number") found.push({ step, field, text: String(value) });
    else if (Array.isArray(value)) value.forEach((one) => take(step, field, one, numbers));
    else if (value && typeof value === "object")
      for (const [key, one] of Object.entries(value)) if (!isMessage || !NOT_SAID.has(key)) take(step, field, one, numbers);
  };
  for (const name of ["name", "input", "output"]) take(null, name, trace[name] ?? (trace.extra as Record<string, unknown>)?.[name]);
  for (const [key, value] of Object.entries(trace.metadata ?? {})) take(null, `metadata.${key}`, value, false);
  trace.steps.forEach((step, at) => {
    for (const name of STEP_FIELDS) take(at + 1, name, step[name] ?? (step.extra as Record<string, unknown>)?.[name]);
  });
  return found;
}

/** The words of all of them. */
export function wordsOfTrace(trace: Stored): string {
  return textsOfTrace(trace).map(({ text }) => joined(text)).join("|");
}
