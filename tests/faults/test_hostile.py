"""Texts that mean something to SQL, JSON paths, lines, URIs or terminals: kept as texts."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest
from store_kinds import ON_DISK, Handle, file_of, ids

from selectools_observe import AgentTrace, JSONLTraceStore, SQLiteTraceStore, TraceFilter, TraceStep
from selectools_observe.stores import maintenance as trust

TEXTS = {
    "sql": "'; DROP TABLE traces; --",
    "sql or": "x' OR '1'='1",
    "comment": "/* */ -- \x00 union select",
    "json path": "$.a[0]",
    "path quoted": '$."a"."b"',
    "wildcards": "%_*?[a-z]",
    "format": "{0.__class__} %s %(x)s ${HOME} {{}}",
    "quotes": "\"`'\\\"\\'",
    "a line": '{"run_id":"other","steps":1,"total_ms":1.0,"created_at":"2026-01-01T00:00:00+00:00",'
    '"metadata":{},"trace":{"run_id":"other","start_time":0,"steps":[]}}',
    "two lines": 'x"}}\n{"run_id":"other"}\r\n\x0b\x0c\x1c\x85\u2028\u2029',
    "the trace key": '"trace":{"run_id":"other"}',
    "blanks": " \t" * 32,
    "controls": "\x1b[31m\x07\x00\x7f\ufeff",
    "surrogate": "\ud800x\udfff",
    "right to left": "\u202egnp.exe",
    "combining": "e\u0301 \u00e9",
    "astral": "\U0001f9ea\U0010ffff",
    "number": "1e999",
    "literal": "null",
    "uri": "file:x?mode=memory&cache=shared",
    "long": "k" * 20_000,
    "empty": "",
}
# What no file can hold as UTF-8 text cannot be a run's name; everything else can.
NAMES = {kind: text for kind, text in TEXTS.items() if text and kind != "surrogate"}


def made_of(text: str, run_id: str) -> AgentTrace:
    step = TraceStep(
        type="tool_execution",
        timestamp=0,
        duration_ms=1,
        tool_name=text,
        tool_args={text: text},
        model=text,
        error=text,
    )
    metadata = {text: text, "value": text, "deep": {text: [text]}}
    return AgentTrace([step], 0, run_id, text or None, metadata)


def filters_of(text: str) -> list[TraceFilter]:
    return [
        TraceFilter(metadata_match={text: text}),
        TraceFilter(metadata_match={"value": text}),
        TraceFilter(metadata_match={"deep": {text: [text]}}),
        TraceFilter(tool_name=text),
        TraceFilter(model=text),
        TraceFilter(metadata_match={text: text}, tool_name=text, model=text, has_error=True),
    ]


@pytest.mark.parametrize("store_kind", ON_DISK)
def test_every_text_is_text(store_kind, tmp_path, report):
    traces = {kind: made_of(text, kind) for kind, text in TEXTS.items()}
    traces |= {f"name {kind}": made_of("plain", text) for kind, text in NAMES.items()}
    with Handle(store_kind, tmp_path) as store:
        store.save_many(traces.values())
        for trace in traces.values():
            assert store.load(trace.run_id).to_dict() == trace.to_dict()
            assert ids(store.query(TraceFilter(run_ids=[trace.run_id]))) == [trace.run_id]
        for kind, text in TEXTS.items():
            for filters in filters_of(text):
                assert ids(store.query(filters)) == [kind], (kind, filters)
                assert store.count(filters) == 1
        assert store.verify().ok
        assert store.backup(tmp_path / "copy").ok
        before = store.list(1000)
    path = file_of(store_kind, tmp_path)
    kind_of_file = "sqlite" if store_kind.startswith("sqlite") else "jsonl"
    assert trust.repair(path, tmp_path / "new", kind=kind_of_file).ok
    store_type = SQLiteTraceStore if kind_of_file == "sqlite" else JSONLTraceStore
    for name in ("copy", "new"):
        with store_type(tmp_path / name) as other:
            assert other.list(1000) == before
            for trace in traces.values():
                assert other.load(trace.run_id).to_dict() == trace.to_dict()
    with Handle(store_kind, tmp_path) as store:
        for trace in traces.values():
            assert store.delete(trace.run_id)
            report.add(texts=1)
        assert store.count() == 0
        assert store.verify().checked == 0


def test_a_line_within_a_damaged_line_is_not_taken_for_sure(tmp_path):
    """A value may look like a record; in a line that is damaged, that is not told apart."""
    path = tmp_path / "traces.jsonl"
    with JSONLTraceStore(path) as store:
        store.save(AgentTrace(run_id="outer", metadata={"it": {"run_id": "inner", "trace": {}}}))
    path.write_bytes(path.read_bytes().replace(b'"outer","steps":0', b'"outer","steps"#0'))
    report = trust.repair(path, tmp_path / "new.jsonl")
    assert report.saved == 0


@pytest.mark.parametrize("store_type", [SQLiteTraceStore, JSONLTraceStore])
def test_cursors_carry_nothing_into_a_query(store_type, tmp_path):
    import base64
    import json

    with store_type(tmp_path / "traces") as store:
        store.save_many(made_of("x", f"run-{n}") for n in range(5))
        cursor = store.list(2).next_cursor
        fields = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        for place in range(len(fields)):
            for value in ("1; DROP TABLE traces", -1, 2**63 - 1, 2**70, None, [], 1.5, True):
                forged = json.dumps([*fields[:place], value, *fields[place + 1 :]]).encode()
                text = base64.urlsafe_b64encode(forged).rstrip(b"=").decode()
                with contextlib.suppress(ValueError):
                    assert {s.run_id for s in store.list(9, cursor=text)} <= {
                        f"run-{n}" for n in range(5)
                    }
        assert store.count() == 5
        assert store.verify().ok


def test_a_foreign_row_of_any_types(tmp_path):
    """Another program may put anything into the columns: rows are skipped, none breaks a list."""
    path = tmp_path / "traces.db"
    with SQLiteTraceStore(path) as store:
        store.save(made_of("x", "good"))
        values = [None, 1, 2**63 - 1, 1e308, "text", b"\xff\x00", "", '{"run_id": "a"}']
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as raw:
            for number, value in enumerate(values):
                for column in range(6):
                    row = [
                        f"odd-{number}-{column}",
                        1,
                        1.5,
                        "2026-01-01T00:00:00+00:00",
                        "{}",
                        "{}",
                    ]
                    row[column] = value
                    with contextlib.suppress(sqlite3.IntegrityError):
                        raw.execute("INSERT INTO traces VALUES (?, ?, ?, ?, ?, ?)", row)
        assert "good" in ids(store.list(1000))
        assert ids(store.query(TraceFilter(tool_name="x"))) == ["good"]
        assert store.load("good").run_id == "good"
        verified = store.verify()
        assert verified.checked == 1
        store.compact()
        assert store.repair(tmp_path / "new.db").saved == 1
