/** Scores, labels and notes: shown as chips, given in a dialog or by a key. */

import type { Ref } from "preact";
import { useEffect, useImperativeHandle, useRef, useState } from "preact/hooks";
import { asPageError } from "../errors";
import { exact } from "../format";
import type { Said, Source } from "../source";
import type { Annotation } from "../types";
import { judged } from "./columns";
import { seen } from "../unseen";
import { keep, recall } from "./remembered";

/** What `+` and `-` say. */
export const THUMBS: Record<"+" | "-", Said> = {
  "+": { name: "feedback", label: "good", score: 1 },
  "-": { name: "feedback", label: "bad", score: 0 },
};

interface ChipsProps {
  of: Annotation[];
  onRemove?: ((one: Annotation) => void) | undefined;
}

export function AnnotationChips({ of, onRemove }: ChipsProps) {
  if (!of.length) return null;
  return (
    <ul class="chips judged" aria-label="Annotations">
      {of.map((one) => (
        <li class={`pair ${moodOf(one)}`} key={one.id} title={aboutOf(one)}>
          <i>
            {seen(one.name)}
            {one.step !== undefined && ` (step ${one.step + 1})`}
          </i>
          <span class="sr">: </span> <bdi>{seen(judged(one))}</bdi>
          {one.note && <q>{seen(one.note)}</q>}
          {onRemove && (
            <button type="button" class="quiet" aria-label={`Remove ${seen(one.name)}`} onClick={() => onRemove(one)}>
              ×
            </button>
          )}
        </li>
      ))}
    </ul>
  );
}

const GOOD = /^(good|ok|yes|pass(ed)?|correct|true|resolved|up)$/i;
const BAD = /^(bad|no|fail(ed)?|wrong|incorrect|false|down)$/i;

function moodOf({ label, score }: Annotation): string {
  if (label && GOOD.test(label)) return "good";
  if (label && BAD.test(label)) return "bad";
  return !label && score === 0 ? "bad" : "";
}

function aboutOf({ author, source, created_at: at }: Annotation): string {
  return seen([author, source, at && exact(at)].filter(Boolean).join(", "));
}

export interface Annotator {
  /** Ask for an annotation of these runs, or of a step of one. */
  open(runs: string[], step?: number): void;
}

interface DialogProps {
  source: Source;
  names: string[];
  onDone: () => void;
  annotator: Ref<Annotator>;
}

export function AnnotationDialog({ source, names, onDone, annotator }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const form = useRef<HTMLFormElement>(null);
  const [about, setAbout] = useState<{ runs: string[]; step?: number }>({ runs: [] });
  const [problem, setProblem] = useState("");
  useImperativeHandle(annotator, () => ({
    open: (runs, step) => {
      setAbout({ runs, ...(step === undefined ? {} : { step }) });
      setProblem("");
      form.current?.reset();
      dialog.current?.showModal();
    },
  }));
  useEffect(() => {
    const author = form.current?.elements.namedItem("author") as HTMLInputElement | null;
    if (author) author.defaultValue = recall("author", "");
  }, []);
  const save = async (event: Event) => {
    event.preventDefault();
    const fields = new FormData(form.current!);
    const text = (name: string) => String(fields.get(name) ?? "").trim();
    const said: Said = {
      name: text("name") || "quality",
      ...(text("label") ? { label: text("label") } : {}),
      ...(text("score") ? { score: Number(text("score")) } : {}),
      ...(text("note") ? { note: text("note") } : {}),
      ...(text("author") ? { author: text("author") } : {}),
      ...(about.step === undefined ? {} : { step: about.step }),
    };
    keep("author", text("author"));
    try {
      for (const run of about.runs) await source.annotate(run, said);
      dialog.current?.close();
      onDone();
    } catch (error) {
      setProblem(asPageError(error).message);
    }
  };
  const what =
    about.step !== undefined ? `step ${about.step + 1}` : about.runs.length > 1 ? `${about.runs.length} runs` : "this run";
  return (
    <dialog ref={dialog} class="annotate" aria-label="Annotate">
      <form ref={form} onSubmit={(event) => void save(event)}>
        <h2>Annotate {what}</h2>
        <label>
          What is judged <input name="name" defaultValue="quality" list="annotation-names" required maxLength={200} />
        </label>
        <datalist id="annotation-names">
          {names.map((name) => (
            <option value={name} key={name} />
          ))}
        </datalist>
        <label>
          Label <input name="label" placeholder="good, bad, ..." maxLength={200} />
        </label>
        <label>
          Score <input name="score" type="number" step="any" placeholder="0 to 1, or any number" />
        </label>
        <label>
          Note <textarea name="note" rows={3} />
        </label>
        <label>
          Author <input name="author" maxLength={200} />
        </label>
        {problem && (
          <p class="problem" role="alert">
            {problem}
          </p>
        )}
        <p class="actions">
          <button type="button" onClick={() => dialog.current?.close()}>
            Cancel
          </button>
          <button type="submit">Save</button>
        </p>
      </form>
    </dialog>
  );
}
