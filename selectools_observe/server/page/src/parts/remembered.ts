/** What this browser remembers of its reader; files and private windows may remember nothing. */

const PREFIX = "selectools-observe-";

export function recall<Value>(name: string, otherwise: Value): Value {
  try {
    const kept = localStorage.getItem(PREFIX + name);
    return kept === null ? otherwise : (JSON.parse(kept) as Value);
  } catch {
    return otherwise;
  }
}

export function keep(name: string, value: unknown): void {
  try {
    localStorage.setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // It lasts as long as the page.
  }
}
