/**
 * Rows of one height, of which only those in sight exist. A million rows are taller than browsers
 * lay out, so beyond a height the scrollbar's position stands for a share of the rows, while the
 * wheel and the keys still move by pixels.
 */

import type { ComponentChildren } from "preact";
import { useEffect, useImperativeHandle, useLayoutEffect, useRef, useState } from "preact/hooks";
import type { Ref } from "preact";

const TALLEST = 10_000_000;
const SPARE = 6;
const WHEEL_MS = 500;

export interface Scroller {
  show(row: number): void;
  element(): HTMLElement | null;
}

interface Props {
  count: number;
  height: number;
  scroller?: Ref<Scroller>;
  render(row: number): ComponentChildren;
  /** Stays at the top. */
  head?: ComponentChildren;
  onRange?(from: number, to: number): void;
  /** Attributes of the element that scrolls. */
  [attribute: string]: unknown;
}

export function Virtual({ count, height, scroller, render, head, onRange, ...attributes }: Props) {
  const outer = useRef<HTMLDivElement>(null);
  const top = useRef<HTMLDivElement>(null);
  const shift = useRef(0);
  const before = useRef(0);
  const turnedAt = useRef(-Infinity);
  const [view, setView] = useState({ top: 0, size: 600 });
  const total = count * height;
  const tall = Math.min(total, TALLEST);

  const sizeOf = (element: HTMLElement) =>
    Math.max(0, element.clientHeight - (top.current?.offsetHeight ?? 0));
  const look = () => {
    const element = outer.current;
    if (!element) return;
    const size = sizeOf(element);
    const at = element.scrollTop;
    // A wheel may turn further than the rows in sight; only the bar jumps.
    const turned = performance.now() - turnedAt.current < WHEEL_MS;
    const jumped = Math.abs(at - before.current) > size && !turned;
    before.current = at;
    if (total <= TALLEST) shift.current = 0;
    else if (jumped || at <= 0 || at >= tall - size - 1) {
      shift.current = Math.round((at / Math.max(1, tall - size)) * (total - size) - at);
    }
    const above = Math.max(0, at + shift.current);
    setView((old) => (old.top === above && old.size === size ? old : { top: above, size }));
  };

  const show = (row: number) => {
    const element = outer.current;
    if (!element) return;
    const size = sizeOf(element);
    const at = element.scrollTop + shift.current;
    const wanted = row * height;
    if (wanted >= at && wanted + height <= at + size) return;
    // The next row comes in at the edge; a row from afar, in the middle.
    const near = wanted > at - 3 * height && wanted < at + size + 3 * height;
    const target = near ? (wanted < at ? wanted : wanted + height - size) : wanted - size / 2;
    const above = Math.max(0, Math.min(total - size, target));
    if (total > TALLEST && !near) {
      const share = Math.round((above / (total - size)) * (tall - size));
      shift.current = Math.round(above - share);
      before.current = share;
      element.scrollTop = share;
    } else element.scrollTop = above - shift.current;
    look();
  };
  useImperativeHandle(scroller ?? null, () => ({ show, element: () => outer.current }));

  const turn = () => void (turnedAt.current = performance.now());
  useLayoutEffect(look, [count, height]);
  useEffect(() => {
    const watcher = new ResizeObserver(look);
    watcher.observe(outer.current!);
    return () => watcher.disconnect();
  }, [count, height]);

  const from = Math.max(0, Math.floor(view.top / height) - SPARE);
  const to = Math.min(count, Math.ceil((view.top + view.size) / height) + SPARE);
  // Each time: whoever gives the rows may be another, for the same range.
  useEffect(() => onRange?.(from, to));

  const rows: ComponentChildren[] = [];
  for (let row = from; row < to; row++) {
    const place = { transform: `translateY(${row * height - shift.current}px)`, height: `${height}px` };
    rows.push(
      <div class="vrow" role="presentation" key={row} style={place}>
        {render(row)}
      </div>,
    );
  }
  return (
    <div ref={outer} onScroll={look} onWheel={turn} onTouchMove={turn} {...attributes}>
      {head && (
        <div class="vhead" role="rowgroup" ref={top}>
          {head}
        </div>
      )}
      <div class="vspace" role="rowgroup" style={{ height: `${tall}px` }}>
        {rows}
      </div>
    </div>
  );
}
