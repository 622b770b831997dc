/** One step in full: what it was asked, what came of it, what it cost. */

import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Copy } from "../parts/copy";
import { visible } from "../parts/highlight";
import { seen } from "../unseen";
import { useLoaded } from "../parts/hooks";
import { LongText } from "../parts/longtext";
import { Problem, Waiting } from "../parts/states";
import { count, dollars, duration, exact, size } from "../format";
import { familyOf } from "../kinds";
import { termOf } from "../query";
import { write } from "../route";
import type { TextName } from "../reader/service";
import type { Source } from "../source";
import type { Field, StepDetail } from "../types";

interface Props {
  source: Source;
  run: string;
  /** From 0. */
  index: number;
  of: number;
  onClose: () => void;
}

const NAMES: Record<string, string> = {
  tool_args: "Arguments",
  tool_result: "Result",
  input: "Input",
  output: "Output",
  reasoning: "Reasoning",
  error: "Error",
  summary: "Summary",
  children: "Branches",
  model: "Model",
  tool_name: "Tool",
  node_name: "Node",
  from_node: "From",
  to_node: "To",
  prompt_tokens: "Prompt tokens",
  completion_tokens: "Completion tokens",
  cost_usd: "Cost",
  cost_usd_estimated: "Cost, estimated",
  step_number: "Step number",
  checkpoint_id: "Checkpoint",
  interrupt_key: "Interrupt",
};

export function StepPanel({ source, run, index, of, onClose }: Props) {
  const { value: detail, problem } = useLoaded(
    () => source.ask("detail", run, index),
    [source, run, index],
  );
  const [raw, setRaw] = useState(false);
  const whole = async (name: TextName) => (await source.ask("piece", name, 0, Infinity)).text;
  const current = detail?.index === index ? detail : null;
  return (
    <section class="panel" aria-label={`Step ${index + 1}`}>
      <header>
        <h2>
          Step {count(index + 1)} <small>of {count(of)}</small>
          {current && <Kind type={current.type} />}
        </h2>
        <div class="actions">
          <button type="button" class="quiet" aria-pressed={raw} onClick={() => setRaw(!raw)}>
            {raw ? "Formatted" : "Raw"}
          </button>
          <Copy label="Copy" title="Copy the step as JSON" text={() => whole({ run, step: index })} />
          <button type="button" class="quiet close" onClick={onClose} aria-label="Close the step">
            ×
          </button>
        </div>
      </header>
      {problem ? (
        <Problem problem={problem} />
      ) : !current ? (
        <Waiting>Loading…</Waiting>
      ) : raw ? (
        <JsonText source={source} name={{ run, step: index }} />
      ) : (
        <Fields source={source} run={run} detail={current} whole={whole} />
      )}
    </section>
  );
}

export function Kind({ type }: { type: string }) {
  return <span class={`kind ${familyOf(type)}`}>{seen(type)}</span>;
}

/** A run or a step as JSON, read piece by piece. */
export function JsonText({ source, name }: { source: Source; name: TextName }) {
  const { value, problem } = useLoaded(
    () => source.ask("piece", name, 0, 8_000),
    [source, JSON.stringify(name)],
  );
  if (problem) return <Problem problem={problem} />;
  if (!value) return <Waiting>Loading…</Waiting>;
  return (
    <LongText
      head={value.text}
      length={value.length}
      json
      piece={(from, to) => source.ask("piece", name, from, to)}
    />
  );
}

interface FieldsProps {
  source: Source;
  run: string;
  detail: StepDetail;
  whole: (name: TextName) => Promise<string>;
}

function Fields({ source, run, detail, whole }: FieldsProps) {
  return (
    <div class="fields">
      <dl class="facts">
        <Fact name="Time">
          <time>{exact(detail.timestamp)}</time>
        </Fact>
        <Fact name="Duration">{duration(detail.duration_ms)}</Fact>
        {detail.facts.map(([name, text]) => (
          <Fact name={NAMES[name] ?? name} key={name}>
            <FactValue name={name} text={text} />
          </Fact>
        ))}
      </dl>
      {detail.fields.map((field) => (
        <FieldText
          key={`${detail.index}-${field.name}`}
          source={source}
          field={field}
          name={{ run, step: detail.index, field: field.name }}
          whole={whole}
        />
      ))}
    </div>
  );
}

function Fact({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function FactValue({ name, text }: { name: string; text: string }) {
  if (name.startsWith("cost_usd")) return dollars(Number(text));
  if (name.endsWith("_tokens")) return count(Number(text));
  if (name !== "model" && name !== "tool_name") return <bdi>{visible(text)}</bdi>;
  const q = termOf(name === "model" ? "model" : "tool", text);
  return (
    <a href={write({ view: "runs", q })} title={`Runs with ${seen(q)}`}>
      <bdi>{visible(text)}</bdi>
    </a>
  );
}

interface FieldProps {
  source: Source;
  field: Field;
  name: TextName;
  whole: (name: TextName) => Promise<string>;
}

function FieldText({ source, field, name, whole }: FieldProps) {
  const [asText, setAsText] = useState(false);
  const isParsed = field.form === "json" && field.name !== "tool_args" && field.name !== "children";
  const shown = { ...name, plain: asText };
  const id = `field-${field.name}`;
  return (
    <section class={`field ${field.name === "error" ? "bad" : ""}`} aria-labelledby={id}>
      <header>
        <h3 id={id}>
          {NAMES[field.name] ?? seen(field.name)}
          {field.length > 1_000 && <small> {size(field.length)}</small>}
        </h3>
        <div class="actions">
          {isParsed && (
            <button type="button" class="quiet" aria-pressed={asText} onClick={() => setAsText(!asText)}>
              {asText ? "Indented" : "As stored"}
            </button>
          )}
          <Copy label="Copy" text={() => whole(shown)} />
        </div>
      </header>
      {field.pairs ? (
        <table class="pairs">
          <tbody>
            {field.pairs.map(([key, text]) => (
              <tr key={key}>
                <th scope="row">{seen(key)}</th>
                <td>{visible(text)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      ) : asText ? (
        <PlainText source={source} name={shown} />
      ) : (
        <LongText
          head={field.head}
          length={field.length}
          json={field.form === "json"}
          piece={(from, to) => source.ask("piece", shown, from, to)}
        />
      )}
    </section>
  );
}

function PlainText({ source, name }: { source: Source; name: TextName }) {
  const [head, setHead] = useState<{ text: string; length: number } | null>(null);
  useEffect(() => {
    void source.ask("piece", name, 0, 6_000).then(setHead);
  }, [JSON.stringify(name)]);
  if (!head) return <Waiting>Loading…</Waiting>;
  const piece = (from: number, to: number) => source.ask("piece", name, from, to);
  return <LongText head={head.text} length={head.length} json={false} piece={piece} />;
}
