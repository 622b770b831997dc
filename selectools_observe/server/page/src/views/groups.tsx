/** Runs by what they have in common: sessions, users, or any key of their metadata. */

import { useEffect, useState } from "preact/hooks";
import { count, dollars, duration, exact, moment, plural, short, value } from "../format";
import { FilterBar, type Known } from "../parts/filterbar";
import { useKeys, useLater, useLoaded } from "../parts/hooks";
import { Problem, Waiting, Warning } from "../parts/states";
import { asPageError } from "../errors";
import { askedOf, groupTerm } from "../query";
import { go, write, type Route } from "../route";
import type { GroupPage, Source } from "../source";

interface Props {
  source: Source;
  route: Route;
  known: Known;
}

export const RUN_KEYS: [string, string][] = [
  ["session", "Session"],
  ["user", "User"],
  ["name", "Name"],
  ["agent", "Agent"],
  ["outcome", "Outcome"],
  ["tag", "Tag"],
];
const AT_ONCE = 200;

/** A menu of the keys that runs can be grouped by. */
export function ByMenu({ by, first = [], known, onBy }: {
  by: string;
  first?: [string, string][];
  known: Known;
  onBy: (by: string) => void;
}) {
  const own = [...first, ...RUN_KEYS];
  const keys = [...known.metadata.keys()].filter((key) => !own.some(([name]) => name === key));
  const isListed = own.some(([name]) => name === by) || keys.includes(by);
  return (
    <label class="by">
      By{" "}
      <select value={by} onChange={(event) => onBy(event.currentTarget.value)}>
        {own.map(([name, text]) => (
          <option value={name} key={name}>
            {text}
          </option>
        ))}
        {!isListed && <option value={by}>{value(by, 40)}</option>}
        {keys.length > 0 && (
          <optgroup label="Metadata">
            {keys.map((key) => (
              <option value={key} key={key}>
                {value(key, 40)}
              </option>
            ))}
          </optgroup>
        )}
      </select>
    </label>
  );
}

export function Groups({ source, route, known }: Props) {
  const { q } = route;
  const by = route.by || "session";
  const sort = route.sort || "-last";
  const asked = useLater(q, 200);
  const { query, words, isLanguage } = askedOf(asked);
  const filters = words.length ? { ...query, text: words.join(" ") } : query;
  const [more, setMore] = useState<GroupPage[]>([]);
  const [trouble, setTrouble] = useState("");
  const { value: first, problem, loading } = useLoaded(
    (signal) => source.groups({ ...filters, by, order_by: sort, limit: AT_ONCE }, signal),
    [source, JSON.stringify(filters), by, sort],
  );
  useEffect(() => setMore([]), [first]);
  useKeys({ "/": () => document.getElementById("search")?.focus() });
  const last = more.at(-1) ?? first;
  const fetchMore = async () => {
    try {
      const page = await source.groups({ ...filters, by, order_by: sort, limit: AT_ONCE, cursor: last!.next_cursor! });
      setMore([...more, page]);
    } catch (error) {
      setTrouble(asPageError(error).message);
    }
  };
  const groups = [first, ...more].flatMap((page) => page?.groups ?? []);
  const head = (name: string, text: string) => {
    const isBy = sort.replace(/^-/, "") === name;
    const isDown = sort.startsWith("-");
    return (
      <th scope="col" aria-sort={isBy ? (isDown ? "descending" : "ascending") : undefined}>
        <button type="button" class="sort" onClick={() => go({ ...route, sort: isBy && isDown ? name : `-${name}` }, true)}>
          {text}
          {isBy ? (isDown ? " ↓" : " ↑") : ""}
        </button>
      </th>
    );
  };
  const refused = isLanguage && problem?.trouble === "refused" ? problem.message : null;
  return (
    <main class="groups">
      <h1 class="sr">Groups of runs</h1>
      <FilterBar q={q} known={known} problem={refused} onChange={(text) => go({ ...route, q: text }, true)}>
        <ByMenu by={by} known={known} onBy={(wanted) => go({ ...route, by: wanted }, true)} />
      </FilterBar>
      <p class="told" role="status">
        {first && `${plural(groups.length, "group")}${last?.next_cursor ? " or more" : ""}`}
      </p>
      {problem && !refused && <Problem problem={problem} />}
      {!first && loading && <Waiting>Loading…</Waiting>}
      {first && !groups.length && (
        <div class="state">
          <h2>No groups</h2>
          {first.warning && <Warning text={first.warning} q={q} onChange={(text) => go({ ...route, q: text }, true)} />}
          <p>None of these runs says its {value(by, 40)}. Choose another key.</p>
        </div>
      )}
      {groups.length > 0 && (
        <div class="wide" tabIndex={0} role="region" aria-label="Groups">
          <table class="group-table">
            <thead>
              <tr>
                {head("key", RUN_KEYS.find(([name]) => name === by)?.[1] ?? value(by, 40))}
                {head("runs", "Runs")}
                {head("errors", "Errors")}
                {head("first", "First")}
                {head("last", "Last")}
                {head("tokens", "Tokens")}
                {head("cost_usd", "Cost")}
                {head("total_ms", "p50 latency")}
                <th scope="col">First input → last output</th>
              </tr>
            </thead>
            <tbody>
              {groups.map((group) => (
                <tr key={group.key}>
                  <th scope="row">
                    <a href={write({ view: "thread", by, run: group.key, q: asked })}>{value(group.key, 48)}</a>
                  </th>
                  <td class="n">
                    <a href={write({ view: "runs", q: `${asked} ${groupTerm(by, group.key)}`.trim() })}>{count(group.runs)}</a>
                  </td>
                  <td class={group.errors ? "n bad" : "n"}>
                    {group.errors ? (
                      <a href={write({ view: "runs", q: `${asked} ${groupTerm(by, group.key)} error:yes`.trim() })}>{count(group.errors)}</a>
                    ) : (
                      "0"
                    )}
                  </td>
                  <td title={exact(group.first_at)}>{moment(group.first_at)}</td>
                  <td title={exact(group.last_at)}>{moment(group.last_at)}</td>
                  <td class="n">{short(group.prompt_tokens + group.completion_tokens)}</td>
                  <td class="n">{dollars(group.cost_usd)}</td>
                  <td class="n">{duration(group.total_ms.p50)}</td>
                  <td class="text">
                    <bdi>{value(group.first_input ?? "", 70)}</bdi>
                    {group.last_output && (
                      <>
                        {" "}
                        → <bdi>{value(group.last_output, 90)}</bdi>
                      </>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
          {last?.next_cursor && (
            <button type="button" onClick={() => void fetchMore()}>
              More
            </button>
          )}
          {trouble && <p class="problem">{trouble}</p>}
        </div>
      )}
    </main>
  );
}
