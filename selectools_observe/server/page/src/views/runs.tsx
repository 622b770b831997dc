/** All runs, newest first: filtered as one types, narrowed by brushing, opened by Enter. */

import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { count, dollars, duration, exact, moment, plural, short, typedMoment, value } from "../format";
import type { Query } from "../http";
import { FilterBar, type Known } from "../parts/filterbar";
import { seen } from "../parts/highlight";
import { TimeLine } from "../parts/histogram";
import { useKeys, useLater, useLoaded, useMedia } from "../parts/hooks";
import { FoundRuns, RunPages, type Rows } from "../parts/pages";
import { NoRuns, Problem, Waiting } from "../parts/states";
import { Virtual, type Scroller } from "../parts/virtual";
import { parse, withTerm } from "../query";
import { go, write, type Route } from "../route";
import type { LiveState, Source } from "../source";
import type { Summary } from "../types";

interface Props {
  source: Source;
  route: Route;
  known: Known;
  following: boolean;
  onLive: (state: LiveState | "idle") => void;
}

const BUCKETS = 120;
/** Whoever types on within this time is not answered yet; the bars over time wait longer. */
const TYPING_MS = 40;
const BARS_MS = 250;

export function Runs({ source, route, known, following, onLive }: Props) {
  const { q } = route;
  const asked = useLater(q, TYPING_MS);
  const parsed = useMemo(() => parse(asked), [asked]);
  const [turn, setTurn] = useState(0);
  const [fresh, setFresh] = useState(0);
  // The service looks for words in what was said. Where it finds nothing, ids and metadata are left.
  const [unsaid, setUnsaid] = useState("");
  const isSaid = source.live && parsed.words.length > 0 && unsaid !== asked;
  const query = isSaid ? { ...parsed.query, text: quoted(parsed.words) } : parsed.query;
  const words = isSaid ? [] : parsed.words;
  const rows = useRows(source, query, words, source.live ? route.sort : "", turn);
  const isNowhere = isSaid && rows.counted && rows.total === 0 && !rows.loading;
  useEffect(() => {
    if (isNowhere) setUnsaid(asked);
  }, [isNowhere]);
  const phone = useMedia("(max-width: 720px)");
  const scroller = useRef<Scroller>(null);
  const [at, setAt] = useState(left?.rows === rows ? left.at : -1);
  const isFirst = useRef(true);
  // Before a key can move from there.
  useLayoutEffect(() => {
    if (!isFirst.current) setAt(-1);
    else if (at >= 0) {
      scroller.current?.show(at);
      // What came meanwhile shows at the top; further down, nothing moves under the reader.
      if ((scroller.current?.element()?.scrollTop ?? 0) < 10) setTurn((old) => old + 1);
    }
    isFirst.current = false;
  }, [asked]);
  useLayoutEffect(() => {
    if (left) left.at = at;
  }, [at, rows]);

  const timeless = useMemo(() => {
    const { since: _since, until: _until, ...rest } = query;
    return rest;
  }, [JSON.stringify(query)]);
  const spans = useLater(JSON.stringify(timeless), BARS_MS);
  const histogram = useLoaded(
    (signal) =>
      rowsFirst(rows, () => {
        const query = { ...(JSON.parse(spans) as Query), buckets: BUCKETS };
        return source.histogram(query, signal);
      }),
    [source, spans, turn],
  );
  const comeBack = (state: LiveState | "idle") => {
    onLive(state);
    // The server answers again: what could not be read is read.
    if (state === "open" && rows.problem) setTurn((old) => old + 1);
  };
  useFollowing(source, following && !rows.loading, query, comeBack, () => {
    const top = scroller.current?.element()?.scrollTop ?? 0;
    if (top < 10 && !words.length) setTurn((old) => old + 1);
    else setFresh((old) => old + 1);
  });

  const constant = useMemo(() => {
    const all = [...known.metadata].filter(([, values]) => values.length === 1);
    return new Set(all.map(([key]) => key));
  }, [known]);

  const change = (text: string) => go({ ...route, q: text }, true);
  const select = (row: number) => {
    const bounded = Math.max(0, Math.min(rows.total - 1, row));
    toEnd.current = row === Infinity && !rows.counted;
    setAt(bounded);
    // At once: a click opens a run before this view is drawn again.
    if (left) left.at = bounded;
    scroller.current?.show(bounded);
    // A screen reader follows the row that the grid with the focus calls active.
    if (document.activeElement === document.body) scroller.current?.element()?.focus({ preventScroll: true });
  };
  // Whoever asked for the last row before all were counted still gets there.
  const toEnd = useRef(false);
  useEffect(() => {
    if (toEnd.current) select(Infinity);
  }, [rows.total, rows.counted]);
  const open = (run: Summary | undefined) => {
    if (!run) return;
    if (route.other === run.run_id) return;
    if (route.other) go({ view: "compare", run: route.other, other: run.run_id });
    else go({ view: "run", run: run.run_id, q });
  };
  const visible = () => Math.max(1, Math.floor((scroller.current?.element()?.clientHeight ?? 300) / 32) - 1);
  useKeys({
    j: () => select(at + 1),
    k: () => select(at - 1),
    ArrowDown: () => select(at + 1),
    ArrowUp: () => select(at - 1),
    PageDown: () => select(at + visible()),
    PageUp: () => select(at - visible()),
    Home: () => select(0),
    End: () => select(Infinity),
    G: () => select(Infinity),
    g: () => select(0),
    Enter: () => open(rows.row(at)),
    o: () => open(rows.row(at)),
    c: () => rows.row(at) && go({ ...route, other: rows.row(at)!.run_id }),
    "/": () => document.getElementById("search")?.focus(),
    Escape: () => (route.other ? go({ ...route, other: "" }) : setAt(-1)),
  });
  const refresh = () => {
    setFresh(0);
    setTurn((old) => old + 1);
    scroller.current?.show(0);
  };
  const hasText = !phone && hasTextIn(rows);
  const isEmpty = rows.counted && rows.total === 0 && !rows.loading;
  return (
    <main class="runs">
      <h1 class="sr">Runs</h1>
      <FilterBar
        q={q}
        known={known}
        onChange={change}
        onLeave={() => {
          scroller.current?.element()?.focus();
          if (at < 0) select(0);
        }}
      />
      {!histogram.problem && !(isEmpty && !asked) && (
        <TimeLine
          data={histogram.value}
          loading={histogram.loading}
          since={(query.since as string | undefined) ?? null}
          until={(query.until as string | undefined) ?? null}
          onBrush={(since, until) => {
            const [from, to] = [since, until].map((iso) => typedMoment(new Date(iso)));
            change(withTerm(withTerm(q, "since", `since:${from}`), "until", `until:${to}`));
          }}
          onClear={() => change(withTerm(withTerm(q, "since", null), "until", null))}
        />
      )}
      {route.other && (
        <p class="banner">
          Choose the run to compare with <code>{seen(route.other)}</code>
          <button type="button" onClick={() => go({ ...route, other: "" })}>
            Cancel
          </button>
        </p>
      )}
      <Told rows={rows} fresh={fresh} onRefresh={refresh} />
      {rows.problem ? (
        <Problem problem={rows.problem} retry={refresh} />
      ) : isEmpty && rows.looked === null ? (
        asked ? <Nothing /> : <NoRuns live={source.live} />
      ) : rows.loading && rows.total === 0 ? (
        <Waiting>Loading…</Waiting>
      ) : (
        <div class={hasText ? "grid with-text" : "grid"}>
          <Virtual
            class="scroll"
            role="grid"
            tabIndex={0}
            aria-label="Runs, newest first"
            aria-rowcount={rows.total + 1}
            head={<Heads sort={route.sort} canSort={source.live} onSort={(sort) => go({ ...route, sort }, true)} hasText={hasText} />}
            aria-activedescendant={at >= 0 && rows.row(at) ? `run-${at}` : undefined}
            count={rows.total}
            height={phone ? 64 : 32}
            scroller={scroller}
            onRange={(from: number, to: number) => rows.want(from, to)}
            render={(row: number) => (
              <RunRow
                run={rows.row(row)}
                row={row}
                chosen={row === at}
                onOpen={open}
                q={q}
                onChoose={() => select(row)}
                constant={constant}
                hasText={hasText}
              />
            )}
          />
        </div>
      )}
    </main>
  );
}

/** The list as it was left: whoever comes back from a run finds it so. */
let left: { key: string; rows: Rows; at: number } | null = null;

function useRows(source: Source, query: Query, words: string[], sort: string, turn: number): Rows {
  const [, redraw] = useState(0);
  const key = JSON.stringify([query, words, sort]);
  const latest = useRef<{ key: string; rows: Rows; shown: Rows } | null>(null);
  const wanted = `${key} ${turn}`;
  if (latest.current?.key !== wanted) {
    const before = latest.current?.shown;
    latest.current?.rows.stop();
    const reused = !latest.current && left?.key === key ? left.rows : null;
    if (!reused) left?.rows.stop();
    const isAgain = latest.current?.key.startsWith(`${key} `);
    const changed = () => {
      // The same list anew does not shrink to its first page until it is counted.
      const isReady = !isAgain || rows.counted || rows.looked || rows.problem;
      if (latest.current?.rows === rows && isReady) latest.current.shown = rows;
      redraw((old) => old + 1);
    };
    const rows: Rows =
      reused ??
      (words.length
        ? new FoundRuns(source, query, words, changed)
        : new RunPages(source, query, sort, changed));
    rows.changed = changed;
    // What was found before stays in sight until the new answer is there.
    latest.current = { key: wanted, rows, shown: before && !before.problem ? before : rows };
    left = { key, rows, at: left?.key === key ? left.at : -1 };
  }
  return latest.current.shown;
}

/** Nothing competes with the first rows. */
async function rowsFirst<Value>(rows: Rows, work: () => Promise<Value>): Promise<Value> {
  for (let turns = 0; rows.loading && turns < 100; turns++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return work();
}

const BATCH_MS = 1_000;

function useFollowing(
  source: Source,
  following: boolean,
  query: Query,
  onLive: (state: LiveState | "idle") => void,
  onRuns: () => void,
): void {
  const latest = useRef(onRuns);
  latest.current = onRuns;
  const state = useRef(onLive);
  state.current = onLive;
  useEffect(() => {
    if (!following || !source.live) return state.current("idle");
    let timer: ReturnType<typeof setTimeout> | undefined;
    // Many runs a second are one change of the list a second.
    const soon = () => {
      timer ??= setTimeout(() => {
        timer = undefined;
        latest.current();
      }, BATCH_MS);
    };
    let stop: (() => void) | null = null;
    // Browsers open six connections to a service, over all tabs: one that nobody sees gives its up.
    const watch = () => {
      if (document.hidden) {
        stop?.();
        stop = null;
      } else if (!stop) {
        if (stoppedBefore) soon();
        stoppedBefore = true;
        stop = source.follow(query, soon, (now) => {
          state.current(now);
          if (now === "gap") soon();
        });
      }
    };
    let stoppedBefore = false;
    watch();
    document.addEventListener("visibilitychange", watch);
    return () => {
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", watch);
      stop?.();
    };
  }, [following, JSON.stringify(query)]);
}

function Told({ rows, fresh, onRefresh }: { rows: Rows; fresh: number; onRefresh: () => void }) {
  const number = rows.counted ? plural(rows.total, "run") : `${count(rows.total)} runs or more`;
  return (
    <div class="told">
      <span role="status">
        {rows.looked
          ? `${plural(rows.total, "run")} found in the newest ${count(rows.looked.at)}`
          : number}
        {rows.looked?.all ? ": that is all of them" : ""}
      </span>
      {rows.looked && !rows.looked.all && !rows.loading && (
        <button type="button" onClick={() => rows.further?.()}>
          Continue searching
        </button>
      )}
      {fresh > 0 && (
        <button type="button" onClick={onRefresh}>
          New runs: show them
        </button>
      )}
      <span class="keys">
        <kbd>j</kbd> <kbd>k</kbd> move <kbd>Enter</kbd> open <kbd>c</kbd> compare <kbd>/</kbd> filter
      </span>
    </div>
  );
}

function Nothing() {
  return (
    <div class="state">
      <h2>No run matches</h2>
      <p>Every part of the filter must hold. Take one out, or clear it all.</p>
    </div>
  );
}

const LOOKED_AT = 100;

/** Whether the runs at the list's beginning say what was asked or answered. */
function hasTextIn(rows: Rows): boolean {
  for (let row = 0; row < Math.min(rows.total, LOOKED_AT); row++) {
    const run = rows.row(row);
    if (run?.input || run?.output) return true;
  }
  return false;
}

/** Words as the search takes them: a phrase stays one. */
function quoted(words: string[]): string {
  return words.map((word) => (/\s/.test(word) ? JSON.stringify(word) : word)).join(" ");
}

interface HeadsProps {
  sort: string;
  canSort: boolean;
  onSort: (sort: string) => void;
  hasText: boolean;
}

function Heads({ sort, canSort, onSort, hasText }: HeadsProps) {
  const by = (name: string, text: string, classes?: string) => {
    const isBy = sort.replace(/^-/, "") === name;
    const isDown = isBy && sort.startsWith("-");
    // Largest or newest first, then the other way round, then as the list was.
    const next = !isBy ? `-${name}` : isDown ? name : "";
    return (
      <span
        role="columnheader"
        class={classes}
        aria-sort={isBy ? (isDown ? "descending" : "ascending") : undefined}
      >
        {canSort ? (
          <button type="button" class="sort" onClick={() => onSort(next)}>
            {text}
            {isBy ? (isDown ? " ↓" : " ↑") : ""}
          </button>
        ) : (
          text
        )}
      </span>
    );
  };
  return (
    <div class="row heads" role="row" aria-rowindex={1}>
      <span role="columnheader" class="mark">
        <span class="sr">Status</span>
      </span>
      {by("started_at", "Started")}
      <span role="columnheader">Run</span>
      {hasText && <span role="columnheader">Input → output</span>}
      <span role="columnheader">Metadata</span>
      {by("steps", "Steps", "n")}
      {by("tokens", "Tokens", "n")}
      {by("cost_usd", "Cost", "n")}
      {by("wall_ms", "Duration", "n")}
    </div>
  );
}

interface RowProps {
  run: Summary | undefined;
  row: number;
  chosen: boolean;
  q: string;
  onOpen: (run: Summary) => void;
  onChoose: () => void;
  constant: ReadonlySet<string>;
  hasText: boolean;
}

function RunRow({ run, row, chosen, q, onOpen, onChoose, constant, hasText }: RowProps) {
  const shared = { role: "row" as const, "aria-rowindex": row + 2, id: `run-${row}` };
  if (!run) {
    return (
      <div class="row blank" {...shared}>
        <span role="gridcell">…</span>
      </div>
    );
  }
  const open = (event: MouseEvent) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return; // a tab of its own
    event.preventDefault();
    onChoose();
    if (!String(getSelection())) onOpen(run);
  };
  const { prompt_tokens: prompt = 0, completion_tokens: completion = 0 } = run;
  const started = run.started_at ?? run.created_at;
  return (
    <div class={chosen ? "row chosen" : "row"} aria-selected={chosen} onClick={open} {...shared}>
      <span role="gridcell" class="mark">
        <Status run={run} />
      </span>
      <span role="gridcell" class="when" title={`Started ${exact(started)}\nSaved ${exact(run.created_at)}`}>
        {moment(started)}
      </span>
      <span role="gridcell" class="id">
        <a href={write({ view: "run", run: run.run_id, q })} tabIndex={-1} dir="ltr" title={seen(run.run_id)}>
          {value(seen(run.name || run.run_id), 48)}
        </a>
      </span>
      {hasText && (
        <span role="gridcell" class="text">
          <bdi>{seen(value(run.input ?? "", 90))}</bdi>
          {run.output && (
            <>
              {" "}
              <i aria-hidden="true">→</i> <bdi class="output">{seen(value(run.output, 120))}</bdi>
            </>
          )}
        </span>
      )}
      <span role="gridcell" class="meta">
        <Pairs of={run.metadata} constant={constant} />
      </span>
      <span role="gridcell" class="n steps">{count(run.steps)}</span>
      <span role="gridcell" class="n tokens" title={`${count(prompt)} input, ${count(completion)} output`}>
        {short(prompt + completion)}
      </span>
      <span role="gridcell" class="n cost">{dollars(run.cost_usd)}</span>
      <span role="gridcell" class="n took" title={`Active time ${duration(run.total_ms)}`}>
        {duration(run.wall_ms ?? run.total_ms)}
      </span>
    </div>
  );
}

const OUTCOMES: Record<string, string> = {
  cancelled: "Cancelled",
  interrupted: "Interrupted: it waits for an answer",
};

/** How the run ended; an error that was made good is no failure. */
function Status({ run }: { run: Summary }) {
  const outcome = run.outcome ?? (run.has_error ? "error" : "ok");
  if (outcome === "unfinished" || run.metadata.unfinished === true) {
    return <b class="live" title="Running">…<span class="sr"> running</span></b>;
  }
  if (outcome === "error") return <b class="bad" title="Error">!<span class="sr"> error</span></b>;
  if (OUTCOMES[outcome]) {
    return <b class="stopped" title={OUTCOMES[outcome]}>–<span class="sr"> {outcome}</span></b>;
  }
  return run.has_error ? <b class="made-good" title="Some step failed; the run went on">!<span class="sr"> recovered</span></b> : null;
}

const MOST_PAIRS = 8;

/** What tells runs apart comes first; what all have in common, last. */
function Pairs({ of, constant }: { of: Summary["metadata"]; constant: ReadonlySet<string> }) {
  const keys = Object.keys(of);
  const ordered = [...keys.filter((key) => !constant.has(key)), ...keys.filter((key) => constant.has(key))];
  return ordered.slice(0, MOST_PAIRS).map((key) => (
    <span class={constant.has(key) ? "pair common" : "pair"} key={key}>
      <i>{value(seen(key), 30)}</i>
      <span class="sr">: </span> <bdi>{seen(value(of[key], 40))}</bdi>
      <span class="sr">, </span>
    </span>
  ));
}
