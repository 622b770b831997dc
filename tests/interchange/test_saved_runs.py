"""What stores say of runs comes back through every form: times of saving, annotations, order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

import selectools_observe as so
from selectools_observe.testing.samples import make_trace, make_traces

pytest.importorskip("click", reason="the extra cli is not installed")

from command import run

MANY = 200
FIRST = datetime(2024, 2, 28, 22, 0, 0, 123456, tzinfo=UTC)


def told_by(store):
    """All that a store says of its runs besides the runs themselves, oldest save first."""
    runs = list(store.iter_summaries(oldest_first=True))
    said = store.annotations_of([summary.run_id for summary in runs])
    return [(one.run_id, one.created_at, one.annotations, said[one.run_id]) for one in runs]


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.db"
    with so.SQLiteTraceStore(path, durability="normal") as store:
        moments = [FIRST + timedelta(hours=n * 37 % 50, microseconds=n) for n in range(MANY)]
        store.save_many(make_traces(MANY), created_at=moments)
        store.annotate("run-000", "quality", label="bad", score=0.25, note="é\0\ud800", step=0)
        for number in range(0, MANY, 3):
            store.annotate(f"run-{number:03}", "quality", score=number / MANY, source="code")
        store.update("run-100", lambda _: make_trace("run-100", metadata={"a": "\ud800"}))
        store.annotate("run-199", "tone", label="curt", author="ada", source="llm")
        expected = told_by(store)
    assert len({moment for _, moment, *_ in expected}) == MANY
    return path, expected


@pytest.mark.parametrize("target", ["x.db", "x.jsonl"])
@pytest.mark.parametrize("form", ["jsonl", "sqlite", "parquet", "copy", "copy twice"])
def test_everything_comes_back(source, tmp_path, form, target):
    path, expected = source
    made = tmp_path / target
    if form.startswith("copy"):
        for _ in form.split():
            done = run("copy", path, made)
            assert done.returncode == 0, done.stderr
    else:
        if form == "parquet":
            pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
            assert run("export", "--parquet", tmp_path / "out", "-s", path).returncode == 0
            read = tmp_path / "out"
        elif form == "jsonl":
            read = tmp_path / "out.jsonl"
            assert run("export", "-o", read, "-s", path).returncode == 0
        else:
            read = path
        done = run("import", read, "-s", made)
        assert done.returncode == 0, done.stderr
    kind = so.SQLiteTraceStore if target.endswith("db") else so.JSONLTraceStore
    with kind(made) as store:
        assert told_by(store) == expected
        by_time = store.query(so.TraceFilter(order_by="created_at", limit=3))
        oldest = sorted(expected, key=lambda each: each[1])[:3]
        assert [summary.run_id for summary in by_time] == [each[0] for each in oldest]


def test_a_table_and_a_frame_show_what_was_said(source, tmp_path):
    pandas = pytest.importorskip("pandas", reason="the extra pandas is not installed")
    from selectools_observe.analytics.dataframes import to_dataframe

    path, _ = source
    with so.SQLiteTraceStore(path) as store:
        frame = to_dataframe(store.iter_summaries())
    assert frame["score.quality"].count() == 67
    assert list(frame["label.tone"].dropna()) == ["curt"]
    assert "label.quality" not in frame or frame["label.quality"].count() == 0
    assert run("export", "-o", tmp_path / "out.csv", "-s", path).returncode == 0
    table = pandas.read_csv(tmp_path / "out.csv")
    assert table["annotations"].str.contains("quality").sum() == 67


def test_damaged_annotations_of_a_line_are_skipped_and_told(tmp_path):
    line = (
        '{"run_id":"r","created_at":"2024-01-01T00:00:00+00:00","trace":{"run_id":"r","steps":[]},'
        '"annotations":[{"name":"a","score":1},{"name":"b"},5]}\n'
    )
    (tmp_path / "x.jsonl").write_text(line)
    done = run("import", tmp_path / "x.jsonl", "-s", tmp_path / "x.db")
    assert (done.returncode, "2 skipped" in done.stderr) == (1, True), done.stderr
    with so.SQLiteTraceStore(tmp_path / "x.db") as store:
        assert [one.name for one in store.annotations("r")] == ["a"]
        assert store.list()[0].created_at == datetime(2024, 1, 1, tzinfo=UTC)
