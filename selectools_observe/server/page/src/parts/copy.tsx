/** A button that copies a text, which may have to be fetched first. */

import { useState } from "preact/hooks";
import { asPageError } from "../errors";

interface Props {
  text: () => string | Promise<string>;
  label: string;
  title?: string;
}

export function Copy({ text, label, title }: Props) {
  const [said, setSaid] = useState<string | null>(null);
  const copy = async () => {
    try {
      await toClipboard(await text());
      setSaid("Copied");
    } catch (error) {
      setSaid(`Not copied: ${asPageError(error).message}`);
    }
    setTimeout(() => setSaid(null), 2_000);
  };
  return (
    <button type="button" class="quiet" title={title} onClick={() => void copy()}>
      <span aria-live="polite">{said ?? label}</span>
    </button>
  );
}

async function toClipboard(text: string): Promise<void> {
  // Browsers give the clipboard to secure pages only; others have the old way.
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  if (!done) throw new Error("the browser refused");
}
