/** One step in full, its long texts only by their beginnings. */

import type { Field, Json, Step, StepDetail } from "../types";
import { finite, isObject, typeOf } from "./outline";

export const HEAD = 6_000;
const LONGEST_PRETTY = 4_000_000;
const LONGEST_PAIR = 400;
const MOST_PAIRS = 24;

/** Told in the facts or the headline, and so left out of the fields. */
const SAID_ELSEWHERE = new Set(["type", "timestamp", "duration_ms"]);
const FACTS = [
  "model",
  "tool_name",
  "node_name",
  "from_node",
  "to_node",
  "prompt_tokens",
  "completion_tokens",
  "cost_usd",
  "step_number",
  "checkpoint_id",
  "interrupt_key",
];
const FIRST = ["error", "summary", "reasoning", "tool_args", "tool_result", "children"];
const LONGEST_FACT = 200;

export function detailOf(step: Step, index: number): StepDetail {
  const facts: [string, string][] = [];
  for (const name of FACTS) {
    const value = step[name];
    const isEstimate = name === "cost_usd" && isObject(step.cost_estimate);
    if (isShortScalar(value)) facts.push([isEstimate ? "cost_usd_estimated" : name, String(value)]);
  }
  const told = new Set([...SAID_ELSEWHERE, ...facts.map(([name]) => name)]);
  const others = Object.keys(step).filter((name) => !told.has(name));
  const rank = (name: string) => (FIRST.includes(name) ? FIRST.indexOf(name) : FIRST.length);
  others.sort((one, other) => rank(one) - rank(other));
  return {
    index,
    type: typeOf(step),
    timestamp: finite(step.timestamp),
    duration_ms: finite(step.duration_ms),
    facts,
    fields: others.filter((name) => isSet(step[name]) && !isSaidByError(step, name)).map((name) => fieldOf(step, name)),
  };
}

/** The whole text of a field, as it is shown: JSON with indentation, anything else as it is. */
export function textOf(step: Step, name: string, plain: boolean): string {
  const value = step[name];
  if (typeof value !== "string") return JSON.stringify(value ?? null, null, 2);
  return (plain ? null : pretty(value)) ?? value;
}

function fieldOf(step: Step, name: string): Field {
  const value = step[name]!;
  const text = textOf(step, name, false);
  const form = typeof value === "string" && text === value ? "text" : "json";
  const field: Field = { name, form, head: text.slice(0, HEAD), length: text.length };
  const pairs = pairsOf(value);
  return pairs ? { ...field, form: "pairs", pairs } : field;
}

function pairsOf(value: Json): [string, string][] | null {
  if (!isObject(value)) return null;
  const entries = Object.entries(value);
  if (entries.length === 0 || entries.length > MOST_PAIRS) return null;
  if (!entries.every(([key, inner]) => key.length <= 80 && isShortScalar(inner, LONGEST_PAIR))) {
    return null;
  }
  return entries.map(([key, inner]) => [key, typeof inner === "string" ? inner : JSON.stringify(inner)]);
}

function isShortScalar(value: Json | undefined, longest = LONGEST_FACT): boolean {
  if (typeof value === "string") return value.length <= longest && !value.includes("\n");
  return typeof value === "number" || typeof value === "boolean";
}

function isSet(value: Json | undefined): boolean {
  return value !== undefined && value !== null && value !== "";
}

function pretty(text: string): string | null {
  if (!/^\s*[[{]/.test(text) || text.length > LONGEST_PRETTY) return null;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return null;
  }
}

/** A tool that failed often returns the text of its error. */
function isSaidByError(step: Step, name: string): boolean {
  return name === "tool_result" && step.tool_result === step.error;
}
