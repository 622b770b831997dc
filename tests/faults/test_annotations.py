"""Programs killed while they annotate, delete and prune: nothing acknowledged is lost, or half."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest
from killed_annotators import check_annotating, check_deleting, check_pruning


@pytest.mark.parametrize("name", ["x.db", "x.jsonl"])
@pytest.mark.parametrize(
    ("check", "short", "long"),
    [(check_annotating, 4, 40), (check_deleting, 6, 60), (check_pruning, 4, 40)],
)
def test_killed(check, short, long, name, chance, many, report, tmp_path):
    number = many(short, long)
    check(str(tmp_path / name), number, chance)
    report.add(rounds=number, faults=number)
    if name == "x.db":
        assert orphans(tmp_path / name) == 0


def orphans(path) -> int:
    """Annotations of runs that are not there."""
    with contextlib.closing(sqlite3.connect(path)) as made:
        sql = (
            "SELECT count(*) FROM trace_annotations WHERE run_id NOT IN (SELECT run_id FROM traces)"
        )
        return made.execute(sql).fetchone()[0]
