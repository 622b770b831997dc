/** Totals and percentiles: in all, by model, by tool and by day. */

import { useMemo } from "preact/hooks";
import { count, dollars, duration, plural, short } from "../format";
import { FilterBar, type Known } from "../parts/filterbar";
import { seen } from "../parts/highlight";
import { useLater, useLoaded } from "../parts/hooks";
import { Problem, Waiting } from "../parts/states";
import { parse, termOf } from "../query";
import { go, write, type Route } from "../route";
import type { Group, Statistics } from "../reader/statistics";
import type { Source } from "../source";

interface Props {
  source: Source;
  route: Route;
  known: Known;
}

const TITLES = { model: "By model", tool: "By tool", day: "By day" } as const;

export function Stats({ source, route, known }: Props) {
  const { q } = route;
  const by = route.by === "tool" || route.by === "day" ? route.by : "model";
  const asked = useLater(q, 200);
  const { query, words } = useMemo(() => parse(asked), [asked]);
  const { value, problem, loading } = useLoaded(
    (signal) => source.stats(source.live ? { ...query, max_runs: route.most ?? MOST[0] } : query, signal),
    [source, JSON.stringify(query), route.most],
  );
  return (
    <main class="stats">
      <h1 class="sr">Statistics</h1>
      <FilterBar q={q} known={known} onChange={(text) => go({ ...route, q: text }, true)} />
      {words.length > 0 && (
        <p class="note">Words without a colon filter the list only: these are the runs of the other filters.</p>
      )}
      {problem && <Problem problem={problem} />}
      {!value && loading && <Waiting>Loading…</Waiting>}
      {value && (
        <div class={loading ? "waiting" : undefined}>
          <Summing statistics={value} route={route} />
          <Days days={value.days} q={q} />
          <nav class="choice tabs" aria-label="Group by">
            {(["model", "tool", "day"] as const).map((one) => (
              <a href={write({ ...route, by: one === "model" ? "" : one })} aria-current={one === by ? "true" : undefined} key={one}>
                {TITLES[one]}
              </a>
            ))}
          </nav>
          <Groups by={by} groups={groupsOf(value, by)} />
        </div>
      )}
    </main>
  );
}

type By = "model" | "tool" | "day";

function groupsOf(statistics: Statistics, by: By): Group[] {
  if (by === "day") return [...statistics.days].reverse();
  return by === "model" ? statistics.models : statistics.tools;
}

const MOST = [1_000, 10_000, 100_000] as const;

function Summing({ statistics, route }: { statistics: Statistics; route: Route }) {
  const { total, runs, matching_runs: matching } = statistics;
  const share = total.runs ? `${((total.errors / total.runs) * 100).toFixed(1)} %` : "–";
  return (
    <>
      <div class="told">
        <span role="status">
          {matching > runs
            ? `The newest ${plural(runs, "run")} of ${count(matching)} that match.`
            : `${plural(runs, "run")}.`}
        </span>
        {matching > MOST[0] &&
          MOST.filter((most) => most !== runs && most !== (route.most ?? MOST[0])).map((most) => (
            <button type="button" onClick={() => go({ ...route, most })} key={most}>
              Sample: {short(Math.min(most, matching))}
            </button>
          ))}
      </div>
      <dl class="totals big">
        <Number name="Runs with errors" text={`${count(total.errors)}`} more={share} />
        <Number name="Steps" text={short(total.calls)} />
        <Number name="Tokens" text={short(total.prompt_tokens + total.completion_tokens)} more={`${short(total.prompt_tokens)} in / ${short(total.completion_tokens)} out`} />
        <Number name="Cost" text={dollars(total.cost_usd.total)} more={`${dollars(total.cost_usd.mean)} a run`} />
        <Number name="p50 latency" text={duration(total.duration_ms.p50)} />
        <Number name="p90 latency" text={duration(total.duration_ms.p90)} />
        <Number name="p99 latency" text={duration(total.duration_ms.p99)} />
      </dl>
    </>
  );
}

function Number({ name, text, more }: { name: string; text: string; more?: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        {text} {more && <small>{more}</small>}
      </dd>
    </div>
  );
}

const MOST_DAYS = 120;

function Days({ days, q }: { days: Group[]; q: string }) {
  const shown = days.slice(-MOST_DAYS);
  if (shown.length < 2) return null;
  const panels: [string, (day: Group) => number, (value: number) => string][] = [
    ["Runs a day", (day) => day.runs, count],
    ["Cost a day", (day) => day.cost_usd.total, dollars],
    ["p90 latency", (day) => day.duration_ms.p90, duration],
  ];
  return (
    <div class="panels">
      {panels.map(([name, read, told]) => (
        <Columns name={name} days={shown} read={read} told={told} q={q} key={name} />
      ))}
    </div>
  );
}

interface ColumnsProps {
  name: string;
  days: Group[];
  read: (day: Group) => number;
  told: (value: number) => string;
  q: string;
}

function Columns({ name, days, read, told }: ColumnsProps) {
  const most = Math.max(...days.map(read), 0);
  const scale = most || 1;
  return (
    <figure>
      <figcaption>
        {name} <span class="n">max {told(most)}</span>
      </figcaption>
      <svg viewBox={`0 0 ${days.length} 100`} preserveAspectRatio="none" role="img" aria-label={`${name}: max ${told(most)}; the table below has every day`}>
        {days.map((day, at) => {
          const height = (read(day) / scale) * 96;
          return (
            <rect class="bar" x={at + 0.08} width={0.84} y={100 - height} height={height} key={day.key}>
              <title>{`${day.key}: ${told(read(day))}`}</title>
            </rect>
          );
        })}
      </svg>
      <div class="ends" aria-hidden="true">
        <span>{days[0]!.key}</span>
        <span>{days.at(-1)!.key}</span>
      </div>
    </figure>
  );
}

function Groups({ by, groups }: { by: By; groups: Group[] }) {
  if (!groups.length) return <p class="note">None of these runs has a {by}.</p>;
  const most = (read: (group: Group) => number) => Math.max(...groups.map(read), 0) || 1;
  const calls = most((group) => (by === "day" ? group.runs : group.calls));
  const cost = most((group) => group.cost_usd.total);
  const slow = most((group) => group.duration_ms.p99);
  // Tools have no tokens: columns of zeros say nothing.
  const spends = groups.some((group) => group.prompt_tokens + group.completion_tokens + group.cost_usd.total > 0);
  return (
    <div class="table" tabIndex={0} role="region" aria-label={TITLES[by]}>
      <table>
        <thead>
          <tr>
            <th scope="col">{by === "day" ? "Day" : by === "model" ? "Model" : "Tool"}</th>
            {by !== "day" && <th scope="col" class="n">Calls</th>}
            <th scope="col" class="n">Runs</th>
            <th scope="col" class="n">Failed</th>
            {spends && <th scope="col" class="n">Prompt tokens</th>}
            {spends && <th scope="col" class="n">Completion</th>}
            {spends && <th scope="col" class="n">Cost</th>}
            <th scope="col" class="n">p50</th>
            <th scope="col" class="n">p90</th>
            <th scope="col" class="n">p99</th>
            <th scope="col">Duration, p50 to p99</th>
          </tr>
        </thead>
        <tbody>
          {groups.map((group) => (
            <tr key={group.key}>
              <th scope="row">
                <a href={write({ view: "runs", q: termFor(by, group.key) })}>{seen(group.key)}</a>
              </th>
              {by !== "day" && <Measured text={count(group.calls)} share={group.calls / calls} />}
              {by === "day" ? (
                <Measured text={count(group.runs)} share={group.runs / calls} />
              ) : (
                <td class="n">{count(group.runs)}</td>
              )}
              <td class={group.errors ? "n bad" : "n"}>{count(group.errors)}</td>
              {spends && <td class="n">{count(group.prompt_tokens)}</td>}
              {spends && <td class="n">{count(group.completion_tokens)}</td>}
              {spends && <Measured text={dollars(group.cost_usd.total)} share={group.cost_usd.total / cost} />}
              <td class="n">{duration(group.duration_ms.p50)}</td>
              <td class="n">{duration(group.duration_ms.p90)}</td>
              <td class="n">{duration(group.duration_ms.p99)}</td>
              <td class="range">
                <Range group={group} most={slow} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function termFor(by: By, key: string): string {
  if (by !== "day") return termOf(by, key);
  // Days are those of UTC, as the service counts them.
  return `since:${key}T00:00:00Z until:${key}T23:59:59.999Z`;
}

function Measured({ text, share }: { text: string; share: number }) {
  return (
    <td class="n measured">
      <span class="share" style={{ width: `${Math.max(0, Math.min(1, share)) * 100}%` }} />
      <span>{text}</span>
    </td>
  );
}

function Range({ group, most }: { group: Group; most: number }) {
  const { p50, p90, p99 } = group.duration_ms;
  const at = (value: number) => (value / most) * 96;
  return (
    <svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
      <rect class="far" x={at(p50)} width={Math.max(0.5, at(p99) - at(p50))} y="4" height="2" />
      <rect class="near" x={at(p50)} width={Math.max(0.5, at(p90) - at(p50))} y="2.5" height="5" />
      <rect class="mid" x={at(p50)} width="1" y="0.5" height="9" />
    </svg>
  );
}
