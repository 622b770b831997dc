/** The search box, with completion, and the same filters as menus. */

import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";
import { seen } from "../unseen";
import { groupTerm, KEYS, metadataTerm, parse, termOf, withTerm, withOperators } from "../query";

export interface Known {
  models: string[];
  tools: string[];
  /** Metadata of runs in sight: key to values. */
  metadata: Map<string, string[]>;
}

interface Props {
  q: string;
  known: Known;
  /** What is wrong with the filter; undefined to say what is seen here. */
  problem?: string | null | undefined;
  /** What stands beside the menus. */
  children?: ComponentChildren;
  onChange: (q: string) => void;
  onLeave?: () => void;
}

const MENUS: { name: string; term: string; terms: [string, string][] }[] = [
  { name: "Status", term: "error", terms: [["error", "error:yes"], ["OK", "error:no"]] },
  {
    name: "Duration",
    term: "ms",
    terms: [
      ["over 1 s", "ms>1s"],
      ["over 10 s", "ms>10s"],
      ["over 1 min", "ms>1m"],
      ["under 1 s", "ms<1s"],
    ],
  },
  {
    name: "Cost",
    term: "cost",
    terms: [
      ["over $0.01", "cost>0.01"],
      ["over $0.10", "cost>0.1"],
      ["over $1", "cost>1"],
      ["under $0.01", "cost<0.01"],
    ],
  },
  {
    name: "Started",
    term: "started",
    terms: [
      ["last 15 min", "started>15m"],
      ["last hour", "started>1h"],
      ["last day", "started>24h"],
      ["last 7 days", "started>7d"],
      ["last 30 days", "started>30d"],
    ],
  },
];

export function FilterBar({ q, known, problem, children, onChange, onLeave }: Props) {
  const told = problem === undefined ? parse(q).problems.join(". ") : problem;
  const meant = withOperators(q);
  const names = (key: string, values: string[]) =>
    values.slice(0, 200).map((value): [string, string] => [value, termOf(key, value)]);
  const menus = [
    { name: "Model", term: "model", terms: names("model", known.models) },
    { name: "Tool", term: "tool", terms: names("tool", known.tools) },
    ...MENUS,
  ];
  return (
    <div class="filters">
      <SearchBox q={q} known={known} onChange={onChange} onLeave={onLeave} />
      <div class="bar">
      <div class="menus">
        {menus.map((menu) => (
          <Menu {...menu} q={q} onChange={onChange} key={menu.term} />
        ))}
        {q && (
          <button type="button" class="quiet" onClick={() => onChange("")}>
            Clear
          </button>
        )}
      </div>
      {children}
      </div>
      {meant && (
        <p class="note" role="status">
          Here <code>or</code>, <code>and</code>, <code>not</code> are words to look for; between conditions they are upper case.{" "}
          <button type="button" onClick={() => onChange(meant)}>
            Use <code>{seen(meant)}</code>
          </button>
        </p>
      )}
      {told && (
        <p class="problem" role="status">
          {told}
        </p>
      )}
    </div>
  );
}

interface MenuProps {
  name: string;
  /** Which terms of the search box it writes. */
  term: string;
  terms: [string, string][];
  q: string;
  onChange: (q: string) => void;
}

function Menu(props: MenuProps) {
  const { name, term: key, terms, q, onChange } = props;
  const mine = parse(q).terms.filter((term) => term.key === key);
  const current = mine.map(({ from, to }) => q.slice(from, to)).join(" ");
  if (!terms.length && !current) return null;
  const isListed = terms.some(([, term]) => term === current);
  return (
    <span class={current ? "menu on" : "menu"}>
      <select
        aria-label={name}
        value={current}
        onChange={(event) => {
          const wanted = event.currentTarget.value;
          onChange(withTerm(q, key, wanted || null));
        }}
      >
        <option value="">{current ? `Any ${name.toLowerCase()}` : name}</option>
        {current && !isListed && <option value={current}>{seen(current)}</option>}
        {terms.map(([text, term]) => (
          <option value={term} key={term}>
            {name === "Model" || name === "Tool" ? seen(text) : `${name}: ${text}`}
          </option>
        ))}
      </select>
    </span>
  );
}

interface Choice {
  text: string;
  about: string;
}

function SearchBox({ q, known, onChange, onLeave }: Omit<Props, "problem" | "children">) {
  const box = useRef<HTMLInputElement>(null);
  const list = useId();
  const [text, setText] = useState(q);
  const [open, setOpen] = useState(false);
  const [chosen, setChosen] = useState(-1);
  // While somebody types, the box is ahead of the address.
  useEffect(() => {
    if (document.activeElement !== box.current) setText(q);
  }, [q]);

  const type = (value: string) => {
    setText(value);
    setChosen(-1);
    onChange(value.trim());
  };
  const [start, word] = lastWord(text);
  const choices = open ? choicesFor(word, known) : [];
  const take = (choice: Choice) => {
    type(text.slice(0, start) + choice.text + (/[:<>]$/.test(choice.text) ? "" : " "));
    box.current?.focus();
  };
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Escape") {
      if (choices.length) setOpen(false);
      else if (text) type("");
      else box.current?.blur();
      event.preventDefault();
    } else if (event.key === "ArrowDown" && choices.length) {
      setChosen((chosen + 1) % choices.length);
      event.preventDefault();
    } else if (event.key === "ArrowUp" && choices.length) {
      setChosen(chosen <= 0 ? choices.length - 1 : chosen - 1);
      event.preventDefault();
    } else if ((event.key === "Enter" || event.key === "Tab") && choices[chosen]) {
      take(choices[chosen]!);
      event.preventDefault();
    } else if (event.key === "Enter" || (event.key === "ArrowDown" && !choices.length)) {
      setOpen(false);
      onLeave?.();
      event.preventDefault();
    }
  };
  const shown = choices.length > 0;
  return (
    <div class="search">
      <input
        ref={box}
        id="search"
        type="text"
        role="combobox"
        aria-label="Filter runs"
        aria-expanded={shown}
        aria-controls={shown ? list : undefined}
        aria-autocomplete="list"
        aria-activedescendant={shown && chosen >= 0 ? `${list}-${chosen}` : undefined}
        autocomplete="off"
        autocapitalize="off"
        spellcheck={false}
        placeholder="Filter: model:gpt-4o  error:yes  ms>2s  reward<1  -tool:think  or any words"
        value={text}
        onInput={(event) => {
          setOpen(true);
          type(event.currentTarget.value);
        }}
        onFocus={() => setOpen(true)}
        onBlur={() => setOpen(false)}
        onKeyDown={onKeyDown}
      />
      {shown && (
        <ul class="choices" role="listbox" id={list} aria-label="Completions">
          {choices.map((choice, at) => (
            <li
              role="option"
              id={`${list}-${at}`}
              aria-selected={at === chosen}
              key={choice.text}
              onMouseDown={(event) => {
                event.preventDefault();
                take(choice);
              }}
            >
              <code>{choice.text}</code>
              <span>{choice.about}</span>
            </li>
          ))}
        </ul>
      )}
    </div>
  );
}

const MOST_CHOICES = 9;

function choicesFor(typed: string, known: Known): Choice[] {
  // What must not hold is completed as what must.
  const [not, word] = typed.startsWith("-") ? ["-", typed.slice(1)] : ["", typed];
  return choicesOf(not, word, known);
}

function choicesOf(not: string, word: string, known: Known): Choice[] {
  const [key, typed] = splitTerm(word);
  const found: Choice[] = [];
  if (typed === null) {
    for (const [name, about] of KEYS) if (name.startsWith(word)) found.push({ text: not + name, about });
    for (const name of known.metadata.keys()) {
      const text = metadataTerm(name, "x").slice(0, -1);
      if (text.startsWith(word)) found.push({ text: not + text, about: "metadata" });
    }
    return found.slice(0, MOST_CHOICES);
  }
  const terms = valuesOf(key, known).filter((term) => term.startsWith(word) && term !== word);
  return terms.slice(0, MOST_CHOICES).map((text) => ({ text: not + text, about: "" }));
}

function valuesOf(key: string, known: Known): string[] {
  if (key === "model") return known.models.map((value) => termOf(key, value));
  if (key === "tool") return known.tools.map((value) => termOf(key, value));
  if (key === "error") return ["error:yes", "error:no"];
  if (key === "status") return ["status:error", "status:ok"];
  if (key === "since") return ["since:1h", "since:24h", "since:7d"];
  if (key === "started") return ["started>1h", "started>24h", "started>7d"];
  const name = key.replace(/^meta\./, "");
  return (known.metadata.get(name) ?? []).map((value) => groupTerm(`meta.${name}`, value));
}

function splitTerm(word: string): [string, string | null] {
  const match = /^([^\s:<>="]+)[:]/.exec(word);
  return match ? [match[1]!, word.slice(match[0].length)] : [word, null];
}

function lastWord(text: string): [number, string] {
  const match = /(?:[^\s"]|"(?:[^"\\]|\\.)*"?)*$/.exec(text)!;
  return [match.index, match[0]];
}
