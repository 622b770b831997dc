"""Runs show themselves in notebooks, and become data frames."""

from __future__ import annotations

import html.parser
from datetime import UTC, datetime

import pytest
from hostile import profile
from hypothesis import given
from hypothesis import strategies as st

import selectools_observe as so
from selectools_observe.analytics.dataframes import to_dataframe

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&\x1b[31m\u202e\ud83d\x00"


class Reader(html.parser.HTMLParser):
    """What elements and attributes there are, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.add(tag)
        self.attributes.update(name for name, _ in attrs)
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


ELEMENTS = {"div", "style", "table", "thead", "tbody", "tr", "th", "td", "span", "b", "i",
            "details",
            "summary", "pre"}  # fmt: skip
ATTRIBUTES = {"class", "style", "title"}


def read(text: str) -> Reader:
    reader = Reader(text)
    assert reader.open == []
    assert reader.elements <= ELEMENTS
    assert reader.attributes <= ATTRIBUTES
    text.encode()
    return reader


def a_run(run_id="run-1") -> so.AgentTrace:
    steps = [
        so.TraceStep("llm_call", 10.0, 1500.0, model="gpt-4o", reasoning="Let me see."),
        so.TraceStep("tool_execution", 11.5, 500.0, tool_name="search", tool_args={"q": [1]}),
        so.TraceStep("error", 12.0, 0.0, tool_name="refund", error="no money"),
    ]
    return so.AgentTrace(steps, 10.0, run_id, "parent-1", {"user": "ada", "n": 3})


def a_page() -> so.TracePage:
    with so.InMemoryTraceStore() as store:
        store.save_many(a_run(f"run-{n}") for n in range(3))
        return store.list()


class TestHtml:
    def test_a_run(self):
        reader = read(a_run()._repr_html_())
        for said in ("run-1", "3 steps", "2.00 s", "started by parent-1", "user=", "ada", "gpt-4o",
                     "search", "Let me see.", "no money"):  # fmt: skip
            assert said in reader.text

    def test_what_was_said_to_a_model_and_by_it_shows(self):
        said = {"input": [{"role": "user", "content": "Where is it?"}], "output": "On its way."}
        run = so.AgentTrace([so.TraceStep("llm_call", node_name="ChatCompletion", **said)])
        assert "Where is it?" in run._repr_html_()
        assert "On its way." in run._repr_html_()

    def test_bars_stand_where_their_time_is(self):
        assert "left:0.00%;width:75.00%" in a_run()._repr_html_()
        assert "left:75.00%;width:25.00%" in a_run()._repr_html_()

    def test_a_page_of_runs(self):
        reader = read(a_page()._repr_html_())
        for said in ("run-0", "run-2", "2.00 s", "✗", "ada"):
            assert said in reader.text

    def test_hostile_texts_are_text(self):
        step = so.TraceStep(HOSTILE, 1.0, tool_name=HOSTILE, tool_result=HOSTILE, error=HOSTILE,
                            tool_args={HOSTILE: HOSTILE})  # fmt: skip
        run = so.AgentTrace(
            [step], run_id=HOSTILE, parent_run_id=HOSTILE, metadata={HOSTILE: HOSTILE}
        )
        reader = read(run._repr_html_())
        assert "<script>alert(1)</script>" in reader.text
        assert r"\x1b" in reader.text
        assert r"\ud83d" in reader.text
        moment = datetime(2026, 3, 1, tzinfo=UTC)
        read(
            so.TracePage(
                [so.TraceSummary(HOSTILE, 1, 1.0, moment, {HOSTILE: HOSTILE})]
            )._repr_html_()
        )

    @profile(100)
    @given(st.text(), st.floats(), st.floats())
    def test_any_run_shows(self, text, timestamp, duration):
        step = so.TraceStep(text, timestamp, duration, tool_name=text, tool_args={text: duration})
        read(so.AgentTrace([step, step], metadata={text: timestamp})._repr_html_())

    def test_large_runs_are_cut(self):
        steps = [so.TraceStep("llm_call", float(n), reasoning="x" * 9000) for n in range(30_000)]
        text = so.AgentTrace(steps)._repr_html_()
        assert "and 29,700 more steps" in text
        assert len(text) < 1_000_000
        page = so.TracePage([summary for summary in a_page() for _ in range(100)])
        assert "and 200 more runs" in page._repr_html_()

    def test_nothing_is_fetched(self):
        for text in (a_run()._repr_html_(), a_page()._repr_html_()):
            assert "http" not in text
            assert "url(" not in text

    def test_ipython_shows_it(self):
        formatters = pytest.importorskip(
            "IPython.core.formatters", reason="IPython is not installed"
        )
        shown, _ = formatters.DisplayFormatter().format(a_run())
        assert shown["text/html"] == a_run()._repr_html_()
        assert shown["text/plain"] == repr(a_run())
        shown, _ = formatters.DisplayFormatter().format(a_page())
        assert "run-2" in shown["text/html"]


@pytest.fixture(params=["pandas", "polars", "pandas without pyarrow", "polars without pyarrow"])
def engine(request, monkeypatch):
    name, *without = request.param.split(maxsplit=1)
    pytest.importorskip(name, reason=f"{name} is not installed")
    if without:
        monkeypatch.setattr("selectools_observe.analytics.dataframes._pyarrow", lambda: None)
    else:
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    return name


def types(frame) -> dict[str, str]:
    return {name: str(frame[name].dtype) for name in frame.columns}


FIELDS = {
    "pandas": {"created_at": "datetime64[us, UTC]", "steps": "int64", "total_ms": "float64",
               "prompt_tokens": "int64", "completion_tokens": "int64", "cost_usd": "float64",
               "has_error": "bool"},
    "polars": {"created_at": "Datetime(time_unit='us', time_zone='UTC')", "steps": "Int64",
               "total_ms": "Float64", "prompt_tokens": "Int64", "completion_tokens": "Int64",
               "cost_usd": "Float64", "has_error": "Boolean"},
}  # fmt: skip


class TestDataFrames:
    def test_columns_have_their_types(self, engine):
        for runs in ([], a_page()):
            found = types(to_dataframe(runs, engine))
            assert {name: found[name] for name in FIELDS[engine]} == FIELDS[engine]

    def test_values(self, engine):
        page = a_page()
        frame = to_dataframe(iter(page), engine)
        assert list(frame["run_id"]) == ["run-2", "run-1", "run-0"]
        assert list(frame["metadata.user"]) == ["ada"] * 3
        assert frame["created_at"][0] == page[0].created_at
        assert list(frame["has_error"]) == [True] * 3

    def test_metadata_of_many_kinds(self, engine):
        moment = datetime(2026, 3, 1, tzinfo=UTC)
        odd = {"mixed": 1, "deep": {"a": 1}, "huge": 2**70, "odd": "\ud83d"}
        kinds = [
            {"i": 1, "gap": 1, "f": 1.5, "b": True, "bgap": True, **odd},
            {"i": 2, "f": 2, "mixed": "x", "b": False, "deep": None, "huge": 1, "odd": "fine"},
        ]  # fmt: skip
        runs = [so.TraceSummary(str(n), 1, 1.0, moment, m) for n, m in enumerate(kinds)]
        frame = to_dataframe(runs, engine)
        found = types(frame)
        kinds = {"pandas": ["int64", "Int64", "float64", "bool", "boolean"],
                 "polars": ["Int64", "Int64", "Float64", "Boolean", "Boolean"]}[engine]  # fmt: skip
        assert [found[f"metadata.{name}"] for name in ("i", "gap", "f", "b", "bgap")] == kinds
        assert list(frame["metadata.mixed"]) == ["1", '"x"']
        assert frame["metadata.deep"][0] == '{"a":1}'
        assert list(frame["metadata.huge"]) == [str(2**70), "1"]
        assert list(frame["metadata.odd"]) == [r"\ud83d", "fine"]

    def test_an_engine_that_is_none(self):
        with pytest.raises(ValueError, match="'pandas', 'polars' or 'pyarrow', not 'dask'"):
            to_dataframe([], "dask")

    def test_a_missing_library_is_named(self, monkeypatch):
        def refuse(name, *_):
            raise ImportError(name)

        monkeypatch.setattr("selectools_observe.analytics.dataframes.import_module", refuse)
        with pytest.raises(ImportError, match=r'pip install "selectools-observe\[polars\]"'):
            to_dataframe([], "polars")


def test_what_was_said_is_shown_and_a_question_once():
    """The line of a call has its answer; behind a click stand the new words of both."""
    ask = {"role": "user", "content": "Where is my kettle?"}
    answer = {"role": "assistant", "content": "I look."}
    steps = [
        so.TraceStep("llm_call", input=[ask], output=answer),
        so.TraceStep(
            "llm_call", input=[{"message": ask}, {"message": answer}], output="On <its> way."
        ),
    ]
    text = so.AgentTrace(steps, input="Where is my kettle?", output="On <its> way.")._repr_html_()
    assert text.count("→</span> I look.") == 1
    assert "→</span> On &lt;its&gt; way." in text
    assert text.count('<div class="q">user</div><pre>Where is my kettle?</pre>') == 1
    assert '<div class="q">assistant</div><pre>On &lt;its&gt; way.</pre>' in text
    assert '<span class="q">input:</span> Where is my kettle?' in text
    assert "<its>" not in text
