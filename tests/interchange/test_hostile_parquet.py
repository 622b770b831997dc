"""Parquet files that mean harm: what can be read comes, the rest is named."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path

import pytest

from selectools_observe.interchange import read_runs
from selectools_observe.interchange.registry import UnknownFormError, read_saved_runs

pa = pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
pq = pytest.importorskip("pyarrow.parquet")

GOOD = '{"run_id": "good", "steps": []}'
IDS = ["one", "two", "good"]
OTHERS = {
    "integers": pa.array([1, 2, 3]),
    "floats": pa.array([1.0, float("nan"), None]),
    "flags": pa.array([True, False, None]),
    "nothing": pa.nulls(3),
    "lists": pa.array([["a"], [], None]),
    "structs": pa.array([{"a": 1}, None, {"a": 2}]),
    "maps": pa.array([[("a", 1)]] * 3, pa.map_(pa.string(), pa.int64())),
    "bytes": pa.array([b"{}", b"\xff\xfe", GOOD.encode()]),
    "of four bytes": pa.array([b"abcd"] * 3, pa.binary(4)),
    "decimals": pa.array([1, 2, 3], pa.decimal128(38, 10)),
    "times of a day": pa.array([1, 2, 3], pa.time64("ns")),
    "days": pa.array([1, 2, 2**30], pa.date32()),
    "durations": pa.array([1, 2, 2**62], pa.duration("s")),
    "times": pa.array([2**62, -(2**62), 1], pa.timestamp("us")),
    "times of a zone": pa.array([1, 2**50, 3], pa.timestamp("s", "No/Such_Zone")),
    "times of a path": pa.array([1, 2, 3], pa.timestamp("us", "../../etc/passwd")),
    "of a dictionary": pa.array(["a", "a", None]).dictionary_encode(),
}
DEEP = "[" * 5000 + "]" * 5000
TRACES = {
    "digits": '{"run_id": "x", "steps": [], "metadata": {"n": %s}}' % ("9" * 200_000),
    "depth": '{"run_id": "x", "steps": [], "metadata": {"n": ' + DEEP + "}}",
    "values": '{"run_id": "x", "steps": [], "metadata": {"n": [%s[]]}}' % ("[]," * 5_000_000),
    "steps": '{"run_id": "x", "steps": [%s{"type": "error"}]}' % ('{"type": "error"},' * 100_000),
    "metadata": '{"run_id": "x", "steps": [], "metadata": {"n": "%s"}}' % ("x" * 1024 * 1024),
}


def written(folder: Path, columns: dict[str, object], **options: object) -> Path:
    path = folder / "runs.parquet"
    pq.write_table(pa.table(columns), path, **options)
    return path


def taken(path: Path) -> tuple[list[str], list[str]]:
    """The ids of the runs that came, and why others did not."""
    skipped: list[str] = []
    try:
        runs = [run.run_id for run in read_runs(path, skipped=lambda _, why: skipped.append(why))]
    except UnknownFormError as error:
        return [], [str(error)]
    return runs, skipped


@pytest.mark.parametrize("kind", OTHERS)
def test_a_column_of_another_type(tmp_path, kind):
    three = [GOOD.replace("good", each) for each in IDS]
    runs, skipped = taken(written(tmp_path, {"run_id": IDS, "trace_json": OTHERS[kind]}))
    assert runs == []
    assert len(skipped) == 3
    assert all(why.startswith("trace_json is not a trace") for why in skipped)
    for name in ("run_id", "created_at", "annotations", "steps"):
        columns = {"run_id": IDS, "trace_json": three, name: OTHERS[kind]}
        runs, skipped = taken(written(tmp_path, columns))
        assert runs == IDS
        assert name == "annotations" or skipped == []


@pytest.mark.parametrize("exact", ["[1]", "{", "5", "[" * 100_000, '{"score": %s}' % ("9" * 9000)])
def test_annotations_that_are_none(tmp_path, exact):
    said = [[{"name": "quality", "score": 1.0, "exact": exact}, {"name": "q", "score": 0.5}]]
    path = written(tmp_path, {"run_id": ["good"], "trace_json": [GOOD], "annotations": said})
    skipped: list[str] = []
    (saved,) = read_saved_runs(path, skipped=lambda _, why: skipped.append(why))
    assert [one.name for one in saved.annotations] == ["q"]
    assert len(skipped) == 1


@pytest.mark.parametrize("limit", TRACES)
def test_a_trace_that_becomes_too_much(tmp_path, limit):
    columns = {"run_id": ["x", "good"], "trace_json": [TRACES[limit], GOOD]}
    runs, skipped = taken(written(tmp_path, columns))
    assert runs == ["good"]
    assert [f"(limit: {limit})" in why for why in skipped] == [True]


LONG = json.dumps({"run_id": "x", "steps": [], "input": "y" * 1_000_000})
SAME = pa.array([0] * 5000, pa.int32())


def the_same(text: str) -> object:
    """A column of 5,000 times one text, which is written once."""
    return pa.DictionaryArray.from_arrays(SAME, [text])


BOMBS = {
    "a text in a dictionary": {"run_id": the_same("x"), "trace_json": the_same(LONG)},
    "a dictionary that is expanded": {"run_id": ["x"] * 300, "trace_json": [LONG] * 300},
    "spans": {
        "context.trace_id": the_same("a" * 32),
        "context.span_id": the_same("b" * 16),
        "start_time": the_same("2020"),
        "attributes.input.value": the_same(LONG),
    },
    "rows of nothing": {"run_id": pa.nulls(300_000), "trace_json": pa.nulls(300_000)},
    "values of nothing": {
        "run_id": ["x"],
        "trace_json": [GOOD],
        "annotations": pa.ListArray.from_arrays([0, 3_000_000], pa.nulls(3_000_000)),
    },
    "a page": {"run_id": ["x"], "trace_json": [LONG * 110]},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb(tmp_path, name, monkeypatch):
    monkeypatch.setattr("selectools_observe.interchange.parquet_files.UNPACKED", 100 << 20)
    options = {"compression": "zstd", "dictionary_pagesize_limit": 1 << 30}
    path = written(tmp_path, BOMBS[name], **options)
    assert path.stat().st_size < 100_000
    runs, skipped = taken(path)
    assert len(runs) <= 100
    assert "unpacks to more than" in skipped[-1]


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> bytes:
    columns = {"run_id": IDS, "trace_json": [GOOD.replace("good", each) for each in IDS]}
    return written(tmp_path_factory.mktemp("plain"), columns).read_bytes()


CUTS = {
    "its begin": lambda raw: raw[:4],
    "its begin twice": lambda raw: raw[:4] * 2,
    "no end": lambda raw: raw[:-4],
    "half of it": lambda raw: raw[: len(raw) // 2],
    "an endless footer": lambda raw: raw[:-8] + struct.pack("<I", 2**31 - 1) + raw[-4:],
    "a footer below 0": lambda raw: raw[:-8] + b"\xff" * 4 + raw[-4:],
    "no footer": lambda raw: raw[:-8] + bytes(4) + raw[-4:],
    "encrypted": lambda raw: b"PARE" + raw[4:-4] + b"PARE",
    "an encrypted footer": lambda raw: raw[:-4] + b"PARE",
    "zeros": lambda raw: raw[:4] + bytes(100_000) + raw[-4:],
}


@pytest.mark.parametrize("cut", CUTS)
def test_what_is_left_of_a_file(tmp_path, plain, cut):
    path = tmp_path / "runs.parquet"
    path.write_bytes(CUTS[cut](plain))
    runs, skipped = taken(path)
    assert runs == []
    assert skipped


def test_bytes_that_were_changed(tmp_path, plain):
    chance = random.Random(7)
    path = tmp_path / "runs.parquet"
    for _ in range(60):
        changed = bytearray(plain)
        for _ in range(chance.choice([1, 1, 3])):
            changed[chance.randrange(4, len(plain) - 8)] = chance.randrange(256)
        path.write_bytes(changed)
        runs, skipped = taken(path)
        assert len(runs) == 3 or skipped


def number(value: int) -> bytes:
    """A number as a footer has it: https://github.com/apache/thrift, the compact protocol."""
    value, said = value << 1, b""
    while value > 127:
        said, value = said + bytes([value & 127 | 128]), value >> 7
    return said + bytes([value])


def lying(path: Path, old: bytes, new: bytes) -> None:
    """Have the footer say something else, that is as long."""
    raw = path.read_bytes()
    at = len(raw) - 8 - struct.unpack("<I", raw[-8:-4])[0]
    assert len(old) == len(new)
    assert old in raw[at:]
    path.write_bytes(raw[:at] + raw[at:].replace(old, new))


LIES = {
    "more rows": (lambda _: (b"\x16\x0c\x19\x2c", b"\x16\x0e\x19\x2c"), "have 6 rows, not 7"),
    "beyond the end": (
        lambda chunks: (number(chunks[1].total_compressed_size), number(8191)),
        "is not within it",
    ),
    "one place twice": (
        lambda chunks: (number(chunks[3].data_page_offset), number(chunks[1].data_page_offset)),
        "overlap",
    ),
    # pyarrow aborts the process.
    "required": (
        lambda _: (b"\x25\x02\x18\x06run_id", b"\x25\x00\x18\x06run_id"),
        "too much memory",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("lie", LIES)
def test_a_footer_that_lies(tmp_path, lie):
    columns = {"run_id": IDS * 2, "trace_json": [GOOD] * 6}
    path = written(tmp_path, columns, row_group_size=3, use_dictionary=False, compression="none")
    footer = pq.read_metadata(path)
    chunks = [footer.row_group(n // 2).column(n % 2) for n in range(4)]
    told, why = LIES[lie]
    lying(path, *told(chunks))
    runs, skipped = taken(path)
    assert runs == []
    assert why in skipped[0]
