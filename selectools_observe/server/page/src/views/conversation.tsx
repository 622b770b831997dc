/** A run as a conversation: who said what, each message once, each tool call with its result. */

import { Fragment, type ComponentChildren } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { Code, looksLikeDiff, Markdown } from "../parts/markdown";
import { highlight, visible } from "../parts/highlight";
import { seen } from "../unseen";
import { useKeys, useLater, useLoaded } from "../parts/hooks";
import { LongText } from "../parts/longtext";
import { Stretches, type Target } from "../parts/stretches";
import { says } from "../reader/turns";
import { asPageError } from "../errors";
import { count, dollars, duration, exact, plural, short, size, value } from "../format";
import { go, write } from "../route";
import type { Source } from "../source";
import type { Json, Part, Summary, Talk, Turn } from "../types";

interface Props {
  source: Source;
  run: string;
  /** The first turns, and the index of all. */
  talk: Talk;
  /** The step that is chosen, from 0; -1 for none. */
  chosen: number;
  onChoose: (step: number) => void;
  /** What the run was found by; it is searched for at once. */
  find: string;
  /** The runs that it started, each with the step during or after which it began. */
  children: [number, Summary][];
}

/** So many turns are fetched at a time, their texts cut to so many characters. */
export const TURNS_AT_ONCE = 200;
export const TEXT_LIMIT = 6_000;
/** Whoever is so near to the end reads the end, pixels. */
const END = 80;

export function Conversation({ source, run, talk, chosen, onChoose, find, children }: Props) {
  const { total } = talk;
  const steps = talk.steps ?? [];
  const errors = talk.errors ?? [];
  const [words, setWords] = useState(find);
  const [hit, setHit] = useState(0);
  const asked = useLater(words.trim(), 150);
  const list = useRef<HTMLDivElement>(null);
  const found = useLoaded(
    (signal) => (asked ? source.findInRun(run, asked, signal) : Promise.resolve([])),
    [source, run, asked, talk],
  );
  const hits = (asked && found.value) || [];
  const [target, setTarget] = useState<Target | null>(null);
  const goTo = (turn: number, block: ScrollLogicalPosition = "center", isFound = false) => setTarget({ turn, block, isFound });
  useEffect(() => {
    setHit(0);
    if (asked && found.value?.length) goTo(found.value[0]!, "center", true);
  }, [asked, found.value]);
  const nextHit = (by: 1 | -1) => {
    if (!hits.length) return;
    const at = (hit + by + hits.length) % hits.length;
    setHit(at);
    goTo(hits[at]!, "center", true);
  };

  const place = chosen < 0 ? -1 : steps.findLastIndex((step) => step <= chosen);
  const [mark, setMark] = useState(-1);
  const at = mark >= 0 && steps[mark] === chosen ? mark : place;
  const move = (to: number) => {
    const bounded = Math.max(0, Math.min(total - 1, to));
    if (steps[bounded] === undefined) return;
    setMark(bounded);
    onChoose(steps[bounded]);
    goTo(bounded, "nearest");
  };
  const nextError = (by: 1 | -1) => {
    const next = by > 0 ? errors.find((turn) => turn > at) : errors.findLast((turn) => turn < at);
    if (next !== undefined) move(next);
  };
  useKeys({
    j: () => move(at + 1),
    k: () => move(at < 0 ? 0 : at - 1),
    ArrowDown: () => move(at + 1),
    ArrowUp: () => move(at < 0 ? 0 : at - 1),
    Home: () => move(0),
    g: () => move(0),
    End: () => move(total - 1),
    G: () => move(total - 1),
    e: () => nextError(1),
    E: () => nextError(-1),
    n: () => nextHit(1),
    N: () => nextHit(-1),
    "/": () => document.getElementById("find-words")?.focus(),
  });
  useEffect(() => {
    if (place >= 0) goTo(place);
    list.current?.focus({ preventScroll: true });
  }, []);
  // Whoever reads the end of a run under way goes on reading it, as in a terminal.
  const isAtEnd = useRef(false);
  useEffect(() => {
    const element = list.current!;
    const look = () => (isAtEnd.current = element.scrollTop + element.clientHeight > element.scrollHeight - END);
    look();
    element.addEventListener("scroll", look);
    return () => element.removeEventListener("scroll", look);
  }, []);
  const shown = useRef(total);
  useEffect(() => {
    if (total > shown.current && isAtEnd.current) goTo(total - 1, "end");
    shown.current = total;
  }, [total]);
  const childrenAt = useMemo(() => placesOf(children, steps), [children, talk]);
  const told = () => {
    if (!asked) return plural(total, "message");
    if (hits.length) return `${count(hit + 1)} of ${count(hits.length)}`;
    return found.loading ? "Searching…" : "Nothing found";
  };
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
          {told()}
        </span>
        {talk.gaps && <span class="gap">{talk.gaps.message.replace(/^./, (letter) => letter.toUpperCase())}: not stored</span>}
        {found.problem && <span class="problem">{found.problem.message}</span>}
        {errors.length > 0 && (
          <button type="button" onClick={() => nextError(1)}>
            Next error <kbd>e</kbd>
          </button>
        )}
      </div>
      <Stretches
        load={(from, most) => source.conversation(run, from, most, TEXT_LIMIT)}
        talk={talk}
        scroller={list}
        target={target}
        onThere={() => setTarget(null)}
        attributes={{ role: "feed", "aria-label": "Conversation" }}
        render={(turn, index) => (
          <Fragment key={index}>
            <OneTurn
              source={source}
              run={run}
              turn={turn}
              index={index}
              total={total}
              chosen={index === at}
              hit={hits[hit] === index}
              words={asked.toLowerCase()}
              onChoose={() => {
                setMark(index);
                onChoose(turn.step);
              }}
            />
            {(childrenAt.get(index) ?? []).map((child) => (
              <ChildRun source={source} run={child} key={child.run_id} />
            ))}
          </Fragment>
        )}
      />
    </div>
  );
}

/** After which turn each child run stands: the last of the steps until it began. */
function placesOf(children: [number, Summary][], steps: number[]): Map<number, Summary[]> {
  const places = new Map<number, Summary[]>();
  for (const [step, child] of children) {
    const before = steps.findLastIndex((one) => one <= step);
    const at = before < 0 ? steps.length - 1 : before;
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
    <article class="child-run" aria-label={`Child run ${seen(run.name || run.run_id)}`}>
      <details onToggle={(event) => event.currentTarget.open && void open()}>
        <summary>
          <b>{value(run.name || run.run_id, 60)}</b>{" "}
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
  // What was searched for may stand beyond where the texts are cut.
  const isBeyond = hit && !whole && given.cut !== undefined && !says(given, words);
  // Half a picture is none.
  const isHalf = given.cut !== undefined && given.cut <= LARGEST_PICTURE && (given.parts ?? []).some(isPicture);
  useEffect(() => {
    if (isBeyond || isHalf) void showAll();
  }, [isBeyond, isHalf]);
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
        {turn.not_kept ? <small class="gap">cut at capture: {count(turn.not_kept)} characters not stored</small> : null}
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
          <Tool turn={turn} words={words} />
        ) : role === "system" ? (
          <details open={words !== "" && says(turn, words)}>
            <summary>{value(turn.parts?.[0]?.content ?? "", 140)}</summary>
            <Parts parts={turn.parts ?? []} words={words} />
          </details>
        ) : (
          <Parts parts={turn.parts ?? []} words={words} />
        )}
        {turn.error && <Long text={turn.error} words={words} class="bad" />}
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
/** Characters of what is said with a picture, up to which it is loaded as soon as it is seen. */
const LARGEST_PICTURE = 4_000_000;

function isPicture({ type, modality, mime_type }: Part): boolean {
  return type === "blob" && modality === "image" && PICTURES.test(mime_type ?? "");
}

function OnePart({ part, words }: { part: Part; words: string }): ComponentChildren {
  const text = part.content ?? "";
  switch (part.type) {
    case "text":
      // What was searched for is marked in the text as it stands.
      if (text.length > LONGEST_AT_ONCE || (words && text.toLowerCase().includes(words))) {
        return <Long text={text} words={words} class="plain" />;
      }
      if (looksLikeDiff(text)) return <Code text={text} lang="diff" />;
      return <Markdown text={text} />;
    case "reasoning":
      return (
        <details class="reasoning" open={words !== "" && text.toLowerCase().includes(words)}>
          <summary>Reasoning{text ? "" : " (withheld by the provider)"}</summary>
          {words || text.length > LONGEST_AT_ONCE ? <Long text={text} words={words} class="plain" /> : <Markdown text={text} />}
        </details>
      );
    case "blob":
      if (isPicture(part)) {
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

/** Longer texts are drawn piece by piece. */
const LONGEST_AT_ONCE = 40_000;
const AROUND = 600;

/** A text as it is, with what was searched for marked; of a long one the beginning, and where the words stand. */
function Long({ text, words, class: kind }: { text: string; words: string; class: string }) {
  if (text.length <= LONGEST_AT_ONCE) return <pre class={kind === "bad" ? "text bad" : kind}>{words ? marked(text, words) : visible(text)}</pre>;
  const at = words ? text.toLowerCase().indexOf(words) : -1;
  return (
    <>
      {at >= 0 && (
        <>
          <p class="note">At character {count(at + 1)} of {size(text.length)}:</p>
          <pre class="plain">{marked(text.slice(Math.max(0, at - AROUND), at + words.length + AROUND), words)}</pre>
        </>
      )}
      <LongText
        head={text.slice(0, TEXT_LIMIT)}
        length={text.length}
        json={false}
        piece={(from, to) => Promise.resolve({ text: text.slice(from, to), length: text.length })}
      />
    </>
  );
}

const PREVIEW_LINES = 6;
const PREVIEW = 600;

function Tool({ turn, words }: { turn: Turn; words: string }) {
  const result = turn.result;
  const text = result === undefined || result === null ? "" : asText(result);
  const preview = text.split("\n", PREVIEW_LINES).join("\n").slice(0, PREVIEW);
  const isLong = preview.length < text.length;
  const isSaid = (of: string) => words !== "" && of.toLowerCase().includes(words);
  const given = asText(turn.arguments);
  return (
    <div class="call">
      <details open={isSaid(given)}>
        <summary>
          <code>
            {seen(turn.name ?? "tool")}({seen(argumentsOf(turn.arguments))})
          </code>
        </summary>
        {isSaid(given) || given.length > LONGEST_AT_ONCE ? (
          <Long text={given} words={words} class="text" />
        ) : (
          <pre class="text">{typeof turn.arguments === "object" ? highlight(given) : visible(given)}</pre>
        )}
      </details>
      {text && !isLong && <Result text={text} words={isSaid(text) ? words : ""} />}
      {text && isLong && (
        <details class="result" open={isSaid(text)}>
          <summary>
            <small class="opened">Result, {size(text.length)}</small>
            <pre class="text">{visible(preview)}…</pre>
          </summary>
          <Result text={text} words={isSaid(text) ? words : ""} />
        </details>
      )}
    </div>
  );
}

function Result({ text, words }: { text: string; words: string }) {
  if (words || text.length > LONGEST_AT_ONCE) return <Long text={text} words={words} class="text" />;
  if (looksLikeDiff(text)) return <Code text={text} lang="diff" />;
  return <pre class="text">{/^\s*[[{]/.test(text) ? highlight(text) : visible(text)}</pre>;
}

function asText(of: Json | undefined): string {
  if (of === undefined || of === null) return "none";
  return typeof of === "string" ? of : JSON.stringify(of, null, 2);
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
