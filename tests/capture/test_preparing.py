"""Truncation, sampling, and what a preparation leaves alone."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selectools_observe import (
    AgentTrace,
    AsyncInMemoryTraceStore,
    InMemoryTraceStore,
    InvalidTraceError,
    SQLiteTraceStore,
    TraceNotFoundError,
    TraceStep,
)
from selectools_observe.capture import (
    AsyncProcessingTraceStore,
    ProcessingTraceStore,
    TraceProcessor,
    common_redactors,
)
from selectools_observe.testing.samples import full_trace, newer_trace


def failed(run_id: str) -> AgentTrace:
    return AgentTrace([TraceStep("tool_execution", error="no")], run_id=run_id)


class TestNothingElseChanges:
    @pytest.mark.parametrize("make", [full_trace, newer_trace])
    def test_what_needs_no_preparation_is_stored_as_it_is(self, make):
        with ProcessingTraceStore(InMemoryTraceStore(), redact=common_redactors()) as store:
            trace = make()
            assert store.load(store.save(trace)).to_dict() == trace.to_dict()

    def test_the_callers_trace_is_never_changed(self):
        step = TraceStep("tool_execution", tool_args={"api_key": "x", "l": ["y" * 50]})
        trace = AgentTrace([step], metadata={"password": "x"}, extra={"token": "x"})
        before = copy.deepcopy(trace)
        prepared = TraceProcessor(redact=common_redactors(), truncate=5).trace(trace)
        assert trace == before
        assert prepared != before

    def test_selectools_traces_are_prepared_too(self):
        selectools = pytest.importorskip("selectools")
        step = selectools.TraceStep(type=selectools.StepType.LLM_CALL, error="password=x")
        trace = selectools.AgentTrace(steps=[step])
        with ProcessingTraceStore(InMemoryTraceStore(), redact=common_redactors()) as store:
            assert store.load(store.save(trace)).steps[0].error == "password=[redacted]"

    def test_an_invalid_trace_is_refused_as_ever(self):
        with ProcessingTraceStore(InMemoryTraceStore(), sample=0.0) as store:
            with pytest.raises(InvalidTraceError):
                store.save(AgentTrace(run_id=""))
            with pytest.raises(InvalidTraceError):
                store.save_many([AgentTrace(), "no trace"])
            assert store.count() == 0

    def test_the_wrong_kind_of_store_is_refused(self):
        with pytest.raises(TypeError, match="is an async store: use AsyncProcessingTraceStore"):
            ProcessingTraceStore(AsyncInMemoryTraceStore())
        with pytest.raises(TypeError, match="is a blocking store: use ProcessingTraceStore"):
            AsyncProcessingTraceStore(InMemoryTraceStore())
        with pytest.raises(TypeError, match="not a trace store"):
            ProcessingTraceStore("traces.db")

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ({"truncate": 0}, ValueError),
            ({"sample": 1.5}, ValueError),
            ({"sample": -0.1}, ValueError),
            ({"redact": ["api_key"]}, TypeError),
        ],
    )
    def test_bad_options_are_refused(self, options, error):
        with pytest.raises(error):
            ProcessingTraceStore(InMemoryTraceStore(), **options)


class TestTruncate:
    def test_long_texts_of_steps_are_cut_at_any_depth(self):
        step = TraceStep(
            "tool_execution",
            tool_args={"q": "a" * 12, "l": [{"t": "b" * 30}]},
            tool_result="c" * 1_000_010,
            error="short",
        )
        metadata = {"note": "d" * 30, "thread_id": "e" * 30}
        trace = AgentTrace(
            [step], metadata=metadata, name="f" * 30, session_id="g" * 30, extra={"own": ["h" * 30]}
        )
        with ProcessingTraceStore(InMemoryTraceStore(), truncate=10) as store:
            loaded = store.load(store.save(trace))
        (kept,) = loaded.steps
        assert kept.tool_result == "c" * 10 + "… [1,000,000 characters more]"
        assert kept.tool_args["q"] == "a" * 10 + "… [2 characters more]"
        assert kept.tool_args["l"][0]["t"].startswith("b" * 10 + "…")
        assert kept.error == "short"
        more = "… [20 characters more]"
        assert loaded.metadata == {"note": "d" * 10 + more, "thread_id": "e" * 30}
        assert (loaded.name, loaded.session_id) == ("f" * 10 + more, "g" * 30)
        assert loaded.extra == {"own": ["h" * 10 + more]}

    @pytest.mark.parametrize(
        "name",
        [
            "grid",
            "paid",
            "said",
            "valid",
            "android",
            "Id list",
            "identity",
            "id_card",
            "idle",
            "kid",
        ],
    )
    def test_a_text_is_no_id_for_its_name_ends_like_one(self, name):
        (kept,) = self._kept({name: "x" * 30}, {"deep": [{name: "y" * 30}]})
        assert kept.metadata == {name: "x" * 10 + "… [20 characters more]"}
        assert kept.extra == {"deep": [{name: "y" * 10 + "… [20 characters more]"}]}

    @pytest.mark.parametrize(
        "name",
        ["id", "ID", "thread_id", "gen_ai.conversation.id", "threadId", "runID", "tool-call-id",
         "userid", "SESSION_ID", "traceid"],
    )  # fmt: skip
    def test_ids_stay_whole_wherever_they_stand(self, name):
        (kept,) = self._kept({name: "x" * 30}, {"deep": [{name: "y" * 30}]})
        assert (kept.metadata[name], kept.extra["deep"][0][name]) == ("x" * 30, "y" * 30)

    def test_what_is_called_an_id_and_is_a_text_is_cut(self):
        (kept,) = self._kept({"document_id": "x" * 50_000}, {})
        assert kept.metadata["document_id"] == "x" * 10 + "… [49,990 characters more]"

    @staticmethod
    def _kept(metadata, extra):
        trace = AgentTrace(metadata=metadata, extra=extra or None)
        with ProcessingTraceStore(InMemoryTraceStore(), truncate=10) as store:
            return [store.load(store.save(trace))]

    def test_it_comes_after_redaction(self):
        step = TraceStep("llm_call", error="x" * 8 + " sk-" + "Ab1" * 20)
        with ProcessingTraceStore(
            InMemoryTraceStore(), redact=common_redactors(), truncate=20
        ) as store:
            assert (
                store.load(store.save(AgentTrace([step])))
                .steps[0]
                .error.startswith("x" * 8 + " [redacted]")
            )


class TestSample:
    def test_none_and_all(self):
        with ProcessingTraceStore(InMemoryTraceStore(), sample=0.0) as store:
            assert store.save(AgentTrace(run_id="a")) == "a"
            assert store.save_many([AgentTrace(run_id="b"), failed("c")]) == ["b", "c"]
            assert store.counts.sampled_out == 2
            assert [summary.run_id for summary in store.list()] == ["c"]
            with pytest.raises(TraceNotFoundError):
                store.load("a")
        with ProcessingTraceStore(InMemoryTraceStore(), sample=1.0) as store:
            store.save_many([AgentTrace() for _ in range(100)])
            assert (store.count(), store.counts.sampled_out) == (100, 0)

    def test_errors_go_too_if_asked(self):
        with ProcessingTraceStore(InMemoryTraceStore(), sample=0.0, keep_errors=False) as store:
            store.save(failed("a"))
            assert store.count() == 0

    def test_a_share_is_about_that_share(self):
        processor = TraceProcessor(sample=0.2)
        kept = [processor.trace(AgentTrace(run_id=f"run-{n}")) for n in range(5000)]
        assert 850 < len([trace for trace in kept if trace is not None]) < 1150
        assert processor.counts.sampled_out == kept.count(None)

    @given(st.text(min_size=1).filter(lambda t: t.isprintable()), st.floats(0, 1))
    def test_a_run_and_those_it_started_go_the_same_way(self, run_id, share):
        one, other = TraceProcessor(sample=share), TraceProcessor(sample=share)
        family = [
            AgentTrace(run_id=run_id),
            AgentTrace(parent_run_id=run_id),
            AgentTrace(parent_run_id="some child", metadata={"root_run_id": run_id}),
        ]
        assert len({one.trace(trace) is None for trace in family}) == 1
        assert (one.trace(family[0]) is None) == (other.trace(family[0]) is None)

    @given(st.floats(0, 1), st.floats(0, 1))
    def test_a_larger_share_holds_the_smaller(self, one, other):
        small, large = sorted((one, other))
        trace = AgentTrace(run_id="run-1")
        if TraceProcessor(sample=small).trace(trace) is not None:
            assert TraceProcessor(sample=large).trace(trace) is not None

    def test_a_function_decides(self):
        def slow(trace):
            return trace.total_duration_ms > 10

        with ProcessingTraceStore(InMemoryTraceStore(), sample=slow) as store:
            for ms in (5, 15):
                store.save(AgentTrace([TraceStep("llm_call", duration_ms=ms)], run_id=f"{ms}"))
            store.save(failed("error"))
            assert [summary.run_id for summary in store.list()] == ["error", "15"]

    def test_a_function_that_fails_keeps_the_run(self, caplog):
        with ProcessingTraceStore(InMemoryTraceStore(), sample=lambda _: 1 / 0) as store:
            store.save(AgentTrace(run_id="a"))
            assert store.count() == 1
        assert "ZeroDivisionError" in caplog.text


async def test_a_large_run_does_not_hold_the_event_loop(tmp_path):
    """It is redacted in a thread: what is awaited meanwhile goes on."""
    import asyncio
    import threading

    threads = set()

    def note(item):
        threads.add(threading.current_thread())
        return item

    async with AsyncProcessingTraceStore(AsyncInMemoryTraceStore(), redact=note) as store:
        await store.save(AgentTrace([TraceStep("llm_call", reasoning="x" * 100_000)]))
        assert threads
        assert threading.current_thread() not in threads
        await asyncio.gather(*[store.save(AgentTrace()) for _ in range(3)])
    assert threading.current_thread() in threads


def test_files_are_closed_with_the_store_in_front(tmp_path):
    inner = SQLiteTraceStore(tmp_path / "traces.db")
    with ProcessingTraceStore(inner) as store:
        assert store.store is inner
        assert repr(store) == f"ProcessingTraceStore({inner!r})"
    assert not (tmp_path / "traces.db-wal").exists()
