"""The index of words of a SQLite store: what it narrows is what plain Python says."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from selectools_observe import (
    AgentTrace,
    InMemoryTraceStore,
    SQLiteTraceStore,
    StorageError,
    TraceFilter,
    TraceStep,
)
from selectools_observe.backends.queries.paging import PageRequest
from selectools_observe.backends.sqlite.index import text_search, words
from selectools_observe.backends.sqlite.recovery.read_only import connect_as_it_is
from selectools_observe.model.codec import encode
from selectools_observe.model.text_query import parse_text
from selectools_observe.runtime import idle_thread

WORDS = (
    "refund", "Refunds", "gift", "card", "café", "CAFE", "ﬁne", "天気", "気", "get_order", "Straße",
    "İx", "a" * 80, "a" * 70, "cafe\u0301", "\uff23\uff21\uff32\uff24", "\u0131x", "œuvre",
    "\U0001d41c\U0001d41a\U0001d42b\U0001d41d", "“gift”", "\x00card",
    "\\u0063ard", "\ud800card",
)  # fmt: skip
QUERIES = (
    "refund", "ref gi", '"gift card"', '"card"', "cafe", "fine", "天", "天気", "get_order",
    "strasse", "ix", "a" * 75, f'"{"a" * 80}"', "nowhere", "oeuvre", "u0063ard",
)  # fmt: skip


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that some runs are beyond every bound."""
    monkeypatch.setattr(words, "_RUNS_AT_ONCE", 3)
    monkeypatch.setattr(text_search, "_NEWEST", 2)
    monkeypatch.setattr(text_search, "_FEW", 2)
    monkeypatch.setattr(text_search, "_FEWEST_NAMED", 2)
    monkeypatch.setattr(text_search, "_ROWS_AT_ONCE", 3)
    monkeypatch.setattr(text_search, "_LOOK_UP", 3)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "runs.db")


def run(run_id: str, text: str) -> AgentTrace:
    trace = AgentTrace(run_id=run_id, metadata={"n": len(text) % 3})
    trace.add(TraceStep("llm_call", reasoning=text))
    return trace


def take_in(path: str, times: int = 1000) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.text_factory = bytes
        for _ in range(times):
            if not words.take_in(connection):
                return


def ids(path: str, query: str) -> list[int]:
    """What the index names."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.text_factory = bytes
        lookup = words.WordLookup(connection, parse_text(query))
        return lookup.ids(0, 10**6, 1000, ascending=True) if lookup.done else []


texts = st.lists(st.sampled_from(WORDS), max_size=3).map(" ".join)
names = st.sampled_from([f"r{n}" for n in range(12)])
actions = st.one_of(
    st.tuples(st.just("save"), names, texts),
    st.tuples(st.just("delete"), names, st.just("")),
    st.tuples(st.just("write"), names, texts),  # another program, in place
    st.tuples(st.just("index"), st.integers(1, 4), st.just("")),
    st.tuples(st.just("anew"), st.just(0), st.just("")),
)


@pytest.mark.slow
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(actions, max_size=25), st.sampled_from(QUERIES), st.booleans())
def test_it_finds_what_a_store_without_it_finds(
    tmp_path_factory: pytest.TempPathFactory,
    done: list[tuple[str, str | int, str]],
    query: str,
    whole: bool,  # noqa: FBT001
) -> None:
    path = str(tmp_path_factory.mktemp("words") / "runs.db")
    with SQLiteTraceStore(path) as store, InMemoryTraceStore() as plain:
        for action, what, text in done:
            act(store, path, action, what, text)
        if whole:
            take_in(path)
        plain.save_many(list(store.iter_traces(oldest_first=True)))
        for filters in all_filters(query):
            expected = [summary.run_id for summary in plain.query(filters)]
            assert [summary.run_id for summary in store.query(filters)] == expected
            assert store.count(filters) == len(expected)
            assert pages(store, filters) == expected
        filters = TraceFilter(text=query)
        streams = [
            [summary.run_id for summary in each.iter_summaries(filters, oldest_first=True)]
            for each in (store, plain)
        ]
        assert streams[0] == streams[1]
        assert list(store.search(query)) == list(plain.search(query))


def act(store: SQLiteTraceStore, path: str, action: str, what: str | int, text: str) -> None:
    if action == "save":
        store.save(run(str(what), text))
    elif action == "delete":
        store.delete(str(what))
    elif action == "index":
        take_in(path, int(what))
    elif action == "anew":
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            words.rebuild(connection)
    else:
        trace_json = json.dumps(run(str(what), text).to_dict())
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(
                "UPDATE traces SET trace_json = ? WHERE run_id = ?", (trace_json, what)
            )


def all_filters(query: str) -> Iterator[TraceFilter]:
    yield TraceFilter(text=query)
    yield TraceFilter(text=query, limit=2)
    yield TraceFilter(text=query, metadata_match={"n": 1})
    yield TraceFilter(text=query, order_by="steps")
    yield TraceFilter(text=query, run_ids=["r1", "r2", "r3"])
    yield TraceFilter(text=query, where="-card")
    yield TraceFilter(where="refund OR card")


def pages(store: SQLiteTraceStore, filters: TraceFilter) -> list[str]:
    if filters.limit is not None:
        return [summary.run_id for summary in store.query(filters)]
    found: list[str] = []
    cursor = None
    while True:
        page = store.query(replace(filters, limit=2), cursor=cursor)
        found += [summary.run_id for summary in page]
        cursor = page.next_cursor
        if cursor is None:
            return found


def test_it_names_what_it_took_in(path: str) -> None:
    with SQLiteTraceStore(path) as store:
        store.save_many([run(f"r{n}", "refund" if n in {2, 5} else "gift") for n in range(8)])
        assert ids(path, "refund") == []
        take_in(path, 1)
        assert ids(path, "refund") == [3]
        take_in(path)
        assert ids(path, "refund") == [3, 6]
        store.save(run("r2", "card"))  # under a new id; the entry of the old one is stale
        assert ids(path, "refund") == [3, 6]
        assert [found.run_id for found in store.query(TraceFilter(text="refund"))] == ["r5"]


def test_a_word_in_pieces_is_found(path: str) -> None:
    told = "".join(f"{n} and so the talk goes on worl " for n in range(60))
    trace = AgentTrace(run_id="r")
    for text in (f"{told}worl", f"{told}worldly things"):
        trace.add(TraceStep("llm_call", input=[{"role": "user", "content": text}]))
    with SQLiteTraceStore(path) as store:
        store.save(trace)
        assert _hides(path) == 0  # texts are divided between words
        assert store.count(TraceFilter(text='"worldly things"')) == 1
        take_in(path)
        store.save_many([run(f"other{n}", "gift") for n in range(5)])
        assert store.count(TraceFilter(text='"worldly things"', limit=1)) == 1


@pytest.mark.parametrize("oldest_first", [False, True])
def test_a_search_in_many_steps_finds_all(
    path: str,
    monkeypatch: pytest.MonkeyPatch,
    oldest_first: bool,  # noqa: FBT001
) -> None:
    monkeypatch.setattr(text_search, "_AT_A_STRETCH", -1.0)  # each look is a step
    with SQLiteTraceStore(path) as store:
        store.save_many([run(f"r{n}", "refund") for n in range(40)])
        for known in range(5):
            found = list(
                store.iter_summaries(TraceFilter(text="refund"), oldest_first=oldest_first)
            )
            assert len(found) == 40
            take_in(path, 1 + 2 * known)


def test_an_escape_in_a_text_is_found_in_pieces_too(path: str) -> None:
    said = f"we\u2019ll {'go on and on and say what is worth more than a reference ' * 4}"
    trace = AgentTrace(run_id="r")
    trace.add(TraceStep("llm_call", input=[{"role": "user", "content": said}]))
    for text in (said, f"{said} still"):
        trace.add(TraceStep("llm_call", output={"all": json.dumps([text])}))
    with SQLiteTraceStore(path) as store:
        store.save(trace)
        assert _hides(path) == 0
        assert store.verify().ok
        for query in ("u2019ll", '"we u2019ll go"', "u2019", "still"):
            assert store.count(TraceFilter(text=query)) == 1


@pytest.mark.parametrize("value", [1.5e-5, 1e-7, 1e16, 1e22, 12, 0.25])
def test_a_number_is_found_as_it_is_written(path: str, value: float) -> None:
    trace = AgentTrace(run_id="r")
    trace.add(TraceStep("tool_execution", tool_args={"x": value}))
    written = re.search(rb'"x":([^}]*)', encode(trace).trace)[1].decode()  # type: ignore[index]
    query = TraceFilter(text=f'"{written}"')
    with SQLiteTraceStore(path) as store, InMemoryTraceStore() as plain:
        for each in (store, plain):
            each.save(trace)
            assert each.count(query) == 1


@pytest.mark.parametrize(
    ("text", "hides"),
    [
        ("plain — \u201csigns\u201d →", 0),
        ("café", 1),
        ("a\x01b", 0),
        ("\\u0063ard", 0),
        ("$text", 0),
    ],
)
def test_a_row_tells_whether_its_words_can_be_seen(path: str, text: str, hides: int) -> None:
    with SQLiteTraceStore(path) as store:
        store.save(run("r", text))
        assert _hides(path) == hides
        assert store.verify().ok
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE trace_facets SET hides_words = 1 - hides_words")
        assert store.verify().ok is not bool(hides)  # that some may be hidden does no harm


def _hides(path: str) -> int:
    with closing(sqlite3.connect(path)) as connection:
        (found,) = connection.execute("SELECT hides_words FROM trace_facets").fetchone()
        return int(found)


def test_without_fts5_runs_are_read(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(words, "is_possible", lambda _: False)
    with SQLiteTraceStore(path) as store:
        store.save_many([run(f"r{n}", "refund") for n in range(8)])
        take_in(path)
        assert store.count(TraceFilter(text="refund")) == 8
        assert ids(path, "refund") == []
    monkeypatch.undo()
    with SQLiteTraceStore(path) as store:
        take_in(path)
        assert len(ids(path, "refund")) == 8
        assert store.count(TraceFilter(text="refund")) == 8


def eventually(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 60
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    return holds()


def test_it_is_made_in_idle_time(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle_thread, "_DELAY", 0.0)
    with SQLiteTraceStore(path) as store:
        store.save_many([run(f"r{n}", "refund") for n in range(300)])
        assert eventually(lambda: len(ids(path, "refund")) == 300)
        store.save_many([run(f"s{n}", "gift") for n in range(300)])
        assert eventually(lambda: len(ids(path, "gift")) == 300)
    assert not Path(f"{path}-wal").exists()  # nobody has the file open any more


def test_a_search_lets_an_old_file_be_indexed(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle_thread, "_DELAY", 0.0)
    monkeypatch.setattr(text_search, "_MANY_WAITING", 3)
    with SQLiteTraceStore(path) as store:
        store.save_many([run(f"r{n}", "refund") for n in range(8)])
        assert len(store.search("refund", limit=2)) == 2
        assert eventually(lambda: len(ids(path, "refund")) == 8)


DAMAGE = (
    "UPDATE trace_words_data SET block = x'0000ffff' WHERE id = 10",
    "UPDATE trace_words_data SET block = x'ff' WHERE id > 10",
    "DELETE FROM trace_words_data",
    "DELETE FROM trace_words_config",
    "DROP TABLE trace_words",
    "DROP TABLE trace_words_data",
    "DROP TABLE trace_words_config",
)


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_index_is_rebuilt(
    path: str, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idle_thread, "_DELAY", 0.0)
    with SQLiteTraceStore(path) as store:
        store.save_many([run(f"r{n}", "refund") for n in range(8)])
    take_in(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(damage)
    with SQLiteTraceStore(path) as store:
        assert store.count(TraceFilter(text="refund")) == 8
        assert eventually(lambda: _names(path) == 8)


def _names(path: str) -> int:
    try:
        return len(ids(path, "refund"))
    except words.DamagedWordsError:
        return 0


def test_an_index_of_runs_that_are_gone_is_rebuilt(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "_STALE", 4)
    with SQLiteTraceStore(path) as store:
        store.save_many([run(f"r{n}", "refund") for n in range(20)])
        take_in(path)
        store.delete_many([f"r{n}" for n in range(15)])
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            assert words.is_useless(connection)
            words.rebuild(connection)
            assert not words.is_useless(connection)
        take_in(path)
        assert ids(path, "refund") == [16, 17, 18, 19, 20]


def test_a_fork_in_the_midst(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle_thread, "_DELAY", 0.0)
    with SQLiteTraceStore(path) as store:
        store.save_many([run(f"r{n}", "refund") for n in range(600)])
        for _ in range(5):
            child = os.fork()
            if child == 0:
                found = store.count(TraceFilter(text="refund"))
                store.save(run("of a child", "refund"))
                os._exit(0 if found >= 600 else 1)
            assert os.waitpid(child, 0)[1] == 0
        assert eventually(lambda: len(ids(path, "refund")) >= 600)
        assert store.count(TraceFilter(text="refund")) == 601


SILENT_DAMAGE = (*DAMAGE, "UPDATE trace_words_done SET last = 40")


@pytest.mark.parametrize("damage", SILENT_DAMAGE)
def test_damage_is_named_and_mended(path: str, damage: str) -> None:
    with SQLiteTraceStore(path) as store:
        store.save_many([run(f"r{n}", f"refund of {n}") for n in range(40)])
        if "last" not in damage:
            take_in(path)
        else:  # it says to know what it does not
            take_in(path, 3)
        assert store.verify().ok
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(damage)
        report = store.verify()
        assert not report.ok
        assert not report.problems[0].run_id
        assert "index of words" in str(report.problems[0].where)
        store.compact()
        assert store.verify().ok
        assert len(ids(path, "refund")) == 40
        assert store.count(TraceFilter(text='"refund of 7"')) == 1


def test_compact_takes_in_all(path: str) -> None:
    with SQLiteTraceStore(path) as store:
        store.save_many([run(f"r{n}", "refund") for n in range(10)])
        store.compact()
        assert len(ids(path, "refund")) == 10


@pytest.mark.parametrize("table", list(words.WORD_TABLES)[1:])
def test_a_trigger_of_others_is_refused(path: str, table: str) -> None:
    with SQLiteTraceStore(path) as store:
        store.save(run("r", "refund"))
    take_in(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            f"CREATE TRIGGER evil AFTER INSERT ON {table} BEGIN DELETE FROM traces; END"
        )
    with pytest.raises(StorageError, match="evil"):
        SQLiteTraceStore(path)


def test_a_table_of_others_in_its_place_is_refused(path: str) -> None:
    with SQLiteTraceStore(path) as store:
        store.save(run("r", "refund"))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE VIRTUAL TABLE trace_words USING fts5(words, content='traces')")
    with pytest.raises(StorageError, match="trace_words"):
        SQLiteTraceStore(path)


def test_a_backup_has_it(path: str, tmp_path: Path) -> None:
    copy = str(tmp_path / "copy.db")
    with SQLiteTraceStore(path) as store:
        store.save_many([run(f"r{n}", "refund") for n in range(4)])
        take_in(path)
        assert store.backup(copy).verified.ok
    assert len(ids(copy, "refund")) == 4


def test_a_file_that_cannot_be_written_is_searched(path: str) -> None:
    with SQLiteTraceStore(path) as store:
        store.save_many([run(f"r{n}", "refund") for n in range(4)])
        take_in(path, 1)
    with closing(connect_as_it_is(path)) as connection:
        search = text_search.TextSearch(path, PageRequest(TraceFilter(text="refund")))
        while not search.step(connection):
            pass
        assert len(search.page) == 4


SAVING = """
import sys
from selectools_observe import AgentTrace, SQLiteTraceStore
from selectools_observe.runtime import idle_thread
idle_thread._DELAY = 0.0
store = SQLiteTraceStore(sys.argv[1])
for part in range(100):
    store.save_many([AgentTrace(metadata={"note": f"refund {part} {n}"}) for n in range(64)])
    print(part, flush=True)
"""


@pytest.mark.parametrize("parts", [5, 9, 14])
def test_killed_in_the_midst(path: str, parts: int) -> None:
    saving = subprocess.Popen(
        [sys.executable, "-c", SAVING, path], stdout=subprocess.PIPE, text=True
    )
    assert saving.stdout is not None
    for _ in range(parts):
        saving.stdout.readline()
    saving.kill()
    saving.wait()
    saving.stdout.close()
    with SQLiteTraceStore(path) as store:
        assert store.verify().ok
        every = store.count()
        assert every >= 64 * parts
        assert store.count(TraceFilter(text="refund")) == every
        assert store.count(TraceFilter(text='"refund 3 7"')) == 1
        take_in(path)
        assert store.verify().ok
        assert len(ids(path, "refund")) == every
        assert store.count(TraceFilter(text='"refund 3 7"')) == 1
