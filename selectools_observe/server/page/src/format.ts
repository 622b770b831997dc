/** Numbers, times and sizes as people read them. */

const integers = new Intl.NumberFormat("en");

export function count(value: number): string {
  return integers.format(value);
}

export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}

export function short(value: number): string {
  if (value < 10_000) return count(value);
  if (value < 1e6) return `${trim(value / 1e3)}k`;
  return value < 1e9 ? `${trim(value / 1e6)}M` : `${trim(value / 1e9)}G`;
}

export function duration(ms: number | null): string {
  if (ms === null || !Number.isFinite(ms)) return "–";
  if (ms === 0) return "0 ms";
  if (ms < 1) return `${ms.toPrecision(2)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 59_950) return `${(ms / 1e3).toFixed(ms < 9_995 ? 2 : 1)} s`;
  const minutes = Math.floor(ms / 6e4);
  if (minutes < 60) return `${minutes} m ${pad(Math.floor((ms % 6e4) / 1e3))} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${pad(minutes % 60)} m` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function dollars(value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "$0";
  if (Math.abs(value) < 0.000_1) return `$${value.toExponential(1)}`;
  return `$${integers.format(Math.floor(value))}${value.toFixed(value < 1 ? 4 : 2).replace(/^-?\d+/, "")}`;
}

export function size(characters: number): string {
  if (characters < 1e3) return `${characters} characters`;
  if (characters < 1e6) return `${trim(characters / 1e3)} thousand characters`;
  return `${trim(characters / 1e6)} million characters`;
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

export function exact(iso: string | number | null): string {
  if (iso === null) return "–";
  const date = new Date(typeof iso === "number" ? iso * 1000 : iso);
  return Number.isNaN(date.getTime()) ? String(iso) : date.toISOString().replace("T", " ");
}

/** A scalar of metadata on one line; what is larger, as JSON. */
export function value(of: unknown, longest = 60): string {
  const text = typeof of === "string" ? of : (JSON.stringify(of) ?? "");
  const line = text.length > longest * 4 ? text.slice(0, longest * 4) : text;
  const flat = line.replace(/\s+/g, " ");
  return flat.length > longest ? `${flat.slice(0, longest - 1)}…` : flat;
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

function pad(number: number): string {
  return String(number).padStart(2, "0");
}

function trim(number: number): string {
  return number < 9.95 ? number.toFixed(1).replace(/\.0$/, "") : String(Math.round(number));
}
