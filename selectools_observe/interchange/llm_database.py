"""The database of simonw's `llm` (``llm logs path``): a conversation is a run.

Since 0.32 or so it holds threads of turns, whose messages form a chain by their hashes; before
that, conversations of responses. A database that was upgraded has both, and the first counts.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from ..backends.files.error_mapping import from_sqlite
from ..model.json_values import loads
from ..model.trace import AgentTrace, TraceStep
from .builders import run, seconds, short, step
from .form import BinaryForm, JSONObject
from .source import Source
from .sqlite_files import is_sqlite, reading, tables_of

_THREADS = frozenset({"threads", "turns", "messages", "parts"})
_RESPONSES = frozenset({"responses", "conversations"})


def _read(source: Source) -> Iterator[AgentTrace]:
    tables = tables_of(source.path)
    try:
        with reading(source.path) as database:
            seen: set[str] = set()
            if tables >= _THREADS:
                for made in _threads(database, source):
                    seen.add(made.run_id)
                    yield made
            if tables >= _RESPONSES:
                runs = _conversations(database, tables, source)
                yield from (made for made in runs if made.run_id not in seen)
    except sqlite3.Error as error:
        raise from_sqlite(source.path, error) from error


def _threads(database: sqlite3.Connection, source: Source) -> Iterator[AgentTrace]:
    threads = database.execute("SELECT id, name FROM threads ORDER BY id").fetchall()
    for done, thread in enumerate(threads, 1):
        turns = database.execute(
            "SELECT * FROM turns WHERE thread_id = ? ORDER BY id", (thread["id"],)
        ).fetchall()
        said = _Messages(database)
        steps: list[TraceStep] = []
        before: str | None = None
        for turn in turns:
            asked = said.between(before, turn["parent_message_hash"])
            answered = said.between(turn["parent_message_hash"], turn["tip_message_hash"])
            steps += _tool_steps(asked, steps)
            steps += _turn_steps(turn, asked, answered)
            before = turn["tip_message_hash"]
        if turns:
            yield _run(thread["id"], thread["name"], steps)
        source.progress(done, len(threads))


class _Messages:
    """Messages by the chain of their hashes."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database

    def between(self, after: str | None, tip: str | None) -> list[JSONObject]:
        """The messages that end with one, down to another that is not among them."""
        found: list[JSONObject] = []
        while tip is not None and tip != after:
            row = self._database.execute(
                "SELECT parent_hash, role FROM messages WHERE hash = ?", (tip,)
            ).fetchone()
            if row is None:
                break
            found.append({"role": row["role"], "parts": self._parts(tip)})
            tip = row["parent_hash"]
        return found[::-1]

    def _parts(self, message: str) -> list[JSONObject]:
        rows = self._database.execute(
            "SELECT type, text, payload FROM parts WHERE message_hash = ? ORDER BY position",
            (message,),
        )
        return [self._part(row) for row in rows]

    def _part(self, row: sqlite3.Row) -> JSONObject:
        made = _part(row)
        payload = _json(row["payload"])
        pieces = payload.get("text_ref") if isinstance(payload, dict) else None
        if made["type"] == "text" and not made["content"] and isinstance(pieces, list):
            made["content"] = "".join(map(self._text_of, pieces))
        return made

    def _text_of(self, piece: Any) -> str:
        """A piece of a text that is made of fragments."""
        if not isinstance(piece, dict):
            return ""
        if "fragment" not in piece:
            return str(piece.get("literal") or "")
        sql = "SELECT content FROM fragments WHERE id = ?"
        found = self._database.execute(sql, (piece["fragment"],)).fetchone()
        return str(found["content"]) if found else ""


def _part(row: sqlite3.Row) -> JSONObject:
    """A part in the words of the GenAI conventions, which llm's are close to."""
    payload = _json(row["payload"])
    reported: JSONObject = payload if isinstance(payload, dict) else {}
    match row["type"]:
        case "tool_call":
            named = {"name": reported.get("name"), "arguments": reported.get("arguments")}
            return {"type": "tool_call", "id": reported.get("tool_call_id"), **named}
        case "tool_result":
            output, error = reported.get("output"), reported.get("exception")
            part = {"type": "tool_call_response", "id": reported.get("tool_call_id")}
            return part | {"name": reported.get("name"), "response": output, "exception": error}
        case "text" | "reasoning":
            return {"type": row["type"], "content": row["text"] or ""}
    return {"type": row["type"], "text": row["text"]} | reported


def _turn_steps(
    turn: sqlite3.Row, asked: list[JSONObject], answered: list[JSONObject]
) -> list[TraceStep]:
    call = _call_step(turn, asked, answered)
    call.reasoning = "\n".join(_texts(answered, "reasoning")) or None
    ended = float(call.timestamp) + call.duration_ms / 1000
    tools = [
        step(
            "tool_execution", ended, ended,
            tool_name=part.get("name"),
            tool_args=part.get("arguments"),
            tool_call_id=part.get("id"),
        )
        for part in _parts_of(answered, "tool_call")
    ]  # fmt: skip
    return [call, *tools]


def _call_step(row: sqlite3.Row | _Row, asked: Any, answered: Any) -> TraceStep:
    details = _json(row["token_details"])
    cached = details.get("cached") if isinstance(details, dict) else None
    began = seconds(row["datetime_utc"]) or 0.0
    return step(
        "llm_call", began, began + (row["duration_ms"] or 0) / 1000,
        model=row["resolved_model"] or row["model"],
        prompt_tokens=row["input_tokens"],
        completion_tokens=row["output_tokens"],
        cache_read_tokens=cached if isinstance(cached, int) else None,
        response_id=row["id"],
        options=_json(row["options_json"]) or None,
        input=asked or None,
        output=answered or None,
    )  # fmt: skip


def _tool_steps(asked: list[JSONObject], steps: list[TraceStep]) -> list[TraceStep]:
    """Give the results among the messages to the steps that asked for them; those nobody did."""
    others = []
    for part in _parts_of(asked, "tool_call_response"):
        made = _step_of_call(steps, part.get("id"), part.get("name"))
        if made is None:
            began = float(steps[-1].timestamp) if steps else 0.0
            made = step("tool_execution", began, tool_name=part.get("name"))
            others.append(made)
        _set_result(made, part.get("response"), part.get("exception"))
    return others


def _step_of_call(steps: list[TraceStep], call_id: Any, name: Any) -> TraceStep | None:
    for made in reversed(steps):
        if made.type == "tool_execution" and made.tool_result is None and made.error is None:
            same = (made.extra or {}).get("tool_call_id") == call_id
            if same if call_id is not None else made.tool_name == name:
                return made
    return None


def _set_result(made: TraceStep, output: Any, exception: Any) -> None:
    made.tool_result = output if isinstance(output, str) else None
    if exception:
        made.error = str(exception)
    elif made.tool_result is not None and made.tool_result.startswith("Error: "):
        made.error = made.tool_result.removeprefix("Error: ")


def _conversations(
    database: sqlite3.Connection, tables: frozenset[str], source: Source
) -> Iterator[AgentTrace]:
    """Conversations of responses, as before threads; a response that is in none is a run."""
    total = database.execute("SELECT count(*) FROM responses").fetchone()[0]
    rows = database.execute(
        "SELECT coalesce(r.conversation_id, r.id) AS run_id, c.name AS run_name, r.*"
        " FROM responses r LEFT JOIN conversations c ON c.id = r.conversation_id"
        " ORDER BY run_id, r.id"
    )
    run_id, name, steps = None, None, list[TraceStep]()
    for done, row in enumerate(rows, 1):
        if row["run_id"] != run_id:
            if run_id is not None:
                yield _run(run_id, name, steps)
            run_id, name, steps = row["run_id"], row["run_name"], []
        _take_response(database, tables, row, steps)
        source.progress(done, total)
    if run_id is not None:
        yield _run(run_id, name, steps)


def _take_response(
    database: sqlite3.Connection,
    tables: frozenset[str],
    row: sqlite3.Row,
    steps: list[TraceStep],
) -> None:
    asked = [
        {"role": role, "content": text}
        for role, column, between in (("system", "system", "\n\n"), ("user", "prompt", "\n"))
        if (text := between.join(_pieces(database, tables, row, column)))
    ]
    plain = _Row(row)
    call = _call_step(plain, asked, [{"role": "assistant", "content": row["response"]}])
    reasoning = plain["reasoning"]
    call.reasoning = reasoning if isinstance(reasoning, str) and reasoning else None
    if "tool_results" in tables:
        for result in _rows_of(database, "tool_results", row["id"]):
            made = _step_of_call(steps, result["tool_call_id"], result["name"])
            if made is not None:
                _set_result(made, result["output"], result["exception"])
    steps.append(call)
    if "tool_calls" in tables:
        ended = float(call.timestamp) + call.duration_ms / 1000
        steps += [
            step(
                "tool_execution", ended, ended,
                tool_name=tool["name"],
                tool_args=_json(tool["arguments"]),
                tool_call_id=tool["tool_call_id"],
            )
            for tool in _rows_of(database, "tool_calls", row["id"])
        ]  # fmt: skip


def _pieces(
    database: sqlite3.Connection, tables: frozenset[str], row: sqlite3.Row, kind: str
) -> list[str]:
    """A prompt, and the fragments that stand before it."""
    table, own = f"{kind}_fragments", [row[kind]] if row[kind] else []
    if not tables >= {table, "fragments"}:
        return own
    found = database.execute(
        f"SELECT f.content FROM {table} t JOIN fragments f ON f.id = t.fragment_id"
        ' WHERE t.response_id = ? ORDER BY t."order"',
        (row["id"],),
    )
    return [*(content for (content,) in found), *own]


class _Row:
    """A row whose columns may be missing: they came with versions."""

    def __init__(self, row: sqlite3.Row) -> None:
        self._values = dict(zip(row.keys(), row, strict=True))

    def __getitem__(self, name: str) -> Any:
        return self._values.get(name)


def _rows_of(database: sqlite3.Connection, table: str, response_id: str) -> list[_Row]:
    rows = database.execute(
        f"SELECT * FROM {table} WHERE response_id = ? ORDER BY id",
        (response_id,),
    )
    return [_Row(row) for row in rows]


def _run(run_id: str, name: str | None, steps: list[TraceStep]) -> AgentTrace:
    calls = [made for made in steps if made.type == "llm_call"]
    asked = [text for made in calls for text in _texts(made.input, "user")]
    answers = [text for made in calls for text in _texts(made.output, "text")]
    return run(
        run_id,
        float(calls[0].timestamp) if calls else 0.0,
        steps,
        name=short(name),
        input=asked[0] if asked else None,
        output=answers[-1] if answers else None,
        session_id=run_id,
        agent="llm",
        outcome="ok",
        metadata={"source": "llm", "model": calls[-1].model if calls else None},
    )


def _texts(messages: Any, kind: str) -> list[str]:
    """The texts among messages: of users, or of parts of a type."""
    found: list[str] = []
    for message in messages or []:
        if kind == "user" and message.get("role") != "user":
            continue
        content = message.get("content")
        if isinstance(content, str) and content and kind != "reasoning":
            found.append(content)
        wanted = "text" if kind == "user" else kind
        parts = message.get("parts") or []
        found += [p["content"] for p in parts if p.get("type") == wanted and p.get("content")]
    return found


def _parts_of(messages: list[JSONObject], kind: str) -> list[JSONObject]:
    return [
        part
        for message in messages
        for part in message.get("parts") or []
        if part.get("type") == kind
    ]


def _json(text: Any) -> Any:
    try:
        return loads(text) if isinstance(text, str) and text else None
    except ValueError:
        return None


def _recognises(path: str) -> bool:
    if not is_sqlite(path):
        return False
    tables = tables_of(path)
    return tables >= _THREADS or tables >= _RESPONSES


FORM = BinaryForm(
    "llm",
    "a database of llm",
    _recognises,
    _read,
    ("responses", "conversations"),
    "simonw's `llm`: `llm logs path`",
)
