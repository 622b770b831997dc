/** Compare; the first difference is marked, and shown word by word. */

import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useRef } from "preact/hooks";
import { visible } from "../parts/highlight";
import { seen } from "../unseen";
import { useKeys, useLoaded } from "../parts/hooks";
import { beforeComparing } from "../parts/marked";
import { Problem, Waiting } from "../parts/states";
import { Virtual, type Scroller } from "../parts/virtual";
import { rowsOfSteps } from "../parts/waterfall";
import { count, dollars, duration, plural, value } from "../format";
import { familyOf } from "../kinds";
import { go, write, type Route } from "../route";
import type { Source } from "../source";
import type { Comparison, Delta, FieldDifference, Outline } from "../types";

const SIGNS = ["", "≠", "−", "+"];
const WORDS = ["the same", "differs", "only in the left run", "only in the right run"];

export function Compare({ source, route }: { source: Source; route: Route }) {
  const { run, other, more } = route;
  if (more.length) return <Table source={source} route={route} />;
  return <Two source={source} route={route} run={run} other={other} />;
}

function Two({ source, route, run, other }: { source: Source; route: Route; run: string; other: string }) {
  const { value: found, problem } = useLoaded(() => source.ask("compare", run, other), [source, run, other]);
  useKeys({ Escape: () => (route.step ? go({ ...route, step: null }) : go(beforeComparing(route))) });
  if (problem) return <Problem problem={problem} whole />;
  if (!found || found[0].run_id !== run || found[1].run_id !== other) {
    return <Waiting whole>Comparing…</Waiting>;
  }
  return <Compared source={source} route={route} found={found} key={`${run}\n${other}`} />;
}

interface Props {
  source: Source;
  route: Route;
  found: [Outline, Outline, Comparison];
}

function Compared({ source, route, found: [left, right, comparison] }: Props) {
  const scroller = useRef<Scroller>(null);
  const places = useMemo(() => [rowsOfSteps(left), rowsOfSteps(right)] as const, [left, right]);
  const { state, first } = comparison;
  const rows = state.length;
  const at = route.step && route.step <= rows ? route.step - 1 : -1;
  const choose = (row: number) => {
    if (rows) go({ ...route, step: Math.max(0, Math.min(rows - 1, row)) + 1 }, true);
  };
  const difference = (by: 1 | -1) => {
    for (let row = at + by; row >= 0 && row < rows; row += by) if (state[row]) return choose(row);
  };
  useEffect(() => {
    scroller.current?.element()?.focus({ preventScroll: true });
    if (at < 0 && first >= 0) choose(first);
  }, []);
  useEffect(() => {
    if (at >= 0) scroller.current?.show(at);
  }, [at]);
  useKeys({
    j: () => choose(at + 1),
    k: () => choose(at - 1),
    ArrowDown: () => choose(at + 1),
    ArrowUp: () => choose(at - 1),
    Home: () => choose(0),
    End: () => choose(rows - 1),
    n: () => difference(1),
    p: () => difference(-1),
    f: () => first >= 0 && choose(first),
    x: () => go({ ...route, run: route.other, other: route.run, step: null }),
  });
  const [same, changed, gone, come] = comparison.counts;
  const back = beforeComparing(route);
  return (
    <main class={at >= 0 ? "compare with-panel" : "compare"}>
      <header class="about">
        <div class="title">
          <a class="back" href={write(back)}>{back.view === "run" ? "Run" : "Runs"}</a>
          <h1>Compare</h1>
          <div class="actions">
            <button type="button" class="quiet" onClick={() => go({ ...route, run: route.other, other: route.run, step: null })}>
              Swap
            </button>
          </div>
        </div>
        <p class="told">
          <span role="status">
            {first < 0
              ? comparison.runFields.length
                ? `The steps are the same; not ${comparison.runFields.join(" and ")}.`
                : "No differences."
              : `${plural(same, "step")} the same, ${count(changed)} different, ${count(gone)} only left, ${count(come)} only right.`}
          </span>
          {first >= 0 && (
            <>
              <button type="button" onClick={() => choose(first)}>
                First difference <kbd>f</kbd>
              </button>
              <button type="button" onClick={() => difference(1)}>
                Next <kbd>n</kbd>
              </button>
              <button type="button" onClick={() => difference(-1)}>
                Previous <kbd>p</kbd>
              </button>
            </>
          )}
        </p>
        <div class="sides">
          <Side outline={left} name="Left" />
          <Side outline={right} name="Right" />
        </div>
        <Deltas deltas={comparison.deltas} />
        <MetadataDifferences left={left} right={right} />
      </header>
      <div class="columns">
        <div class="grid pairs-grid">
          <Virtual
            class="scroll"
            role="grid"
            tabIndex={0}
            aria-label="Steps of both runs"
            aria-rowcount={rows}
            aria-activedescendant={at >= 0 ? `pair-${at}` : undefined}
            count={rows}
            height={28}
            scroller={scroller}
            render={(row: number) => (
              <div
                class={`row s${state[row]}${row === at ? " chosen" : ""}${row === first ? " first" : ""}`}
                role="row"
                id={`pair-${row}`}
                aria-rowindex={row + 1}
                aria-selected={row === at}
                onClick={() => choose(row)}
              >
                <span role="gridcell" class="sign" title={WORDS[state[row]!]}>
                  <span aria-hidden="true">{SIGNS[state[row]!]}</span>
                  <span class="sr">{WORDS[state[row]!]}</span>
                </span>
                <Cell outline={left} row={places[0][comparison.left[row]!] ?? -1} isFirst={row === first} />
                <Cell outline={right} row={places[1][comparison.right[row]!] ?? -1} />
              </div>
            )}
          />
        </div>
        {at >= 0 && <PairPanel source={source} route={route} comparison={comparison} at={at} />}
      </div>
    </main>
  );
}

const LABELS: Record<string, string> = {
  llm_calls: "LLM calls",
  tool_calls: "Tool calls",
  prompt_tokens: "Input tokens",
  completion_tokens: "Output tokens",
  cost_usd: "Cost",
  duration_ms: "Active time",
  wall_ms: "Duration",
};
const ALWAYS = new Set(["steps", "cost_usd", "wall_ms"]);

function labelOf(name: string): string {
  return LABELS[name] ?? seen(name.replace(/^score\./, "").replace(/^./, (letter) => letter.toUpperCase()));
}

function amount(name: string, of: number | null | undefined): string {
  if (of === null || of === undefined) return "-";
  if (name === "cost_usd") return dollars(of);
  if (name.endsWith("_ms")) return duration(of);
  return name.startsWith("score.") ? String(Math.round(of * 1e4) / 1e4) : count(of);
}

/** The numbers that tell the runs apart, and by how much. */
function Deltas({ deltas }: { deltas: Delta[] }) {
  const shown = deltas.filter(({ name, change }) => change || ALWAYS.has(name));
  return (
    <dl class="totals deltas" aria-label="Numbers that differ">
      {shown.map(({ name, left, right, change, ratio }) => (
        <div key={name}>
          <dt>{labelOf(name)}</dt>
          <dd>
            {amount(name, left)} → {amount(name, right)}
            {change ? (
              <small>
                {" "}
                {change > 0 ? "+" : "−"}
                {amount(name, Math.abs(change))}
                {ratio !== null && ` (${ratio > 0 ? "+" : "−"}${Math.abs(Math.round(ratio * 100))} %)`}
              </small>
            ) : null}
          </dd>
        </div>
      ))}
    </dl>
  );
}

/** More than two runs: their numbers next to each other, held against the first. */
function Table({ source, route }: { source: Source; route: Route }) {
  const ids = [route.run, route.other, ...route.more];
  const { value: table, problem } = useLoaded(() => source.ask("table", ids), [source, ids.join("\n")]);
  useKeys({ Escape: () => go({ view: "runs", q: route.q }) });
  if (problem) return <Problem problem={problem} whole />;
  if (!table) return <Waiting whole>Comparing…</Waiting>;
  const { rows } = table;
  const first = rows[0]!;
  const line = (name: string, cells: ComponentChildren[], key = name) => (
    <tr key={key}>
      <th scope="row">{name}</th>
      {cells.map((cell, at) => (
        <td key={at}>{cell}</td>
      ))}
    </tr>
  );
  return (
    <main class="compare">
      <div class="title">
        <a class="back" href={write({ view: "runs", q: route.q })}>Runs</a>
        <h1>Compare {count(rows.length)} runs</h1>
      </div>
      <div class="wide" tabIndex={0} role="region" aria-label="Runs next to each other">
        <table class="runs-table">
          <thead>
            <tr>
              <td />
              {rows.map(({ summary }, at) => (
                <th scope="col" key={summary.run_id}>
                  <a href={write({ view: "run", run: summary.run_id })}>{value(summary.name || summary.run_id, 28)}</a>
                  {summary.name && <small>{value(summary.run_id, 28)}</small>}
                  {at > 0 && (
                    <a class="button quiet" href={write({ view: "compare", run: first.summary.run_id, other: summary.run_id })}>
                      Compare with the first
                    </a>
                  )}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {line("Outcome", rows.map(({ summary }) => seen(summary.outcome ?? "")))}
            {table.metrics.map((name) =>
              line(
                labelOf(name),
                rows.map(({ metrics }, at) => {
                  const [own, base] = [metrics[name], first.metrics[name]];
                  const percent = at && own != null && base ? Math.round((own / base - 1) * 100) : 0;
                  return (
                    <>
                      {amount(name, own)}
                      {percent !== 0 && <small> {percent > 0 ? "+" : "−"}{Math.abs(percent)} %</small>}
                    </>
                  );
                }),
                name,
              ),
            )}
            {line("Steps that differ", rows.map((row) => count(row.differing_steps)))}
            {table.metadata.map((key) =>
              line(
                value(key, 30),
                rows.map(({ summary }) => (Object.hasOwn(summary.metadata, key) ? value(summary.metadata[key], 40) : "-")),
                `metadata ${key}`,
              ),
            )}
            {line("Input", rows.map(({ summary }) => <bdi>{seen(summary.input ?? "-")}</bdi>))}
            {line("Output", rows.map(({ summary }) => <bdi>{seen(summary.output ?? "-")}</bdi>))}
          </tbody>
        </table>
      </div>
    </main>
  );
}

function Side({ outline, name }: { outline: Outline; name: string }) {
  const { totals } = outline;
  return (
    <p>
      <b>{name}</b>{" "}
      <a href={write({ view: "run", run: outline.run_id })}>{value(outline.run_id, 60)}</a>
      {outline.name && <small>{value(outline.name, 60)}</small>}
      {totals.errors > 0 && <b class="bad">{plural(totals.errors, "error")}</b>}
    </p>
  );
}

const MOST_KEYS = 12;

function MetadataDifferences({ left, right }: { left: Outline; right: Outline }) {
  const keys = [...new Set([...Object.keys(left.metadata), ...Object.keys(right.metadata)])];
  const text = (outline: Outline, key: string) =>
    Object.hasOwn(outline.metadata, key) ? JSON.stringify(outline.metadata[key]) : null;
  const differing = keys.filter((key) => text(left, key) !== text(right, key)).slice(0, MOST_KEYS);
  if (!differing.length) return null;
  const told = (outline: Outline, key: string) =>
    Object.hasOwn(outline.metadata, key) ? value(outline.metadata[key], 40) : "none";
  return (
    <ul class="chips" aria-label="Metadata that differs">
      {differing.map((key) => (
        <li class="pair" key={key}>
          <i>{value(key, 30)}</i> <del>{told(left, key)}</del> <ins>{told(right, key)}</ins>
        </li>
      ))}
    </ul>
  );
}

function Cell({ outline, row, isFirst }: { outline: Outline; row: number; isFirst?: boolean }) {
  const mark = isFirst && <b class="first-mark">first<span class="narrows"> difference</span></b>;
  if (row < 0) {
    return (
      <span role="gridcell" class="cell none">
        {mark}
      </span>
    );
  }
  const type = outline.kinds[outline.kind[row]!]!;
  const family = outline.error[row] ? "error" : familyOf(type);
  return (
    <span role="gridcell" class="cell">
      <span class="no">{count(outline.step[row]! + 1)}</span>
      <span class={`kind ${family}`}>{seen(type)}</span>
      <span class="label">{seen(outline.label[row]!)}</span>
      {mark}
      <span class="took">{duration(outline.duration[row]!)}</span>
    </span>
  );
}

interface PanelProps {
  source: Source;
  route: Route;
  comparison: Comparison;
  at: number;
}

function PairPanel({ source, route, comparison, at }: PanelProps) {
  const one = comparison.left[at]!;
  const two = comparison.right[at]!;
  const state = comparison.state[at]!;
  const { value: fields, problem } = useLoaded(async () => {
    if (state !== 1) return { at, fields: [] as FieldDifference[] };
    return { at, fields: await source.ask("differences", route.run, one, route.other, two) };
  }, [source, route.run, route.other, at]);
  return (
    <section class="panel" aria-label="Diff">
      <header>
        <h2>{state === 1 ? "Diff" : state === 0 ? "The same" : state === 2 ? "Removed" : "Added"}</h2>
        <div class="actions">
          {one >= 0 && <a href={write({ view: "run", run: route.run, step: one + 1 })}>Left step {count(one + 1)}</a>}
          {two >= 0 && <a href={write({ view: "run", run: route.other, step: two + 1 })}>Right step {count(two + 1)}</a>}
          <button type="button" class="quiet close" aria-label="Close" onClick={() => go({ ...route, step: null })}>
            ×
          </button>
        </div>
      </header>
      {problem && <Problem problem={problem} />}
      {!problem && fields?.at !== at && <Waiting>Loading…</Waiting>}
      {fields?.at === at && (
        <div class="fields">
          {state === 0 && (
            <p class="note">Type, tool, arguments, result, model, new input, output, reasoning and error are equal. Times, tokens, costs and ids do not count.</p>
          )}
          {state > 1 && <p class="note">The other run has no step of this kind at this place.</p>}
          {fields.fields.map((field) => (
            <section class="field" key={field.name} aria-label={field.name}>
              <header>
                <h3>{field.name}</h3>
              </header>
              {field.note && <p class="note">{field.note}</p>}
              <pre class="text diff" tabIndex={0}>
                {field.parts.map((part, number) =>
                  part.side === 0 ? (
                    <span key={number}>{visible(part.text)}</span>
                  ) : part.side < 0 ? (
                    <del key={number}>{visible(part.text)}</del>
                  ) : (
                    <ins key={number}>{visible(part.text)}</ins>
                  ),
                )}
              </pre>
            </section>
          ))}
        </div>
      )}
    </section>
  );
}
