/** The runs of a session, or of whatever they have in common, read as one conversation. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { asPageError, type PageError } from "../errors";
import { dollars, duration, exact, plural, value } from "../format";
import { seen } from "../unseen";
import { useKeys, useLoaded } from "../parts/hooks";
import { Problem, Waiting } from "../parts/states";
import { groupQueries, groupTerm } from "../query";
import { go, write, type Route } from "../route";
import type { Source } from "../source";
import type { Summary, Turn } from "../types";
import { OneTurn, TEXT_LIMIT, TURNS_AT_ONCE } from "./conversation";

const MOST_RUNS = 1_000;

/** The runs that have the key's value, the one that began first first. */
export async function runsOf(source: Source, by: string, key: string): Promise<Summary[]> {
  for (const query of groupQueries(by, key)) {
    const { traces } = await source.list({ ...query, limit: MOST_RUNS });
    if (traces.length) return traces.sort((one, other) => began(one) - began(other));
  }
  return [];
}

function began(run: Summary): number {
  return Date.parse(run.started_at ?? run.created_at);
}

export function Thread({ source, route }: { source: Source; route: Route }) {
  const by = route.by || "session";
  const key = route.run;
  const { value: runs, problem, loading } = useLoaded(() => runsOf(source, by, key), [source, by, key]);
  useKeys({ Escape: () => go({ view: "groups", by, q: route.q }) });
  if (problem) return <Problem problem={problem} whole />;
  if (!runs || loading) return <Waiting whole>Loading…</Waiting>;
  return <Read source={source} route={route} by={by} runs={runs} key={`${by}\n${key}`} />;
}

interface ReadProps {
  source: Source;
  route: Route;
  by: string;
  runs: Summary[];
}

function Read({ source, route, by, runs }: ReadProps) {
  const [talks, setTalks] = useState<{ turns: Turn[]; total: number }[]>([]);
  const [problem, setProblem] = useState<PageError | null>(null);
  const busy = useRef(false);
  const list = useRef<HTMLDivElement>(null);
  const end = useRef<HTMLDivElement>(null);
  const more = async () => {
    if (busy.current || talks.length >= runs.length) return;
    busy.current = true;
    try {
      const { turns, total } = await source.conversation(runs[talks.length]!.run_id, 0, TURNS_AT_ONCE, TEXT_LIMIT);
      setTalks((old) => [...old, { turns, total }]);
    } catch (error) {
      setProblem(asPageError(error));
    }
    busy.current = false;
  };
  // The next run comes when the end of those that are there is near.
  useEffect(() => {
    const watcher = new IntersectionObserver((found) => found.some((one) => one.isIntersecting) && void more(), {
      root: list.current,
      rootMargin: "1200px",
    });
    if (end.current) watcher.observe(end.current);
    return () => watcher.disconnect();
  }, [talks.length]);
  useEffect(() => list.current?.focus({ preventScroll: true }), []);
  const shown = useMemo(() => withoutRepeats(talks.map(({ turns }) => turns)), [talks]);
  const cost = runs.reduce((sum, run) => sum + (run.cost_usd ?? 0), 0);
  const failed = runs.filter((run) => run.has_error).length;
  return (
    <main class="run thread">
      <header class="about">
        <div class="title">
          <a class="back" href={write({ view: "groups", by, q: route.q })}>Groups</a>
          <h1>
            {value(by, 30)} {value(route.run, 80)}
          </h1>
          <div class="actions">
            <a class="button quiet" href={write({ view: "runs", q: groupTerm(by, route.run), sort: "started_at" })}>
              As a list
            </a>
          </div>
        </div>
        <p class="told" role="status">
          {plural(runs.length, "run")}
          {runs.length >= MOST_RUNS && " or more"}, cost {dollars(cost)}
          {failed > 0 && <b class="bad">{failed} with errors</b>}
        </p>
      </header>
      <div class="talk">
        <div class="turns" ref={list} tabIndex={0} role="region" aria-label="Conversation">
          {shown.map((turns, at) => (
            <section key={runs[at]!.run_id} aria-label={`Run ${at + 1}`}>
              <Rule run={runs[at]!} at={at} of={runs.length} />
              {turns.map(({ turn, index }) => (
                <OneTurn
                  source={source}
                  run={runs[at]!.run_id}
                  turn={turn}
                  index={index}
                  total={talks[at]!.total}
                  place={`${at}-${index}`}
                  chosen={false}
                  hit={false}
                  words=""
                  onChoose={() => go({ view: "run", run: runs[at]!.run_id, step: turn.step + 1, q: groupTerm(by, route.run) })}
                  key={index}
                />
              ))}
              {talks[at]!.total > talks[at]!.turns.length && (
                <p class="note">
                  <a href={write({ view: "run", run: runs[at]!.run_id })}>
                    {plural(talks[at]!.total - talks[at]!.turns.length, "further message")}
                  </a>
                </p>
              )}
            </section>
          ))}
          {problem && <Problem problem={problem} retry={() => void more()} />}
          <div ref={end} class="note">{talks.length < runs.length && !problem ? "Loading…" : ""}</div>
        </div>
      </div>
    </main>
  );
}

/** Between two runs: when the next began, and how it ended. */
function Rule({ run, at, of }: { run: Summary; at: number; of: number }) {
  return (
    <h2 class="rule">
      <a href={write({ view: "run", run: run.run_id })}>{value(run.name || run.run_id, 60)}</a>
      <small>
        {at + 1} of {of} · {exact(run.started_at ?? run.created_at).slice(0, 19)} · {duration(run.wall_ms ?? run.total_ms)} ·{" "}
        {dollars(run.cost_usd)}
      </small>
      {run.outcome !== "ok" && <b class={run.outcome === "error" ? "bad" : ""}>{seen(run.outcome ?? "")}</b>}
    </h2>
  );
}

/** The turns of each run without those at its beginning that runs before it said. */
function withoutRepeats(talks: Turn[][]): { turn: Turn; index: number }[][] {
  const said = new Set<string>();
  return talks.map((turns) => {
    const known = turns.findIndex((turn) => !said.has(keyOf(turn)));
    turns.forEach((turn) => said.add(keyOf(turn)));
    const from = known < 0 ? turns.length : known;
    return turns.slice(from).map((turn, at) => ({ turn, index: from + at }));
  });
}

function keyOf({ kind, role, parts, name, arguments: given }: Turn): string {
  return JSON.stringify(kind === "message" ? [kind, role, parts] : [kind, name, given]);
}
