/** One script in three places: on the served page, in a file of its own, and as the worker of both. */

import { base } from "./early"; // first, as its request goes out while the others start
import { render } from "preact";
import { App } from "./app";
import type { Block, Facts } from "./reader/embedded";
import { answer } from "./reader/remote";
import { embedded, served } from "./source";
import type { Summary } from "./types";
import { seen } from "./unseen";
import { write } from "./route";
import "./app.css";

const NAME = "selectools-observe";

if (typeof document === "undefined") answer(globalThis as never);
else start();

function start(): void {
  const script = document.currentScript as HTMLScriptElement | null;
  const root = document.getElementById("app")!;
  const title = root.dataset.title ?? NAME;
  if (root.dataset.embedded === undefined) {
    return render(<App source={served(base(), script?.src ?? null)} title={title} />, root);
  }
  const url = script ? URL.createObjectURL(new Blob([script.textContent], { type: "text/javascript" })) : null;
  const runs = blocks();
  // Whoever is sent one run wants to see that run, not a list of it.
  const [only] = runs.length === 1 ? runs : [];
  if (only && !location.hash) history.replaceState(null, "", write({ view: "run", run: only.summary.run_id }));
  const named = only && title === NAME ? `${seen(only.summary.name ?? only.summary.run_id)} – ${title}` : title;
  render(<App source={embedded(runs, url)} title={named} />, root);
}

/** The runs of this file: three data blocks each, a summary, the whole and its conversation. */
function blocks(): Block[] {
  const texts = Array.from(document.querySelectorAll("script[type='application/json']"), (one) => one.textContent!);
  const found: Block[] = [];
  for (let at = 0; at + 2 < texts.length; at += 3) {
    const summary = JSON.parse(texts[at]!) as Summary & Facts;
    found.push({ summary, trace: texts[at + 1]!, reading: texts[at + 2]! });
  }
  return found;
}
