/** What the keys do and what can be typed into the filter. */

import type { Ref } from "preact";
import { KEYS } from "../query";

const KEYBOARD: [string, string][] = [
  ["j k ↓ ↑", "next, previous"],
  ["g G", "first, last"],
  ["Enter", "open the run"],
  ["Esc", "back, close, clear"],
  ["/", "filter runs, search in a run"],
  ["e E", "next, previous error"],
  ["← →", "fold, unfold what a step holds"],
  ["m t r", "conversation, timeline, JSON"],
  ["w", "wall time or active time"],
  ["[ ]", "previous, next run of the list"],
  ["c", "compare this run with another, or the marked ones"],
  ["x", "mark a run; swap the two that are compared"],
  ["Del", "delete the marked runs, once you say so"],
  ["+ - a", "good, bad, annotate: a run, or the step that is open"],
  ["n p f", "next, previous, first difference"],
  ["1 2 3", "runs, groups, statistics"],
  ["l", "follow new runs"],
  ["?", "this help"],
];

export function Help({ dialog }: { dialog: Ref<HTMLDialogElement> }) {
  return (
    <dialog ref={dialog} class="help" aria-label="Help">
      <div class="both">
        <section>
          {/* What is focused is scrolled to: the button to close it stands at the end. */}
          <h2 tabIndex={-1} autofocus>Keys</h2>
          <dl>
            {KEYBOARD.map(([keys, about]) => (
              <div key={keys}>
                <dt>
                  {keys.split(" ").map((key) => (
                    <kbd key={key}>{key}</kbd>
                  ))}
                </dt>
                <dd>{about}</dd>
              </div>
            ))}
          </dl>
        </section>
        <section>
          <h2>Filter</h2>
          <dl>
            {KEYS.map(([key, about]) => (
              <div key={key}>
                <dt>
                  <code>{key}</code>
                </dt>
                <dd>{about}</dd>
              </div>
            ))}
            <div>
              <dt>
                <code>user_id:alice</code>
              </dt>
              <dd>this pair is in the metadata; quotes make a text: trial:"3"</dd>
            </div>
            <div>
              <dt>
                <code>refund "gift card"</code>
              </dt>
              <dd>words that were said; or in the run id or the metadata</dd>
            </div>
            <div>
              <dt>
                <code>-tool:think (user:ada OR user:ben) tool:book!error reward&lt;1</code>
              </dt>
              <dd>not, either, that tool failed, a number in the metadata</dd>
            </div>
          </dl>
          <p class="note">All parts must hold. The address holds the filter, the run, the step and the comparison: it can be sent to others who reach this page.</p>
        </section>
      </div>
      <form method="dialog" class="actions">
        <button type="submit">Close</button>
      </form>
    </dialog>
  );
}
