/** Which run to compare a run with: those of the same task, input, session or user are offered. */

import { duration, moment, value } from "../format";
import { write } from "../route";
import type { Source } from "../source";
import { Drop } from "./drop";
import { seen } from "../unseen";
import { useLoaded } from "./hooks";

const WORDS: Record<string, string> = { input: "Same input", session: "Same session", user: "Same user" };

interface Props {
  source: Source;
  run: string;
  q: string;
}

export function CompareWith(props: Props) {
  return <Drop label="Compare with…">{() => <Offered {...props} />}</Drop>;
}

function Offered({ source, run, q }: Props) {
  const { value: groups, problem, loading } = useLoaded(() => source.candidates(run), [source, run]);
  return (
    <>
      {problem && <p class="problem">{problem.message}</p>}
      {loading && (
        <p class="note" role="status">
          Looking for runs of the same task, input, session and user…
        </p>
      )}
      {(groups ?? []).map((group) => (
        <section key={group.reason + group.key}>
          <h3>{group.key ? `Same ${seen(group.key)}: ${value(group.value, 40)}` : WORDS[group.reason]}</h3>
          <ul>
            {group.traces.map((one) => (
              <li key={one.run_id}>
                <a href={write({ view: "compare", run, other: one.run_id })}>
                  <span>{moment(one.started_at ?? one.created_at)}</span>
                  <bdi>{value(one.output ?? one.name ?? one.run_id, 60)}</bdi>
                  <span>{one.outcome === "ok" ? "" : seen(one.outcome ?? "")}</span>
                  <span>{duration(one.wall_ms ?? one.total_ms)}</span>
                </a>
              </li>
            ))}
          </ul>
        </section>
      ))}
      <p>
        <a href={write({ view: "runs", q, other: run })}>Choose a run from the list</a>
      </p>
    </>
  );
}
