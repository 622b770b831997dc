/** Where in a run the words were said that the list is filtered by. */

import type { Hit } from "../types";
import type { Source } from "../source";
import { useLoaded } from "./hooks";
import { seen } from "../unseen";

const HITS_OF_A_RUN = 3;
/** Characters before the first mark. */
const BEFORE = 8;

/** By run id, of the runs that are in sight; empty while nothing is searched for. */
export function useHits(source: Source, searches: string[], runs: string[]): ReadonlyMap<string, Hit> {
  const { value } = useLoaded(
    async (signal) => {
      const asked = runs.length ? searches.filter(Boolean) : [];
      return (await Promise.all(asked.map((words) => source.search(words, runs, HITS_OF_A_RUN, signal)))).flat();
    },
    [source, searches.join("\n"), searches.some(Boolean) && runs.join("\n")],
  );
  const found = new Map<string, Hit>();
  for (const hit of value ?? []) {
    const known = found.get(hit.run_id);
    // What was answered tells more than a prompt that all runs share.
    if (!known || (known.field === "input" && hit.field !== "input")) found.set(hit.run_id, hit);
  }
  return found;
}

export function Snippet({ hit }: { hit: Hit }) {
  // Marks count characters, of which some are two units of a text here.
  const characters = Array.from(hit.snippet);
  const pieces = [];
  // A row is short: what was found is to be in it.
  let from = Math.max(0, (hit.marks[0]?.[0] ?? 0) - BEFORE);
  if (from > 0) pieces.push("…");
  for (const [start, end] of hit.marks) {
    pieces.push(seen(characters.slice(from, start).join("")));
    pieces.push(<mark>{seen(characters.slice(start, end).join(""))}</mark>);
    from = end;
  }
  pieces.push(seen(characters.slice(from).join("")));
  const place = hit.step === null ? hit.field : `step ${hit.step} ${hit.field.replace("_", " ")}`;
  return (
    <>
      <i>{place}:</i> <bdi>{pieces}</bdi>
    </>
  );
}
