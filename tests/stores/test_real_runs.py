# ruff: noqa: C901
"""200 real runs, through every backend, and side by side with selectools 1.3.0 itself."""

from __future__ import annotations

import json
import random
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from store_kinds import ON_DISK, STORE_KINDS, Handle, file_of, ids, trace

from selectools_observe import JSONLTraceStore, SQLiteTraceStore, TraceFilter
from selectools_observe.backends.jsonl import log_file as archive

BLOCK = 256
"""Ids in a full block of the index: what is interesting happens around its ends."""


@pytest.fixture(scope="module")
def their_trace():
    return pytest.importorskip("selectools.trace", reason="selectools is not installed")


@pytest.fixture
def lines(airline_jsonl):
    """What the file says, by nobody's reader but json's."""
    with open(airline_jsonl, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def text(trace) -> str:
    return json.dumps(trace.to_dict())


def read_by_selectools(trace) -> dict:
    """Its data; the total is selectools' own sum, which Python 3.12 and later round otherwise."""
    return trace.to_dict() | {"total_duration_ms": pytest.approx(trace.total_duration_ms)}


def open_airline(store_kind, request, tmp_path):
    """A handle on a copy of the real file that this backend reads."""
    name = "airline_db" if store_kind.startswith("sqlite") else "airline_jsonl"
    request.getfixturevalue(name).rename(file_of(store_kind, tmp_path))
    return Handle(store_kind, tmp_path)


class TestAirline:
    @pytest.mark.parametrize("store_kind", ON_DISK)
    def test_opens_as_it_is(self, store_kind, request, tmp_path, lines):
        with open_airline(store_kind, request, tmp_path) as handle:
            assert handle.count() == 200
            summaries = handle.list(1000)
            assert ids(summaries) == [line["run_id"] for line in reversed(lines)]
            for summary, line in zip(reversed(summaries), lines, strict=True):
                assert summary.steps == line["steps"]
                assert summary.total_ms == line["total_ms"]
                assert summary.metadata == line["metadata"]
                assert summary.created_at.utcoffset() == timedelta(0)
                if store_kind.startswith("jsonl"):
                    assert summary.created_at == datetime.fromisoformat(line["created_at"])
                loaded = handle.load(summary.run_id)
                assert text(loaded) == json.dumps(line["trace"])

    @pytest.mark.parametrize(
        "source",
        [
            "sqlite-async",
            *(pytest.param(k, marks=pytest.mark.slow) for k in ON_DISK if k != "sqlite-async"),
        ],
    )
    def test_survives_the_way_through_every_backend(self, source, request, tmp_path, lines):
        expected = {line["run_id"]: json.dumps(line["trace"]) for line in lines}
        with open_airline(source, request, tmp_path) as handle:
            traces = handle.iter_traces(oldest_first=True)
        assert {trace.run_id: text(trace) for trace in traces} == expected
        for store_kind in STORE_KINDS:
            with Handle(store_kind, tmp_path / "again" / store_kind) as handle:
                for trace in traces[:100]:
                    handle.save(trace)
                handle.save_many(traces[100:])
                handle.reopen()
                traces = handle.iter_traces(oldest_first=True)
                assert {
                    trace.run_id: text(handle.load(trace.run_id)) for trace in traces
                } == expected
                assert [trace.run_id for trace in traces] == list(expected)

    def test_every_field_is_equal(self, airline_db, their_trace, theirs, lines):
        """Field by field, against selectools' own objects."""
        import dataclasses

        their_store = theirs.SQLiteTraceStore(str(airline_db))
        originals = {line["run_id"]: their_store.load(line["run_id"]) for line in lines}
        their_store._conn().close()
        fields = [field.name for field in dataclasses.fields(their_trace.TraceStep)]
        steps = 0
        with SQLiteTraceStore(airline_db) as store:
            for run_id, original in originals.items():
                loaded = store.load(run_id)
                for name in ("run_id", "start_time", "parent_run_id", "metadata"):
                    assert getattr(loaded, name) == getattr(original, name)
                for ours, other in zip(loaded.steps, original.steps, strict=True):
                    steps += 1
                    for name in fields:
                        one, two = getattr(ours, name), getattr(other, name)
                        assert one == two
                        assert name == "type" or type(one) is type(two)
        assert steps == 4782

    @pytest.mark.parametrize("store_kind", ON_DISK)
    def test_filters_against_a_plain_reading(self, store_kind, request, tmp_path, lines):
        with open_airline(store_kind, request, tmp_path) as handle:
            users = {line["metadata"]["user_id"] for line in lines}
            tools = {s.get("tool_name") for line in lines for s in line["trace"]["steps"]} - {None}
            questions = [
                *({"metadata_match": {"user_id": user}} for user in sorted(users)[:20]),
                *({"metadata_match": {"reward": reward}} for reward in (0, 1, 0.0, 1.0, True)),
                *({"tool_name": tool} for tool in sorted(tools)),
                *({"min_steps": n, "max_steps": n + 9} for n in range(0, 60, 10)),
                *({"min_ms": n * 1000.0} for n in range(0, 20, 3)),
                {"has_error": True},
                {"has_error": False},
                {"step_type": "tool_execution", "metadata_match": {"reward": 1.0}},
                {"model": "gpt-4o"},
                {"model": "gpt"},
            ]
            for question in questions:
                expected = [line["run_id"] for line in reversed(lines) if plainly(question, line)]
                filters = TraceFilter(**question)
                assert ids(handle.query(filters)) == expected
                assert handle.count(filters) == len(expected)

    @pytest.mark.parametrize("store_kind", ON_DISK)
    def test_pages(self, store_kind, request, tmp_path, lines):
        with open_airline(store_kind, request, tmp_path) as handle:
            found, cursor = [], None
            while True:
                page = handle.list(33, cursor=cursor)
                found += ids(page)
                cursor = page.next_cursor
                if cursor is None:
                    break
                handle.save(trace(f"meanwhile-{len(found)}"))
            assert found == [line["run_id"] for line in reversed(lines)]


def plainly(question: dict, line: dict) -> bool:
    steps = line["trace"]["steps"]
    kinds = {
        "metadata_match": lambda pairs: all(
            key in line["metadata"]
            and line["metadata"][key] == value
            and isinstance(line["metadata"][key], bool) == isinstance(value, bool)
            for key, value in pairs.items()
        ),
        "tool_name": lambda tool: any(step.get("tool_name") == tool for step in steps),
        "step_type": lambda kind: any(step["type"] == kind for step in steps),
        "model": lambda model: any(step.get("model") == model for step in steps),
        "min_steps": lambda least: line["steps"] >= least,
        "max_steps": lambda most: line["steps"] <= most,
        "min_ms": lambda least: line["total_ms"] >= least,
        "has_error": lambda wanted: (
            wanted == any(step["type"] == "error" or "error" in step for step in steps)
        ),
    }
    return all(kinds[name](value) for name, value in question.items())


class TestReadBySelectools:
    """What we wrote opens in selectools 1.3.0."""

    def test_a_database(self, airline_jsonl, tmp_path, theirs, lines):
        with (
            JSONLTraceStore(airline_jsonl) as source,
            SQLiteTraceStore(tmp_path / "ours.db") as ours,
        ):
            for line in lines:
                ours.save(source.load(line["run_id"]))
        their_store = theirs.SQLiteTraceStore(str(tmp_path / "ours.db"))
        for line in lines:
            assert read_by_selectools(their_store.load(line["run_id"])) == line["trace"]
        summaries = their_store.list(limit=1000)
        assert [s.run_id for s in summaries] == [line["run_id"] for line in reversed(lines)]
        assert [s.metadata for s in summaries] == [line["metadata"] for line in reversed(lines)]
        found = their_store.query(theirs.TraceFilter(metadata_match={"reward": 1.0}, min_steps=5))
        expected = [s for s in summaries if s.metadata["reward"] == 1.0 and s.steps >= 5]
        assert found == expected
        their_store._conn().close()

    @pytest.mark.slow
    def test_a_jsonl_file(self, airline_db, tmp_path, theirs, lines):
        with SQLiteTraceStore(airline_db) as source, JSONLTraceStore(tmp_path / "o.jsonl") as ours:
            ours.save_many(source.load(line["run_id"]) for line in lines)
        their_store = theirs.JSONLTraceStore(str(tmp_path / "o.jsonl"))
        for line in lines:
            assert read_by_selectools(their_store.load(line["run_id"])) == line["trace"]
        assert [s.run_id for s in their_store.list(limit=1000)] == [
            line["run_id"] for line in reversed(lines)
        ]

    def test_times_compare_as_text_with_theirs(self, tmp_path, theirs):
        """They compare ISO text: ours must look like theirs."""
        their_store = theirs.SQLiteTraceStore(str(tmp_path / "t.db"))
        with SQLiteTraceStore(tmp_path / "t.db") as ours:
            ours.save(trace("a"))
            their_store.save(trace("b"))
            ours.save(trace("c"))
            assert ids(ours.list()) == [s.run_id for s in their_store.list()] == ["c", "b", "a"]
            since = ours.list()[1].created_at
            assert [s.run_id for s in their_store.query(theirs.TraceFilter(since=since))] == [
                "c",
                "b",
            ]
            assert ids(ours.query(TraceFilter(since=since))) == ["c", "b"]
        their_store._conn().close()


class Model:
    """Both programs on one file, and what ought to be in it: oldest first, run id to metadata."""

    def __init__(self, path, theirs, their_trace) -> None:
        self.path = path
        self.theirs = theirs.SQLiteTraceStore(str(path))
        self.their_trace = their_trace
        self.expected: dict[str, dict] = {}

    def close(self) -> None:
        self.theirs._conn().close()

    def make_theirs(self, run_id, **metadata):
        made = self.their_trace.AgentTrace(run_id=run_id, start_time=1.0, metadata=metadata)
        step = self.their_trace.TraceStep(
            type=self.their_trace.StepType.TOOL_EXECUTION,
            timestamp=1.0,
            duration_ms=2.5,
            tool_name=f"tool-{metadata['n'] % 4}",
        )
        made.add(step)
        return made

    def they_save(self, run_id, **metadata) -> None:
        self.theirs.save(self.make_theirs(run_id, **metadata))
        self.note(run_id, metadata)

    def they_delete(self, run_id) -> None:
        assert self.theirs.delete(run_id) is (self.expected.pop(run_id, None) is not None)

    def we_save(self, ours, run_id, **metadata) -> None:
        ours.save(self.make_theirs(run_id, **metadata))
        self.note(run_id, metadata)

    def we_delete(self, ours, run_id) -> None:
        assert ours.delete(run_id) is (self.expected.pop(run_id, None) is not None)

    def note(self, run_id, metadata) -> None:
        self.expected.pop(run_id, None)
        self.expected[run_id] = metadata

    def newest_first(self, holds=lambda metadata: True) -> list[str]:
        return [run_id for run_id in reversed(self.expected) if holds(self.expected[run_id])]

    def check(self, ours) -> None:
        assert ids(ours.list(10_000)) == self.newest_first()
        assert ours.count() == len(self.expected)
        for n in range(4):
            for filters, holds in (
                (TraceFilter(tool_name=f"tool-{n}"), lambda m, n=n: m["n"] % 4 == n),
                (TraceFilter(metadata_match={"user": n}), lambda m, n=n: m["user"] == n),
                (
                    TraceFilter(tool_name=f"tool-{n}", metadata_match={"user": 1}, min_steps=1),
                    lambda m, n=n: m["n"] % 4 == n and m["user"] == 1,
                ),
            ):
                expected = self.newest_first(holds)
                assert ids(ours.query(filters)) == expected
                assert ours.count(filters) == len(expected)
                assert ids(ours.iter_summaries(filters, oldest_first=True)) == expected[::-1]
        assert ours.query(TraceFilter(has_error=True)) == []
        assert ids(ours.query(TraceFilter(min_steps=1))) == self.newest_first()
        self.check_pages(
            ours, TraceFilter(metadata_match={"user": 2}, limit=17), lambda m: m["user"] == 2
        )
        self.check_pages(ours, TraceFilter(limit=100), lambda m: True)
        their_ids = [summary.run_id for summary in self.theirs.list(limit=10_000)]
        assert sorted(their_ids) == sorted(self.expected)

    def check_pages(self, ours, filters, holds) -> None:
        found, cursor = [], None
        while True:
            page = ours.query(filters, cursor=cursor)
            found += ids(page)
            cursor = page.next_cursor
            if cursor is None:
                break
        assert found == self.newest_first(holds)


# Both faces write and read by the same coroutines.
@pytest.fixture(params=["sqlite-blocking", pytest.param("sqlite-async", marks=pytest.mark.slow)])
def both(request, tmp_path, theirs, their_trace):
    """Our store and selectools' on one new file."""
    with Handle(request.param, tmp_path) as ours:
        model = Model(ours.path, theirs, their_trace)
        yield ours, model
        model.close()


class TestBesideSelectools:
    def test_its_saves_are_found(self, both):
        ours, model = both
        for n in range(40):
            model.they_save(f"t{n}", n=n, user=n % 3)
        model.check(ours)
        loaded = ours.load("t5")
        assert text(loaded) == text(model.theirs.load("t5"))
        ours.reopen()
        model.check(ours)

    def test_it_goes_on_writing_into_our_file(self, both):
        ours, model = both
        for n in range(30):
            model.we_save(ours, f"o{n}", n=n, user=n % 3)
            model.they_save(f"t{n}", n=n, user=n % 3)
            if n % 10 == 9:
                model.check(ours)

    @pytest.mark.parametrize("size", [BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK + 5])
    def test_it_saves_again_what_we_indexed(self, both, size):
        ours, model = both
        many = [model.make_theirs(f"o{n}", n=n, user=n % 3) for n in range(size)]
        ours.save_many(many)
        for made in many:
            model.note(made.run_id, made.metadata)
        model.check(ours)
        for n in (0, 1, 100, BLOCK - 2, BLOCK - 1, BLOCK, size - 1):
            if n < size:
                model.they_save(f"o{n}", n=n + 1, user=(n + 2) % 4)
        model.check(ours)
        model.they_save("new", n=2, user=2)
        model.we_save(ours, "newer", n=2, user=2)
        model.check(ours)
        ours.reopen()
        model.check(ours)

    @pytest.mark.parametrize("size", [BLOCK - 1, BLOCK + 1, 2 * BLOCK + 5])
    def test_it_deletes_what_we_indexed(self, both, size):
        ours, model = both
        many = [model.make_theirs(f"o{n}", n=n, user=n % 3) for n in range(size)]
        ours.save_many(many)
        for made in many:
            model.note(made.run_id, made.metadata)
        for n in (0, 17, BLOCK - 2, size - 3, size - 2, size - 1):
            model.they_delete(f"o{n}")
        model.check(ours)
        for n in range(12):  # into the ids that the last ones had
            model.they_save(f"t{n}", n=n, user=n % 3)
        model.check(ours)
        for n in range(12):
            model.we_save(ours, f"x{n}", n=n, user=n % 3)
        model.check(ours)

    def test_it_empties_the_file_and_begins_anew(self, both):
        ours, model = both
        for n in range(2 * BLOCK + 10):
            model.note(f"o{n}", {"n": n, "user": n % 3})
        ours.save_many(model.make_theirs(r, **m) for r, m in model.expected.items())
        for run_id in list(model.expected):
            model.they_delete(run_id)
        model.check(ours)
        for n in range(BLOCK + 3):  # ids begin at 1 again, in blocks that were full
            model.they_save(f"t{n}", n=n, user=n % 3)
            if n == 5:
                model.check(ours)
        model.check(ours)
        model.we_save(ours, "last", n=1, user=1)
        model.check(ours)

    def test_full_blocks_of_its_rows(self, both):
        ours, model = both
        for n in range(2 * BLOCK + 3):
            model.they_save(f"t{n}", n=n, user=n % 3)
        model.check(ours)
        for n in range(0, 40, 3):
            model.they_save(f"t{n}", n=n + 1, user=3)
            model.they_delete(f"t{n + 1}")
        model.check(ours)
        model.we_save(ours, "ours", n=1, user=1)
        model.check(ours)
        ours.reopen()
        model.check(ours)

    @pytest.mark.parametrize(
        "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2, 3))]
    )
    def test_at_random(self, both, seed):
        ours, model = both
        chance = random.Random(seed)
        for n in range(60):
            for _ in range(chance.choice([1, 5, 20, 60])):
                run_id = f"r{chance.randrange(900)}"
                made = {"n": chance.randrange(100), "user": chance.randrange(4)}
                action = chance.choice(["they", "they", "we", "many", "drop", "we drop"])
                if action == "they":
                    model.they_save(run_id, **made)
                elif action == "we":
                    model.we_save(ours, run_id, **made)
                elif action == "many" and n % 10 == 0:
                    many = [f"m{chance.randrange(900)}" for _ in range(chance.choice([3, 150]))]
                    ours.save_many(model.make_theirs(run_id, **made) for run_id in many)
                    for run_id in many:
                        model.note(run_id, made)
                elif action == "drop":
                    model.they_delete(run_id)
                elif action == "we drop":
                    model.we_delete(ours, run_id)
            if n % 12 == 0:
                model.check(ours)
            if n == 30:
                ours.reopen()
        model.check(ours)

    def test_updates_by_hand(self, both):
        ours, model = both
        for n in range(BLOCK + 20):
            model.note(f"o{n}", {"n": n, "user": n % 3})
        ours.save_many(model.make_theirs(r, **m) for r, m in model.expected.items())
        with closing(sqlite3.connect(ours.path)) as raw, raw:
            for n in (0, 5, BLOCK - 2, BLOCK - 1, BLOCK + 19):
                changed = {"n": n, "user": 3}
                raw.execute(
                    "UPDATE traces SET metadata = ? WHERE run_id = ?",
                    (json.dumps(changed), f"o{n}"),
                )
                model.expected[f"o{n}"] = changed
            raw.execute("UPDATE traces SET run_id = 'renamed' WHERE run_id = 'o7'")
            model.expected = {
                "renamed" if run_id == "o7" else run_id: metadata
                for run_id, metadata in model.expected.items()
            }
        model.check(ours)
        ours.reopen()
        model.check(ours)
        assert ids(ours.query(TraceFilter(run_ids=["o7", "renamed"]))) == ["renamed"]

    @pytest.mark.slow
    @pytest.mark.parametrize("how", ["VACUUM", "VACUUM INTO", "backup", "dump"])
    @pytest.mark.parametrize("pending", [False, True])
    def test_copies_of_the_file(self, both, how, pending, tmp_path):
        ours, model = both
        for n in range(2 * BLOCK + 20):
            model.note(f"o{n}", {"n": n, "user": n % 3})
        ours.save_many(model.make_theirs(r, **m) for r, m in model.expected.items())
        for n in range(0, 300, 7):  # leaves gaps among the ids
            model.we_delete(ours, f"o{n}")
        for n in range(10 if pending else 0):
            model.they_save(f"o{n}", n=n, user=2)
            model.they_save(f"t{n}", n=n, user=2)
        copy = tmp_path / "copy" / ours.path.name
        copy.parent.mkdir()
        model.close()
        with closing(sqlite3.connect(ours.path)) as raw:
            if how == "VACUUM":
                raw.execute("VACUUM")
                model.theirs._local.__dict__.clear()
                model.check(ours)
                model.close()
                return
            if how == "VACUUM INTO":
                raw.execute("VACUUM INTO ?", (str(copy),))
            else:
                with closing(sqlite3.connect(copy)) as target:
                    if how == "backup":
                        raw.backup(target)
                    else:
                        target.executescript("\n".join(raw.iterdump()))
        with Handle(ours.store_kind, copy.parent) as again:
            model.theirs._local.__dict__.clear()
            model.theirs._db_path = str(copy)
            model.check(again)
            model.we_save(again, "after", n=1, user=1)
            model.they_save("and theirs", n=1, user=1)
            model.check(again)

    def test_it_writes_while_we_read(self, both):
        """A stream that was begun is not disturbed."""
        ours, model = both
        for n in range(BLOCK + 50):
            model.note(f"o{n}", {"n": n, "user": n % 3})
        ours.save_many(model.make_theirs(r, **m) for r, m in model.expected.items())
        expected = model.newest_first()
        if ours.loop is not None:
            pytest.skip("the blocking store shows it")
        stream = ours.store.iter_summaries()
        found = [next(stream).run_id for _ in range(10)]
        for n in range(20):
            model.they_save(f"t{n}", n=n, user=1)
        found += ids(stream)
        assert found == expected
        model.check(ours)


class TestJSONLBesideSelectools:
    @pytest.mark.parametrize("store_kind", ["jsonl-blocking", "jsonl-async"])
    def test_both_write_to_one_file(self, store_kind, tmp_path, theirs):
        with Handle(store_kind, tmp_path) as ours:
            their_store = theirs.JSONLTraceStore(str(ours.path))
            expected = []
            for n in range(20):
                ours.save(trace(f"o{n}", user=n % 3))
                their_store.save(trace(f"t{n}", user=n % 3))
                expected += [f"o{n}", f"t{n}"]
            for _ in range(2):
                assert ids(ours.list(100)) == expected[::-1]
                assert [s.run_id for s in their_store.list(100)] == expected[::-1]
                mine = [run_id for run_id in expected[::-1] if int(run_id[1:]) % 3 == 1]
                assert ids(ours.query(TraceFilter(metadata_match={"user": 1}))) == mine
                assert text(ours.load("t5")) == text(their_store.load("t5"))
                ours.reopen()

    @pytest.mark.parametrize("store_kind", ["jsonl-blocking", "jsonl-async"])
    def test_it_saves_again_and_deletes(self, store_kind, tmp_path, theirs):
        with Handle(store_kind, tmp_path) as ours:
            their_store = theirs.JSONLTraceStore(str(ours.path))
            for n in range(10):
                ours.save(trace(f"o{n}", version=1))
            their_store.save(trace("o3", version=2))
            assert ids(ours.list(2)) == ["o3", "o9"]
            assert ours.load("o3").metadata == {"version": 2}
            assert ours.count() == 10
            assert their_store.delete("o5")  # writes the file anew, in place
            assert "o5" not in ids(ours.list(100))
            assert ours.count() == 9
            for run_id in ids(ours.list(100)):
                assert ours.load(run_id).run_id == run_id
            assert ours.delete("o3")  # both of its lines
            assert [s.run_id for s in their_store.list(100)] == ids(ours.list(100))
            ours.save(trace("last"))
            assert ids(ours.list(100)) == ["last", "o9", "o8", "o7", "o6", "o4", "o2", "o1", "o0"]

    @pytest.mark.parametrize("store_kind", ["jsonl-blocking", "jsonl-async"])
    def test_a_file_rewritten_to_the_same_length_or_longer(self, store_kind, tmp_path, theirs):
        """selectools deletes in place: the file keeps its identity and may have grown since."""
        with Handle(store_kind, tmp_path) as ours:
            their_store = theirs.JSONLTraceStore(str(ours.path))
            for n in range(5):
                their_store.save(trace(f"a{n}", user="x"))
            assert ours.count() == 5
            assert their_store.delete("a0")
            for n in range(5):
                their_store.save(trace(f"b{n}", user="x"))
            expected = ["b4", "b3", "b2", "b1", "b0", "a4", "a3", "a2", "a1"]
            assert ids(ours.list(100)) == expected
            for run_id in expected:
                assert ours.load(run_id).run_id == run_id


class TestStreams:
    def test_what_was_saved_after_it_began_is_left_out(self, tmp_path):
        for store_kind in STORE_KINDS:
            if store_kind.endswith("async"):
                continue
            with Handle(store_kind, tmp_path) as handle:
                handle.save_many(trace(f"{n}") for n in range(5))
                stream = handle.store.iter_summaries(oldest_first=True)
                found = [next(stream).run_id]
                handle.save(trace("new"))
                assert found + ids(stream) == [f"{n}" for n in range(5)]

    @pytest.mark.parametrize("store_kind", [f for f in STORE_KINDS if f.endswith("blocking")])
    def test_also_when_the_newest_was_deleted_meanwhile(self, store_kind, tmp_path):
        """Its place in the order must not be given to another."""
        with Handle(store_kind, tmp_path) as handle:
            handle.save_many(trace(f"{n}") for n in range(600))
            stream = handle.store.iter_summaries(oldest_first=True)
            found = [next(stream).run_id]
            handle.delete("599")
            handle.save(trace("new"))
            found += ids(stream)
            assert "new" not in found

    @pytest.mark.parametrize("store_kind", [f for f in STORE_KINDS if f.endswith("blocking")])
    def test_what_was_saved_again_meanwhile_is_not_given_twice(self, store_kind, tmp_path):
        with Handle(store_kind, tmp_path) as handle:
            handle.save_many(trace(f"{n}") for n in range(1200))
            stream = handle.store.iter_summaries()
            found = [next(stream).run_id for _ in range(5)]
            for n in range(0, 1200, 50):
                handle.save(trace(f"{n}"))
            found += ids(stream)
            assert len(found) == len(set(found))
            assert set(found) >= {f"{n}" for n in range(1200) if n % 50}

    @pytest.mark.parametrize("store_kind", [f for f in STORE_KINDS if f.endswith("blocking")])
    def test_pages_do_not_repeat_when_the_newest_is_deleted_between(self, store_kind, tmp_path):
        with Handle(store_kind, tmp_path) as handle:
            handle.save_many(trace(f"{n}") for n in range(4))
            first = handle.list(1)
            handle.delete("3")
            handle.save(trace("new"))
            rest = handle.list(10, cursor=first.next_cursor)
            assert ids(rest) == ["2", "1", "0"]


def test_times_of_two_saves_in_one_tick(tmp_path, monkeypatch):
    """Newest first is the order of saving, whatever the clock says."""
    from selectools_observe.model import timestamps as clock

    moments = [datetime(2026, 1, 1, tzinfo=UTC) - timedelta(hours=n // 3) for n in range(30)]
    for store_kind in STORE_KINDS:
        told = iter(moments * 3)
        monkeypatch.setattr(clock, "now", lambda told=told: next(told))
        with Handle(store_kind, tmp_path) as handle:
            for n in range(12):
                handle.save(trace(f"{n}"))
            handle.save(trace("3"))
            expected = ["3", *(f"{n}" for n in range(11, -1, -1) if n != 3)]
            assert ids(handle.list()) == expected
            handle.reopen()
            assert ids(handle.list()) == expected
            assert ids(handle.query(TraceFilter(min_steps=1))) == expected
            times = [summary.created_at for summary in handle.list()]
            assert any(newer < older for newer, older in pairwise(times))


def test_who_only_reads_indexes_what_selectools_wrote(tmp_path, theirs):
    """A program that never saves must not read all foreign rows again at each query."""
    path = tmp_path / "traces.db"
    with SQLiteTraceStore(path) as ours:
        their_store = theirs.SQLiteTraceStore(str(path))
        for n in range(100):
            their_store.save(trace(f"{n}", user="x"))
        assert ours.count(TraceFilter(metadata_match={"user": "x"})) == 100
        with closing(sqlite3.connect(path)) as raw:
            assert raw.execute("SELECT count(*) FROM trace_pending").fetchone() == (0,)
        assert len(ours.query(TraceFilter(metadata_match={"user": "x"}))) == 100


def test_selectools_appends_while_we_append(tmp_path, theirs, monkeypatch):
    """It takes no lock: its line may come between our look at the file's end and our write."""
    path = tmp_path / "traces.jsonl"
    with JSONLTraceStore(path) as ours:
        ours.save(trace("first"))
        write_all = archive.write_all

        def come_between(fd, data):
            monkeypatch.setattr(archive, "write_all", write_all)
            theirs.JSONLTraceStore(str(path)).save(trace("theirs"))
            write_all(fd, data)

        monkeypatch.setattr(archive, "write_all", come_between)
        ours.save(trace("ours"))
        assert ids(ours.list()) == ["ours", "theirs", "first"]
        for run_id in ("ours", "theirs", "first"):
            assert ours.load(run_id).run_id == run_id
