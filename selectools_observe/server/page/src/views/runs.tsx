/** All runs, newest first: filtered as one types, narrowed by brushing, opened by Enter. */

import { useEffect, useLayoutEffect, useMemo, useRef, useState } from "preact/hooks";
import { count, plural, typedMoment, value } from "../format";
import type { Query } from "../http";
import { Snippet, useHits } from "../parts/hits";
import { AnnotationDialog, THUMBS, type Annotator } from "../parts/annotations";
import { chosenColumns, ColumnMenu, columnsOf, scoresIn, type Column } from "../parts/columns";
import { FilterBar, type Known } from "../parts/filterbar";
import { seen } from "../unseen";
import { TimeLine } from "../parts/histogram";
import { drawn, useKeys, useLater, useLoaded, useMedia } from "../parts/hooks";
import { FoundRuns, RunPages, type Rows } from "../parts/pages";
import { compareRuns, Marked, useMarks } from "../parts/marked";
import { Running } from "../parts/running";
import { NoRuns, Problem, Waiting, Warning } from "../parts/states";
import { Views } from "../parts/views";
import { Virtual, type Scroller } from "../parts/virtual";
import { askedOf, KEYS, nearest, parse, partsOf, timeless, searchedWords, withTerm, inReadersZone } from "../query";
import { go, write, type Route } from "../route";
import type { LiveState, Source } from "../source";
import type { Hit, Summary } from "../types";

interface Props {
  source: Source;
  route: Route;
  known: Known;
  following: boolean;
  onLive: (state: LiveState | "idle") => void;
}

const BUCKETS = 120;
/** Rows whose runs are searched for where the words were said. */
const FIRST_ROWS = 40;
const MOST_SEARCHED = 80;
/** So many alternatives of a filter are shown where they were said. */
const MOST_SEARCHES = 4;
/** Whoever types on within this time is not answered yet; the bars over time wait longer. */
const TYPING_MS = 40;
const BARS_MS = 250;

export function Runs({ source, route, known, following, onLive }: Props) {
  const { q } = route;
  const asked = useLater(q, TYPING_MS);
  const parsed = useMemo(() => askedOf(asked), [asked, source]);
  const [turn, setTurn] = useState(0);
  const [fresh, setFresh] = useState(0);
  // The service looks for words in what was said. Where it finds nothing, ids and metadata are left.
  const [unsaid, setUnsaid] = useState("");
  const isSaid = !parsed.isLanguage && parsed.words.length > 0 && unsaid !== asked;
  const query = isSaid ? { ...parsed.query, text: quoted(parsed.words) } : parsed.query;
  const words = isSaid ? [] : parsed.words;
  const rows = useRows(source, query, words, route.sort, turn);
  const isNowhere = isSaid && rows.counted && rows.total === 0 && !rows.loading;
  useEffect(() => {
    if (isNowhere) setUnsaid(asked);
  }, [isNowhere]);
  const phone = useMedia("(max-width: 720px)");
  const scroller = useRef<Scroller>(null);
  const [marks, setMarks] = useMarks();
  const about = useLoaded(async () => (marks.size ? source.about() : null), [source, marks.size > 0]);
  const annotator = useRef<Annotator>(null);
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

  const anyTime = useMemo(() => {
    const { query: rest, words: others } = askedOf(timeless(asked));
    return isSaid ? { ...rest, text: quoted(others) } : rest;
  }, [asked, isSaid, source]);
  const span = useMemo(() => parse(asked).query, [asked]);
  const spans = useLater(JSON.stringify(anyTime), BARS_MS);
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
    if (route.other) go({ view: "compare", run: route.other, other: run.run_id, q });
    else go({ view: "run", run: run.run_id, q });
  };
  const visible = () => Math.max(1, Math.floor((scroller.current?.element()?.clientHeight ?? 300) / 32) - 1);
  const again = () => setTurn((old) => old + 1);
  const mark = (run: Summary | undefined) => {
    if (!run) return;
    const next = new Set(marks);
    if (!next.delete(run.run_id)) next.add(run.run_id);
    setMarks(next);
  };
  const meant = () => (marks.size ? [...marks] : [rows.row(at)?.run_id ?? []].flat());
  const thumb = async (sign: "+" | "-") => {
    if (!source.live) return;
    for (const run of meant()) await source.annotate(run, THUMBS[sign]);
    again();
  };
  useKeys({
    x: () => mark(rows.row(at)),
    a: () => source.live && meant().length > 0 && annotator.current?.open(meant()),
    "+": () => void thumb("+").catch(() => again()),
    "-": () => void thumb("-").catch(() => again()),
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
    c: () =>
      marks.size > 1 ? compareRuns([...marks], q) : rows.row(at) && go({ ...route, other: rows.row(at)!.run_id }),
    "/": () => document.getElementById("search")?.focus(),
    Escape: () =>
      route.other ? go({ ...route, other: "" }) : marks.size ? setMarks(new Set()) : setAt(-1),
  });
  const refresh = () => {
    setFresh(0);
    setTurn((old) => old + 1);
    scroller.current?.show(0);
  };
  const inSight = runsIn(rows);
  const [[first, last], setRange] = useState<[number, number]>([0, FIRST_ROWS]);
  const drawn: Summary[] = [];
  for (let row = first; row < Math.min(last, first + MOST_SEARCHED, rows.total); row++) {
    const run = rows.row(row);
    if (run) drawn.push(run);
  }
  // Where some words may be missing, each is looked for by itself.
  const said = parsed.isLanguage ? searchedWords(asked) : [];
  const each = /\bOR\b/.test(asked) ? said.slice(0, MOST_SEARCHES).map((word) => quoted([word])) : [quoted(said)];
  const hits = useHits(source, isSaid ? [quoted(parsed.words)] : each, drawn.map((run) => run.run_id));
  // What this browser remembers may change while the address does not.
  const [choice, setChoice] = useState(0);
  const columns = useMemo(
    () => columnsOf(chosenColumns(route.cols), inSight),
    [route.cols, rows, inSight.length, turn, choice],
  );
  const template = phone ? undefined : `38px ${columns.map(({ width }) => width).join(" ")}`;
  const refused = parsed.isLanguage && rows.problem?.trouble === "refused" ? rows.problem.message : null;
  const isEmpty = rows.counted && rows.total === 0 && !rows.loading;
  return (
    <main class="runs">
      <h1 class="sr">Runs</h1>
      <FilterBar
        q={q}
        known={known}
        onChange={change}
        problem={refused}
        onLeave={() => {
          scroller.current?.element()?.focus();
          if (at < 0) select(0);
        }}
      >
        <div class="beside">
          <Views route={route} />
          {!phone && (
            <ColumnMenu
              shown={columns}
              runs={inSight}
              keys={[...known.metadata.keys()]}
              onChoose={(cols) => {
                setChoice((old) => old + 1);
                go({ ...route, cols }, true);
              }}
            />
          )}
        </div>
      </FilterBar>
      {!histogram.problem && !(isEmpty && !asked) && (
        <TimeLine
          data={histogram.value}
          loading={histogram.loading}
          since={(span.started_since as string | undefined) ?? null}
          until={(span.started_until as string | undefined) ?? null}
          onBrush={(since, until) => {
            const [from, to] = [since, until].map((iso) => typedMoment(new Date(iso)));
            change(withTerm(timeless(q), "started", `started>=${from} started<=${to}`));
          }}
          onClear={() => change(timeless(q))}
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
      <Running source={source} following={following} />
      {!rows.problem && <Told rows={rows} fresh={fresh} onRefresh={refresh} />}
      {refused ? (
        <div class="state">
          <h2>The filter cannot be read</h2>
          <p>{refused}</p>
        </div>
      ) : rows.problem ? (
        <Problem problem={rows.problem} retry={refresh} />
      ) : isEmpty ? (
        asked ? <Nothing source={source} q={asked} known={known} onChange={change} /> : <NoRuns live={source.live} />
      ) : rows.loading && rows.total === 0 ? (
        <Waiting>Loading…</Waiting>
      ) : (
        <div class="grid">
          <Virtual
            class="scroll"
            role="grid"
            tabIndex={0}
            aria-label="Runs, newest first"
            aria-rowcount={rows.total + 1}
            aria-multiselectable={true}
            head={
              <Heads
                columns={columns}
                template={template}
                sort={route.sort}
                onSort={(sort) => go({ ...route, sort }, true)}
              />
            }
            aria-activedescendant={at >= 0 && rows.row(at) ? `run-${at}` : undefined}
            count={rows.total}
            height={phone ? 64 : 32}
            scroller={scroller}
            onRange={(from: number, to: number) => {
              rows.want(from, to);
              if ((isSaid || said.length) && (from !== first || to !== last)) setRange([from, to]);
            }}
            render={(row: number) => (
              <RunRow
                run={rows.row(row)}
                hit={hits.get(rows.row(row)?.run_id ?? "")}
                row={row}
                chosen={row === at}
                onOpen={open}
                q={q}
                onChoose={() => select(row)}
                constant={constant}
                columns={columns}
                template={template}
                marked={marks.has(rows.row(row)?.run_id ?? "")}
                onMark={mark}
              />
            )}
          />
        </div>
      )}
      {marks.size > 0 && (
        <Marked
          source={source}
          marked={[...marks]}
          q={q}
          readOnly={about.value?.read_only ?? true}
          onAnnotate={() => annotator.current?.open([...marks])}
          onClear={() => setMarks(new Set())}
          onDeleted={() => {
            setMarks(new Set());
            again();
          }}
        />
      )}
      {source.live && (
        <AnnotationDialog source={source} names={scoresIn(inSight)} onDone={again} annotator={annotator} />
      )}
    </main>
  );
}

/** The list as it was left: whoever comes back from a run finds it so. */
let left: { key: string; rows: Rows; at: number } | null = null;

export interface PlaceInList {
  at: number;
  total: number;
  counted: boolean;
}

/** Where a run stands in the list as it was left; null if it was not opened from there. */
export function placeInList(run: string): PlaceInList | null {
  if (!left || left.rows.row(left.at)?.run_id !== run) return null;
  left.rows.want(Math.max(0, left.at - 1), left.at + 2);
  return { at: left.at, total: left.rows.total, counted: left.rows.counted };
}

/** The run before or after it in the list, which is at it from now on. */
export function besideInList(run: string, by: 1 | -1): Summary | undefined {
  const place = placeInList(run);
  const found = place ? left!.rows.row(place.at + by) : undefined;
  if (found) left!.at += by;
  return found;
}

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
  await drawn();
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

const MOST_PARTS = 6;

interface NothingProps {
  source: Source;
  q: string;
  known: Known;
  onChange: (q: string) => void;
}

/** Why nothing is found: what each part of the filter leaves out, and words that were perhaps meant. */
function Nothing({ source, q, known, onChange }: NothingProps) {
  const parts = partsOf(q);
  const { value: others } = useLoaded(
    async (signal) => {
      if (parts.length < 2 || parts.length > MOST_PARTS) return [];
      const rests = parts.map((_, at) => parts.filter((__, other) => other !== at).join(" "));
      const counts = await Promise.all(rests.map((rest) => countOf(source, rest, signal)));
      return counts.map((runs, at) => ({ part: parts[at]!, rest: rests[at]!, runs }));
    },
    [source, q],
  );
  // The service has read more runs than are in sight, and names the nearest key.
  const { value: warning } = useLoaded(
    async (signal) => {
      if (!source.live) return null;
      const page = await source.list({ filter: inReadersZone(q), limit: 1 }, signal).catch(() => null);
      return page?.warning ?? null;
    },
    [source, q],
  );
  const helps = (others ?? []).filter(({ runs }) => runs > 0);
  return (
    <div class="state">
      <h2>No run matches</h2>
      {askedOf(q).words.length > 0 && <p>The words were looked for in what was said, in the ids of runs and in their metadata.</p>}
      {parts.length > 1 && !helps.length && <p>Every part of the filter must hold. Take one out, or clear it all.</p>}
      {helps.map(({ part, rest, runs }) => (
        <p key={part}>
          <button type="button" onClick={() => onChange(rest)}>
            Without <code>{seen(part)}</code>
          </button>{" "}
          {plural(runs, "run")}
        </p>
      ))}
      {warning && <Warning text={warning} q={q} onChange={onChange} />}
      {(warning ? [] : suggestions(q, known)).map(({ key, instead, wanted }) => (
        <p key={key}>
          No run in sight has metadata <code>{seen(key)}</code>.
          {instead && (
            <>
              {" "}
              <button type="button" onClick={() => onChange(wanted)}>
                Did you mean <code>{seen(instead)}</code>?
              </button>
            </>
          )}
        </p>
      ))}
      <button type="button" onClick={() => onChange("")}>
        Clear the filter
      </button>
    </div>
  );
}

async function countOf(source: Source, text: string, signal: AbortSignal): Promise<number> {
  const { query, words } = askedOf(text);
  return source.count(words.length ? { ...query, text: quoted(words) } : query, signal);
}

/** Keys that no run in sight has, and what was perhaps meant. */
function suggestions(q: string, known: Known) {
  if (!known.metadata.size) return [];
  const own = new Set(KEYS.map(([key]) => key.replace(/[:<>]$/, "")));
  const names = [...known.metadata.keys(), ...own];
  return parse(q).terms.flatMap(({ key, from }) => {
    const bare = key.replace(/^-?(meta(data)?\.)?/, "");
    if (own.has(bare) || known.metadata.has(bare) || bare.includes(".") || !needsSaying(bare)) return [];
    const instead = nearest(bare, names);
    const start = from + key.length - bare.length;
    const wanted = instead ? q.slice(0, start) + instead + q.slice(start + bare.length) : q;
    return [{ key: bare, instead, wanted }];
  });
}

/** Not so of the words of the filter language that are no metadata. */
function needsSaying(key: string): boolean {
  return !/^(started_at|created_at|saved|created|wall_ms|total_ms|duration|user_id|session_id|tags|id|run_id|text|cost_usd|prompt_tokens|completion_tokens|tool_name|step_type|parent_run_id|note|score|annotations?)$/.test(key);
}

const LOOKED_AT = 100;

/** The runs at the list's beginning: they tell which columns are worth their place. */
function runsIn(rows: Rows): Summary[] {
  const found: Summary[] = [];
  for (let row = 0; row < Math.min(rows.total, LOOKED_AT); row++) {
    const run = rows.row(row);
    if (run) found.push(run);
  }
  return found;
}

/** Words as the search takes them: a phrase stays one. */
function quoted(words: string[]): string {
  return words.map((word) => (/\s/.test(word) ? JSON.stringify(word) : word)).join(" ");
}

interface HeadsProps {
  columns: Column[];
  template: string | undefined;
  sort: string;
  onSort: (sort: string) => void;
}

function Heads({ columns, template, sort, onSort }: HeadsProps) {
  const isBy = (name: string) => sort.replace(/^-/, "") === name;
  const isDown = sort.startsWith("-");
  // Largest or newest first, then the other way round, then as the list was.
  const next = (name: string) => (!isBy(name) ? `-${name}` : isDown ? name : "");
  return (
    <div class="row heads" role="row" aria-rowindex={1} style={{ gridTemplateColumns: template }}>
      <span role="columnheader" class="mark">
        <span class="sr">Status</span>
      </span>
      {columns.map(({ id, head, sort: name, kind }) => (
        <span
          role="columnheader"
          class={kind.startsWith("n ") ? "n" : undefined}
          aria-sort={name && isBy(name) ? (isDown ? "descending" : "ascending") : undefined}
          key={id}
        >
          {name ? (
            <button type="button" class="sort" onClick={() => onSort(next(name))}>
              {head}
              {isBy(name) ? (isDown ? " ↓" : " ↑") : ""}
            </button>
          ) : (
            head
          )}
        </span>
      ))}
    </div>
  );
}

interface RowProps {
  run: Summary | undefined;
  hit: Hit | undefined;
  row: number;
  chosen: boolean;
  q: string;
  onOpen: (run: Summary) => void;
  onChoose: () => void;
  constant: ReadonlySet<string>;
  columns: Column[];
  template: string | undefined;
  marked: boolean;
  onMark: (run: Summary) => void;
}

function RunRow({ run, hit, row, chosen, q, onOpen, onChoose, constant, columns, template, marked, onMark }: RowProps) {
  const style = { gridTemplateColumns: template };
  const shared = { role: "row" as const, "aria-rowindex": row + 2, id: `run-${row}`, style };
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
  const name = value(run.name || run.run_id, 48);
  const shown = ({ id, cell }: Column) =>
    id === "run" ? (
      <a href={write({ view: "run", run: run.run_id, q })} tabIndex={-1} dir="ltr" title={seen(run.run_id)}>
        {name}
      </a>
    ) : id === "metadata" ? (
      // A phone has one line for all that is said of a run.
      template === undefined && hit ? (
        <Snippet hit={hit} />
      ) : template === undefined && run.input ? (
        <bdi>{value(run.input, 120)}</bdi>
      ) : (
        <Pairs of={run.metadata} constant={constant} />
      )
    ) : id === "text" && hit ? (
      <Snippet hit={hit} />
    ) : (
      cell(run)
    );
  return (
    <div class={`row${chosen ? " chosen" : ""}${marked ? " ticked" : ""}`} aria-selected={chosen || marked} onClick={open} {...shared}>
      <span role="gridcell" class="mark" onClick={(event) => event.stopPropagation()}>
        <input type="checkbox" aria-label={`Mark ${name}`} tabIndex={-1} checked={marked} onChange={() => onMark(run)} />
        <Status run={run} />
      </span>
      {columns.map((column) => (
        <span role="gridcell" class={column.kind} title={column.title?.(run)} key={column.id}>
          {shown(column)}
        </span>
      ))}
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
// The session, the user and the agent have columns of their own; a span says where it came from.
const SAID_ELSEWHERE = /^(otel\.|gen_ai\.(conversation\.id|agent\.name)$|(user|session|enduser)[._]id$)/;

/** What tells runs apart comes first; what all have in common, last. */
function Pairs({ of, constant }: { of: Summary["metadata"]; constant: ReadonlySet<string> }) {
  const keys = Object.keys(of);
  const isLast = (key: string) => constant.has(key) || SAID_ELSEWHERE.test(key);
  const ordered = [...keys.filter((key) => !isLast(key)), ...keys.filter(isLast)];
  return ordered.slice(0, MOST_PAIRS).map((key) => (
    <span class={constant.has(key) ? "pair common" : "pair"} key={key}>
      <i>{value(key, 30)}</i>
      <span class="sr">: </span> <bdi>{value(of[key], 40)}</bdi>
      <span class="sr">, </span>
    </span>
  ));
}
