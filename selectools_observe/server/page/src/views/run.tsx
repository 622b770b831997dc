/** One run: what it was, its steps over time, and the step that is chosen beside them. */

import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { AnnotationChips, AnnotationDialog, THUMBS, type Annotator } from "../parts/annotations";
import { CompareWith } from "../parts/candidates";
import { Copy } from "../parts/copy";
import { seen } from "../unseen";
import { useKeys, useLater, useLoaded } from "../parts/hooks";
import { keep, recall } from "../parts/remembered";
import { Problem, Waiting } from "../parts/states";
import { STRETCH } from "../parts/stretches";
import type { Scroller } from "../parts/virtual";
import { rowsOfSteps, unfolded, Waterfall } from "../parts/waterfall";
import { asPageError } from "../errors";
import { count, dollars, duration, plural, second, short, value } from "../format";
import { canBeTerm, metadataTerm, searchedWords, termOf } from "../query";
import { go, write, type Route, type Tab } from "../route";
import type { Source } from "../source";
import type { Annotation, Outline, Summary, Talk } from "../types";
import { Conversation, TEXT_LIMIT } from "./conversation";
import { besideInList, placeInList } from "./runs";
import { JsonText, StepPanel } from "./step";
import { runsOf } from "./thread";

interface Props {
  source: Source;
  route: Route;
  readOnly: boolean;
}

const LOOK_AGAIN_MS = 2_000;

export function Run({ source, route, readOnly }: Props) {
  const [turn, setTurn] = useState(0);
  const run = route.run;
  const { value: outline, problem } = useLoaded(() => source.ask("outline", run), [source, run, turn]);
  const talk = useLoaded(
    () => source.conversation(run, 0, 2 * STRETCH, TEXT_LIMIT, true),
    [source, run, turn],
  );
  const beside = (by: 1 | -1) => {
    const found = besideInList(run, by);
    if (found) go({ ...route, run: found.run_id, step: null }, true);
  };
  useKeys({ Escape: () => leave(route), "[": () => beside(-1), "]": () => beside(1) });
  const goesOn = source.live && outline?.run_id === run && outline.metadata.unfinished === true;
  useEffect(() => {
    if (!goesOn) return;
    const timer = setTimeout(() => setTurn((old) => old + 1), LOOK_AGAIN_MS);
    return () => clearTimeout(timer);
  }, [goesOn, outline]);
  if (problem) return <Problem problem={problem} retry={() => setTurn(turn + 1)} whole />;
  if (outline?.run_id !== run) return <Waiting whole>Loading…</Waiting>;
  const isSaid = talk.value?.run_id === run || talk.problem !== null;
  if (!isSaid) return <Waiting whole>Loading…</Waiting>;
  const said = talk.value?.run_id === run ? talk.value : null;
  return <OpenRun source={source} route={route} outline={outline} talk={said} readOnly={readOnly} key={run} />;
}

function leave(route: Route): void {
  if (route.show === "json") go({ ...route, show: "step" });
  else if (route.step) go({ ...route, step: null });
  else go({ view: "runs", q: route.q });
}

interface OpenProps extends Props {
  outline: Outline;
  /** The runs that it started. */
  family: Summary[];
}

/** Each child run with the last step that had begun before it did. */
function stepsBefore(children: Summary[], { started, start, step }: Outline): [number, Summary][] {
  return [...children].reverse().map((child) => {
    const began = Date.parse(child.started_at ?? child.created_at) - started * 1000;
    return [step[start.findLastIndex((at) => at <= began)] ?? -1, child];
  });
}

const NONE: Summary[] = [];

const TABS: [Tab, string, string][] = [
  ["conversation", "Conversation", "m"],
  ["timeline", "Timeline", "t"],
];

function OpenRun(given: Omit<OpenProps, "family"> & { talk: Talk | null }) {
  const { source, route, outline, talk } = given;
  const children = useLoaded(() => source.children(outline.run_id), [source, outline.run_id]);
  const family = children.value ?? NONE;
  const props = { ...given, family };
  const hasTalk = talk?.turns.some((turn) => turn.kind !== "event") ?? false;
  const placed = useMemo(() => stepsBefore(family, outline), [family, outline]);
  const tab = hasTalk ? (route.tab ?? recall<Tab>("tab", "conversation")) : "timeline";
  const show = (wanted: Tab) => {
    keep("tab", wanted);
    go({ ...route, tab: wanted }, true);
  };
  const shortcuts = {
    m: () => hasTalk && show("conversation"),
    t: () => show("timeline"),
    r: () => go({ ...route, show: route.show === "json" ? "step" : "json" }),
    c: () => go({ view: "runs", q: route.q, other: outline.run_id }),
  };
  useKeys(shortcuts);
  const tabs = hasTalk && (
    <div class="choice tabs-of-run" role="group" aria-label="Show as">
      {TABS.map(([name, text, key]) => (
        <button type="button" aria-pressed={tab === name} onClick={() => show(name)} key={name}>
          {text} <kbd>{key}</kbd>
        </button>
      ))}
    </div>
  );
  if (tab === "timeline") return <Timeline {...props} tabs={tabs} />;
  const chosen = route.step && route.step <= outline.count ? route.step - 1 : -1;
  const panel = route.show === "json" || chosen >= 0;
  return (
    <main class={panel ? "run with-panel" : "run"}>
      <Head {...props} />
      {tabs}
      <div class="columns">
        <Conversation
          source={source}
          run={outline.run_id}
          talk={talk!}
          chosen={chosen}
          onChoose={(step) => go({ ...route, tab, step: step + 1, show: "step" }, true)}
          find={searchedWords(route.q)[0] ?? ""}
          children={placed}
        />
        <Beside source={source} route={route} outline={outline} chosen={chosen} />
      </div>
    </main>
  );
}

interface BesideProps {
  source: Source;
  route: Route;
  outline: Outline;
  /** The step, from 0; -1 for none. */
  chosen: number;
}

/** What stands beside the run: the chosen step, or all of it as JSON. */
function Beside({ source, route, outline, chosen }: BesideProps) {
  if (route.show === "json") {
    return (
      <section class="panel" aria-label="The run as JSON">
        <header>
          <h2>The run as JSON</h2>
          <div class="actions">
            <button type="button" class="quiet close" aria-label="Close the JSON" onClick={() => leave(route)}>
              ×
            </button>
          </div>
        </header>
        <JsonText source={source} name={{ run: outline.run_id }} />
      </section>
    );
  }
  if (chosen < 0) return null;
  return (
    <StepPanel source={source} run={outline.run_id} index={chosen} of={outline.count} onClose={() => leave(route)} />
  );
}

function Timeline({ tabs, ...props }: OpenProps & { tabs: ComponentChildren }) {
  const { source, route, outline } = props;
  const scroller = useRef<Scroller>(null);
  const [folded, setFolded] = useState<ReadonlySet<number>>(new Set());
  const [words, setWords] = useState("");
  const asked = useLater(words.toLowerCase(), 120);
  const isShown = useMemo(() => matching(outline, asked), [outline, asked]);
  const rows = useMemo(() => unfolded(outline, folded, isShown), [outline, folded, isShown]);
  const rowOfStep = useMemo(() => rowsOfSteps(outline), [outline]);
  const chosen = route.step && route.step <= outline.count ? rowOfStep[route.step - 1]! : -1;
  const axis = route.axis ?? (outline.workLength < outline.clockLength * 0.5 ? "work" : "clock");

  const place = rows.indexOf(chosen);
  const choose = (row: number) => go({ ...route, step: outline.step[row]! + 1, show: "step" }, true);
  const move = (to: number) => {
    if (rows.length) choose(rows[Math.max(0, Math.min(rows.length - 1, to))]!);
  };
  const nextFailed = (by: 1 | -1) => {
    for (let at = place + by; at >= 0 && at < rows.length; at += by) {
      if (outline.error[rows[at]!]) return move(at);
    }
  };
  const fold = (row: number, wanted?: boolean) => {
    if (row < 0 || outline.beyond[row]! <= row + 1) return;
    const next = new Set(folded);
    if (wanted ?? !next.has(row)) next.add(row);
    else next.delete(row);
    setFolded(next);
  };
  useEffect(() => {
    if (place >= 0) scroller.current?.show(place);
  }, [place]);
  useEffect(() => scroller.current?.element()?.focus({ preventScroll: true }), []);
  useKeys({
    j: () => move(place + 1),
    k: () => move(place < 0 ? 0 : place - 1),
    ArrowDown: () => move(place + 1),
    ArrowUp: () => move(place < 0 ? 0 : place - 1),
    PageDown: () => move(place + 20),
    PageUp: () => move(place - 20),
    Home: () => move(0),
    End: () => move(rows.length - 1),
    g: () => move(0),
    G: () => move(rows.length - 1),
    e: () => nextFailed(1),
    E: () => nextFailed(-1),
    ArrowLeft: () => fold(chosen, true),
    ArrowRight: () => fold(chosen, false),
    "/": () => document.getElementById("find")?.focus(),
    w: () => go({ ...route, axis: axis === "clock" ? "work" : "clock" }, true),
  });
  const panel = route.show === "json" || chosen >= 0;
  return (
    <main class={panel ? "run with-panel" : "run"}>
      <Head {...props} />
      {tabs}
      <div class="tools">
        <input
          id="find"
          type="search"
          aria-label="Search in trace"
          placeholder="Search in trace: a tool, a model, a type"
          value={words}
          onInput={(event) => setWords(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== "Enter" && event.key !== "Escape") return;
            if (event.key === "Escape") setWords("");
            scroller.current?.element()?.focus();
            event.preventDefault();
          }}
        />
        <span class="told" role="status">
          {asked ? `${count(rows.length)} of ${plural(outline.count, "step")}` : ""}
        </span>
        <div class="choice" role="group" aria-label="Time">
          <button
            type="button"
            aria-pressed={axis === "clock"}
            title="As the clock ran, waiting included"
            onClick={() => go({ ...route, axis: "clock" }, true)}
          >
            Wall time
          </button>
          <button
            type="button"
            aria-pressed={axis === "work"}
            title="Times in which nothing ran are cut out"
            onClick={() => go({ ...route, axis: "work" }, true)}
          >
            Active time
          </button>
        </div>
        {outline.totals.errors > 0 && (
          <button type="button" onClick={() => nextFailed(1)}>
            Next error <kbd>e</kbd>
          </button>
        )}
      </div>
      <div class="columns">
        {outline.count === 0 ? (
          <p class="state">{outline.metadata.unfinished === true ? "No step of this run is over yet." : "This run has no steps: it ended before its first one."}</p>
        ) : (
          <Waterfall
            outline={outline}
            rows={rows}
            folded={folded}
            chosen={chosen}
            axis={axis}
            scroller={scroller}
            onChoose={choose}
            onFold={fold}
          />
        )}
        <Beside source={source} route={route} outline={outline} chosen={chosen < 0 ? -1 : outline.step[chosen]!} />
      </div>
    </main>
  );
}

function matching(outline: Outline, words: string): (row: number) => boolean {
  if (!words) return () => true;
  return (row) =>
    outline.label[row]!.toLowerCase().includes(words) ||
    outline.kinds[outline.kind[row]!]!.includes(words);
}

function Head({ source, route, outline, family, readOnly }: OpenProps) {
  const { totals } = outline;
  const [isOpen, setOpen] = useState(false);
  const place = placeInList(outline.run_id);
  const beside = (by: 1 | -1) => {
    const found = besideInList(outline.run_id, by);
    if (found) go({ ...route, run: found.run_id, step: null }, true);
  };
  const whole = async () => (await source.ask("piece", { run: outline.run_id }, 0, Infinity)).text;
  return (
    <header class={isOpen ? "about open" : "about"}>
      <div class="title">
        <a class="back" href={write({ view: "runs", q: route.q })}>Runs</a>
        <h1 dir="ltr" title={seen(outline.run_id)}>{value(outline.name || outline.run_id, 120)}</h1>
        {place && (
          <span class="told place">
            <button type="button" aria-label="Previous run of the list" disabled={place.at === 0} onClick={() => beside(-1)}>
              <kbd>[</kbd>
            </button>
            {count(place.at + 1)} of {count(place.total)}
            {place.counted ? "" : " or more"}
            <button type="button" aria-label="Next run of the list" disabled={place.at + 1 >= place.total} onClick={() => beside(1)}>
              <kbd>]</kbd>
            </button>
          </span>
        )}
        <button type="button" class="unfold" aria-expanded={isOpen} aria-label="More of the run" onClick={() => setOpen(!isOpen)}>
          ⋯
        </button>
        <div class="actions">
          <Copy label="Copy link" text={() => location.href} />
          <Copy label="Copy id" text={() => outline.run_id} />
          <button
            type="button"
            class="quiet"
            aria-pressed={route.show === "json"}
            onClick={() => go({ ...route, show: route.show === "json" ? "step" : "json" })}
          >
            JSON
          </button>
          <Copy label="Copy JSON" text={whole} />
          <CompareWith source={source} run={outline.run_id} q={route.q} />
          {!readOnly && <Delete source={source} route={route} run={outline.run_id} />}
        </div>
      </div>
      <dl class="totals">
        {source.live && outline.metadata.unfinished === true && (
          <div class="goes-on">
            <dt>Status</dt>
            <dd>
              <span role="status">Running</span>
            </dd>
          </div>
        )}
        <Total name="Started" class="folds">{outline.started > 0 ? second(outline.started) : "–"}</Total>
        <Total name="Steps" class="folds">{count(outline.count)}</Total>
        <Total name="Active time" class="folds">{duration(totals.duration_ms)}</Total>
        <Total name="Duration">{duration(outline.clockLength)}</Total>
        <Total name="Tokens">
          {short(totals.prompt_tokens)} in / {short(totals.completion_tokens)} out
        </Total>
        <Total name={totals.isEstimate ? "Cost, estimated" : "Cost"}>{dollars(totals.cost_usd)}</Total>
        <Total name="Errors" class={totals.errors > 0 ? "bad" : undefined}>{count(totals.errors)}</Total>
      </dl>
      <Judged source={source} run={outline.run_id} step={route.step} count={outline.count} readOnly={readOnly} />
      <Chips metadata={outline.metadata} />
      <InSession source={source} run={outline.run_id} />
      <Related run={outline.run_id} parent={outline.parent_run_id} children={family} q={route.q} />
    </header>
  );
}

/** Where the run stands in its session, and what came before and after it there. */
function InSession({ source, run }: { source: Source; run: string }) {
  const { value: found } = useLoaded(async () => {
    const session = (await source.summary(run))?.session_id;
    if (!session) return null;
    const runs = await runsOf(source, "session", session);
    return { session, runs, at: runs.findIndex((one) => one.run_id === run) };
  }, [source, run]);
  if (!found || found.at < 0 || found.runs.length < 2) return null;
  const { session, runs, at } = found;
  const link = (other: Summary | undefined, text: string) =>
    other && <a href={write({ view: "run", run: other.run_id })}>{text}</a>;
  return (
    <p class="related">
      Run {count(at + 1)} of {count(runs.length)} in session{" "}
      <a href={write({ view: "thread", by: "session", run: session })}>{value(session, 60)}</a>.{" "}
      {link(runs[at - 1], "Previous")} {link(runs[at + 1], "Next")}
    </p>
  );
}

interface JudgedProps {
  source: Source;
  run: string;
  /** The step that is open, from 1. */
  step: number | null;
  count: number;
  readOnly: boolean;
}

/** What was said of the run and its steps, and the ways to say more: of the step that is open, or of the run. */
function Judged({ source, run, step, count: steps, readOnly }: JudgedProps) {
  const [turn, setTurn] = useState(0);
  const annotator = useRef<Annotator>(null);
  const { value: found } = useLoaded(() => source.annotations(run).catch((): Annotation[] => []), [source, run, turn]);
  const again = () => setTurn((old) => old + 1);
  const index = step && step <= steps ? step - 1 : undefined;
  const thumb = (sign: "+" | "-") => {
    const said = { ...THUMBS[sign], ...(index === undefined ? {} : { step: index }) };
    void source.annotate(run, said).finally(again);
  };
  const open = () => annotator.current?.open([run], index);
  const mayWrite = source.live && !readOnly;
  useKeys(mayWrite ? { "+": () => thumb("+"), "-": () => thumb("-"), a: open } : {});
  const of = found ?? [];
  if (!mayWrite && !of.length) return null;
  const what = index === undefined ? "run" : `step ${index + 1}`;
  return (
    <div class="judging">
      {mayWrite && (
        <>
          <button type="button" title={`The ${what} is good (+)`} aria-label={`The ${what} is good`} onClick={() => thumb("+")}>
            Good <kbd>+</kbd>
          </button>
          <button type="button" title={`The ${what} is bad (-)`} aria-label={`The ${what} is bad`} onClick={() => thumb("-")}>
            Bad <kbd>-</kbd>
          </button>
          <button type="button" onClick={open}>
            Annotate {what} <kbd>a</kbd>
          </button>
        </>
      )}
      <AnnotationChips
        of={of}
        onRemove={mayWrite ? (one) => void source.removeAnnotation(run, one.id).finally(again) : undefined}
      />
      {mayWrite && (
        <AnnotationDialog source={source} names={of.map(({ name }) => name)} onDone={again} annotator={annotator} />
      )}
    </div>
  );
}

function Total({ name, children, class: kind }: { name: string; children: unknown; class?: string }) {
  return (
    <div class={kind}>
      <dt>{name}</dt>
      <dd>{children as string}</dd>
    </div>
  );
}

const FEW_CHIPS = 12;

/** The run's metadata: two lines of it, and the rest when it is asked for. */
function Chips({ metadata }: { metadata: Outline["metadata"] }) {
  const [all, setAll] = useState(false);
  const pairs = Object.entries(metadata);
  const shown = all ? pairs : pairs.slice(0, FEW_CHIPS);
  return (
    <ul class="chips" aria-label="Metadata">
      {shown.map(([key, inner]) => (
        <MetadataChip name={key} inner={inner} key={key} />
      ))}
      {pairs.length > FEW_CHIPS && (
        <li>
          <button type="button" class="quiet" aria-expanded={all} onClick={() => setAll(!all)}>
            {all ? "Show fewer" : `+${pairs.length - FEW_CHIPS}`}
          </button>
        </li>
      )}
    </ul>
  );
}

function MetadataChip({ name, inner }: { name: string; inner: unknown }) {
  const text = (
    <>
      <i>{value(name, 40)}</i>
      <span class="sr">: </span> <bdi>{value(inner, 80)}</bdi>
    </>
  );
  const tall = JSON.stringify(inner)?.length ?? 0;
  if (!canBeTerm(name) || tall > 200 || (typeof inner === "object" && inner !== null)) {
    return <li class="pair" title={value(inner, 400)}>{text}</li>;
  }
  return (
    <li class="pair">
      <a href={write({ view: "runs", q: metadataTerm(name, inner) })} title="Runs with the same">{text}</a>
    </li>
  );
}

const MOST_RELATED = 12;

interface RelatedProps {
  run: string;
  parent: string | null;
  children: Summary[];
  q: string;
}

function Related({ run, parent, children, q }: RelatedProps) {
  if (!parent && !children.length) return null;
  return (
    <p class="related">
      {parent && (
        <>
          Parent run: <a href={write({ view: "run", run: parent, q })}>{value(parent, 60)}</a>.{" "}
        </>
      )}
      {children.length > 0 && (
        <>
          {plural(children.length, "child run")}:{" "}
          {children.slice(0, MOST_RELATED).map((child) => (
            <span class="child" key={child.run_id}>
              <a href={write({ view: "run", run: child.run_id, q })}>{value(child.run_id, 40)}</a>{" "}
              <small>
                {duration(child.total_ms)}
                {child.has_error ? ", error" : ""}
              </small>
            </span>
          ))}
          {children.length > MOST_RELATED && (
            <a href={write({ view: "runs", q: termOf("parent", run) })}>all</a>
          )}
        </>
      )}
    </p>
  );
}

function Delete({ source, route, run }: { source: Source; route: Route; run: string }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [said, setSaid] = useState("");
  const remove = async () => {
    try {
      await source.delete(run);
      dialog.current?.close();
      go({ view: "runs", q: route.q });
    } catch (error) {
      setSaid(asPageError(error).message);
    }
  };
  return (
    <>
      <button type="button" class="quiet" onClick={() => dialog.current?.showModal()}>
        Delete…
      </button>
      <dialog ref={dialog} aria-label="Delete this run">
        <h2>Delete this run?</h2>
        <p>It is removed from the store at once and cannot be brought back.</p>
        {said && <p class="problem">{said}</p>}
        <p class="actions">
          <button type="button" onClick={() => dialog.current?.close()}>Keep it</button>
          <button type="button" class="bad" onClick={() => void remove()}>Delete it</button>
        </p>
      </dialog>
    </>
  );
}
