/** The frame around the views: where one is, live or not, light or dark, help. */

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { value } from "./format";
import { Help } from "./parts/help";
import { keep, recall } from "./parts/remembered";
import { useKeys, useLoaded } from "./parts/hooks";
import type { Known } from "./parts/filterbar";
import { go, useRoute, write, type Route } from "./route";
import type { LiveState, Source } from "./source";
import { Compare } from "./views/compare";
import { Groups } from "./views/groups";
import { Run } from "./views/run";
import { Runs } from "./views/runs";
import { RECENT, Stats } from "./views/stats";
import { Thread } from "./views/thread";

const THEMES = ["auto", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];

export function App({ source, title }: { source: Source; title: string }) {
  const route = useRoute();
  const [following, setFollowing] = useState(source.live);
  const [live, setLive] = useState<LiveState | "idle">("idle");
  const [theme, setTheme] = useTheme();
  const help = useRef<HTMLDialogElement>(null);
  const known = useKnown(source, route.view);
  const isRun = route.view === "run";
  const about = useLoaded(async () => (isRun ? source.about() : null), [source, isRun]);
  useEffect(() => {
    document.title = titleOf(route, title);
  }, [route]);
  // What the statistics began with is not what the lists are to be filtered by.
  const q = route.q === RECENT ? "" : route.q;
  useKeys({
    "?": () => help.current?.showModal(),
    "1": () => go({ view: "runs", q }),
    "2": () => go({ view: "groups", q }),
    "3": () => go({ view: "stats", q: q || RECENT }),
    l: () => setFollowing(!following),
  });
  const here = (view: Route["view"]) => (route.view === view ? "page" : undefined);
  return (
    <>
      <header class="top">
        <a class="name" href="#/runs">
          {title}
        </a>
        <nav aria-label="Views">
          <a href={write({ view: "runs", q })} aria-current={here("runs")}>
            Runs
          </a>
          <a href={write({ view: "groups", q })} aria-current={here("groups")}>
            Groups
          </a>
          <a href={write({ view: "stats", q: q || RECENT })} aria-current={here("stats")}>
            Statistics
          </a>
        </nav>
        <div class="actions">
          {source.live && route.view === "runs" && (
            <button
              type="button"
              class={`quiet live ${following ? live : "idle"}`}
              aria-pressed={following}
              title="Follow new runs (l)"
              onClick={() => setFollowing(!following)}
            >
              <i aria-hidden="true" />
              <span class="narrows">{following && live === "lost" ? "Reconnecting" : "Live"}</span>
            </button>
          )}
          <button
            type="button"
            class="quiet"
            title="Light, dark, or as the system has it"
            onClick={() => setTheme(THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]!)}
          >
            Theme: {theme}
          </button>
          <button type="button" class="quiet" onClick={() => help.current?.showModal()}>
            Help <kbd>?</kbd>
          </button>
        </div>
      </header>
      {route.view === "run" ? (
        <Run source={source} route={route} readOnly={about.value?.read_only ?? true} />
      ) : route.view === "compare" ? (
        <Compare source={source} route={route} />
      ) : route.view === "groups" ? (
        <Groups source={source} route={route} known={known} />
      ) : route.view === "thread" ? (
        <Thread source={source} route={route} />
      ) : route.view === "stats" ? (
        <Stats source={source} route={route} known={known} />
      ) : (
        <Runs source={source} route={route} known={known} following={following} onLive={setLive} />
      )}
      <Help dialog={help} />
    </>
  );
}

function titleOf(route: Route, title: string): string {
  if (route.view === "run") return `${value(route.run)} – ${title}`;
  if (route.view === "compare") return `Comparison – ${title}`;
  if (route.view === "groups") return `Groups – ${title}`;
  if (route.view === "thread") return `${value(route.run)} – ${title}`;
  if (route.view === "stats") return `Statistics – ${title}`;
  return route.q ? `${value(route.q)} – ${title}` : title;
}

const NONE: Known = { models: [], tools: [], metadata: new Map() };

/** Which keys and values runs have, for completion; asked for once the page stands. */
function useKnown(source: Source, view: Route["view"]): Known {
  const [wanted, setWanted] = useState(false);
  useEffect(() => {
    if (view === "run" || view === "compare" || view === "thread") return;
    const timer = setTimeout(() => setWanted(true), 400);
    return () => clearTimeout(timer);
  }, [view]);
  const { value } = useLoaded(async () => {
    if (!wanted) return NONE;
    const { fields, metadata } = await source.facets();
    const names = (field: string) => (fields[field]?.values ?? []).map(([value]) => value);
    return {
      models: names("model"),
      tools: names("tool"),
      metadata: new Map(Object.entries(metadata).map(([key, facet]) => [key, shortOnes(facet.values)])),
    };
  }, [source, wanted]);
  return useMemo(() => value ?? NONE, [value]);
}

function shortOnes(values: [string, number][]): string[] {
  return values.map(([value]) => value).filter((value) => value.length <= 80 && !/^[[{]/.test(value));
}

function useTheme(): [Theme, (theme: Theme) => void] {
  const [theme, setTheme] = useState<Theme>(() => {
    const kept = recall<Theme>("theme", "auto");
    return THEMES.includes(kept) ? kept : "auto";
  });
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
    keep("theme", theme);
  }, [theme]);
  return [theme, setTheme];
}
