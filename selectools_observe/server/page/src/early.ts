/** The first rows of the list, asked for before the rest of the script has run: most people open the page to see them. */

import { getJson, type Query } from "./http";
import type { Page } from "./types";

/** The list is read so many rows at a time. */
export const FIRST_ROWS = 100;

const FIRST: Query = { limit: FIRST_ROWS };
let first = isListServed() ? firstPage() : null;

/** What a query asks for, if that is on its way; once. */
export function early(query: Query): Promise<Page> | null {
  const page = JSON.stringify(query) === JSON.stringify(FIRST) ? first : null;
  first = null;
  return page;
}

/** Where the API is: the script stands in `static/` beside it. */
export function base(): string {
  return new URL(".", document.baseURI).href;
}

/** Not so in the worker, nor in a file with runs of its own. */
function isListServed(): boolean {
  if (typeof document === "undefined") return false;
  const app = document.getElementById("app");
  return app !== null && app.dataset.embedded === undefined && /^(#\/?(runs)?)?$/.test(location.hash);
}

function firstPage(): Promise<Page> {
  const page = getJson<Page>(base(), "api/traces", FIRST);
  page.catch(() => undefined); // whoever asks for it is told
  return page;
}
