"""Costs that nobody told: estimated from dated prices, marked so; unknown where nobody knows."""

from __future__ import annotations

import json

import pytest

from selectools_observe import (
    AgentTrace,
    AsyncSQLiteTraceStore,
    InMemoryTraceStore,
    SQLiteTraceStore,
    TraceFilter,
    TraceStep,
)
from selectools_observe.analytics import PriceTable, areprice, reprice
from selectools_observe.analytics.prices import ESTIMATE
from selectools_observe.capture import ProcessingTraceStore

OWN = {"house-model": {"input": 2.0, "output": 10.0, "cache_read": 0.5}}


def call(model="house-model", prompt=1_000_000, completion=100_000, **fields):
    return TraceStep(
        "llm_call", 1_780_000_000.0, 5.0, model=model, prompt_tokens=prompt,
        completion_tokens=completion, **fields,
    )  # fmt: skip


@pytest.fixture
def own():
    return PriceTable(OWN, date="2026-11-01", package=False)


@pytest.fixture(scope="module")
def package():
    pytest.importorskip("genai_prices")
    return PriceTable()


def test_own_prices(own):
    assert own.estimate(call()).cost_usd == pytest.approx(3.0)
    assert own.estimate(call()).date == "2026-11-01"
    cached = call(extra={"cache_read_tokens": 400_000})
    assert own.estimate(cached).cost_usd == pytest.approx(0.6 * 2 + 0.4 * 0.5 + 1.0)
    beside = call(prompt=100_000, completion=0, extra={"cache_read_tokens": 1_000_000})
    assert own.estimate(beside).cost_usd == pytest.approx(0.2 + 0.5)


def test_prices_of_a_file(tmp_path):
    path = tmp_path / "prices.toml"
    path.write_text('["house/model.1"]\ninput = 1\noutput = 2\n')
    assert PriceTable(path, package=False).estimate(call("house/model.1")).cost_usd == 1.2
    path.write_text("[house\n")
    with pytest.raises(ValueError, match="not TOML"):
        PriceTable(path, package=False)


@pytest.mark.parametrize(
    "prices",
    [5, {}, {"input": 1}, {"input": 1, "output": -1}, {"input": 1, "output": "2"},
     {"input": 1, "output": True}, {"input": 1, "output": float("nan")},
     {"input": 1, "output": 1, "per_day": 5}],
    ids=str,
)  # fmt: skip
def test_prices_that_are_none(prices):
    with pytest.raises(ValueError, match=r"^m"):
        PriceTable({"m": prices}, package=False)


def test_prices_of_the_package(package):
    found = package.estimate(call("gpt-4o", 1000, 100))
    assert 0.0001 < found.cost_usd < 0.1
    assert found.table.startswith("genai-prices ")
    assert found.date == "2026-05-28"
    dated = package.estimate(call("gpt-4o-2024-08-06", 1000, 100))
    assert package.estimate(call("openai/gpt-4o", 1000, 100)) == found
    assert dated.cost_usd > 0
    cached = package.estimate(call("gpt-4o", 1000, 100, extra={"cache_read_tokens": 900}))
    assert cached.cost_usd < found.cost_usd


def test_own_prices_come_first(package):
    table = PriceTable({"gpt-4o": {"input": 0, "output": 0}})
    assert table.estimate(call("gpt-4o")).cost_usd == 0
    assert table.estimate(call("gpt-4o")).table == "own"
    assert package.estimate(call("gpt-4o")).cost_usd > 0


@pytest.mark.parametrize(
    "step",
    [
        call("nobody-knows-it"), call(None), call(prompt=None, completion=None),
        call(prompt=0, completion=0), TraceStep("tool_execution", tool_name="house-model"),
    ],
    ids=["model", "no-model", "no-tokens", "zero-tokens", "tool"],
)  # fmt: skip
def test_what_is_unknown_stays_so(step, package):
    assert package.estimate(step) is None
    package.priced(AgentTrace([step]))
    assert step.cost_usd is None


def test_what_was_told_is_never_replaced(own):
    told, free, estimated = call(cost_usd=9.0), call(cost_usd=0.0), call()
    run = AgentTrace([told, free, estimated])
    assert own.priced(run)[0] == 1
    assert own.priced(run, again=True)[0] == 1
    assert (told.cost_usd, free.cost_usd, estimated.cost_usd) == (9.0, 0.0, pytest.approx(3.0))
    assert estimated.extra == {ESTIMATE: {"table": "own", "date": "2026-11-01"}}
    assert told.extra is None


def test_at_capture(own):
    with ProcessingTraceStore(InMemoryTraceStore(), prices=own) as store:
        given = AgentTrace([call()], run_id="run")
        store.save(given)
        assert given.steps[0].cost_usd is None
        assert store.list()[0].cost_usd == pytest.approx(3.0)
        assert ESTIMATE in store.load("run").steps[0].extra


def runs():
    return [
        AgentTrace([call(), call("other")], run_id="one", metadata={"n": 1}),
        AgentTrace([call(cost_usd=1.0)], run_id="told", metadata={"n": 2}),
        AgentTrace([call()], run_id="two", metadata={"n": 2}),
    ]


def test_reprice(tmp_path, own):
    with SQLiteTraceStore(tmp_path / "runs.db") as store:
        store.save_many(runs())
        report = reprice(store, TraceFilter(metadata_match={"n": 2}), prices=own)
        assert (report.runs, report.repriced, report.steps) == (2, 1, 1)
        report = reprice(store, prices=own)
        assert (report.repriced, report.unknown) == (1, {"other": 1})
        assert store.count(TraceFilter(min_cost_usd=2.9)) == 2
        assert reprice(store, prices=own).repriced == 0
        dearer = PriceTable({"house-model": {"input": 20, "output": 0}}, package=False)
        assert reprice(store, prices=dearer, again=True).steps == 2
        assert store.load("two").steps[0].cost_usd == 20
        assert store.load("told").steps[0].cost_usd == 1
        assert store.verify().ok


async def test_areprice(tmp_path, own):
    async with AsyncSQLiteTraceStore(tmp_path / "runs.db") as store:
        await store.save_many(runs())
        assert (await areprice(store, prices=own)).repriced == 2
        assert (await store.load("two")).steps[0].cost_usd == pytest.approx(3.0)


def test_the_command(tmp_path):
    pytest.importorskip("click")
    from click.testing import CliRunner

    from selectools_observe.cli.command_group import command

    with SQLiteTraceStore(tmp_path / "runs.db") as store:
        store.save_many(runs())
    (tmp_path / "prices.toml").write_text("[house-model]\ninput = 2\noutput = 10\n")
    arguments = [
        "reprice",
        "-s",
        str(tmp_path / "runs.db"),
        "--prices",
        str(tmp_path / "prices.toml"),
    ]
    done = CliRunner().invoke(command, [*arguments, "--own-only", "--json"])
    assert json.loads(done.stdout) == {
        "runs": 3, "repriced": 2, "steps": 2, "unknown": {"other": 1},
    }  # fmt: skip


def test_import_estimates_when_it_is_asked_to(tmp_path):
    pytest.importorskip("click")
    from click.testing import CliRunner

    from selectools_observe.cli.command_group import command

    source, prices = tmp_path / "runs.jsonl", tmp_path / "prices.toml"
    source.write_text("".join(f"{json.dumps(run.to_dict())}\n" for run in runs()))
    prices.write_text("[house-model]\ninput = 2\noutput = 10\n")

    def imported(name, *options):
        store = str(tmp_path / name)
        done = CliRunner().invoke(command, ["import", str(source), "-s", store, *options])
        assert done.exit_code == 0, done.output
        with SQLiteTraceStore(store) as kept:
            return {run.run_id: run for run in kept.iter_traces()}

    assert imported("plain.db")["two"].steps[0].cost_usd is None
    found = imported("priced.db", "--prices", str(prices))
    assert found["two"].steps[0].cost_usd == pytest.approx(3.0)
    assert found["two"].steps[0].extra[ESTIMATE]["table"] == "own"
    assert found["told"].steps[0].cost_usd == 1
    assert ESTIMATE not in (found["told"].steps[0].extra or {})
    assert found["one"].steps[1].cost_usd is None  # nobody knows that model's price
