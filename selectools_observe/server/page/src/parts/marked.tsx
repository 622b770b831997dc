/** What can be done with the runs that are marked. */

import { useRef, useState } from "preact/hooks";
import { asPageError } from "../errors";
import { plural } from "../format";
import { go } from "../route";
import type { Source } from "../source";

interface Props {
  source: Source;
  marked: string[];
  readOnly: boolean;
  onAnnotate: () => void;
  onClear: () => void;
  onDeleted: () => void;
}

export function compareRuns([run, other, ...more]: string[]): void {
  if (run !== undefined && other !== undefined) go({ view: "compare", run, other, more });
}

export function Marked({ source, marked, readOnly, onAnnotate, onClear, onDeleted }: Props) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [problem, setProblem] = useState("");
  const [busy, setBusy] = useState("");
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
      <button type="button" disabled={marked.length < 2} onClick={() => compareRuns(marked)}>
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
            Delete…
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
