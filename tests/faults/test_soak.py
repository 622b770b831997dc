"""An hour's worth of mixed work: memory, files, threads and the log stay bounded."""

from __future__ import annotations

import pytest
import truth
from store_kinds import ON_DISK, file_of

MEBIBYTE = 1024 * 1024


@pytest.mark.parametrize("store_kind", ON_DISK)
def test_bounded(store_kind, zygote, chance, many, report, tmp_path):
    """Ten runs a second for an hour, with loads, queries, pages and deletions beside them."""
    runs = many(500, 36_000)
    path, journal, measures = (
        file_of(store_kind, tmp_path),
        tmp_path / "s.journal",
        tmp_path / "m.journal",
    )
    child = zygote.start(
        "soak",
        store_kind=store_kind,
        path=path,
        journal=journal,
        measures=measures,
        seed=chance.random().hex(),
        runs=runs,
        deadline=many(400, 1800),
    )
    child.check()
    assert child.said == ""
    names = ("memory", "files", "threads", "log", "size")
    found = [
        dict(zip(names, map(int, line.split()), strict=True))
        for line in measures.read_text().splitlines()
    ]
    before, *found, after = found
    # Pools of threads and caches fill up in the first quarter of the time.
    early, rest = found[: len(found) // 4], found[len(found) // 4 :]
    first = {name: max(measure[name] for measure in early) for name in names}
    most = {name: max(measure[name] for measure in rest) for name in first}
    report.add(rounds=1, runs=runs)
    report.highest(
        most_mebibytes_grown=(most["memory"] - first["memory"]) // MEBIBYTE,
        most_bytes_of_log=most["log"],
        most_files_open=most["files"],
        most_threads=most["threads"],
    )
    report.add(
        leaked_handles=max(0, after["files"] - before["files"]),
        leaked_threads=max(0, after["threads"] - before["threads"]),
    )
    assert (after["files"], after["threads"]) == (before["files"], before["threads"])
    assert most["memory"] - first["memory"] < 80 * MEBIBYTE
    assert most["files"] <= first["files"] + 4
    assert most["threads"] <= first["threads"] + 4
    assert most["log"] < 80 * MEBIBYTE
    assert most["size"] < 60 * MEBIBYTE  # only the newest are kept
    truth.check(store_kind, path, [journal], report)
