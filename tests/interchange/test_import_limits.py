"""What a file may become when it is imported: too much is skipped with the bound that it broke."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from command import environment, run

from selectools_observe.interchange import read_runs
from selectools_observe.interchange import source as sources
from selectools_observe.model.limits import NO_LIMITS

GOOD = {"run_id": "good", "steps": [{"type": "llm_call", "duration_ms": 1.0}]}
DEEP = "[" * 5000 + "]" * 5000
HOSTILE = {
    "digits": '{"run_id": "bad", "steps": [], "metadata": {"n": %s}}' % ("7" * 200_000),
    "values": '{"run_id": "bad", "steps": [], "metadata": {"n": [%s[]]}}' % ("[]," * 5_000_000),
    "depth": '{"run_id": "bad", "steps": [], "metadata": {"n": ' + DEEP + "}}",
    "metadata": '{"run_id": "bad", "steps": [], "metadata": {"n": "%s"}}' % ("x" * 1024 * 1024),
    "steps": '{"run_id": "bad", "steps": [%s{"type": "error"}]}' % ('{"type": "error"},' * 100_000),
}


def imported(path: Path, **options) -> tuple[list[str], list[str]]:
    skipped: list[str] = []
    runs = read_runs(path, skipped=lambda _, why: skipped.append(why), **options)
    return [run.run_id for run in runs], skipped


@pytest.mark.slow
@pytest.mark.parametrize("bound", HOSTILE)
@pytest.mark.parametrize("layout", ["line", "spread", "only"])
def test_what_becomes_too_much_is_skipped_and_the_rest_comes(tmp_path, bound, layout):
    path = tmp_path / "runs.jsonl"
    good = "" if layout == "only" else json.dumps(GOOD, indent=1 if layout == "spread" else None)
    path.write_text(f"{good}\n{HOSTILE[bound]}\n")
    runs, skipped = [], []
    try:
        runs, skipped = imported(path)
    except ValueError as error:  # nothing in the file is of a form
        skipped = [str(error)]
    assert runs == (["good"] if good else [])
    assert len(skipped) == 1
    assert f"limit: {bound}" in skipped[0]


def test_limits_are_off_when_asked(tmp_path):
    path = tmp_path / "runs.jsonl"
    path.write_text(f"{json.dumps(GOOD)}\n{HOSTILE['metadata']}\n")
    assert imported(path, limits=NO_LIMITS) == (["good", "bad"], [])
    stored = run("import", path, "--store", tmp_path / "a.db")
    assert stored.returncode == 1
    assert "limit: metadata" in stored.stderr
    stored = run("import", path, "--no-limits", "--store", tmp_path / "b.db")
    assert stored.returncode == 0, stored.stderr


def test_a_line_that_is_too_long_is_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "LONGEST", 1000)
    path = tmp_path / "runs.jsonl.gz"
    lines = [json.dumps(GOOD), '{"x": "' + "y" * 5000 + '"}', json.dumps({**GOOD, "run_id": "two"})]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    runs, skipped = imported(path)
    assert runs == ["good", "two"]
    assert ["longer than" in why for why in skipped] == [True]


def test_an_entry_of_an_archive_that_unpacks_to_too_much_is_skipped(tmp_path, monkeypatch):
    monkeypatch.setattr("selectools_observe.interchange.inspect_log.LONGEST", 100_000)
    path = tmp_path / "log.eval"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps({"eval": {}, "status": "success"}))
        archive.writestr("samples/1.json", b"[" + b" " * 1_000_000 + b"]")
    runs, skipped = imported(path)
    assert runs == []
    assert ["when unpacked" in why for why in skipped] == [True]


def test_a_parquet_file_that_unpacks_to_too_much_ends_there(tmp_path, monkeypatch):
    """A dictionary of one long value, said again in each row, takes next to nothing."""
    pa = pytest.importorskip("pyarrow", reason="needs the extra: parquet")
    monkeypatch.setattr("selectools_observe.interchange.parquet_files.UNPACKED", 100_000)
    rows = 20_000
    same = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), ["y" * 100_000])
    import pyarrow.parquet as pq

    path = tmp_path / "bomb.parquet"
    pq.write_table(pa.table({"run_id": same, "trace_json": same}), path)
    assert path.stat().st_size < 250_000
    runs, skipped = imported(path)
    assert runs == []
    assert ["unpacks to more than" in why for why in skipped][-1:] == [True]
    assert len(skipped) < rows


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
def test_a_small_packed_file_takes_little_memory(tmp_path):
    path = tmp_path / "bomb.jsonl.gz"
    with gzip.open(path, "wb") as file:
        file.write(json.dumps(GOOD).encode() + b"\n")
        file.write(b'{"run_id": "bad", "steps": [], "metadata": {"n": [')
        for _ in range(1000):
            file.write(b"[]," * 20_000)
        file.write(b"[]]}}\n" + b"\n" * 1_000_000)
    program = (
        "import re, sys\n"
        "from selectools_observe.interchange import read_runs\n"
        "print([run.run_id for run in read_runs(sys.argv[1])])\n"
        # Not ru_maxrss, which begins at what the parent had.
        "print(re.search(r'VmHWM:\\s+(\\d+) kB', open('/proc/self/status').read())[1])\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        env=environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    found, peak = ran.stdout.splitlines()
    assert found == "['good']"
    assert int(peak) < 400 * 1024


LINE = json.dumps(GOOD).encode() + b"\n"
PACKED = gzip.compress(LINE)
SOME = gzip.compress(
    b"".join(json.dumps({**GOOD, "run_id": f"{n}"}).encode() + b"\n" for n in range(99))
)
DAMAGED = {
    "many members": (gzip.compress(b"") * 12_000 + PACKED, "limit: members", 0),
    "many blanks": (PACKED + gzip.compress(b" ") * 12_000, "limit: members", 1),
    "cut": (SOME[:-30], "it is cut", 1),
    "cut before its sum": (SOME[:-6], "it is cut", 99),
    "its beginning alone": (PACKED[:2], "it is cut", 0),
    "another sum": (SOME[:-8] + b"sum!" + SOME[-4:], "is damaged", 0),
    "changed": (SOME[:200] + b"\xff\xfe\xfd" + SOME[203:], "is damaged", 0),
    "garbage behind": (PACKED + b"garbage", "is damaged", 1),
    "garbage of a member behind": (PACKED + PACKED[:10] + b"\xff" * 50, "is damaged", 1),
    "another method": (PACKED[:2] + b"\7" + PACKED[3:], "is damaged", 0),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_packed_file_is_read_up_to_where_it_is_damaged(name, tmp_path):
    """`import` ended as if it were interrupted, with an internal error, or after many seconds."""
    content, said, least = DAMAGED[name]
    path = tmp_path / "runs.jsonl"
    path.write_bytes(content)
    runs, skipped = imported(path)
    assert len(runs) >= least
    assert sum(said in reason for reason in skipped) == 1
    stored = run("import", path, "--store", tmp_path / "a.db")
    assert stored.returncode == 1, stored.stderr
    assert "Traceback" not in stored.stderr


@pytest.mark.parametrize(
    "content",
    [
        PACKED * 3,
        PACKED + b"\0" * 200_000,
        PACKED + b"\0" * 70_000 + PACKED,
        gzip.compress(b" " * 999_999 + LINE),
    ],
    ids=["members", "zeros behind", "zeros between", "blanks"],
)
def test_a_packed_file_that_is_whole(content, tmp_path):
    path = tmp_path / "runs.jsonl"
    path.write_bytes(content)
    runs, skipped = imported(path)
    assert set(runs) == {"good"}
    assert skipped == []


def test_members_are_not_counted_without_limits(tmp_path):
    path = tmp_path / "runs.jsonl"
    path.write_bytes(gzip.compress(b"") * 12_000 + PACKED)
    assert imported(path, limits=NO_LIMITS) == (["good"], [])
