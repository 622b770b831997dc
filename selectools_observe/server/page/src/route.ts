/** Where the page is: everything that can be linked to stands behind the address's `#`. */

import { useEffect, useState } from "preact/hooks";
import { encoded } from "./http";

export type View = "runs" | "run" | "compare" | "stats" | "groups" | "thread";

export type Tab = "conversation" | "timeline";

export interface Route {
  view: View;
  /** The search box. */
  q: string;
  /** The run that is open, or the left one of two. */
  run: string;
  /** The right one of two; in the list, the one that is to be compared with another. */
  other: string;
  /** Further runs of a comparison. */
  more: string[];
  /** The step that is open, from 1; in a comparison the row. */
  step: number | null;
  /** What stands beside the waterfall: the step, or the run as JSON. */
  show: "step" | "json";
  /** How a run is read; null as it was read last. */
  tab: Tab | null;
  axis: "clock" | "work" | null;
  /** What the list is sorted by, `-` before it for descending; empty for newest saved first. */
  sort: string;
  /** The columns of the list, each percent-encoded; empty for those chosen last. */
  cols: string;
  /** What the statistics or the groups go by; empty for the usual. */
  by: string;
  /** How many of the newest runs the statistics read. */
  most: number | null;
}

const VIEWS: readonly string[] = ["runs", "run", "compare", "stats", "groups", "thread"];

export function read(hash: string): Route {
  const [path = "", search = ""] = splitOnce(hash.replace(/^#\/?/, ""), "?");
  const words = new URLSearchParams(search);
  const parts = path.split("/").map(decode);
  const view = (VIEWS.includes(parts[0]!) ? parts[0] : "runs") as View;
  const step = Number(words.get("step") ?? NaN);
  const axis = words.get("axis");
  const tab = words.get("tab");
  const most = Number(words.get("most") ?? NaN);
  return {
    view,
    q: words.get("q") ?? "",
    run: parts[1] ?? "",
    other: (view === "runs" ? words.get("with") : parts[2]) ?? "",
    more: view === "compare" ? parts.slice(3) : [],
    step: Number.isInteger(step) && step > 0 ? step : null,
    show: words.get("show") === "json" ? "json" : "step",
    tab: tab === "conversation" || tab === "timeline" ? tab : null,
    axis: axis === "clock" || axis === "work" ? axis : null,
    sort: /^-?([a-z_]+|score\..+)$/.test(words.get("sort") ?? "") ? words.get("sort")! : "",
    cols: words.get("cols") ?? "",
    by: words.get("by") ?? "",
    most: Number.isInteger(most) && most > 0 ? most : null,
  };
}

export function write(route: Partial<Route>): string {
  const { view = "runs", run, other, more = [], q, step, show, tab, axis, sort, cols, by, most } = route;
  const ids = view === "run" || view === "thread" ? [run] : view === "compare" ? [run, other, ...more] : [];
  const path = [view, ...ids.filter((id) => id !== undefined)].map(encoded);
  const words = new URLSearchParams();
  if (view === "runs" && other) words.set("with", other);
  if (q) words.set("q", q);
  if (step) words.set("step", String(step));
  if (show === "json") words.set("show", show);
  if (sort) words.set("sort", sort);
  if (view === "runs" && cols) words.set("cols", cols);
  if (tab) words.set("tab", tab);
  if (axis) words.set("axis", axis);
  if (["stats", "groups", "thread"].includes(view) && by) words.set("by", by);
  if (view === "stats" && most) words.set("most", String(most));
  const search = words.toString();
  return `#/${path.join("/")}${search ? `?${search}` : ""}`;
}

/** Go there; replacing leaves no step for the back button. */
export function go(route: Partial<Route>, replacing = false): void {
  const hash = write(route);
  if (hash === location.hash) return;
  if (replacing) history.replaceState(null, "", hash);
  else history.pushState(null, "", hash);
  dispatchEvent(new HashChangeEvent("hashchange"));
}

export function useRoute(): Route {
  const [route, setRoute] = useState(() => read(location.hash));
  useEffect(() => {
    const update = () => setRoute(read(location.hash));
    addEventListener("hashchange", update);
    addEventListener("popstate", update);
    return () => {
      removeEventListener("hashchange", update);
      removeEventListener("popstate", update);
    };
  }, []);
  return route;
}

function splitOnce(text: string, mark: string): [string, string] {
  const at = text.indexOf(mark);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
