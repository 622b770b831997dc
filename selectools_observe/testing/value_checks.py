"""Checks that every kind of value survives."""

# ruff: noqa: S101 - a check asserts

from __future__ import annotations

from typing import Any

import pytest

from ..errors import InvalidTraceError
from ..model.filters import TraceFilter
from .backend import Backend
from .callers import Face
from .samples import TEXTS, VALUES, make_step, make_trace, nested, nested_objects, same


class ValueChecks(Backend):
    """Checks of values."""

    @pytest.mark.parametrize("kind", VALUES)
    async def test_value_survives(self, face: Face, kind: str) -> None:
        value, is_kept = VALUES[kind]
        step = make_step(tool_args={"value": value, "in": [{"deep": value}]})
        await face.save(make_trace("run", of=[step], metadata={"value": value}))
        loaded = await face.load("run")
        args = loaded.steps[0].tool_args or {}
        (summary,) = await face.list()
        assert is_kept(loaded.metadata["value"])
        assert is_kept(args["value"])
        assert is_kept(args["in"][0]["deep"])
        assert is_kept(summary.metadata["value"])

    @pytest.mark.parametrize("kind", VALUES)
    async def test_value_is_found(self, face: Face, kind: str) -> None:
        value = VALUES[kind].value
        await face.save(make_trace("run", metadata={"value": value}))
        await face.save(make_trace("other", metadata={"value": {"not": "it"}}))
        assert await face.ids(TraceFilter(metadata_match={"value": value})) == ["run"]

    @pytest.mark.parametrize("kind", VALUES)
    async def test_value_survives_saving_again(self, face: Face, kind: str) -> None:
        await face.save(make_trace("run", metadata={"value": VALUES[kind].value}))
        once = await face.load("run")
        await face.save(once)
        assert same((await face.load("run")).to_dict(), once.to_dict())

    @pytest.mark.parametrize("kind", TEXTS)
    async def test_text_survives_in_every_field(self, face: Face, kind: str) -> None:
        text = TEXTS[kind]
        names = ("tool_name", "tool_result", "model", "reasoning", "error", "summary", "node_name")
        fields: dict[str, Any] = dict.fromkeys(names, text)
        step = make_step(text, **fields, children=[text])
        trace = make_trace("run", of=[step], parent_run_id=text, metadata={text: text})
        await face.save(trace)
        assert same((await face.load("run")).to_dict(), trace.to_dict())
        (summary,) = await face.list()
        assert same(summary.metadata, {text: text})

    @pytest.mark.parametrize("kind", TEXTS)
    async def test_text_is_found_in_every_field(self, face: Face, kind: str) -> None:
        text = TEXTS[kind]
        step = make_step(text, tool_name=text, model=text)
        trace = make_trace("run", of=[step], parent_run_id=text, metadata={text: text})
        await self.save_all(face, [trace, make_trace("other", metadata={"other": "other"})])
        for filters in (
            TraceFilter(metadata_match={text: text}),
            TraceFilter(parent_run_id=text),
            TraceFilter(step_type=text),
            TraceFilter(tool_name=text),
            TraceFilter(model=text),
        ):
            assert await face.ids(filters) == ["run"]

    @pytest.mark.parametrize("character", ["a", "\x00", "é", "\U0001f600", "\ud800"])
    async def test_long_text_survives(self, face: Face, character: str) -> None:
        text = character * self.text_size
        trace = make_trace("run", of=[make_step(tool_result=text)], metadata={"text": text})
        await face.save(trace)
        loaded = await face.load("run")
        # Not compared by `assert ==`: nobody wants to read what that would print.
        assert (loaded.steps[0].tool_result == text) is True
        assert (loaded.metadata["text"] == text) is True
        assert await face.ids(TraceFilter(metadata_match={"text": text})) == ["run"]

    # Closely spaced below 1000, where the interpreter's own limit is met at one step or another.
    @pytest.mark.parametrize("depth", [300, 450, *range(900, 1_001, 7), 1_100, 10_000, 100_000])
    async def test_deep_value_is_kept_or_refused(self, face: Face, depth: int) -> None:
        for name, value in (("lists", nested(depth)), ("objects", nested_objects(depth))):
            step = make_step(tool_args={"value": value})
            try:
                await face.save(make_trace(name, of=[step], metadata={"value": value}))
            except InvalidTraceError:
                assert name not in await face.ids()
            else:
                assert name in await face.ids()
                assert len((await face.load(name)).steps) == 1
            assert await face.ids(TraceFilter(metadata_match={"value": "shallow"})) == []

    async def test_large_metadata_survives(self, face: Face) -> None:
        metadata = {f"key-{n}": [n, str(n)] for n in range(2000)}
        await face.save(make_trace("run", metadata=metadata))
        assert same((await face.load("run")).metadata, metadata)
        assert await face.ids(TraceFilter(metadata_match={"key-1999": [1999, "1999"]})) == ["run"]
