/** A run's steps over time, one inside another; only the rows in sight exist. */

import type { Ref } from "preact";
import { count, duration } from "../format";
import { familyOf } from "../kinds";
import type { Outline } from "../types";
import { seen } from "../unseen";
import { Virtual, type Scroller } from "./virtual";

interface Props {
  outline: Outline;
  /** Which of the outline's rows are shown: what is folded away is not. */
  rows: Int32Array;
  folded: ReadonlySet<number>;
  chosen: number;
  axis: "clock" | "work";
  scroller: Ref<Scroller>;
  onChoose: (row: number) => void;
  onFold: (row: number) => void;
}

const DEEPEST = 12;

export function Waterfall({ outline, rows, chosen, axis, scroller, ...props }: Props) {
  const length = axis === "clock" ? outline.clockLength : outline.workLength;
  const at = rows.indexOf(chosen);
  return (
    <div class="grid fall">
      <Virtual
        class="scroll"
        role="grid"
        tabIndex={0}
        aria-label="Steps in order"
        aria-rowcount={rows.length + 1}
        head={<Heads length={length} />}
        aria-activedescendant={at >= 0 ? `step-${chosen}` : undefined}
        count={rows.length}
        height={26}
        scroller={scroller}
        render={(place: number) => {
          const row = rows[place]!;
          return (
            <StepRow
              outline={outline}
              row={row}
              place={place}
              chosen={row === chosen}
              folded={props.folded.has(row)}
              start={axis === "clock" ? outline.start[row]! : outline.work[row]!}
              length={length}
              onChoose={props.onChoose}
              onFold={props.onFold}
            />
          );
        }}
      />
    </div>
  );
}

function Heads({ length }: { length: number }) {
  return (
    <div class="row heads" role="row" aria-rowindex={1}>
      <span role="columnheader" class="n">#</span>
      <span role="columnheader">Step</span>
      <span role="columnheader" class="n">Duration</span>
      <span role="columnheader" class="scale">
        <span>0</span>
        <span>{duration(length / 2)}</span>
        <span>{duration(length)}</span>
      </span>
    </div>
  );
}

interface RowProps {
  outline: Outline;
  row: number;
  place: number;
  chosen: boolean;
  folded: boolean;
  start: number;
  length: number;
  onChoose: (row: number) => void;
  onFold: (row: number) => void;
}

function StepRow({ outline, row, place, chosen, folded, start, length, onChoose, onFold }: RowProps) {
  const type = outline.kinds[outline.kind[row]!]!;
  const failed = outline.error[row] === 1;
  const holds = outline.beyond[row]! - row - 1;
  const span = outline.span[row]!;
  const left = length ? (start / length) * 100 : 0;
  const width = length ? (span / length) * 100 : 0;
  const family = failed ? "error" : familyOf(type);
  const label = seen(outline.label[row]!);
  return (
    <div
      class={chosen ? "row chosen" : "row"}
      role="row"
      id={`step-${row}`}
      aria-rowindex={place + 2}
      aria-selected={chosen}
      onClick={() => onChoose(row)}
    >
      <span role="gridcell" class="n no">{count(outline.step[row]! + 1)}</span>
      <span role="gridcell" class="name" style={{ paddingLeft: `${Math.min(outline.depth[row]!, DEEPEST) * 14}px` }}>
        {holds > 0 ? (
          <button
            type="button"
            class="fold"
            tabIndex={-1}
            aria-expanded={!folded}
            aria-label={`${folded ? "Unfold" : "Fold"} ${count(holds)} steps`}
            onClick={(event) => {
              event.stopPropagation();
              onFold(row);
            }}
          >
            {folded ? "▸" : "▾"}
          </button>
        ) : null}
        <span class={`kind ${family}`}>{seen(type)}</span>
        <span class="label" title={label}>{label}</span>
        {failed && <b class="bad">failed</b>}
        {folded && <small>+{count(holds)}</small>}
      </span>
      <span role="gridcell" class="n took">{duration(outline.duration[row]!)}</span>
      <span role="gridcell" class="lane">
        <span
          class={`bar ${family}${holds > 0 ? " group" : ""}`}
          style={{ left: `${Math.min(99.7, left)}%`, width: `max(2px, ${Math.min(width, 100 - left)}%)` }}
        />
      </span>
    </div>
  );
}

/** The row of each step. */
export function rowsOfSteps(outline: Outline): Int32Array {
  const rows = new Int32Array(outline.count);
  outline.step.forEach((step, row) => (rows[step] = row));
  return rows;
}

/** The rows that are not inside a folded one. */
export function unfolded(outline: Outline, folded: ReadonlySet<number>, holds: (row: number) => boolean) {
  const rows: number[] = [];
  for (let row = 0; row < outline.count; ) {
    if (holds(row)) rows.push(row);
    row = folded.has(row) ? outline.beyond[row]! : row + 1;
  }
  return Int32Array.from(rows);
}
