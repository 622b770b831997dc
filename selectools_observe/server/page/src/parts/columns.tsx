/** The columns of the list: which there are, what they show, and the menu to choose them. */

import type { ComponentChildren } from "preact";
import { count, dollars, duration, exact, moment, short, value } from "../format";
import type { Annotation, Summary } from "../types";
import { Drop } from "./drop";
import { seen } from "../unseen";
import { keep, recall } from "./remembered";

export interface Column {
  id: string;
  head: string;
  /** What the service calls the order by it. */
  sort?: string;
  width: string;
  /** Its class; those that a phone shows have one of their own. */
  kind: string;
  title?: (run: Summary) => string;
  cell: (run: Summary) => ComponentChildren;
}

const text = (of: string | null | undefined) => <bdi>{value(of ?? "", 120)}</bdi>;

const FIXED: Column[] = [
  {
    id: "started", head: "Started", sort: "started_at", width: "148px", kind: "when",
    title: (run) => `Started ${exact(run.started_at ?? run.created_at)}\nSaved ${exact(run.created_at)}`,
    cell: (run) => moment(run.started_at ?? run.created_at),
  },
  { id: "run", head: "Run", width: "minmax(100px, 1fr)", kind: "id", cell: () => null },
  {
    id: "text", head: "Input → output", width: "minmax(0, 2.4fr)", kind: "text",
    cell: (run) => (
      <>
        <bdi>{value(run.input ?? "", 90)}</bdi>
        {run.output && (
          <>
            {" "}
            <i aria-hidden="true">→</i> <bdi class="output">{value(run.output, 120)}</bdi>
          </>
        )}
      </>
    ),
  },
  { id: "metadata", head: "Metadata", width: "minmax(0, 1.6fr)", kind: "meta", cell: () => null },
  { id: "steps", head: "Steps", sort: "steps", width: "52px", kind: "n steps", cell: (run) => count(run.steps) },
  {
    id: "tokens", head: "Tokens", sort: "tokens", width: "62px", kind: "n tokens",
    title: ({ prompt_tokens: given = 0, completion_tokens: came = 0 }) => `${count(given)} input, ${count(came)} output`,
    cell: (run) => short((run.prompt_tokens ?? 0) + (run.completion_tokens ?? 0)),
  },
  { id: "cost", head: "Cost", sort: "cost_usd", width: "72px", kind: "n cost", cell: (run) => dollars(run.cost_usd) },
  {
    id: "duration", head: "Duration", sort: "wall_ms", width: "76px", kind: "n took",
    title: (run) => `Active time ${duration(run.total_ms)}`,
    cell: (run) => duration(run.wall_ms ?? run.total_ms),
  },
];
const OTHERS: Column[] = [
  { id: "saved", head: "Saved", sort: "created_at", width: "148px", kind: "extra", title: (run) => exact(run.created_at), cell: (run) => moment(run.created_at) },
  { id: "input", head: "Input", width: "minmax(80px, 1.6fr)", kind: "extra", cell: (run) => text(run.input) },
  { id: "output", head: "Output", width: "minmax(80px, 1.6fr)", kind: "extra", cell: (run) => text(run.output) },
  { id: "active", head: "Active time", sort: "total_ms", width: "84px", kind: "n extra", cell: (run) => duration(run.total_ms) },
  { id: "outcome", head: "Outcome", width: "90px", kind: "extra", cell: (run) => text(run.outcome) },
  { id: "session", head: "Session", width: "minmax(70px, 0.7fr)", kind: "extra", cell: (run) => text(run.session_id) },
  { id: "user", head: "User", width: "minmax(70px, 0.7fr)", kind: "extra", cell: (run) => text(run.user_id) },
  { id: "agent", head: "Agent", width: "minmax(70px, 0.7fr)", kind: "extra", cell: (run) => text(run.agent) },
  { id: "tags", head: "Tags", width: "minmax(70px, 0.7fr)", kind: "extra", cell: (run) => text((run.tags ?? []).join(", ")) },
];

/** An annotation in a word or a number. */
export function judged(one: Annotation | undefined): string {
  if (!one) return "";
  const score = one.score === undefined ? "" : String(Math.round(one.score * 1e4) / 1e4);
  return [one.label ?? "", score].filter(Boolean).join(" ") || "note";
}

function scoreColumn(name: string): Column {
  return {
    id: `score:${name}`, head: seen(name), sort: `score.${name}`, width: "minmax(60px, 0.5fr)", kind: "score extra",
    title: (run) => seen(run.annotations?.[name]?.note ?? ""),
    cell: (run) => text(judged(run.annotations?.[name])),
  };
}

function metadataColumn(key: string): Column {
  return {
    id: `meta:${key}`, head: seen(key), width: "minmax(60px, 0.7fr)", kind: "extra",
    cell: (run) => (Object.hasOwn(run.metadata, key) ? <bdi>{value(run.metadata[key], 60)}</bdi> : ""),
  };
}

const MOST_SCORES = 3;

/** The columns that are shown: those chosen, or else those that the runs in sight have something for. */
export function columnsOf(chosen: string[] | null, runs: Summary[]): Column[] {
  if (chosen) return chosen.flatMap((id) => columnOf(id) ?? []);
  const names = scoresIn(runs).slice(0, MOST_SCORES);
  const hasText = runs.some((run) => run.input || run.output);
  const fixed = FIXED.filter(({ id }) => id !== "text" || hasText);
  const at = fixed.findIndex(({ id }) => id === "steps");
  return [...fixed.slice(0, at), ...names.map(scoreColumn), ...fixed.slice(at)];
}

export function scoresIn(runs: Summary[]): string[] {
  return [...new Set(runs.flatMap((run) => Object.keys(run.annotations ?? {})))];
}

function columnOf(id: string): Column | null {
  const at = id.indexOf(":");
  if (id.startsWith("score:")) return scoreColumn(id.slice(at + 1));
  if (id.startsWith("meta:")) return metadataColumn(id.slice(at + 1));
  return [...FIXED, ...OTHERS].find((column) => column.id === id) ?? null;
}

/** In the address, or else as they were chosen last; null for the usual ones. */
export function chosenColumns(cols: string): string[] | null {
  const ids = cols ? cols.split(",").map(decoded) : recall<string[] | null>("columns", null);
  return Array.isArray(ids) && ids.length ? ids.map(String) : null;
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

interface MenuProps {
  shown: Column[];
  runs: Summary[];
  keys: string[];
  onChoose: (cols: string) => void;
}

export function ColumnMenu({ shown, runs, keys, onChoose }: MenuProps) {
  const ids = shown.map(({ id }) => id);
  const choose = (wanted: string[] | null) => {
    keep("columns", wanted);
    onChoose(wanted ? wanted.map(encodeURIComponent).join(",") : "");
  };
  const scores = scoresIn(runs).map(scoreColumn);
  const all = [...FIXED, ...OTHERS, ...scores, ...keys.map(metadataColumn)];
  const group = (name: string, columns: Column[]) =>
    columns.length > 0 && (
      <fieldset>
        <legend>{name}</legend>
        {columns.map(({ id, head }) => (
          <label key={id}>
            <input
              type="checkbox"
              checked={ids.includes(id)}
              disabled={id === "run"}
              onChange={(event) => {
                const wanted = event.currentTarget.checked ? [...ids, id] : ids.filter((one) => one !== id);
                // In the order of the menu, whatever was chosen first.
                choose(all.map((one) => one.id).filter((one) => wanted.includes(one)));
              }}
            />{" "}
            {value(head, 40)}
          </label>
        ))}
      </fieldset>
    );
  return (
    <Drop label="Columns">
      {() => (
        <>
          {group("Run", [...FIXED, ...OTHERS])}
          {group("Scores and labels", scores)}
          {group("Metadata", keys.map(metadataColumn))}
          <button type="button" onClick={() => choose(null)}>
            The usual ones
          </button>
        </>
      )}
    </Drop>
  );
}
