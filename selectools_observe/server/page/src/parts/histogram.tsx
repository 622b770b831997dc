/** Runs over time. Dragging across it asks for that time; so do the arrow keys. */

import { useRef, useState } from "preact/hooks";
import { count, day, moment, plural } from "../format";
import type { Histogram } from "../source";

interface Props {
  data: Histogram | null;
  loading: boolean;
  /** The time that is asked for, if any. */
  since: string | null;
  until: string | null;
  onBrush: (since: string, until: string) => void;
  onClear: () => void;
}

export function TimeLine({ data, loading, since, until, onBrush, onClear }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const [drag, setDrag] = useState<[number, number] | null>(null);
  if (!data?.since || !data.until) return <div class="timeline empty" aria-hidden="true" />;
  const buckets = data.runs.length;
  const first = Date.parse(data.since);
  const most = Math.max(1, ...data.runs);
  const bucketAt = (x: number) => {
    const { left, width } = box.current!.getBoundingClientRect();
    return Math.max(0, Math.min(buckets - 1, Math.floor(((x - left) / width) * buckets)));
  };
  const edge = (bucket: number) => new Date(first + bucket * data.bucket_ms).toISOString();
  const settle = ([one, other]: [number, number]) => {
    const [low, high] = [Math.min(one, other), Math.max(one, other)];
    const last = high + 1 >= buckets ? data.until! : edge(high + 1);
    onBrush(edge(low), new Date(Date.parse(last)).toISOString());
  };
  const place = (iso: string | null, otherwise: number) =>
    iso ? ((Date.parse(iso) - first) / (data.bucket_ms * buckets)) * 100 : otherwise;
  const brushed = since !== null || until !== null;
  const low = drag ? (Math.min(...drag) / buckets) * 100 : clamp(place(since, 0));
  const high = drag ? ((Math.max(...drag) + 1) / buckets) * 100 : clamp(place(until, 100));
  const onKeyDown = (event: KeyboardEvent) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by === undefined) {
      if (event.key === "Escape" && brushed) {
        onClear();
        event.preventDefault();
      }
      return;
    }
    event.preventDefault();
    const now: [number, number] = [
      Math.round((clamp(place(since, 0)) / 100) * buckets),
      Math.round((clamp(place(until, 100)) / 100) * buckets) - 1,
    ];
    const end = event.shiftKey ? 1 : 0;
    now[end] = Math.max(0, Math.min(buckets - 1, now[end]! + by));
    settle(now);
  };
  return (
    <div class={loading ? "timeline waiting" : "timeline"}>
      <div
        ref={box}
        class="bars"
        role="slider"
        tabIndex={0}
        aria-label="Runs over time. Arrow keys move the beginning, with shift the end."
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={Math.round(low)}
        aria-valuetext={`${moment(since ?? data.since)} to ${moment(until ?? data.until)}`}
        onKeyDown={onKeyDown}
        onPointerDown={(event) => {
          if (event.button !== 0) return;
          event.currentTarget.setPointerCapture(event.pointerId);
          const at = bucketAt(event.clientX);
          setDrag([at, at]);
        }}
        onPointerMove={(event) => drag && setDrag([drag[0], bucketAt(event.clientX)])}
        onPointerUp={() => {
          if (drag) settle(drag);
          setDrag(null);
        }}
        onPointerCancel={() => setDrag(null)}
        onDblClick={onClear}
      >
        <svg viewBox={`0 0 ${buckets} 100`} preserveAspectRatio="none" aria-hidden="true">
          {data.runs.map((runs, at) => (
            <g key={at}>
              <rect class="bar" x={at + 0.06} width={0.88} {...tall(runs, most)}>
                <title>{`${moment(edge(at))}: ${plural(runs, "run")}, ${count(data.errors[at]!)} with errors`}</title>
              </rect>
              <rect class="bar bad" x={at + 0.06} width={0.88} {...tall(data.errors[at]!, most)} />
            </g>
          ))}
        </svg>
        {(brushed || drag) && (
          <div class="brush" style={{ left: `${low}%`, width: `${Math.max(0.3, high - low)}%` }} />
        )}
      </div>
      <div class="ends">
        <span>{labelOf(data.since, data)}</span>
        <span class="legend" aria-hidden="true">
          <i class="swatch ok" /> runs <i class="swatch bad" /> with errors
        </span>
        <span>{labelOf(data.until, data)}</span>
      </div>
    </div>
  );
}

function tall(value: number, most: number): { y: number; height: number } {
  // What is there can be seen, however little it is beside the most.
  const height = value ? Math.max(4, (value / most) * 100) : 0;
  return { y: 100 - height, height };
}

function labelOf(iso: string, data: Histogram): string {
  const spanned = Date.parse(data.until!) - Date.parse(data.since!);
  return spanned > 3 * 86_400_000 ? day(iso) : moment(iso);
}

function clamp(share: number): number {
  return Math.max(0, Math.min(100, share));
}
