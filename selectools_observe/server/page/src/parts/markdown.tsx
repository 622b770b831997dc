/**
 * Markdown as elements. Nothing of a text becomes HTML: what it writes as HTML is shown as text, and
 * pictures elsewhere are named, not fetched.
 */

import type { Token, Tokens } from "marked";
import type { ComponentChildren } from "preact";
import { highlight, visible } from "./highlight";
import { seen } from "../unseen";

/** Longer texts are shown as they are: nobody reads them as markdown. */
const LONGEST = 20_000;
/** What pairing the emphasis of a text may cost: within a paragraph each mark is held against all others. */
const MOST_PAIRS = 1_000_000;
const PARAGRAPHS = /\n\s*\n|\n(?=\s*(?:[-*+]|\d+[.)]|#{1,6})\s)/;
const DEEPEST = 12;

/** Run at the first text: making its grammar was an eighth of what the script did when the page opened. */
declare function require(name: "marked"): typeof import("marked");

export function Markdown({ text }: { text: string }) {
  if (text.length > LONGEST || emphasisPairs(text) > MOST_PAIRS) return <pre class="text">{visible(text)}</pre>;
  let tokens: Token[];
  try {
    tokens = require("marked").lexer(text, { gfm: true, breaks: true });
  } catch {
    return <pre class="text">{visible(text)}</pre>;
  }
  return <div class="markdown">{drawn(tokens, 0)}</div>;
}

function emphasisPairs(text: string): number {
  return text.split(PARAGRAPHS).reduce((all, one) => all + (one.match(/[*_~`[!]+/g)?.length ?? 0) ** 2, 0);
}

function drawn(tokens: Token[] | undefined, depth: number): ComponentChildren {
  if (!tokens || depth > DEEPEST) return tokens?.map((token) => visible(token.raw)) ?? null;
  return tokens.map((token) => one(token, depth + 1));
}

function one(token: Token, depth: number): ComponentChildren {
  const inner = () => drawn((token as Tokens.Generic).tokens, depth);
  switch (token.type) {
    case "space":
    case "def":
      return null;
    case "heading": {
      // The page has headings of its own: those of a text are strong words to a screen reader.
      return <p class={`h h${(token as Tokens.Heading).depth}`}><strong>{inner()}</strong></p>;
    }
    case "paragraph":
      return <p>{inner()}</p>;
    case "strong":
      return <strong>{inner()}</strong>;
    case "em":
      return <em>{inner()}</em>;
    case "del":
      return <s>{inner()}</s>;
    case "codespan":
      return <code>{visible((token as Tokens.Codespan).text)}</code>;
    case "br":
      return <br />;
    case "hr":
      return <hr />;
    case "code":
      return <Code text={(token as Tokens.Code).text} lang={(token as Tokens.Code).lang ?? ""} />;
    case "blockquote":
      return <blockquote>{inner()}</blockquote>;
    case "list":
      return listed(token as Tokens.List, depth);
    case "table":
      return tabled(token as Tokens.Table, depth);
    case "link":
      return linked(token as Tokens.Link, inner());
    case "image": {
      const { href, text } = token as Tokens.Image;
      return <span class="note">[picture: {visible(text || href)}]</span>;
    }
    case "text":
    case "escape": {
      const { tokens: inside, text } = token as Tokens.Text;
      return inside ? drawn(inside, depth) : visible(unescaped(text));
    }
    default:
      return visible(token.raw); // HTML among them
  }
}

function listed(list: Tokens.List, depth: number): ComponentChildren {
  const items = list.items.map((item) => (
    <li>
      {item.task && (item.checked ? "☑ " : "☐ ")}
      {drawn(item.tokens, depth)}
    </li>
  ));
  return list.ordered ? <ol start={Number(list.start) || 1}>{items}</ol> : <ul>{items}</ul>;
}

function tabled(table: Tokens.Table, depth: number): ComponentChildren {
  return (
    <div class="table">
      <table>
        <thead>
          <tr>{table.header.map((cell) => <th>{drawn(cell.tokens, depth)}</th>)}</tr>
        </thead>
        <tbody>
          {table.rows.map((row) => <tr>{row.map((cell) => <td>{drawn(cell.tokens, depth)}</td>)}</tr>)}
        </tbody>
      </table>
    </div>
  );
}

function linked(link: Tokens.Link, inner: ComponentChildren): ComponentChildren {
  if (!/^(https?:|mailto:)/i.test(link.href)) return <span>{inner}</span>;
  return (
    <a href={link.href} title={seen(link.href)} target="_blank" rel="noreferrer noopener nofollow">
      {inner}
    </a>
  );
}

/** Code of a kind that is worth colours: differences and JSON. */
export function Code({ text, lang }: { text: string; lang: string }) {
  const isDiff = /^(diff|patch)$/i.test(lang) || (!lang && looksLikeDiff(text));
  if (isDiff) return <pre class="text diff">{text.split("\n").map(diffLine)}</pre>;
  return <pre class="text">{/^json/i.test(lang) ? highlight(text) : visible(text)}</pre>;
}

export function looksLikeDiff(text: string): boolean {
  return /^(diff --git |--- .*\n\+\+\+ |@@ .* @@)/m.test(text.slice(0, 2_000));
}

function diffLine(line: string): ComponentChildren {
  const mark = /^(\+\+\+|---|@@|diff )/.test(line) ? "head" : line[0];
  const shown = [visible(line), "\n"];
  if (mark === "+") return <ins>{shown}</ins>;
  if (mark === "-") return <del>{shown}</del>;
  return <span class={mark === "head" ? "note" : undefined}>{shown}</span>;
}

/** The lexer escapes nothing, but for what the text itself escaped. */
function unescaped(text: string): string {
  return text.replace(/&(amp|lt|gt|quot|#39);/g, (_, name: string) => NAMED[name]!);
}

const NAMED: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', "#39": "'" };
