/** Numbers, times and sizes as people read them. */

import { seen } from "./unseen";

const integers = new Intl.NumberFormat("en");

export function count(value: number): string {
  return integers.format(value);
}

export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** A figure in few characters, in the same words as the command's. */
export function short(value: number): string {
  if (value < 9_999.5) return count(Math.round(value));
  const found = [[1e3, "k"] as const, [1e6, "M"] as const, [1e9, "B"] as const].find(([size]) => value < size * 999.5);
  if (!found) return value.toExponential(1).replace(".0e", "e");
  const some = value / found[0];
  return Number(some.toFixed(some < 9.995 ? 2 : some < 99.95 ? 1 : 0)) + found[1];
}

/** In the same words as the command's; a dash for nothing, or what is no time. */
export function duration(ms: number | null): string {
  if (ms === null || !Number.isFinite(ms) || ms <= 0) return "-";
  if (ms < 999.5) return `${ms.toFixed(ms < 99.95 ? 1 : 0)} ms`;
  if (ms / 1e3 < 59.995) return `${(ms / 1e3).toFixed(2)} s`;
  if (ms / 1e3 >= 1e12) return `${short(ms / 1e3 / 86_400)}d`;
  const seconds = Math.round(ms / 1e3);
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes}m ${pad(seconds % 60)}s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours}h ${pad(minutes % 60)}m` : `${short(Math.floor(hours / 24))}d ${hours % 24}h`;
}

/** US dollars, in the same words as the command's; a dash where none are known. */
export function dollars(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value) || value === 0) return "-";
  const sign = value < 0 ? "-" : "";
  const amount = Math.abs(value);
  if (amount < 0.000_05) return `${sign}<$0.0001`;
  if (amount >= 1e15) return `${sign}$${amount.toExponential(2)}`;
  const fine = amount.toFixed(4);
  if (fine.startsWith("0.")) return `${sign}$${fine}`;
  const [whole, cents] = amount.toFixed(2).split(".");
  return `${sign}$${whole!.replace(/\B(?=(\d{3})+$)/g, ",")}.${cents}`;
}

export function size(characters: number): string {
  return `${short(characters)} chars`;
}

/** Today's runs by their time, older ones by day and time. */
export function moment(iso: string, now = Date.now()): string {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return iso;
  const time = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  const today = new Date(now);
  if (date.toDateString() === today.toDateString()) return time;
  const year = date.getFullYear() === today.getFullYear() ? "" : ` ${date.getFullYear()}`;
  return `${date.getDate()} ${MONTHS[date.getMonth()]}${year} ${time}`;
}

export function day(iso: string): string {
  const date = new Date(iso);
  return Number.isNaN(date.getTime())
    ? iso
    : `${date.getDate()} ${MONTHS[date.getMonth()]} ${date.getFullYear()}`;
}

/** A moment to the millisecond, by the reader's clock, with its zone. */
export function exact(iso: string | number | null): string {
  if (iso === null) return "–";
  const date = new Date(typeof iso === "number" ? iso * 1000 : iso);
  return Number.isNaN(date.getTime()) ? String(iso) : `${local(date)} ${zone(date)}`;
}

/** The same to the second, without the zone: every time on the page is the reader's. */
export function second(seconds: number): string {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? "–" : local(date).slice(0, 19);
}

/** What `started>` and `since:` take for a moment. */
export function typedMoment(date: Date): string {
  return local(date).replace(" ", "T");
}

function local(date: Date): string {
  const shifted = new Date(date.getTime() - date.getTimezoneOffset() * 60_000);
  return Number.isNaN(shifted.getTime()) ? date.toISOString() : shifted.toISOString().slice(0, -1).replace("T", " ");
}

function zone(date: Date): string {
  const minutes = -date.getTimezoneOffset();
  const size = Math.abs(minutes);
  return minutes === 0 ? "UTC" : `UTC${minutes < 0 ? "-" : "+"}${pad(Math.floor(size / 60))}:${pad(size % 60)}`;
}

/** A scalar of metadata on one line, what is larger as JSON; characters that cannot be seen are named. */
export function value(of: unknown, longest = 60): string {
  const text = typeof of === "string" ? of : (JSON.stringify(of) ?? "");
  const line = text.length > longest * 4 ? text.slice(0, longest * 4) : text;
  const flat = line.replace(/\s+/g, " ");
  return seen(flat.length > longest ? `${flat.slice(0, longest - 1)}…` : flat);
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

function pad(number: number): string {
  return String(number).padStart(2, "0");
}
