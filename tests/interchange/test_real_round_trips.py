"""The 200 real runs through every pair of forms: fields, times of saving, annotations, order."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from round_trips import FORMS, all_of, through

import selectools_observe as so

FIRST = datetime(2024, 2, 28, 22, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture(scope="module")
def source(airline_file, tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "source.db"
    shutil.copy(airline_file, path)
    with so.SQLiteTraceStore(path) as old:
        runs = list(old.iter_traces(oldest_first=True))
    path.unlink()
    with so.SQLiteTraceStore(path, durability="normal") as store:
        # Within a day the order of saving is not that of the times.
        moments = [FIRST + timedelta(days=n // 50, seconds=n * 37 % 50) for n in range(len(runs))]
        store.save_many(runs, created_at=moments)
        for number, run in enumerate(runs):
            if number % 3 == 0:
                store.annotate(run.run_id, "quality", score=number / 200, source="code")
            if number % 7 == 0:
                store.annotate(run.run_id, "tone", label="curt", note="é…", step=1, author="ada")
                store.annotate(run.run_id, "quality", label="bad", score=-1, source="llm")
    return path


@pytest.fixture(scope="module")
def after_one(source, tmp_path_factory):
    """The database that came through one form, made once for each."""
    folder, made = tmp_path_factory.mktemp("one"), {}

    def path_after(form: str) -> Path:
        if form not in made:
            made[form] = through(form, source, folder / form)
        return made[form]

    return path_after


@pytest.fixture(scope="module")
def expected(source):
    told = all_of(source)
    assert len(told) == 200
    assert sum(len(said) for *_, said in told) == 67 + 2 * 29
    return told


@pytest.mark.parametrize("form", FORMS)
def test_all_comes_back(after_one, expected, form):
    assert all_of(after_one(form)) == expected


@pytest.mark.slow
@pytest.mark.parametrize("second", FORMS)
@pytest.mark.parametrize("first", FORMS)
def test_all_comes_back_from_each_pair(after_one, expected, tmp_path, first, second):
    assert all_of(through(second, after_one(first), tmp_path / "two")) == expected
