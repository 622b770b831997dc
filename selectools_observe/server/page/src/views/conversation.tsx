/** A run as a conversation: who said what, each message once, each tool call with its result. */

import { Fragment, type ComponentChildren } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { Code, looksLikeDiff, Markdown } from "../parts/markdown";
import { seen, highlight, visible } from "../parts/highlight";
import { useKeys, useLater } from "../parts/hooks";
import { Problem } from "../parts/states";
import { asPageError, type PageError } from "../errors";
import { count, dollars, duration, exact, plural, short, size, value } from "../format";
import { go, write } from "../route";
import type { Source } from "../source";
import type { Json, Part, Summary, Turn } from "../types";

interface Props {
  source: Source;
  run: string;
  total: number;
  first: Turn[];
  /** The step that is chosen, from 0; -1 for none. */
  chosen: number;
  onChoose: (step: number) => void;
  /** What the run was found by; it is searched for at once. */
  find: string;
  /** The runs that it started: each stands where it began. */
  children: Summary[];
}

/** So many turns are fetched at a time, their texts cut to so many characters. */
export const TURNS_AT_ONCE = 200;
export const TEXT_LIMIT = 6_000;
const MOST_HITS_MARKED = 2_000;

export function Conversation({ source, run, total, first, chosen, onChoose, find, children }: Props) {
  const [turns, setTurns] = useState(first);
  const [problem, setProblem] = useState<PageError | null>(null);
  const [words, setWords] = useState(find);
  const [hit, setHit] = useState(0);
  const asked = useLater(words.trim().toLowerCase(), 150);
  const list = useRef<HTMLDivElement>(null);
  const end = useRef<HTMLDivElement>(null);
  const loading = useRef(false);
  useEffect(() => setTurns(first), [first]);

  const more = async () => {
    if (loading.current || turns.length >= total) return;
    loading.current = true;
    try {
      const next = await source.conversation(run, turns.length, TURNS_AT_ONCE, TEXT_LIMIT);
      setTurns((old) => [...old, ...next.turns]);
    } catch (error) {
      setProblem(asPageError(error));
    }
    loading.current = false;
  };
  // More comes when the end is near, and all of it for whoever searches.
  useEffect(() => {
    const watcher = new IntersectionObserver(
      (found) => found.some((one) => one.isIntersecting) && void more(),
      { root: list.current, rootMargin: "1200px" },
    );
    if (end.current) watcher.observe(end.current);
    return () => watcher.disconnect();
  }, [turns.length, total]);
  useEffect(() => {
    if (asked) void more();
  }, [asked, turns.length]);

  const hits = useMemo(() => (asked ? matching(turns, asked) : []), [turns, asked]);
  useEffect(() => setHit(0), [asked]);
  const goTo = (index: number) => {
    document.getElementById(`turn-${index}`)?.scrollIntoView({ block: "center" });
  };
  const nextHit = (by: 1 | -1) => {
    if (!hits.length) return;
    const at = (hit + by + hits.length) % hits.length;
    setHit(at);
    goTo(hits[at]!);
  };
  useEffect(() => {
    if (hits.length) goTo(hits[0]!);
  }, [asked, hits.length > 0]);

  const place = turns.findLastIndex((turn) => turn.step <= chosen);
  const [mark, setMark] = useState(-1);
  const at = mark >= 0 && turns[mark]?.step === chosen ? mark : chosen >= 0 ? place : -1;
  const move = (to: number) => {
    const bounded = Math.max(0, Math.min(turns.length - 1, to));
    if (!turns[bounded]) return;
    setMark(bounded);
    onChoose(turns[bounded]!.step);
    document.getElementById(`turn-${bounded}`)?.scrollIntoView({ block: "nearest" });
  };
  const nextError = (by: 1 | -1) => {
    for (let next = at + by; next >= 0 && next < turns.length; next += by) {
      if (turns[next]!.error) return move(next);
    }
  };
  useKeys({
    j: () => move(at + 1),
    k: () => move(at < 0 ? 0 : at - 1),
    ArrowDown: () => move(at + 1),
    ArrowUp: () => move(at < 0 ? 0 : at - 1),
    Home: () => move(0),
    g: () => move(0),
    End: () => move(turns.length - 1),
    G: () => move(turns.length - 1),
    e: () => nextError(1),
    E: () => nextError(-1),
    n: () => nextHit(1),
    N: () => nextHit(-1),
    "/": () => document.getElementById("find-words")?.focus(),
  });
  useEffect(() => {
    if (chosen >= 0 && place >= 0) goTo(place);
    list.current?.focus({ preventScroll: true });
  }, []);
  const errors = turns.filter((turn) => turn.error).length;
  const childrenAt = useMemo(() => placesOf(children, turns), [children, turns]);
  return (
    <div class="talk">
      <div class="tools">
        <input
          id="find-words"
          type="search"
          aria-label="Search in the conversation"
          placeholder="Search in the conversation"
          value={words}
          onInput={(event) => setWords(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === "Enter") nextHit(event.shiftKey ? -1 : 1);
            else if (event.key === "Escape") {
              setWords("");
              list.current?.focus();
            } else return;
            event.preventDefault();
          }}
        />
        <span class="told" role="status">
          {asked ? (hits.length ? `${hit + 1} of ${count(hits.length)}` : "Nothing found") : plural(total, "message")}
        </span>
        {errors > 0 && (
          <button type="button" onClick={() => nextError(1)}>
            Next error <kbd>e</kbd>
          </button>
        )}
      </div>
      <div class="turns" ref={list} tabIndex={0} role="feed" aria-label="Conversation" aria-busy={turns.length < total}>
        {turns.map((turn, index) => (
          <Fragment key={index}>
          <OneTurn
            source={source}
            run={run}
            turn={turn}
            index={index}
            total={total}
            chosen={index === at}
            hit={asked !== "" && hits[hit] === index}
            words={asked && hits.length < MOST_HITS_MARKED ? asked : ""}
            onChoose={() => {
              setMark(index);
              onChoose(turn.step);
            }}
          />
          {(childrenAt.get(index) ?? []).map((child) => (
            <ChildRun source={source} run={child} key={child.run_id} />
          ))}
          </Fragment>
        ))}
        {problem && <Problem problem={problem} retry={() => void more()} />}
        <div ref={end} class="note">{turns.length < total ? "Loading…" : ""}</div>
      </div>
    </div>
  );
}

/** After which turn each child run stands: the last that had begun before it did. */
function placesOf(children: Summary[], turns: Turn[]): Map<number, Summary[]> {
  const places = new Map<number, Summary[]>();
  for (const child of [...children].reverse()) {
    const began = Date.parse(child.started_at ?? child.created_at) / 1000;
    const before = turns.findLastIndex(({ timestamp }) => timestamp !== undefined && timestamp <= began);
    const at = before < 0 ? turns.length - 1 : before;
    places.set(at, [...(places.get(at) ?? []), child]);
  }
  return places;
}

/** A run that this one started, opened in place. */
function ChildRun({ source, run }: { source: Source; run: Summary }) {
  const [turns, setTurns] = useState<Turn[] | null>(null);
  const [problem, setProblem] = useState("");
  const open = async () => {
    if (turns) return;
    try {
      setTurns((await source.conversation(run.run_id, 0, TURNS_AT_ONCE, TEXT_LIMIT)).turns);
    } catch (error) {
      setProblem(asPageError(error).message);
    }
  };
  return (
    <article class="child-run" aria-label={`Child run ${run.name || run.run_id}`}>
      <details onToggle={(event) => event.currentTarget.open && void open()}>
        <summary>
          <b>{value(seen(run.name || run.run_id), 60)}</b>{" "}
          <small>
            child run · {plural(run.steps, "step")} · {duration(run.wall_ms ?? run.total_ms)} · {dollars(run.cost_usd)}
          </small>
          {run.outcome === "error" && <b class="bad"> error</b>}
        </summary>
        <a href={write({ view: "run", run: run.run_id })}>Open it</a>
        {problem && <p class="problem">{problem}</p>}
        {(turns ?? []).map((turn, index) => (
          <OneTurn
            source={source}
            run={run.run_id}
            turn={turn}
            index={index}
            total={turns!.length}
            place={`${run.run_id}-${index}`}
            chosen={false}
            hit={false}
            words=""
            onChoose={() => go({ view: "run", run: run.run_id, step: turn.step + 1 })}
            key={index}
          />
        ))}
      </details>
    </article>
  );
}

function matching(turns: Turn[], words: string): number[] {
  return turns.flatMap((turn, index) => (textOf(turn).toLowerCase().includes(words) ? [index] : []));
}

function textOf(turn: Turn): string {
  const texts = (turn.parts ?? []).map((part) => part.content ?? JSON.stringify(part));
  for (const one of [turn.name, turn.arguments, turn.result, turn.error]) {
    if (one !== undefined && one !== null) texts.push(typeof one === "string" ? one : JSON.stringify(one));
  }
  return texts.join("\n");
}

interface TurnProps {
  source: Source;
  run: string;
  turn: Turn;
  index: number;
  total: number;
  /** What tells it from other turns on the page. */
  place?: string;
  chosen: boolean;
  hit: boolean;
  words: string;
  onChoose: () => void;
}

const ROLES: Record<string, string> = { system: "System", user: "User", assistant: "Assistant", tool: "Tool" };

export function OneTurn({ source, run, turn: given, index, total, place = String(index), chosen, hit, words, onChoose }: TurnProps) {
  const [whole, setWhole] = useState<Turn | null>(null);
  const turn = whole ?? given;
  const [problem, setProblem] = useState("");
  const showAll = async () => {
    try {
      setWhole((await source.conversation(run, index, 1, null)).turns[0] ?? null);
    } catch (error) {
      setProblem(asPageError(error).message);
    }
  };
  const role = turn.kind === "message" ? (turn.role ?? "assistant") : turn.kind;
  const name = turn.kind === "message" ? (ROLES[role] ?? role) : turn.kind === "tool" ? "Tool" : "Error";
  const classes = ["turn", turn.kind, `of-${ROLES[role] ? role : "other"}`];
  if (chosen) classes.push("chosen");
  if (hit) classes.push("hit");
  if (turn.error) classes.push("bad");
  return (
    <article
      class={classes.join(" ")}
      id={`turn-${place}`}
      aria-posinset={index + 1}
      aria-setsize={total}
      aria-label={`${name}, step ${turn.step + 1}`}
      aria-current={chosen || undefined}
      onClick={(event) => {
        if (!(event.target as Element).closest("a, summary, button") && !String(getSelection())) onChoose();
      }}
    >
      <header>
        <b>{visible(name)}</b>
        {turn.name && turn.kind === "message" && <small>{seen(turn.name)}</small>}
        <span class="cost">
          {turn.timestamp ? <time title={exact(turn.timestamp)}>{exact(turn.timestamp).slice(11, 19)}</time> : null}
          {turn.duration_ms ? <span>{duration(turn.duration_ms)}</span> : null}
          {turn.completion_tokens || turn.prompt_tokens ? (
            <span>{`${short(turn.prompt_tokens ?? 0)} in / ${short(turn.completion_tokens ?? 0)} out`}</span>
          ) : null}
          {turn.cost_usd ? <span>{dollars(turn.cost_usd)}</span> : null}
          <button type="button" class="quiet" title="Show the step" onClick={onChoose}>
            {count(turn.step + 1)}
          </button>
        </span>
      </header>
      <div class="said">
        {turn.kind === "tool" ? (
          <Tool turn={turn} />
        ) : role === "system" ? (
          <details>
            <summary>{value(seen(turn.parts?.[0]?.content ?? ""), 140)}</summary>
            <Parts parts={turn.parts ?? []} words={words} />
          </details>
        ) : (
          <Parts parts={turn.parts ?? []} words={words} />
        )}
        {turn.error && <pre class="text bad">{visible(turn.error)}</pre>}
      </div>
      {given.cut !== undefined && !whole && (
        <p class="more">
          <button type="button" onClick={() => void showAll()}>
            Show all <small>{size(given.cut)}</small>
          </button>
        </p>
      )}
      {problem && <p class="problem">{problem}</p>}
    </article>
  );
}

function Parts({ parts, words }: { parts: Part[]; words: string }) {
  return parts.map((part, at) => <OnePart part={part} words={words} key={at} />);
}

const PICTURES = /^image\/(png|jpe?g|gif|webp|avif|bmp)$/i;

function OnePart({ part, words }: { part: Part; words: string }): ComponentChildren {
  const text = part.content ?? "";
  switch (part.type) {
    case "text":
      // What was searched for is marked in the text as it stands.
      if (words && text.toLowerCase().includes(words)) return <pre class="plain">{marked(text, words)}</pre>;
      if (looksLikeDiff(text)) return <Code text={text} lang="diff" />;
      return <Markdown text={text} />;
    case "reasoning":
      return (
        <details class="reasoning">
          <summary>Reasoning{text ? "" : " (withheld by the provider)"}</summary>
          <Markdown text={text} />
        </details>
      );
    case "blob":
      if (part.modality === "image" && PICTURES.test(part.mime_type ?? "")) {
        return <img class="thumb" alt="Picture of the message" src={`data:${part.mime_type};base64,${text}`} />;
      }
      return <p class="note">[{part.mime_type ?? part.modality ?? "file"}, {size(text.length)}]</p>;
    case "uri":
      return <p class="note">[{part.modality ?? "file"}: <span class="address">{visible(part.uri ?? "")}</span>]</p>;
    case "file":
      return <p class="note">[file {visible(part.name ?? part.file_id ?? "")}]</p>;
    default:
      return <pre class="text">{highlight(JSON.stringify(part.value ?? part, null, 2))}</pre>;
  }
}

/** The text with what was searched for marked. */
function marked(text: string, words: string): ComponentChildren {
  const found: ComponentChildren[] = [];
  const low = text.toLowerCase();
  // Lower case may be longer than the text: then nothing is marked.
  if (low.length !== text.length) return visible(text);
  let from = 0;
  for (let at = low.indexOf(words); at >= 0 && found.length < 400; at = low.indexOf(words, from)) {
    found.push(visible(text.slice(from, at)), <mark>{visible(text.slice(at, at + words.length))}</mark>);
    from = at + words.length;
  }
  found.push(visible(text.slice(from)));
  return found;
}

const PREVIEW_LINES = 6;
const PREVIEW = 600;

function Tool({ turn }: { turn: Turn }) {
  const result = turn.result;
  const text = typeof result === "string" ? result : result === undefined || result === null ? "" : JSON.stringify(result, null, 2);
  const preview = text.split("\n", PREVIEW_LINES).join("\n").slice(0, PREVIEW);
  const isLong = preview.length < text.length;
  return (
    <div class="call">
      <details>
        <summary>
          <code>
            {seen(turn.name ?? "tool")}({seen(argumentsOf(turn.arguments))})
          </code>
        </summary>
        <pre class="text">{shown(turn.arguments)}</pre>
      </details>
      {text && !isLong && <Result text={text} />}
      {text && isLong && (
        <details class="result">
          <summary>
            <pre class="text">{visible(preview)}…</pre>
          </summary>
          <Result text={text} />
        </details>
      )}
    </div>
  );
}

function Result({ text }: { text: string }) {
  if (looksLikeDiff(text)) return <Code text={text} lang="diff" />;
  return <pre class="text">{/^\s*[[{]/.test(text) ? highlight(text) : visible(text)}</pre>;
}

function shown(of: Json | undefined): ComponentChildren {
  if (of === undefined || of === null) return "none";
  return typeof of === "string" ? visible(of) : highlight(JSON.stringify(of, null, 2));
}

/** `user_id="ada", flights=[2]` */
function argumentsOf(of: Json | undefined): string {
  if (of === undefined || of === null) return "";
  if (typeof of !== "object" || Array.isArray(of)) return value(of, 100);
  const pairs = Object.entries(of).map(([key, inner]) => {
    if (Array.isArray(inner) && JSON.stringify(inner).length > 40) return `${key}=[${inner.length}]`;
    return `${key}=${value(typeof inner === "string" ? JSON.stringify(inner) : inner, 40)}`;
  });
  return value(pairs.join(", "), 120);
}
