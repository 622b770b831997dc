"""The subcommands, on real stores."""

from __future__ import annotations

import csv
import dataclasses
import io
import itertools
import json
import shutil
from datetime import UTC, datetime, timedelta

import pytest

pytest.importorskip("click", reason="the extra cli is not installed")
pytest.importorskip("rich", reason="the extra cli is not installed")

from command import ROOT, run, run_program, start

import selectools_observe as so
from selectools_observe.cli.command_group import command
from selectools_observe.stores.open import open_store


@pytest.fixture
def path(tmp_path):
    """A store of ten runs: run-0 to run-9."""
    made = tmp_path / "traces.db"
    with so.SQLiteTraceStore(made) as store:
        store.save_many(sample_runs())
    return made


def sample_runs():
    runs = []
    for number in range(10):
        trace = so.AgentTrace(
            run_id=f"run-{number}",
            start_time=1000.0,
            metadata={"user": "ada" if number % 2 else "ben", "n": number, "app": "desk"},
            parent_run_id="run-0" if number == 3 else None,
        )
        trace.add(so.TraceStep("llm_call", 1000.0, 100 * number, model="m-1", prompt_tokens=7,
            completion_tokens=3, cost_usd=0.01, reasoning="Let me see."))  # fmt: skip
        trace.add(
            so.TraceStep("tool_selection", 1000.5, tool_name="search", tool_args={"q": number})
        )
        trace.add(so.TraceStep("tool_execution", 1000.5, 40.0, tool_name="search",
            tool_args={"q": number}, tool_result=f"line one\nfound {number}"))  # fmt: skip
        if number == 4:
            trace.add(so.TraceStep("error", 1000.6, 3.0, tool_name="refund", error="no money left"))
        runs.append(trace)
    return runs


def ids(result) -> list[str]:
    return [run["run_id"] for run in json.loads(result.stdout)["traces"]]


class TestList:
    def test_newest_first(self, path):
        done = run("list", "-s", path, "--json")
        assert (done.returncode, done.stderr) == (0, "")
        assert ids(done) == [f"run-{n}" for n in range(9, -1, -1)]

    @pytest.mark.parametrize("before", [True, False])
    def test_the_store_is_named_before_or_after(self, path, before):
        named = ["--store", path]
        done = run(*(named if before else []), "list", *([] if before else named), "--count")
        assert (done.stdout, done.returncode) == ("10\n", 0)

    def test_the_store_is_named_by_the_environment_or_as_an_argument(self, path):
        assert run("list", "--count", SELECTOOLS_OBSERVE_STORE=str(path)).stdout == "10\n"
        assert run("list", path, "--count", SELECTOOLS_OBSERVE_STORE="other.db").stdout == "10\n"

    def test_people_get_a_table(self, path):
        done = run("list", path, "-n", 6, COLUMNS="80")
        heading, *lines = done.stdout.splitlines()
        assert " ".join(heading.split()) == "run started steps duration tokens cost metadata"
        assert len(lines) == 6
        assert all(len(line) <= 80 for line in done.stdout.splitlines())
        failed = next(line for line in lines if "run-4" in line)
        assert failed.startswith("✗ run-4")
        assert "603 ms" in failed  # from first to last
        assert "n=4" in failed

    def test_chosen_columns(self, path):
        names = "run,outcome,metadata.n,user,input"
        heading, first, *_ = run("list", path, "--columns", names).stdout.splitlines()
        assert heading.split() == ["run", "outcome", "n", "user", "input"]
        assert first.split()[:3] == ["run-9", "ok", "9"]

    @pytest.mark.parametrize(
        ("names", "told"),
        [("inpt", "did you mean input?"), ("qqq", "known: run, name"), (",", "no column is named"),
         ("metadata.", "is not a column")],
    )  # fmt: skip
    def test_a_column_that_is_none(self, path, names, told):
        done = run("list", path, "--columns", names)
        assert done.returncode == 2
        assert told in done.stderr

    def test_columns_are_for_tables(self, path):
        assert "JSON has all" in run("list", path, "--columns", "run", "--json").stderr

    def test_runs_with_a_name_and_an_input_show_them(self, tmp_path):
        with so.SQLiteTraceStore(tmp_path / "x.db") as store:
            for n in range(2):
                store.save(so.AgentTrace(run_id=f"{n}" * 32, name="agent", input=f"ask {n}",
                                         output="done", metadata={"k": n}))  # fmt: skip
        for columns in (80, 100, 140, 200):
            lines = run("list", tmp_path / "x.db", COLUMNS=str(columns)).stdout.splitlines()
            assert "input" in lines[0]
            assert "agent" in lines[1]
            assert ("ask 1 → done" in lines[1]) == (columns > 80)

    def test_what_runs_have_in_common_comes_last(self, path):
        done = run("list", path, COLUMNS="80")
        line = done.stdout.splitlines()[1]
        assert line.index("user=") < line.index("app=")

    def test_pages_lead_on(self, path):
        first = run("list", path, "-n", 4)
        cursor = first.stderr.split("--cursor ")[1].split()[0]
        assert ids(run("list", path, "-n", 4, "--cursor", cursor, "--json")) == [
            "run-5", "run-4", "run-3", "run-2",
        ]  # fmt: skip
        page = json.loads(run("list", path, "-n", 4, "--json").stdout)
        assert page["next_cursor"] == cursor

    def test_a_cursor_that_is_none(self, path):
        done = run("list", path, "--cursor", "x")
        assert done.returncode == 2
        assert "invalid cursor" in done.stderr

    def test_all(self, path):
        with so.SQLiteTraceStore(path) as store:
            store.save_many(so.AgentTrace(run_id=f"more-{n}") for n in range(700))
        assert len(run("list", path, "--all").stdout.splitlines()) == 711
        assert len(run("list", path).stdout.splitlines()) == 51
        assert len(ids(run("list", path, "--all", "--json"))) == 710
        assert len(run("list", path, "--all", "--jsonl", "-n", 600).stdout.splitlines()) == 600

    def test_an_empty_store_is_told_by_the_exit_code(self, tmp_path):
        so.SQLiteTraceStore(tmp_path / "empty.db").close()
        done = run("list", tmp_path / "empty.db")
        assert (done.stdout, done.stderr, done.returncode) == ("", "No runs match.\n", 1)

    def test_json_has_all_of_a_summary(self, path):
        line = json.loads(run("list", path, "--jsonl", "-n", 1).stdout)
        with so.SQLiteTraceStore(path) as store:
            summary = store.list(limit=1)[0]
        assert datetime.fromisoformat(line.pop("created_at")) == summary.created_at
        assert datetime.fromisoformat(line.pop("started_at")) == summary.started_at
        names = set(so.TraceSummary.__struct_fields__) - {"created_at", "started_at"}
        assert line == {name: getattr(summary, name) for name in names}


FILTERS = {
    "metadata_match": (["--match", "user=ada", "-m", "n=3"], {"user": "ada", "n": 3}),
    "since": (["--since", "2h"], datetime.now(UTC) - timedelta(hours=2)),
    "until": (["--until", "2h"], datetime.now(UTC) - timedelta(hours=2)),
    "has_error": (["--error"], True),
    "tool_name": (["--tool", "refund"], "refund"),
    "name": (["--name", "nightly"], "nightly"),
    "session_id": (["--session", "s-1"], "s-1"),
    "user_id": (["--user", "ada"], "ada"),
    "agent": (["--agent", "support"], "support"),
    "tags": (["--tag", "a", "--tag", "b"], ["a", "b"]),
    "outcome": (["--outcome", "error"], "error"),
    "started_since": (["--started-since", "2h"], datetime.now(UTC) - timedelta(hours=2)),
    "started_until": (["--started-until", "2h"], datetime.now(UTC) - timedelta(hours=2)),
    "min_wall_ms": (["--min-wall-ms", "5"], 5),
    "max_wall_ms": (["--max-wall-ms", "5"], 5),
    "model": (["--model", "m-2"], "m-2"),
    "step_type": (["--step-type", "error"], "error"),
    "min_steps": (["--min-steps", "4"], 4),
    "max_steps": (["--max-steps", "3"], 3),
    "min_ms": (["--min-ms", "540.5"], 540.5),
    "max_ms": (["--max-ms", "240"], 240),
    "min_cost_usd": (["--min-cost", "0.02"], 0.02),
    "max_cost_usd": (["--max-cost-usd", "0.01"], 0.01),
    "parent_run_id": (["--parent", "run-0"], "run-0"),
    "run_ids": (["--run-id", "run-1", "--run-id", "run-x"], ["run-1", "run-x"]),
    "limit": (["--limit", "3"], 3),
}


class TestFilters:
    def test_every_field_has_an_option(self):
        fields = {field.name for field in dataclasses.fields(so.TraceFilter)}
        options = {option.name for option in command.commands["list"].params}
        assert fields <= options
        # Tried elsewhere, as they are no plain values: words, and the language and its orders.
        assert fields - {"text", "where", "order_by"} == set(FILTERS)

    @pytest.mark.parametrize("name", FILTERS)
    def test_an_option_is_what_its_field_is(self, path, name):
        arguments, value = FILTERS[name]
        with so.SQLiteTraceStore(path) as store:
            wanted = [s.run_id for s in store.query(so.TraceFilter(**{name: value}))]
        done = run("query", "-s", path, "--json", *arguments)
        assert ids(done) == wanted
        assert done.returncode == (0 if wanted else 1)

    def test_pairs_of_query(self, path):
        assert ids(run("query", "-s", path, "user=ada", "n=7", "--json")) == ["run-7"]
        assert ids(run("query", "-s", path, "user=ada", "--match", "n=9", "--json")) == ["run-9"]

    def test_a_number_that_was_meant_as_text_gets_a_hint(self, path):
        done = run("query", "-s", path, "user=1042")
        assert done.returncode == 1
        assert "user was parsed as JSON (1042); to match text write 'user=\"1042\"'" in done.stderr

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["--since", "soon"], "is not a time"),
            (["--min-steps", "x"], "not a valid integer"),
            (["--min-ms", "nan"], "min_ms must be a number"),
            (["--match", "user"], "KEY=VALUE"),
            (["--limit", "-1"], "x>=0"),
            (["--nonsense"], "No such option"),
        ],
    )
    def test_what_is_no_filter(self, path, arguments, says):
        done = run("list", path, *arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert says in done.stderr
        assert len(done.stderr.splitlines()) == 1


class TestShow:
    def test_a_waterfall(self, path):
        done = run("show", "run-4", "-s", path, COLUMNS="80")
        lines = done.stdout.splitlines()
        assert lines[0] == "run run-4"
        assert (
            "4 steps · 603 ms (443 ms active) · 7 in / 3 out tokens · $0.0100 · 1 error" in lines[1]
        )
        drawn = "\n".join(lines[lines.index("") :])
        assert [word for word in ("llm", "select", "tool", "error") if word in drawn] != []
        assert "no money left" in drawn
        assert all(len(line) <= 80 for line in lines)

    def test_what_capture_could_not_read_is_said(self, tmp_path):
        with so.SQLiteTraceStore(tmp_path / "x.db") as store:
            store.save(so.AgentTrace(run_id="own", extra={"lost_events": ["KeyError: 'x'"]}))
            deep = {"langchain": {"lost_events": ["a", "b"]}, "other": 1}
            store.save(so.AgentTrace(run_id="deep", extra=deep))
            store.save(so.AgentTrace(run_id="whole", extra={"lost_events": 5}))
        shown = {
            name: run("show", name, "-s", tmp_path / "x.db").stdout for name in ("own", "deep")
        }
        assert "incomplete: 1 event could not be read (see --json)" in shown["own"]
        assert "incomplete: 2 events could not be read" in shown["deep"]
        assert "incomplete" not in run("show", "whole", "-s", tmp_path / "x.db").stdout

    def test_bars_stand_where_their_time_is(self, path):
        done = run("show", "run-9", "-s", path, "--no-children", COLUMNS="100")
        (llm,) = [line for line in done.stdout.splitlines() if " llm " in line]
        (tool,) = [line for line in done.stdout.splitlines() if " tool " in line]
        # The call takes 900 of 900 ms from the start; the tool 40 ms from 500 ms on.
        start, bars = llm.index("█"), llm.count("█")
        assert bars > 20
        middle = min(i for i, c in enumerate(tool) if c in "█▌▏")
        assert middle - start == pytest.approx(bars * 500 / 900, abs=1.5)

    def test_idle_time_is_left_out_of_the_scale(self, tmp_path):
        steps = [
            so.TraceStep("llm_call", model="m", timestamp=1000 + at, duration_ms=500)
            for at in (0, 0.5, 60, 61)
        ]
        with so.SQLiteTraceStore(tmp_path / "x.db") as store:
            store.save(so.AgentTrace(run_id="r", name="agent", start_time=1000, steps=steps))
        lines = run("show", "r", "-s", tmp_path / "x.db", COLUMNS="100").stdout.splitlines()
        assert "1m 02s (2.00 s active)" in lines[1]
        assert "name: agent" in " ".join(lines)
        (scale,) = [line for line in lines if "idle" in line]
        assert "2.00 s + 59.50 s idle" in scale
        places = [line.index("█") for line in lines if "█" in line]
        steps_apart = [b - a for a, b in itertools.pairwise(places)]
        assert max(steps_apart) - min(steps_apart) <= 1

    def test_the_newest_run_is_shown_if_none_is_named(self, path):
        assert run("show", "-s", path).stdout.startswith("run run-9\n")
        assert run("show", "@3", "-s", path).stdout.startswith("run run-7\n")

    def test_a_beginning_will_do_if_no_other_run_has_it(self, path):
        with so.SQLiteTraceStore(path) as store:
            store.save(so.AgentTrace(run_id="b7f3e2"))
        assert run("show", "b7", "-s", path).stdout.startswith("run b7f3e2\n")
        assert run("show", "b7f…", "-s", path).stdout.startswith("run b7f3e2\n")
        several = run("show", "run-", "-s", path)
        assert several.returncode == 2
        assert "several runs begin with 'run-'" in several.stderr

    def test_an_id_that_begins_others_is_itself(self, path):
        with so.SQLiteTraceStore(path) as store:
            store.save(so.AgentTrace(run_id="run-"))
        assert run("show", "run-", "-s", path).stdout.startswith("run run-\n")

    @pytest.mark.parametrize("name", ["nothing", "@11", "@0x"])
    def test_a_run_that_is_not_there(self, path, name):
        done = run("show", name, "-s", path)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"'{name}' not found in {path}" in done.stderr

    def test_json_is_the_run_as_it_is_stored(self, path):
        done = run("show", "run-4", "-s", path, "--json")
        with so.SQLiteTraceStore(path) as store:
            assert json.loads(done.stdout) == store.load("run-4").to_dict()

    def test_full_says_everything(self, path):
        done = run("show", "run-4", "-s", path, "--full")
        for said in ("reasoning: Let me see.", 'tool_args: {"q": 4}', "line one\n", "found 4\n",
                     "error: no money left",
                     "7 prompt tokens, 3 completion tokens, $0.0100"):  # fmt: skip
            assert said in done.stdout

    def test_one_step(self, path):
        done = run("show", "run-4", "-s", path, "--step", 3)
        assert "found 4" in done.stdout
        assert "no money" not in done.stdout
        assert run("show", "run-4", "-s", path, "--step", 9).returncode == 2
        with so.SQLiteTraceStore(path) as store:
            store.save(so.AgentTrace([so.TraceStep("llm_call", model="gpt-4o")], run_id="called"))
        done = run("show", "called", "-s", path, "--step", 1)
        assert "llm    gpt-4o " in done.stdout  # whole: there is room

    def test_runs_that_it_started_stand_in_it(self, path):
        done = run("show", "run-0", "-s", path)
        assert "run    run-3" in done.stdout
        assert "run-3" not in run("show", "run-0", "-s", path, "--no-children").stdout

    def test_runs_that_start_each_other_end(self, tmp_path):
        with so.SQLiteTraceStore(tmp_path / "x.db") as store:
            store.save(so.AgentTrace(run_id="a", parent_run_id="b"))
            store.save(so.AgentTrace(run_id="b", parent_run_id="a"))
            store.save(so.AgentTrace(run_id="c", parent_run_id="c"))
        assert run("show", "a", "-s", tmp_path / "x.db").returncode == 0
        assert run("show", "c", "-s", tmp_path / "x.db").returncode == 0

    def test_a_run_of_many_steps_is_cut(self, tmp_path):
        steps = [so.TraceStep("llm_call", 1.0 + n, 1.0) for n in range(30_000)]
        with so.SQLiteTraceStore(tmp_path / "x.db") as store:
            store.save(so.AgentTrace(steps=steps))
        done = run("show", "-s", tmp_path / "x.db")
        assert "29,000 more steps" in done.stderr
        assert len(done.stdout.splitlines()) < 1010

    def test_odd_times_are_drawn_too(self, tmp_path):
        odd = [float("nan"), float("inf"), -1.0, 0, 1e308]
        with so.SQLiteTraceStore(tmp_path / "x.db") as store:
            for n, value in enumerate(odd):
                steps = [so.TraceStep("llm_call", value, other) for other in odd]
                store.save(so.AgentTrace(run_id=f"r{n}", steps=steps, start_time=value))
            store.save(so.AgentTrace(run_id="none"))
        for name in ("r0", "r1", "r2", "r3", "r4", "none"):
            done = run("show", name, "-s", tmp_path / "x.db")
            assert (done.returncode, done.stderr) == (0, "")


class TestStats:
    def test_tables(self, path):
        done = run("stats", path, COLUMNS="80")
        assert (
            "10 runs · 1 with errors (10%) · 31 steps · 70 in / 30 out tokens · $0.1000"
            in done.stdout
        )
        assert any(
            line.startswith("search") and " 10 " in line for line in done.stdout.splitlines()
        )
        assert all(len(line) <= 80 for line in done.stdout.splitlines())

    def test_json_has_all_figures(self, path):
        found = json.loads(run("stats", path, "--json", "--by", "hour").stdout)
        assert found["total"]["runs"] == 10
        assert found["total"]["duration_ms"]["p50"] == 443
        assert found["models"] == []
        assert sum(hour["runs"] for hour in found["hours"]) == 10

    def test_filters(self, path):
        done = run("stats", path, "--tool", "refund", "--json")
        assert json.loads(done.stdout)["total"]["runs"] == 1
        assert run("stats", path, "--tool", "nothing").returncode == 1


class TestCompare:
    def test_where_two_runs_part(self, path):
        done = run("compare", "run-2", "run-4", "-s", path, COLUMNS="80")
        assert done.returncode == 1
        assert "tool_args.q" in done.stdout
        assert "- 2" in done.stdout
        assert "+ 4" in done.stdout
        assert any(line.startswith("+ ") and "refund" in line for line in done.stdout.splitlines())
        assert all(len(line) <= 80 for line in done.stdout.splitlines())

    def test_runs_that_did_the_same(self, path):
        done = run("compare", "run-2", "run-2", "-s", path)
        assert done.returncode == 0
        assert "The runs are the same." in done.stdout

    def test_json(self, path):
        done = run("compare", "run-2", "run-4", "-s", path, "--json")
        found = json.loads(done.stdout)
        assert found["comparison"]["first_difference"] == 1
        assert found["comparison"]["pairs"][1] == {
            "left": 1, "right": 1, "change": "changed", "fields": ["tool_args"],
        }  # fmt: skip

    def test_more_than_two_are_a_table(self, path):
        done = run("compare", "run-2", "run-4", "run-2", "-s", path)
        assert done.returncode == 1
        heads, *rows = done.stdout.splitlines()
        assert heads.split() == ["run-2", "run-4", "run-2"]
        cells = {row[:18].strip(): row[18:].split() for row in rows}
        assert cells["differing steps"][0] == cells["differing steps"][2] == "0"
        assert int(cells["differing steps"][1]) > 0
        told = json.loads(run("compare", "run-2", "run-4", "run-2", "-s", path, "--json").stdout)
        assert [row["run_id"] for row in told["table"]["rows"]] == ["run-2", "run-4", "run-2"]

    def test_runs_worth_comparing(self, tmp_path):
        path = tmp_path / "runs.db"
        with so.SQLiteTraceStore(path) as store:
            for n in range(3):
                store.save(so.AgentTrace(run_id=f"run-{n}", metadata={"task_id": n % 2}))
        done = run("compare", "run-2", "-s", path)
        assert (done.returncode, done.stdout.splitlines()[0]) == (0, "same task_id: 0")
        assert "run-0" in done.stdout
        told = json.loads(run("compare", "run-2", "-s", path, "--json").stdout)
        assert [run["run_id"] for run in told["candidates"][0]["runs"]] == ["run-0"]
        assert run("compare", "run-1", "-s", path).returncode == 1

    def test_numbers_and_words_that_differ(self, tmp_path):
        path = tmp_path / "runs.db"
        with so.SQLiteTraceStore(path) as store:
            for n, words in enumerate(("a red house", "a blue house")):
                step = so.TraceStep("llm_call", cost_usd=0.5 + n, output=words)
                store.save(so.AgentTrace(run_id=f"run-{n}", steps=[step]))
        done = run("--color", "always", "compare", "run-0", "run-1", "-s", path)
        assert "\x1b[1;31mred\x1b[0m" in done.stdout
        assert "\x1b[1;32mblue\x1b[0m" in done.stdout
        plain = run("compare", "run-0", "run-1", "-s", path).stdout
        assert "output[0].text" in plain
        assert any(row.split() == ["cost", "$0.5000", "$1.50", "+$1.00", "(+200%)"]
                   for row in plain.splitlines())  # fmt: skip

    def test_across_stores(self, path, tmp_path):
        shutil.copy(path, tmp_path / "other.db")
        done = run("compare", "run-2", "run-2", "-s", path, "--other-store", tmp_path / "other.db")
        assert done.returncode == 0


class TestMoving:
    def test_export_and_import_lose_nothing(self, path, tmp_path):
        out = tmp_path / "out.jsonl"
        assert run("export", "-s", path, "-o", out).returncode == 0
        assert run("import", out, "-s", tmp_path / "back.db").returncode == 0
        with so.SQLiteTraceStore(path) as one, so.SQLiteTraceStore(tmp_path / "back.db") as other:
            assert list(one.iter_traces()) == list(other.iter_traces())

    def test_an_export_is_a_store_with_the_same_times(self, path, tmp_path):
        out = tmp_path / "out.jsonl"
        run("export", "-s", path, "-o", out, "--error")
        with so.SQLiteTraceStore(path) as one, so.JSONLTraceStore(out) as other:
            assert other.list() == one.query(so.TraceFilter(has_error=True))

    def test_lines_go_to_standard_output(self, path):
        done = run("export", "-s", path, "-n", 2)
        assert [json.loads(line)["run_id"] for line in done.stdout.splitlines()] == [
            "run-8",
            "run-9",
        ]

    def test_a_table_for_spreadsheets(self, path, tmp_path):
        with so.SQLiteTraceStore(path) as store:
            store.save(so.AgentTrace(run_id="=1+1", metadata={"a": 'b,\n"c'}))
        rows = list(
            csv.DictReader(io.StringIO(run("export", "-s", path, "--format", "csv").stdout))
        )
        assert len(rows) == 11
        assert rows[-1]["run_id"] == "'=1+1"
        assert json.loads(rows[-1]["metadata"]) == {"a": 'b,\n"c'}
        assert rows[4]["has_error"] == "True"

    def test_a_file_is_replaced_only_if_asked(self, path, tmp_path):
        out = tmp_path / "out.csv"
        out.write_text("mine")
        done = run("export", "-s", path, "-o", out)
        assert done.returncode == 2
        assert out.read_text() == "mine"
        assert run("export", "-s", path, "-o", out, "--force").returncode == 0
        assert out.read_text().startswith("run_id,")
        assert {p.name for p in tmp_path.iterdir()} <= {
            "out.csv",
            "traces.db",
            "traces.db-wal",
            "traces.db-shm",
        }

    def test_an_unknown_ending_needs_a_format(self, path, tmp_path):
        assert run("export", "-s", path, "-o", tmp_path / "out.xyz").returncode == 2

    @pytest.mark.parametrize("source", ["x.db", "x.jsonl"])
    @pytest.mark.parametrize("target", ["y.db", "y.jsonl", "sqlite:///y", "jsonl:///y"])
    def test_copy_from_any_store_to_any_other(self, tmp_path, source, target):
        store = open_store(tmp_path / source)
        store.save_many(sample_runs())
        store.close()
        done = run("copy", source, target, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, f"10 runs saved to {target}\n")
        done = run("list", "-s", target, "--json", cwd=tmp_path)
        assert ids(done) == [f"run-{n}" for n in range(9, -1, -1)]

    def test_copy_takes_filters_and_leaves_alone_what_is_there(self, path, tmp_path):
        other = tmp_path / "other.jsonl"
        run("copy", other, "-s", path, "--match", "user=ada")
        again = run("copy", path, other, "--skip-existing")
        assert "5 runs saved" in again.stderr
        assert "5 already there" in again.stderr

    def test_copy_to_itself_is_refused(self, path):
        done = run("copy", path, f"sqlite:///{path}")
        assert done.returncode == 2
        assert "the same store" in done.stderr

    def test_import_of_json_in_several_shapes(self, tmp_path):
        runs = [trace.to_dict() for trace in sample_runs()[:3]]
        shapes = {
            "array.json": json.dumps(runs, indent=2),
            "one.json": json.dumps(runs[0], indent=2),
            "lines.jsonl": "\n".join(map(json.dumps, runs)),
            "answer.json": json.dumps({"traces": runs, "next_cursor": None}),
        }
        for name, text in shapes.items():
            (tmp_path / name).write_text(text)
            target = tmp_path / f"{name}.db"
            done = run("import", tmp_path / name, "-s", target)
            assert done.returncode == 0, done.stderr
            assert run("list", target, "--count").stdout == ("1\n" if name == "one.json" else "3\n")
        done = run_program("import", "-", "-s", tmp_path / "in.db", stdin=shapes["array.json"])
        assert done.stderr == f"3 runs saved to {tmp_path / 'in.db'}\n"

    def test_import_of_selectools_files(self, airline_jsonl, airline_db, tmp_path):
        for number, source in enumerate((airline_jsonl, airline_db)):
            target = tmp_path / f"{number}.db"
            assert run("import", source, "-s", target).returncode == 0
            assert run("list", target, "--count").stdout == "200\n"

    def test_what_is_no_run_is_told_and_skipped(self, tmp_path):
        source = tmp_path / "x.jsonl"
        good = json.dumps(sample_runs()[0].to_dict())
        source.write_text(f'{good}\n{{"torn": \n[1, 2]\n{{"run_id": 5, "steps": 3}}\n\n')
        done = run("import", source, "-s", tmp_path / "x.db")
        assert done.returncode == 1
        assert "line 2" in done.stderr
        assert "line 3, entry 0: it is not a JSON object" in done.stderr
        assert "1 run saved" in done.stderr
        assert "4 skipped" in done.stderr

    def test_import_of_nothing(self, tmp_path):
        done = run("import", "no.jsonl", "-s", tmp_path / "x.db", cwd=tmp_path)
        assert done.returncode == 3
        assert not (tmp_path / "x.db").exists()


class TestDelete:
    def test_asks_for_yes_where_there_is_nobody_to_ask(self, path):
        done = run("delete", "run-1", "-s", path)
        assert done.returncode == 2
        assert "--yes" in done.stderr
        assert run("list", path, "--count").stdout == "10\n"

    def test_named_runs(self, path):
        done = run("delete", "run-1", "run-2", "run-1", "-s", path, "--yes")
        assert (done.returncode, done.stderr) == (0, "2 deleted\n")
        assert run("list", path, "--count").stdout == "8\n"

    def test_one_that_is_not_there_deletes_none(self, path):
        assert run("delete", "run-1", "nothing", "-s", path, "--yes").returncode == 1
        assert run("list", path, "--count").stdout == "10\n"

    def test_all_that_match(self, path):
        shown = run("delete", "--match", "user=ada", "-s", path, "--dry-run")
        assert shown.stdout.splitlines() == ["run-9", "run-7", "run-5", "run-3", "run-1"]
        assert run("delete", "--match", "user=ada", "-s", path, "--yes").returncode == 0
        assert run("list", path, "--count").stdout == "5\n"
        assert run("delete", "--match", "user=ada", "-s", path, "--yes").returncode == 1

    @pytest.mark.parametrize("arguments", [[], ["run-1", "--error"]])
    def test_without_saying_which(self, path, arguments):
        assert run("delete", *arguments, "-s", path, "--yes").returncode == 2


def next_line(program) -> str:
    line = program.stdout.readline()
    assert line, program.stderr.read()
    return line


class TestTail:
    def test_the_newest_last(self, path):
        done = run("tail", path, "-n", 3, "--jsonl")
        assert [json.loads(line)["run_id"] for line in done.stdout.splitlines()] == [
            "run-7", "run-8", "run-9",
        ]  # fmt: skip

    @pytest.mark.parametrize("kind", ["db", "jsonl"])
    def test_what_others_save_is_seen_once_and_in_order(self, tmp_path, kind):
        name = tmp_path / f"x.{kind}"
        store = open_store(name)
        store.save_many(sample_runs())
        with start("tail", "-f", name, "--jsonl", "-n", 2, "--interval", "0.05") as program:
            try:
                seen = [json.loads(next_line(program))["run_id"] for _ in range(2)]
                for batch in range(20):
                    store.save_many(so.AgentTrace(run_id=f"{batch}-{n}") for n in range(batch * 9))
                store.save(so.AgentTrace(run_id="run-3"))
                store.delete("run-9")
                store.save(so.AgentTrace(run_id="last"))
                while not seen or seen[-1] != "last":
                    seen.append(json.loads(next_line(program))["run_id"])
            finally:
                program.kill()
            assert program.stderr.read() == ""
        store.close()
        new = [f"{batch}-{n}" for batch in range(20) for n in range(batch * 9)]
        assert seen == ["run-8", "run-9", *new, "run-3", "last"]

    def test_filters(self, path):
        with start("tail", "-f", path, "--jsonl", "--interval", "0.05", "--error") as program:
            try:
                assert json.loads(next_line(program))["run_id"] == "run-4"
                with so.SQLiteTraceStore(path) as store:
                    store.save(so.AgentTrace(run_id="good"))
                    store.save(so.AgentTrace(run_id="bad", steps=[so.TraceStep(so.StepType.ERROR)]))
                assert json.loads(next_line(program))["run_id"] == "bad"
            finally:
                program.kill()

    @pytest.mark.parametrize("kind", ["db", "jsonl"])
    def test_a_store_that_goes_and_comes_back(self, tmp_path, kind):
        name = tmp_path / f"x.{kind}"
        _make(name, "first")
        with start("tail", "-f", name, "--jsonl", "--interval", "0.05") as program:
            try:
                assert json.loads(next_line(program))["run_id"] == "first"
                for file in tmp_path.iterdir():
                    file.unlink()
                assert "is gone; waiting" in program.stderr.readline()
                _make(tmp_path / "new", "second", f"{'sqlite' if kind == 'db' else 'jsonl'}:///")
                (tmp_path / "new").rename(name)
                assert "was replaced" in program.stderr.readline()
                assert json.loads(next_line(program))["run_id"] == "second"
            finally:
                program.kill()


def _make(path, run_id, scheme=""):
    store = open_store(f"{scheme}{path}")
    store.save(so.AgentTrace(run_id=run_id))
    store.close()


class TestDemo:
    def test_it_shows_what_it_kept(self, tmp_path):
        done = run("demo", cwd=tmp_path, COLUMNS="100")
        assert (done.returncode, done.stderr) == (0, "")
        assert "serve demo.db" in done.stdout
        with so.SQLiteTraceStore(tmp_path / "demo.db") as store:
            assert store.count() == 6
            assert store.count(so.TraceFilter(has_error=True)) >= 3
            newest = store.list(limit=1)[0]
            assert store.count(so.TraceFilter(parent_run_id=newest.run_id)) == 2
            assert newest.cost_usd > 0
        assert run("demo", cwd=tmp_path).returncode == 0

    def test_its_tools_are_real(self):
        from selectools_observe.cli import demo_agent

        assert "zoneinfo" not in demo_agent.find_modules("time")
        assert "datetime" in demo_agent.find_modules("time")
        assert int(demo_agent.count_lines("json")) > 500
        assert "URL" in demo_agent.describe("urllib.parse")
        with pytest.raises(LookupError, match="urlib"):
            demo_agent.describe("urlib")

    def test_every_question_ends(self):
        from selectools_observe.capture import Recorder
        from selectools_observe.cli.demo_agent import SCRIPT, DemoAgent, ScriptedModel

        with so.InMemoryTraceStore() as store, Recorder(store) as recorder:
            for question in SCRIPT:
                DemoAgent(recorder, ScriptedModel()).answer(question, "ada")
                assert store.list()[0].metadata["question"] == question
                assert store.list()[0].steps > 2


class TestTheProgram:
    def test_version_and_help(self):
        version = f"selectools-observe {so.__version__}\n"
        assert run("--version").stdout == run_program("--version").stdout == version
        assert run("--help").returncode == 0
        assert run("list", "-h").returncode == 0

    def test_without_a_store(self):
        done = run("list")
        assert done.returncode == 2
        assert "name one with --store" in done.stderr

    def test_completion_of_run_ids_tools_and_models(self, path):
        def completed(words: str) -> list[str]:
            done = run(
                SELECTOOLS_OBSERVE_STORE=str(path), COMP_WORDS=f"selectools-observe {words}",
                COMP_CWORD=str(len(words.split(" "))), _SELECTOOLS_OBSERVE_COMPLETE="bash_complete",
            )  # fmt: skip
            return [line.partition(",")[2] for line in done.stdout.splitlines()]

        assert completed("show run-4") == ["run-4"]
        assert len(completed("show ")) == 10
        assert completed("list --tool r") == ["refund"]
        assert completed("list --model ") == ["m-1"]
        assert completed("list --step-type graph_s") == ["graph_stall"]
        assert "compare" in completed("com")

    def test_completion_keeps_quiet_about_trouble(self, tmp_path):
        done = run_program(
            SELECTOOLS_OBSERVE_STORE=str(tmp_path / "no.db"), COMP_CWORD="2",
            COMP_WORDS="selectools-observe show x", _SELECTOOLS_OBSERVE_COMPLETE="bash_complete",
        )  # fmt: skip
        assert (done.stdout.strip(), done.stderr) == ("", "")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_completion_scripts(self, shell):
        assert "_SELECTOOLS_OBSERVE_COMPLETE" in run("completion", shell).stdout

    def test_a_missing_extra_is_one_line(self, tmp_path):
        (tmp_path / "click.py").write_text("raise ModuleNotFoundError('x', name='click')")
        done = run_program("list", PYTHONPATH=f"{tmp_path}:{ROOT}")
        assert done.returncode == 2
        assert done.stderr == (
            'The command line needs click and rich: pip install "selectools-observe[cli]"\n'
        )
