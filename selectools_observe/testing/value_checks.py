"""Checks that every kind of value survives."""

# ruff: noqa: S101 - a check asserts

from __future__ import annotations

from typing import Any

from ..errors import InvalidTraceError
from ..model.filters import TraceFilter
from .backend import Backend
from .callers import StoreCaller
from .cases import all_cases
from .samples import TEXTS, VALUES, make_step, make_trace, nested, nested_objects, same


class ValueChecks(Backend):
    """Checks of values."""

    async def test_values_survive(self, caller: StoreCaller) -> None:
        for kind, (value, _) in VALUES.items():
            step = make_step(tool_args={"value": value, "in": [{"deep": value}]})
            await caller.save(make_trace(kind, of=[step], metadata={"value": value}))
        summaries = {summary.run_id: summary for summary in await caller.list(len(VALUES))}
        with all_cases() as case:
            for kind, (_, is_kept) in VALUES.items():
                with case(kind):
                    loaded = await caller.load(kind)
                    args = loaded.steps[0].tool_args or {}
                    assert is_kept(loaded.metadata["value"])
                    assert is_kept(args["value"])
                    assert is_kept(args["in"][0]["deep"])
                    assert is_kept(summaries[kind].metadata["value"])

    async def test_values_are_found(self, caller: StoreCaller) -> None:
        for kind, (value, _) in VALUES.items():
            await caller.save(make_trace(kind, metadata={kind: value}))
        await caller.save(make_trace("other", metadata={kind: {"not": "it"} for kind in VALUES}))
        with all_cases() as case:
            for kind, (value, _) in VALUES.items():
                with case(kind):
                    assert await caller.ids(TraceFilter(metadata_match={kind: value})) == [kind]

    async def test_values_survive_saving_again(self, caller: StoreCaller) -> None:
        with all_cases() as case:
            for kind, (value, _) in VALUES.items():
                with case(kind):
                    await caller.save(make_trace("run", metadata={"value": value}))
                    once = await caller.load("run")
                    await caller.save(once)
                    assert same((await caller.load("run")).to_dict(), once.to_dict())

    async def test_texts_survive_in_every_field(self, caller: StoreCaller) -> None:
        names = ("tool_name", "tool_result", "model", "reasoning", "error", "summary", "node_name")
        with all_cases() as case:
            for kind, text in TEXTS.items():
                with case(kind):
                    fields: dict[str, Any] = dict.fromkeys(names, text)
                    step = make_step(text, **fields, children=[text])
                    trace = make_trace(kind, of=[step], parent_run_id=text, metadata={text: text})
                    await caller.save(trace)
                    assert same((await caller.load(kind)).to_dict(), trace.to_dict())
                    assert same((await caller.list(1))[0].metadata, {text: text})

    async def test_texts_are_found_in_every_field(self, caller: StoreCaller) -> None:
        for kind, text in TEXTS.items():
            step = make_step(text, tool_name=text, model=text)
            trace = make_trace(kind, of=[step], parent_run_id=text, metadata={text: text})
            await caller.save(trace)
        with all_cases() as case:
            for kind, text in TEXTS.items():
                for fields in (
                    {"metadata_match": {text: text}},
                    {"parent_run_id": text},
                    {"step_type": text},
                    {"tool_name": text},
                    {"model": text},
                ):
                    with case((kind, fields)):
                        assert await caller.ids(TraceFilter(**fields)) == [kind]

    async def test_long_texts_survive(self, caller: StoreCaller) -> None:
        with all_cases() as case:
            # The longest of characters that are stored as they are and escaped; others shorter.
            for number, character in enumerate(["a", "\ud800", "\x00", "é", "\U0001f600"]):
                size = self.text_size if number < 2 else self.text_size // 10
                with case(character):
                    await self._check_long_text(caller, f"run-{number}", character * size)

    async def _check_long_text(self, caller: StoreCaller, run_id: str, text: str) -> None:
        trace = make_trace(run_id, of=[make_step(tool_result=text)], metadata={"text": text})
        await caller.save(trace)
        loaded = await caller.load(run_id)
        # Not compared by `assert ==`: nobody wants to read what that would print.
        assert (loaded.steps[0].tool_result == text) is True
        assert (loaded.metadata["text"] == text) is True
        assert await caller.ids(TraceFilter(metadata_match={"text": text})) == [run_id]
        await caller.delete(run_id)

    async def test_deep_values_are_kept_or_refused(self, caller: StoreCaller) -> None:
        # Closely spaced below 1000, where the interpreter's own limit is met at one step or another
        with all_cases() as case:
            for number, depth in enumerate([300, *range(900, 1_001, 7), 1_100, 10_000, 100_000]):
                value = (nested, nested_objects)[number % 2](depth)
                with case((depth, type(value).__name__)):
                    await self._check_deep_value(caller, value)

    async def _check_deep_value(self, caller: StoreCaller, value: Any) -> None:
        step = make_step(tool_args={"value": value})
        try:
            await caller.save(make_trace("deep", of=[step], metadata={"value": value}))
        except InvalidTraceError:
            assert await caller.ids() == []
        else:
            assert await caller.ids() == ["deep"]
            assert len((await caller.load("deep")).steps) == 1
            assert await caller.ids(TraceFilter(metadata_match={"value": "shallow"})) == []
            await caller.delete("deep")

    async def test_large_metadata_survives(self, caller: StoreCaller) -> None:
        metadata = {f"key-{n}": [n, str(n)] for n in range(2000)}
        await caller.save(make_trace("run", metadata=metadata))
        assert same((await caller.load("run")).metadata, metadata)
        assert await caller.ids(TraceFilter(metadata_match={"key-1999": [1999, "1999"]})) == ["run"]
