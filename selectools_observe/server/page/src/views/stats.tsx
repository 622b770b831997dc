/** Totals and percentiles: in all, by model, by tool and by day. */

import { useEffect, useMemo } from "preact/hooks";
import { count, dollars, duration, plural, short, value } from "../format";
import { FilterBar, type Known } from "../parts/filterbar";
import { ZONE } from "../http";
import { seen } from "../unseen";
import { useLater, useLoaded } from "../parts/hooks";
import { Problem, Waiting, Warning } from "../parts/states";
import { askedOf, groupTerm, termOf } from "../query";
import { go, write, type Route } from "../route";
import type { Group, ModelUse, Statistics } from "../reader/statistics";
import type { Source } from "../source";
import { ByMenu, RUN_KEYS } from "./groups";

interface Props {
  source: Source;
  route: Route;
  known: Known;
}

const STEP_KEYS: [string, string][] = [["model", "Model"], ["tool", "Tool"], ["day", "Day"], ["hour", "Hour"]];
/** What is asked first, as long as some run began then. */
export const RECENT = "started>7d";

export function Stats({ source, route, known }: Props) {
  const { q } = route;
  const by = route.by || "model";
  const asked = useLater(q, 200);
  const parsed = useMemo(() => askedOf(asked), [asked, source]);
  const { words } = parsed;
  const query = words.length ? { ...parsed.query, text: words.join(" ") } : parsed.query;
  const over = by === "hour" ? "hour" : "day";
  const { value, problem, loading } = useLoaded(
    (signal) => {
      const most = route.most ? { max_runs: route.most } : {};
      return source.stats({ ...query, ...most, by: [...new Set([over, "model", by])], tz: ZONE }, signal);
    },
    [source, JSON.stringify(query), route.most, by],
  );
  useEffect(() => {
    if (q === RECENT && asked === q && value?.runs === 0) go({ ...route, q: "" }, true);
  }, [value]);
  const refused = parsed.isLanguage && problem?.trouble === "refused" ? problem.message : null;
  return (
    <main class="stats">
      <h1 class="sr">Statistics</h1>
      <FilterBar q={q} known={known} problem={refused} onChange={(text) => go({ ...route, q: text }, true)}>
        <ByMenu by={by} first={STEP_KEYS} known={known} onBy={(wanted) => go({ ...route, by: wanted }, true)} />
      </FilterBar>
      {problem && !refused && <Problem problem={problem} />}
      {!value && loading && <Waiting>Loading…</Waiting>}
      {value && !refused && (
        <div class={loading ? "waiting" : undefined}>
          {value.warning && <Warning text={value.warning} q={q} onChange={(text) => go({ ...route, q: text }, true)} />}
          <Summing statistics={value} q={asked} />
          <Times groups={over === "hour" ? (value.hours ?? []) : value.days} over={over} q={asked} />
          <Groups by={by} groups={groupsOf(value, by)} q={asked} />
          <Judged of={value.annotations ?? {}} q={asked} />
        </div>
      )}
    </main>
  );
}

function groupsOf(statistics: Statistics, by: string): Group[] {
  if (by === "day") return [...statistics.days].reverse();
  if (by === "hour") return [...(statistics.hours ?? [])].reverse();
  if (by === "model") return statistics.models;
  return by === "tool" ? statistics.tools : (statistics.groups?.[by] ?? []);
}

function Summing({ statistics, q }: { statistics: Statistics; q: string }) {
  const { total, runs, matching_runs: matching } = statistics;
  const share = total.runs ? `${((total.errors / total.runs) * 100).toFixed(1)} %` : "–";
  const also = (term: string) => ({ q: [q, term].filter(Boolean).join(" ") });
  const { duration_ms: took } = total;
  return (
    <>
      <div class="told">
        <span role="status">
          {matching > runs
            ? `The newest ${plural(runs, "run")} of ${count(matching)} that match.`
            : `${plural(runs, "run")}.`}
        </span>
        <small>Days and hours of {ZONE}. Each figure leads to its runs.</small>
      </div>
      <dl class="totals big">
        <Number name="Runs with errors" text={count(total.errors)} more={share} to={also("error:yes")} />
        <Number name="Steps" text={short(total.calls)} to={{ q, sort: "-steps" }} />
        <Number name="Tokens" text={short(total.prompt_tokens + total.completion_tokens)} more={`${short(total.prompt_tokens)} in / ${short(total.completion_tokens)} out`} to={{ q, sort: "-tokens" }} />
        <Number name="Cost" text={dollars(total.cost_usd.total)} {...(total.cost_usd.total ? { more: `${dollars(total.cost_usd.mean)} a run` } : {})} to={{ q, sort: "-cost_usd" }} />
        <Number name="p50 latency" text={duration(took.p50)} to={also(atLeast(took.p50))} />
        <Number name="p95 latency" text={duration(took.p95)} to={also(atLeast(took.p95))} />
        <Number name="p99 latency" text={duration(took.p99)} to={also(atLeast(took.p99))} />
      </dl>
    </>
  );
}

/** Runs that took as long, rounded down so that none of them is lost. */
function atLeast(ms: number): string {
  return `ms>=${Math.floor(ms * 1000) / 1000}ms`;
}

function Number({ name, text, more, to }: { name: string; text: string; more?: string; to: Partial<Route> }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        <a href={write({ view: "runs", ...to })}>{text}</a> {more && <small>{more}</small>}
      </dd>
    </div>
  );
}

const MOST_TIMES = 120;

interface Line {
  name: string;
  read: (group: Group) => number;
  /** How high its bar is, where what stands before it counts too. */
  upTo?: (group: Group) => number;
  shade?: string;
  /** The filter of the runs that it is of. */
  term?: string;
}

const MOST_MODELS = 5;
const OTHERS = "others";

/** The models by what they cost, each above the ones that cost less; nothing where there is but one. */
function stacked(groups: Group[], read: (use: ModelUse) => number): Line[] {
  const sums = new Map<string, number>();
  for (const { models } of groups)
    for (const [name, use] of Object.entries(models ?? {})) sums.set(name, (sums.get(name) ?? 0) + read(use));
  const names = [...sums].filter(([, sum]) => sum > 0).sort((a, b) => b[1] - a[1]).map(([name]) => name);
  if (names.length < 2) return [];
  const own = names.length > MOST_MODELS ? names.slice(0, MOST_MODELS - 1) : names;
  const sumOf = ({ models }: Group, of: string[]) => of.reduce((sum, name) => sum + (models?.[name] ? read(models[name]!) : 0), 0);
  const kinds = own.map((name) => ({ name, of: [name], term: termOf("model", name) }));
  const all: { name: string; of: string[]; term?: string }[] = own === names ? kinds : [...kinds, { name: OTHERS, of: names.slice(own.length) }];
  return all.map(({ of, ...line }, at) => ({
    ...line,
    shade: `m${at}`,
    read: (group) => sumOf(group, of),
    upTo: (group) => sumOf(group, all.slice(at).flatMap((one) => one.of)),
  }));
}

function tokensOf(use: ModelUse): number {
  return use.prompt_tokens + use.completion_tokens;
}

function Times({ groups, over, q }: { groups: Group[]; over: "day" | "hour"; q: string }) {
  const shown = groups.slice(-MOST_TIMES);
  if (shown.length < 2) return null;
  const costs = stacked(shown, (use) => use.cost_usd ?? 0);
  const tokens = stacked(shown, tokensOf);
  const panels: [string, Line[], (value: number) => string][] = [
    [`Runs by ${over}`, [{ name: "runs", read: (one) => one.runs }, { name: "errors", read: (one) => one.errors }], count],
    [
      `Latency by ${over}`,
      [
        { name: "p99", read: (one) => one.duration_ms.p99 },
        { name: "p95", read: (one) => one.duration_ms.p95 },
        { name: "p50", read: (one) => one.duration_ms.p50 },
      ],
      duration,
    ],
    [
      `Tokens by ${over}`,
      [
        { name: "all", read: (one) => one.prompt_tokens + one.completion_tokens },
        { name: "output", read: (one) => one.completion_tokens },
      ],
      short,
    ],
    costs.length
      ? [`Cost by ${over} and model`, costs, dollars]
      : [`Cost by ${over}`, [{ name: "cost", read: (one) => one.cost_usd.total }], dollars],
    ...(tokens.length ? [[`Tokens by ${over} and model`, tokens, short] as (typeof panels)[number]] : []),
  ];
  return (
    <div class="panels">
      {panels.filter(([, [line]]) => shown.some((one) => heightOf(line!, one) > 0)).map(([name, lines, told]) => (
        <Bars name={name} groups={shown} lines={lines} told={told} q={q} key={name} />
      ))}
    </div>
  );
}

interface BarsProps {
  name: string;
  groups: Group[];
  /** The larger ones first: they stand behind. */
  lines: Line[];
  told: (value: number) => string;
  q: string;
}

function Bars({ name, groups, lines, told, q }: BarsProps) {
  const most = Math.max(...groups.map((group) => heightOf(lines[0]!, group)), 0);
  const scale = most || 1;
  return (
    <figure>
      <figcaption>
        {name}
        {lines.length > 1 &&
          lines.map((line, at) => (
            <small key={line.name}>
              <i class={`swatch ${shade(line, at)}`} />
              {line.term ? (
                <a href={write({ view: "runs", q: [q, line.term].join(" ").trim() })}>{seen(line.name)}</a>
              ) : (
                line.name
              )}
              {line.upTo && ` ${told(groups.reduce((sum, group) => sum + line.read(group), 0))}`}
            </small>
          ))}
        <span class="n">max {told(most)}</span>
      </figcaption>
      <svg viewBox={`0 0 ${groups.length} 100`} preserveAspectRatio="none" role="img" aria-label={`${name}: max ${told(most)}; by day or hour the table below has them all`}>
        {groups.map((group, at) => (
          <g onClick={() => go({ view: "runs", q: [q, timeTerm(group)].join(" ").trim() })} key={group.key}>
            <rect class="space" x={at} width={1} y={0} height={100} />
            {lines.map((line, depth) => {
              const height = (heightOf(line, group) / scale) * 96;
              return <rect class={`bar ${shade(line, depth)}`} x={at + 0.08} width={0.84} y={100 - height} height={height} key={line.name} />;
            })}
            <title>{`${group.key}: ${lines.map((line) => `${seen(line.name)} ${told(line.read(group))}`).join(", ")}`}</title>
          </g>
        ))}
      </svg>
      <div class="ends" aria-hidden="true">
        <span>{shortKey(groups[0]!.key)}</span>
        <span>{shortKey(groups.at(-1)!.key)}</span>
      </div>
    </figure>
  );
}

function heightOf({ read, upTo }: Line, group: Group): number {
  return (upTo ?? read)(group);
}

function shade({ name, shade: own }: Line, depth: number): string {
  if (own) return own;
  return name === "errors" ? "bad" : ["", "mid", "dark"][depth]!;
}

function shortKey(key: string): string {
  return key.replace("T", " ").slice(0, 16);
}

/** The runs of a day or an hour, by their beginning. */
function timeTerm({ key, start }: Group): string {
  const from = new Date(start ?? key);
  const to = new Date(from);
  if (key.includes("T")) to.setTime(from.getTime() + 3_600_000);
  else to.setDate(from.getDate() + 1);
  return `started>=${from.toISOString()} started<${to.toISOString()}`;
}

function Groups({ by, groups, q }: { by: string; groups: Group[]; q: string }) {
  if (!groups.length) return <p class="note">None of these runs has a {by}.</p>;
  const most = (read: (group: Group) => number) => Math.max(...groups.map(read), 0) || 1;
  const isTime = by === "day" || by === "hour";
  const isCall = by === "model" || by === "tool";
  const calls = most((group) => (isCall ? group.calls : group.runs));
  const cost = most((group) => group.cost_usd.total);
  const slow = most((group) => group.duration_ms.p99);
  const runsOf = (group: Group, failed = false) =>
    write({ view: "runs", q: [q, termFor(by, group, failed)].filter(Boolean).join(" ") });
  // Tools have no tokens: columns of zeros say nothing.
  const spends = groups.some((group) => group.prompt_tokens + group.completion_tokens + group.cost_usd.total > 0);
  return (
    <div class="table" tabIndex={0} role="region" aria-label={`By ${nameOf(by).toLowerCase()}`}>
      <table>
        <thead>
          <tr>
            <th scope="col">{nameOf(by)}</th>
            {isCall && <th scope="col" class="n">Calls</th>}
            <th scope="col" class="n">Runs</th>
            <th scope="col" class="n">Errors</th>
            <th scope="col" class="n">Error rate</th>
            {spends && <th scope="col" class="n">Prompt tokens</th>}
            {spends && <th scope="col" class="n">Completion</th>}
            {spends && <th scope="col" class="n">Cost</th>}
            <th scope="col" class="n">p50</th>
            <th scope="col" class="n">p95</th>
            <th scope="col" class="n">p99</th>
            <th scope="col">Duration, p50 to p99</th>
          </tr>
        </thead>
        <tbody>
          {groups.map((group) => (
            <tr key={group.key}>
              <th scope="row">
                <a href={runsOf(group)}>{seen(isTime ? shortKey(group.key) : group.key)}</a>
              </th>
              {isCall && <Measured text={count(group.calls)} share={group.calls / calls} />}
              {!isCall ? (
                <Measured text={count(group.runs)} share={group.runs / calls} />
              ) : (
                <td class="n">{count(group.runs)}</td>
              )}
              <td class={group.errors ? "n bad" : "n"}>
                {group.errors ? <a href={runsOf(group, true)}>{count(group.errors)}</a> : "0"}
              </td>
              <td class="n">{percent(group.errors / ((isCall ? group.calls : group.runs) || 1))}</td>
              {spends && <td class="n">{count(group.prompt_tokens)}</td>}
              {spends && <td class="n">{count(group.completion_tokens)}</td>}
              {spends && <Measured text={dollars(group.cost_usd.total)} share={group.cost_usd.total / cost} />}
              <td class="n">{duration(group.duration_ms.p50)}</td>
              <td class="n">{duration(group.duration_ms.p95)}</td>
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

/** What was said of these runs: labels and scores, each leading to its runs. */
function Judged({ of, q }: { of: NonNullable<Statistics["annotations"]>; q: string }) {
  const names = Object.keys(of);
  if (!names.length) return null;
  const to = (term: string) => write({ view: "runs", q: [q, term].filter(Boolean).join(" ") });
  const quote = (text: string) => (/[\s"()]/.test(text) ? JSON.stringify(text) : text);
  return (
    <div class="table" tabIndex={0} role="region" aria-label="Annotations">
      <table>
        <thead>
          <tr>
            <th scope="col">Annotation</th>
            <th scope="col" class="n">Runs</th>
            <th scope="col" class="n">Mean score</th>
            <th scope="col">Labels</th>
          </tr>
        </thead>
        <tbody>
          {names.map((name) => (
            <tr key={name}>
              <th scope="row">{/[\s":]/.test(name) ? seen(name) : <a href={to(`has:annotation.${name}`)}>{seen(name)}</a>}</th>
              <td class="n">{count(of[name]!.runs)}</td>
              <td class="n">{of[name]!.score.count ? String(Math.round(of[name]!.score.mean * 1e3) / 1e3) : "-"}</td>
              <td>
                {Object.entries(of[name]!.labels).map(([label, runs]) => (
                  <span class="pair" key={label}>
                    <a href={to(`label.${name}:${quote(label)}`)}>{seen(label)}</a> {count(runs)}
                  </span>
                ))}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function nameOf(by: string): string {
  return [...STEP_KEYS, ...RUN_KEYS].find(([name]) => name === by)?.[1] ?? value(by, 40);
}

function percent(share: number): string {
  return `${(share * 100).toFixed(share && share < 0.1 ? 1 : 0)} %`;
}

/** What finds the runs of a row, or those of them that failed there. */
function termFor(by: string, group: Group, failed: boolean): string {
  if (by === "day" || by === "hour") return `${timeTerm(group)}${failed ? " error:yes" : ""}`;
  const isCall = by === "model" || by === "tool";
  const term = isCall ? termOf(by, group.key) : groupTerm(by, group.key);
  return failed ? (isCall ? `${term}!error` : `${term} error:yes`) : term;
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
  const { p50, p95, p99 } = group.duration_ms;
  const at = (value: number) => (value / most) * 96;
  return (
    <svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">
      <rect class="far" x={at(p50)} width={Math.max(0.5, at(p99) - at(p50))} y="4" height="2" />
      <rect class="near" x={at(p50)} width={Math.max(0.5, at(p95) - at(p50))} y="2.5" height="5" />
      <rect class="mid" x={at(p50)} width="1" y="0.5" height="9" />
    </svg>
  );
}
