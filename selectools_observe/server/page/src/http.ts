/** Asking the service. All addresses are relative to where the page was mounted. */

import { PageError } from "./errors";
import type { Json } from "./types";

export type Query = Record<string, string | string[] | number | boolean | undefined>;

export async function getJson<Answer>(base: string, path: string, query: Query = {}, signal?: AbortSignal) {
  const response = await get(base, path, query, signal);
  try {
    return (await response.json()) as Answer;
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new PageError("broken", "The service's answer broke off or is not JSON. Try again.");
  }
}

/** An answer as text; null if it is larger than so many bytes. */
export async function getText(base: string, path: string, most: number): Promise<string | null> {
  const reader = (await get(base, path, {})).body!.getReader();
  const decoder = new TextDecoder();
  const pieces: string[] = [];
  let bytes = 0;
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    bytes += next.value.length;
    if (bytes > most) {
      await reader.cancel();
      return null;
    }
    pieces.push(decoder.decode(next.value, { stream: true }));
  }
  return pieces.join("");
}

export async function remove(base: string, path: string): Promise<void> {
  await check(await reach(base + path, { method: "DELETE" }));
}

export async function post(base: string, path: string, body: unknown): Promise<void> {
  const headers = { "Content-Type": "application/json" };
  await check(await reach(base + path, { method: "POST", headers, body: JSON.stringify(body) }));
}

/** The reader's zone: days are those of the clock beside the page, in what is typed too. */
export const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC";

export function address(path: string, query: Query): string {
  const parameters = new URLSearchParams(query.filter && !query.tz ? { tz: ZONE } : {});
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined) parameters.append(name, String(one));
    }
  }
  const text = parameters.toString();
  return text ? `${path}?${text}` : path;
}

export function tracePath(runId: string): string {
  return `api/traces/${encoded(runId)}`;
}

/** One part of an address. Half a character, which no address can hold, becomes a mark. */
export function encoded(text: string): string {
  return encodeURIComponent(text.replace(/[\ud800-\udfff]/gu, "\ufffd"));
}

async function get(base: string, path: string, query: Query, signal?: AbortSignal) {
  const response = await reach(base + address(path, query), { signal: signal ?? null });
  return check(response);
}

async function reach(url: string, options: RequestInit): Promise<Response> {
  try {
    return await fetch(url, { credentials: "same-origin", ...options });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new PageError("unreachable", "The service does not answer. Is it still running?");
  }
}

async function check(response: Response): Promise<Response> {
  if (response.ok) return response;
  const told = await errorIn(response);
  if (response.status === 401) {
    throw new PageError("token", "The service asks for its token: open this page again with ?token=…");
  }
  const trouble = told.type === "trace_not_found" ? "missing" : "refused";
  throw new PageError(trouble, [told.message, told.hint].filter(Boolean).join(" "));
}

async function errorIn(response: Response) {
  const fallback = { type: "", message: `The service answered ${response.status}.`, hint: "" };
  try {
    const body = (await response.json()) as { error?: { [name: string]: Json } };
    const error = body.error ?? {};
    return {
      type: String(error.type ?? ""),
      message: String(error.message ?? fallback.message),
      hint: String(error.hint ?? ""),
    };
  } catch {
    return fallback;
  }
}
