/** Which run to compare a run with: those of the same task, input, session or user are offered. */

import { useEffect, useRef, useState } from "preact/hooks";
import { duration, moment, value } from "../format";
import { write } from "../route";
import type { Source } from "../source";
import type { Candidates } from "../types";
import { seen } from "./highlight";
import { useLoaded } from "./hooks";

const WORDS: Record<string, string> = { input: "Same input", session: "Same session", user: "Same user" };

export function CompareWith({ source, run, q }: { source: Source; run: string; q: string }) {
  const menu = useRef<HTMLDetailsElement>(null);
  const [open, setOpen] = useState(false);
  const { value: groups, problem, loading } = useLoaded(
    async (): Promise<Candidates[]> => (open ? source.candidates(run) : []),
    [source, run, open],
  );
  useEffect(() => {
    if (!open) return;
    const onKey = (event: KeyboardEvent) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      menu.current!.open = false;
      menu.current!.querySelector("summary")!.focus();
    };
    const onClick = (event: MouseEvent) => {
      if (!menu.current?.contains(event.target as Node)) menu.current!.open = false;
    };
    addEventListener("keydown", onKey, true);
    addEventListener("click", onClick);
    return () => {
      removeEventListener("keydown", onKey, true);
      removeEventListener("click", onClick);
    };
  }, [open]);
  return (
    <details class="drop" ref={menu} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary class="button quiet">Compare with…</summary>
      <div class="dropped">
        {problem && <p class="problem">{problem.message}</p>}
        {loading && <p class="note" role="status">Looking for runs of the same task, input, session and user…</p>}
        {(groups ?? []).map((group) => (
          <section key={group.reason + group.key}>
            <h3>{group.key ? `Same ${seen(group.key)}: ${seen(value(group.value, 40))}` : WORDS[group.reason]}</h3>
            <ul>
              {group.traces.map((one) => (
                <li key={one.run_id}>
                  <a href={write({ view: "compare", run, other: one.run_id })}>
                    <span>{moment(one.started_at ?? one.created_at)}</span>
                    <bdi>{seen(value(one.output ?? one.name ?? one.run_id, 60))}</bdi>
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
      </div>
    </details>
  );
}
