/** The runs that are under way, with their steps so far, above the list of those that were saved. */

import { useEffect, useState } from "preact/hooks";
import { duration, plural, value } from "../format";
import { write } from "../route";
import type { Source } from "../source";
import type { Summary } from "../types";

const LOOK_MS = 2_000;
const MOST = 8;

export function Running({ source, following }: { source: Source; following: boolean }) {
  const [runs, setRuns] = useState<Summary[]>([]);
  useEffect(() => {
    if (!source.live || !following) return setRuns([]);
    let timer: ReturnType<typeof setTimeout>;
    let stopped = false;
    const look = async () => {
      // A service that is away is told of by the list.
      const found = document.hidden ? null : await source.running().catch(() => null);
      if (stopped) return;
      if (found) setRuns(found);
      timer = setTimeout(() => void look(), LOOK_MS);
    };
    // Nothing competes with the first rows.
    timer = setTimeout(() => void look(), LOOK_MS / 4);
    return () => {
      stopped = true;
      clearTimeout(timer);
    };
  }, [source, following]);
  if (!runs.length) return null;
  const now = Date.now();
  return (
    <ul class="running" aria-label="Runs under way">
      {runs.slice(0, MOST).map((run) => (
        <li key={run.run_id}>
          <a href={write({ view: "run", run: run.run_id })}>
            <i aria-hidden="true" /> {value(run.name || run.run_id, 40)}
          </a>{" "}
          <small>
            {plural(run.steps, "step")}
            {run.started_at && `, ${duration(Math.max(0, now - Date.parse(run.started_at)))}`}
          </small>
        </li>
      ))}
      {runs.length > MOST && <li>and {runs.length - MOST} more</li>}
    </ul>
  );
}
