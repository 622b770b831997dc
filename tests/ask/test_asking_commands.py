"""Text, the filter language and orders on the command line."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("click", reason="the extra cli is not installed")
pytest.importorskip("rich", reason="the extra cli is not installed")

from click.testing import CliRunner

from selectools_observe import AgentTrace, SQLiteTraceStore, TraceStep
from selectools_observe.cli.command_group import command


@pytest.fixture
def path(tmp_path):
    with SQLiteTraceStore(tmp_path / "runs.db") as store:
        for n in range(5):
            step = TraceStep("llm_call", reasoning=f"A Réfund, no. {n}", duration_ms=n * 1000)
            store.save(AgentTrace(run_id=f"run-{n}", metadata={"reward": n / 4}, steps=[step]))
    return str(tmp_path / "runs.db")


def ask(*arguments):
    return CliRunner().invoke(command, arguments)


def ids(result):
    return [trace["run_id"] for trace in json.loads(result.stdout)["traces"]]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["query", "reward<0.6 latency>0"], ["run-2", "run-1"]),
        (["query", "reward<0.6", "latency>0"], ["run-2", "run-1"]),
        (["query", "reward=0.5"], ["run-2"]),
        (["query", "-steps:2", "-reward<0.6"], ["run-4", "run-3"]),
        (["query", "-status:error reward>0.6"], ["run-4", "run-3"]),
        (["query", '-"no. 4"', "-(reward=0 OR reward=0.25)"], ["run-3", "run-2"]),
        (["query", "-refund"], []),
        (["query", "-search", "reward>0.6"], ["run-4", "run-3"]),
        (["query", "reward=0.5", "latency>5s"], []),
        (["list", "--where", "reward<0.6", "--order-by", "total_ms"], ["run-0", "run-1", "run-2"]),
        (["list", "--text", "refund no", "-n", "2", "--order-by", "-total_ms"], ["run-4", "run-3"]),
    ],
)
def test_filters_and_orders(path, arguments, expected):
    assert ids(ask(*arguments, "--json", "--store", path)) == expected


def test_search_shows_the_place_and_the_words(path):
    result = ask("search", "refund", "--store", path, "--where", "reward>0.6")
    assert result.exit_code == 0
    assert "step 1, reasoning: A Réfund, no. 4" in result.stdout
    assert "run-0" not in result.stdout
    page = json.loads(ask("search", "refund", "-n", "2", "--json", "--store", path).stdout)
    assert [hit["run_id"] for hit in page["hits"]] == ["run-4", "run-3"]
    more = ask("search", "refund", "--json", "--cursor", page["next_cursor"], "--store", path)
    assert [hit["run_id"] for hit in json.loads(more.stdout)["hits"]] == ["run-2", "run-1", "run-0"]
    assert "Not found" in ask("search", "nowhere", "--store", path).stderr


def test_groups_are_shown_and_paged(path):
    shown = ask("groups", "reward", "--store", path, "-n", "2", "--tz", "UTC")
    assert [line.split()[:2] for line in shown.stdout.splitlines()] == [
        ["reward", "runs"], ["1.0", "1"], ["0.75", "1"],
    ]  # fmt: skip
    cursor = shown.stderr.split("--cursor ")[1].strip()
    page = json.loads(ask("groups", "reward", "--store", path, "--cursor", cursor, "--json").stdout)
    assert [group["key"] for group in page["groups"]] == ["0.5", "0.25", "0.0"]
    assert page["next_cursor"] is None
    assert "has the key nothing" in ask("groups", "nothing", "--store", path).stderr


def test_facets_are_shown(path):
    shown = ask("facets", path, "--where", "reward>0", "--most", "1").stdout
    assert shown.startswith("4 runs")
    assert "reward  4 runs\n          1  0.25\n" in shown
    told = json.loads(ask("facets", path, "--key", "type", "--json").stdout)
    assert told["metadata"] == {}
    assert told["fields"] == {"type": {"runs": 5, "values": [["llm_call", 5]], "is_complete": True}}


def test_statistics_by_a_key_of_the_metadata(path):
    shown = ask("stats", path, "--by", "reward", "--by", "day", "--tz", "+05:30").stdout
    assert [line.split()[:2] for line in shown.splitlines() if line.startswith("0.5")] == [
        ["0.5", "1"]
    ]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["groups", "user", "--order-by", "colour"], "groups are ordered by"),
        (["groups", ""], "grouped by"),
        (["groups", "user", "--cursor", "x"], "not a cursor of these groups"),
        (["stats", "--tz", "Nowhere"], "is not a time zone"),
        (["stats", "--by", ""], "it is empty"),
        (["query", "status:eror"], "did you mean 'error'"),
        (["list", "--where", "(a"], "never closed"),
        (["list", "--order-by", "colour"], "ordered by created_at"),
        (["search", "!!"], "no word to search for"),
    ],
)
def test_what_cannot_be_read_is_refused(path, arguments, words):
    result = ask(*arguments, "--store", path)
    assert result.exit_code == 2
    assert words in result.stderr


@pytest.mark.parametrize("typed", ["list", "query", "search refund", "stats", "export"])
def test_a_key_that_no_run_has_is_said(path, typed):
    done = ask(*typed.split(), "--where", "rewrad<1", "--store", path)
    assert "no run has the metadata key 'rewrad'" in done.stderr
    assert "reward" in done.stderr.replace("rewrad", "")


@pytest.mark.parametrize(
    "day", [["--where", "started:2026-03-02"], ["--started-since", "2026-03-02"]]
)
@pytest.mark.parametrize("first", [True, False])
def test_days_of_filters_are_those_of_the_zone(tmp_path, day, first):
    path = str(tmp_path / "runs.db")
    with SQLiteTraceStore(path) as store:
        store.save(AgentTrace(run_id="late", start_time=1772395200.0))  # 20:00 UTC, March 1
    for zone, runs in (("Asia/Tokyo", 1), ("UTC", 0)):
        asked = ["--tz", zone, *day] if first else [*day, "--tz", zone]
        told = json.loads(ask("-s", path, "stats", "--json", *asked).stdout)
        assert told["total"]["runs"] == runs
