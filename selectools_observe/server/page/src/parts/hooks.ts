/** Small helpers of the views. */

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { asPageError, type PageError } from "../errors";

export interface Loaded<Value> {
  value: Value | null;
  problem: PageError | null;
  loading: boolean;
}

/** What a promise gives; while a newer one is under way, what the last one gave. */
export function useLoaded<Value>(
  load: (signal: AbortSignal) => Promise<Value>,
  reasons: unknown[],
): Loaded<Value> {
  const [state, setState] = useState<Loaded<Value>>({ value: null, problem: null, loading: true });
  useEffect(() => {
    const stopper = new AbortController();
    setState((old) => ({ ...old, loading: true }));
    load(stopper.signal).then(
      (value) => stopper.signal.aborted || setState({ value, problem: null, loading: false }),
      (error: unknown) =>
        stopper.signal.aborted ||
        setState({ value: null, problem: asPageError(error), loading: false }),
    );
    return () => stopper.abort();
  }, reasons);
  return state;
}

type Keys = Record<string, (event: KeyboardEvent) => void>;

/** Keys for the view that is shown; what is typed into a field stays there. */
export function useKeys(keys: Keys): void {
  const latest = useRef(keys);
  latest.current = keys;
  // Before the view is painted: whoever sees it can already use its keys.
  useLayoutEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
      if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
      const act = latest.current[event.key];
      // Enter and space belong to the button or link that has the focus.
      if (!act || ((event.key === "Enter" || event.key === " ") && isControl(event.target))) return;
      event.preventDefault();
      act(event);
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
}

export function useMedia(query: string): boolean {
  const [matches, setMatches] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const media = matchMedia(query);
    const update = () => setMatches(media.matches);
    update();
    media.addEventListener("change", update);
    return () => media.removeEventListener("change", update);
  }, [query]);
  return matches;
}

export function useLater<Value>(value: Value, ms: number): Value {
  const [late, setLate] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setLate(value), ms);
    return () => clearTimeout(timer);
  }, [value, ms]);
  return late;
}

/** Until what has changed is drawn; a page that nobody sees is not drawn, and not waited for. */
export function drawn(): Promise<void> {
  return new Promise((resolve) => {
    if (document.hidden) resolve();
    else requestAnimationFrame(() => setTimeout(resolve));
  });
}

function isTyping(target: EventTarget | null): boolean {
  if (target instanceof HTMLInputElement && target.type === "checkbox") return false;
  return target instanceof HTMLElement && /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
}

function isControl(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && /^(BUTTON|A|SUMMARY)$/.test(target.tagName);
}
