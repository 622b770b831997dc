/** What can be done with the runs that are marked. */

import { useRef, useState } from "preact/hooks";
import { asPageError } from "../errors";
import { plural } from "../format";
import { go, type Route } from "../route";
import type { Source } from "../source";
import { useKeys } from "./hooks";

interface Props {
  source: Source;
  marked: string[];
  q: string;
  readOnly: boolean;
  onAnnotate: () => void;
  onClear: () => void;
  onDeleted: () => void;
}

let kept: ReadonlySet<string> = new Set();

/** The runs that are marked in the list; whoever comes back to it finds them so. */
export function useMarks(): [ReadonlySet<string>, (marks: ReadonlySet<string>) => void] {
  const [marks, setMarks] = useState(kept);
  return [marks, (next) => setMarks((kept = next))];
}

export function compareRuns([run, other, ...more]: string[], q: string): void {
  if (run !== undefined && other !== undefined) go({ view: "compare", run, other, more, q });
}

/** Where a comparison leads back to: the list in which both were marked, or the run. */
export function beforeComparing({ run, other, q }: Route): Partial<Route> {
  return kept.has(run) && kept.has(other) ? { view: "runs", q } : { view: "run", run, q };
}

export function Marked({ source, marked, q, readOnly, onAnnotate, onClear, onDeleted }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState("");
  useKeys({ Delete: () => !readOnly && dialog.current?.showModal() });
  const work = async (what: string, each: (run: string) => Promise<void>) => {
    setProblem("");
    let done = 0;
    try {
      for (const run of marked) {
        setBusy(`${what} ${++done} of ${marked.length}…`);
        await each(run);
      }
    } catch (error) {
      setProblem(asPageError(error).message);
    }
    setBusy("");
  };
  const download = async () => {
    const lines: string[] = [];
    await work("Reading", async (run) => {
      const text = (await source.ask("piece", { run }, 0, Infinity)).text;
      lines.push(JSON.stringify(JSON.parse(text)));
    });
    if (lines.length === marked.length) saveAs("runs.jsonl", lines.map((line) => `${line}\n`).join(""));
  };
  const remove = async () => {
    dialog.current?.close();
    await work("Deleting", (run) => source.delete(run));
    onDeleted();
  };
  return (
    <div class="marked" role="region" aria-label="Marked runs">
      <b role="status">{busy || `${plural(marked.length, "run")} marked`}</b>
      <button type="button" disabled={marked.length < 2} onClick={() => compareRuns(marked, q)}>
        Compare <kbd>c</kbd>
      </button>
      <button type="button" onClick={() => void download()}>
        Export
      </button>
      {!readOnly && (
        <>
          <button type="button" onClick={onAnnotate}>
            Annotate <kbd>a</kbd>
          </button>
          <button type="button" class="bad" onClick={() => dialog.current?.showModal()}>
            Delete… <kbd>Del</kbd>
          </button>
        </>
      )}
      <button type="button" class="quiet" onClick={onClear}>
        Clear marks
      </button>
      {problem && <span class="problem">{problem}</span>}
      <dialog ref={dialog} aria-label="Delete the marked runs">
        <h2>Delete {plural(marked.length, "run")}?</h2>
        <p>They are removed from the store at once and cannot be brought back.</p>
        <p class="actions">
          <button type="button" onClick={() => dialog.current?.close()}>
            Keep them
          </button>
          <button type="button" class="bad" onClick={() => void remove()}>
            Delete them
          </button>
        </p>
      </dialog>
    </div>
  );
}

export function saveAs(name: string, text: string, type = "application/jsonl"): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
