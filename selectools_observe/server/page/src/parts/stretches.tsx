/**
 * A long conversation of which only what is in sight exists: stretches of turns, fetched and drawn when
 * they come near, and each as tall as it was when it left.
 */

import type { ComponentChildren, RefObject } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { asPageError, type PageError } from "../errors";
import type { Talk, Turn } from "../types";
import { Problem } from "./states";

/** Turns of a stretch. */
export const STRETCH = 25;
const NEAR = "1200px 0px";
/** How tall a turn is taken for that was not drawn yet, pixels. */
const USUAL_HEIGHT = 110;

/** Where to go: a turn, and where in sight it is to stand. */
export interface Target {
  turn: number;
  block: ScrollLogicalPosition;
  /** Whether it was searched for: then the words are to be in sight, not only the turn. */
  isFound: boolean;
}

interface Props {
  talk: Talk;
  load: (from: number, most: number) => Promise<Talk>;
  render: (turn: Turn, index: number) => ComponentChildren;
  scroller: RefObject<HTMLDivElement | null>;
  target: Target | null;
  onThere: () => void;
  attributes: { [name: string]: string };
}

interface Kept {
  turns: Turn[];
  /** The answer that it belongs to: a run that goes on is read again. */
  of: Talk;
}

export function Stretches({ talk, load, render, scroller, target, onThere, attributes }: Props) {
  const [kept, setKept] = useState<ReadonlyMap<number, Kept>>(() => stretchesOf(talk, talk));
  const [near, setNear] = useState<ReadonlySet<number>>(new Set([0]));
  const [problem, setProblem] = useState<PageError | null>(null);
  const heights = useRef(new Map<number, number>());
  const asked = useRef(new Map<number, Talk>());
  const latest = useRef(talk);
  latest.current = talk;
  useEffect(() => setKept((old) => new Map([...old, ...stretchesOf(talk, talk)])), [talk]);

  const many = Math.ceil(talk.total / STRETCH);
  const fetchOne = async (stretch: number) => {
    asked.current.set(stretch, talk);
    try {
      const found = await load(stretch * STRETCH, STRETCH);
      if (latest.current === talk) setKept((old) => new Map([...old, ...stretchesOf(found, talk)]));
    } catch (error) {
      asked.current.delete(stretch);
      setProblem(asPageError(error));
    }
  };
  useEffect(() => {
    for (const stretch of near) {
      if (stretch >= many || kept.get(stretch)?.of === talk || asked.current.get(stretch) === talk) continue;
      void fetchOne(stretch);
    }
  }, [near, kept, talk]);

  useEffect(() => {
    const watcher = new IntersectionObserver(
      (entries) => {
        setNear((old) => {
          const next = new Set(old);
          for (const { target: element, isIntersecting, boundingClientRect } of entries) {
            const stretch = Number((element as HTMLElement).dataset.stretch);
            if (isIntersecting) next.add(stretch);
            else if (next.delete(stretch)) heights.current.set(stretch, boundingClientRect.height);
          }
          return next;
        });
      },
      { root: scroller.current, rootMargin: NEAR },
    );
    scroller.current?.querySelectorAll(":scope > [data-stretch]").forEach((one) => watcher.observe(one));
    return () => watcher.disconnect();
  }, [many]);

  // A turn from afar: its stretch first, then itself, and once more when what is around it has its height.
  useLayoutEffect(() => {
    if (!target) return;
    const element = document.getElementById(`turn-${target.turn}`);
    if (element) {
      const show = () => ((target.isFound && element.querySelector("mark")) || element).scrollIntoView({ block: target.block });
      show();
      requestAnimationFrame(show);
      onThere();
      return;
    }
    const stretch = Math.floor(target.turn / STRETCH);
    if (!near.has(stretch)) setNear(new Set([...near, stretch]));
  }, [target, near, kept]);

  const drawn = [...Array(many).keys()].map((stretch) => {
    const turns = near.has(stretch) ? kept.get(stretch)?.turns : undefined;
    const size = Math.min(STRETCH, talk.total - stretch * STRETCH);
    const height = heights.current.get(stretch) ?? size * USUAL_HEIGHT;
    return (
      <div data-stretch={stretch} key={stretch} style={turns ? {} : { height: `${height}px` }}>
        {turns?.map((turn, at) => render(turn, stretch * STRETCH + at))}
      </div>
    );
  });
  return (
    <div class="turns" ref={scroller} tabIndex={0} {...attributes}>
      {problem && <Problem problem={problem} retry={() => (setProblem(null), setNear(new Set(near)))} />}
      {drawn}
    </div>
  );
}

function stretchesOf({ offset, turns }: Talk, of: Talk): Map<number, Kept> {
  const found = new Map<number, Kept>();
  for (let at = 0; at < turns.length; at += STRETCH) {
    found.set((offset + at) / STRETCH, { turns: turns.slice(at, at + STRETCH), of });
  }
  return found;
}
