/** A text of any length: its beginning, and the rest in pieces on demand. */

import { Fragment, type ComponentChildren } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { asPageError } from "../errors";
import { count, size } from "../format";
import type { Piece } from "../reader/service";
import { endsInString, highlight, visible } from "./highlight";

const PIECE = 16_000;

interface Props {
  head: string;
  length: number;
  json: boolean;
  piece: (from: number, to: number) => Promise<Piece>;
}

export function LongText({ head, length, json, piece }: Props) {
  const [pieces, setPieces] = useState([head]);
  const [going, setGoing] = useState(false);
  const [problem, setProblem] = useState<string | null>(null);
  const run = useRef(0);
  useEffect(() => {
    setPieces([head]);
    setGoing(false);
    return () => void run.current++;
  }, [head, length]);

  const shown = pieces.reduce((sum, text) => sum + text.length, 0);
  const inString = [false];
  if (json) pieces.forEach((text, at) => inString.push(endsInString(text, inString[at]!)));
  const more = async (all: boolean) => {
    const mine = ++run.current;
    setGoing(all);
    let at = shown;
    try {
      do {
        const { text } = await piece(at, Math.min(length, at + PIECE));
        if (mine !== run.current || !text) break;
        at += text.length;
        setPieces((old) => [...old, text]);
        await nextFrame();
      } while (all && at < length && mine === run.current);
    } catch (error) {
      setProblem(asPageError(error).message);
    }
    if (mine === run.current) setGoing(false);
  };
  const stop = () => {
    run.current++;
    setGoing(false);
  };
  return (
    <Fragment>
      <pre class="text" tabIndex={0}>
        {pieces.map((text, at) => (
          <span class={at ? "piece" : undefined} key={at}>
            {json ? highlight(text, inString[at]!) : visible(text)}
          </span>
        ))}
        {shown < length ? "…" : null}
      </pre>
      {shown < length && (
        <p class="more" aria-live="off">
          <span>
            {count(shown)} of {size(length)}
          </span>
          {going ? (
            <button type="button" onClick={stop}>
              Stop
            </button>
          ) : (
            <Fragment>
              <button type="button" onClick={() => void more(false)}>
                Show more
              </button>
              <button type="button" onClick={() => void more(true)}>
                Show all
              </button>
            </Fragment>
          )}
        </p>
      )}
      {problem && <p class="problem">{problem}</p>}
    </Fragment>
  );
}

export function Text({ children }: { children: string }): ComponentChildren {
  return visible(children);
}

function nextFrame(): Promise<void> {
  return new Promise((resolve) => requestAnimationFrame(() => resolve()));
}
