/** What is said when there is nothing to show, or something went wrong. */

import type { PageError } from "../errors";
import { seen } from "../unseen";

interface ProblemProps {
  problem: PageError;
  retry?: () => void;
  /** It is all that the page shows. */
  whole?: boolean;
}

export function Problem({ problem, retry, whole }: ProblemProps) {
  const titles = {
    unreachable: "Cannot reach the server",
    missing: "Run not found",
    token: "A token is needed",
    refused: "That was refused",
    broken: "That could not be read",
  };
  const Title = whole ? "h1" : "h2";
  const told = (
    <div class="state" role="alert">
      <Title>{titles[problem.trouble]}</Title>
      <p>{problem.message}</p>
      {problem.trouble === "unreachable" && (
        <p>
          Start it again with <code>selectools-observe serve</code>, then try again.
        </p>
      )}
      {problem.trouble === "missing" && (
        <p>
          It may have been deleted, or it is in another store. <a href="#/runs">All runs</a>
        </p>
      )}
      {retry && (
        <button type="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
  return whole ? <main>{told}</main> : told;
}

export function NoRuns({ live }: { live: boolean }) {
  return (
    <div class="state">
      <h2>No runs yet</h2>
      {live ? (
        <p>Save one to this store, and it appears here. From Python:</p>
      ) : (
        <p>This file was written from a store that held no runs.</p>
      )}
      {live && (
        <pre class="text">{`from selectools_observe import AgentTrace, SQLiteTraceStore, TraceStep

store = SQLiteTraceStore("traces.db")   # the file that this service was given
trace = AgentTrace(metadata={"user_id": "alice"})
trace.add(TraceStep(type="llm_call", model="gpt-4o", duration_ms=120.0))
store.save(trace)`}</pre>
      )}
      {live && (
        <p>
          No agent at hand? <code>selectools-observe demo</code> runs one that needs no key and no network.
        </p>
      )}
    </div>
  );
}

interface WarningProps {
  text: string;
  q: string;
  onChange: (q: string) => void;
}

/** What the service says of a filter in which a word is unknown. */
export function Warning({ text, q, onChange }: WarningProps) {
  const [, key, meant] = /key '([^']+)'.*did you mean '([^']+)'/.exec(text) ?? [];
  const wanted = key && meant && q.includes(key) ? q.replaceAll(key, meant) : null;
  return (
    <p role="status">
      {seen(text[0]!.toUpperCase() + text.slice(1).replace(/[^?]$/, "$&."))}{" "}
      {wanted && (
        <button type="button" onClick={() => onChange(wanted)}>
          Use <code>{seen(wanted)}</code>
        </button>
      )}
    </p>
  );
}

export function Waiting({ children, whole }: { children: string; whole?: boolean }) {
  const told = (
    <p class="state waiting" role="status">
      {children}
    </p>
  );
  return whole ? (
    <main>
      <h1 class="sr">{children}</h1>
      {told}
    </main>
  ) : (
    told
  );
}
