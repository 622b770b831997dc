/** Step types in families, each with one colour that people of any colour vision tell apart. */

export type Family = "model" | "tool" | "graph" | "memory" | "guard" | "error" | "other";

const FAMILIES: Record<string, Family> = {
  llm_call: "model",
  cache_hit: "model",
  structured_retry: "model",
  prompt_compressed: "model",
  tool_selection: "tool",
  tool_execution: "tool",
  session_load: "memory",
  session_save: "memory",
  memory_summarize: "memory",
  entity_extraction: "memory",
  kg_extraction: "memory",
  guardrail: "guard",
  coherence_check: "guard",
  output_screening: "guard",
  budget_exceeded: "error",
  cancelled: "error",
  error: "error",
  graph_stall: "error",
  graph_loop_detected: "error",
};

export function familyOf(type: string): Family {
  if (Object.hasOwn(FAMILIES, type)) return FAMILIES[type]!;
  return type.startsWith("graph_") ? "graph" : "other";
}
