"""Checks of annotations: kept next to the runs, found by filters, gone with the run."""

# ruff: noqa: S101 - a check asserts

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from ..errors import StoreClosedError, TraceNotFoundError
from ..model.annotations import SOURCES, Annotation
from ..model.filters import TraceFilter
from ..model.percentiles import Percentiles
from ..model.trace import AgentTrace, TraceStep
from .backend import Backend, Reopen, SetClock
from .callers import StoreCaller
from .cases import all_cases
from .samples import TEXTS, make_trace, make_traces, same

_CHECKS = "AnnotationChecks."
LONG = "because " * 1000

UNFIT: list[tuple[str, dict[str, Any]]] = [
    ("name", {"name": ""}),
    ("name", {"name": "x" * 201}),
    ("name", {"name": "\ud800"}),
    ("label", {"label": ""}),
    ("label", {"label": "a\0b"}),
    ("score", {"score": float("nan")}),
    ("score", {"score": float("inf")}),
    ("score", {"score": 10**400}),
    ("step", {"step": -1}),
    ("source", {"source": "dog"}),
    ("is empty", {"score": None, "note": ""}),
]


class AnnotationChecks(Backend):
    """Checks of annotations."""

    @pytest.fixture(autouse=True)
    def _keeps_annotations(self, request: pytest.FixtureRequest) -> None:
        """Skip what a store that keeps no annotations cannot do."""
        if not self.annotates and request.function.__qualname__.startswith(_CHECKS):
            pytest.skip("this store keeps no annotations")

    async def test_annotations_come_back_whole(self, caller: StoreCaller) -> None:
        await caller.save(make_trace("run", 3))
        before = datetime.now(UTC) - timedelta(minutes=5)
        kept = await caller.annotate(
            "run", "quality", label="bad", score=0.25, note=LONG, step=2, author="ada", source="llm"
        )
        assert isinstance(kept, Annotation)
        assert (kept.run_id, kept.name, kept.label, kept.score) == ("run", "quality", "bad", 0.25)
        assert (kept.note, kept.step, kept.author, kept.source) == (LONG, 2, "ada", "llm")
        assert kept.id
        assert kept.created_at is not None
        assert kept.created_at.utcoffset() == timedelta(0)
        assert kept.created_at > before
        assert await caller.annotations("run") == [kept]

    async def test_annotations_are_given_oldest_first(self, caller: StoreCaller) -> None:
        await caller.save_many(make_traces(2))
        kept = [await caller.annotate("run-000", name, score=n) for n, name in enumerate("abab")]
        assert await caller.annotations("run-000") == kept
        assert await caller.annotations("run-001") == []
        assert len({one.id for one in kept}) == 4

    async def test_annotations_of_many_runs(self, caller: StoreCaller) -> None:
        await caller.save_many(make_traces(3))
        kept = await caller.annotate("run-002", "a", label="x")
        found = await caller.annotations_of(["run-002", "absent", "run-000", "run-002"])
        assert found == {"run-002": [kept], "run-000": []}
        assert list(found) == ["run-002", "run-000"]
        assert await caller.annotations_of([]) == {}

    async def test_notes_hold_any_text(self, caller: StoreCaller) -> None:
        await caller.save_many([make_trace(name) for name in TEXTS])
        with all_cases() as case:
            for name, text in TEXTS.items():
                with case(name):
                    kept = await caller.annotate(name, "a", score=1, note=text)
                    (found,) = await caller.annotations(name)
                    assert found.note == text
                    assert found == kept

    async def test_scores_come_back_as_they_were(self, caller: StoreCaller) -> None:
        await caller.save(make_trace("run"))
        with all_cases() as case:
            for score in (0, 1, -1.5, 0.1, 2**53, 1e300, 5e-324):
                with case(score):
                    await caller.annotate("run", "a", score=score)
                    assert (await caller.annotations("run"))[-1].score == score
                    assert (await caller.list())[0].annotations["a"].score == score

    async def test_a_run_that_is_not_there_cannot_be_annotated(self, caller: StoreCaller) -> None:
        await caller.save(make_trace("run"))
        with pytest.raises(TraceNotFoundError) as raised:
            await caller.annotate("absent", "a", score=1)
        assert raised.value.run_id == "absent"
        both = [Annotation("run", "a", score=1), Annotation("absent", "a", score=1)]
        with pytest.raises(TraceNotFoundError):
            await caller.annotate_many(both)
        assert await caller.annotations("run") == []
        with pytest.raises(TraceNotFoundError):
            await caller.annotations("absent")
        assert await caller.annotate_many([]) == []

    async def test_what_cannot_be_kept_is_refused(self, caller: StoreCaller) -> None:
        await caller.save(make_trace("run"))
        with all_cases() as case:
            for named, fields in UNFIT:
                given: dict[str, Any] = {"name": "a", "score": 1} | fields
                with case(fields), pytest.raises(ValueError, match=named):
                    await caller.annotate("run", given.pop("name"), **given)
        assert await caller.annotations("run") == []

    async def test_values_of_the_wrong_type_are_refused(self, caller: StoreCaller) -> None:
        await caller.save(make_trace("run"))
        wrong = [("score", "1"), ("score", True), ("label", 1), ("note", b"x"), ("step", 1.0)]
        with all_cases() as case:
            for name, value in wrong:
                fields: dict[str, Any] = {name: value}
                with case(fields), pytest.raises(TypeError, match=name):
                    await caller.annotate("run", "a", **fields)
        assert await caller.annotations("run") == []

    async def test_saving_a_run_again_keeps_its_annotations(self, caller: StoreCaller) -> None:
        await caller.save_many([make_trace("run", 1), make_trace("other", 1)])
        kept = await caller.annotate("run", "quality", label="bad", score=0.5)
        assert [s.run_id for s in await caller.list()] == ["other", "run"]
        await caller.save(make_trace("run", 4))
        assert await caller.annotations("run") == [kept]
        (newest, _) = await caller.list()
        assert (newest.run_id, newest.steps) == ("run", 4)
        assert newest.annotations == {"quality": kept}
        await caller.update("run", lambda _: make_trace("run", 5))
        assert await caller.annotations("run") == [kept]
        assert (await caller.list())[0].annotations == {"quality": kept}

    async def test_annotating_changes_neither_run_nor_order(self, caller: StoreCaller) -> None:
        await caller.save_many(make_traces(5))
        before = await caller.list()
        await caller.annotate("run-001", "a", score=1)
        after = await caller.list()
        assert [s.run_id for s in after] == [s.run_id for s in before]
        assert [s.created_at for s in after] == [s.created_at for s in before]
        loaded = await caller.load("run-001")
        assert same(loaded.to_dict(), make_traces(5)[1].to_dict())

    async def test_deleting_a_run_removes_its_annotations(self, caller: StoreCaller) -> None:
        await caller.save_many(make_traces(2))
        await caller.annotate("run-000", "a", score=1)
        kept = await caller.annotate("run-001", "a", score=2)
        assert await caller.delete("run-000") is True
        with pytest.raises(TraceNotFoundError):
            await caller.annotations("run-000")
        await caller.save(make_trace("run-000"))
        assert await caller.annotations("run-000") == []
        assert (await caller.list())[0].annotations == {}
        assert await caller.annotations("run-001") == [kept]

    async def test_annotations_are_removed_by_name_and_by_id(self, caller: StoreCaller) -> None:
        await caller.save(make_trace("run"))
        first, second, third = [await caller.annotate("run", n, score=1) for n in "aab"]
        with pytest.raises(ValueError, match="name or the annotation_id"):
            await caller.remove_annotation("run")
        assert await caller.remove_annotation("run", annotation_id=first.id) == 1
        assert await caller.remove_annotation("run", annotation_id=first.id) == 0
        assert await caller.annotations("run") == [second, third]
        assert await caller.remove_annotation("run", name="a") == 1
        assert await caller.remove_annotation("run", name="a", annotation_id=third.id) == 0
        assert await caller.annotations("run") == [third]
        assert (await caller.list())[0].annotations == {"b": third}
        assert await caller.remove_annotation("absent", name="a") == 0

    async def test_the_same_ones_added_twice_are_there_once(self, caller: StoreCaller) -> None:
        await caller.save_many(make_traces(2))
        kept = await caller.annotate_many(
            [Annotation("run-000", "a", score=1), Annotation("run-001", "a", note="x")]
        )
        assert await caller.annotate_many(kept) == kept
        assert await caller.annotations("run-000") == kept[:1]
        changed = msgspec.structs.replace(kept[0], score=2)
        assert await caller.annotate_many([changed]) == [changed]
        assert await caller.annotations("run-000") == [changed]

    async def test_a_stated_time_is_kept(self, caller: StoreCaller) -> None:
        await caller.save(make_trace("run"))
        moment = datetime(2024, 2, 29, 23, 59, 59, 123456, tzinfo=UTC)
        old = Annotation("run", "a", score=1, created_at=moment)
        new = await caller.annotate("run", "a", score=2)
        (kept,) = await caller.annotate_many([old])
        assert kept.created_at == moment
        assert await caller.annotations("run") == [kept, new]
        assert (await caller.list())[0].annotations == {"a": new}
        with pytest.raises(ValueError, match="timezone"):
            await caller.annotate_many(
                [msgspec.structs.replace(old, created_at=moment.replace(tzinfo=None))]
            )

    async def test_the_newest_counts_also_when_the_clock_stands_still(
        self, caller: StoreCaller, set_clock: SetClock | None
    ) -> None:
        if set_clock is not None:
            set_clock(datetime(2026, 1, 1, tzinfo=UTC))
        await caller.save(make_trace("run"))
        for n in range(5):
            await caller.annotate("run", "a", score=n)
        if set_clock is not None:
            set_clock(datetime(2025, 1, 1, tzinfo=UTC))
        await caller.annotate_many([Annotation("run", "a", score=n) for n in (5, 6)])
        assert [one.score for one in await caller.annotations("run")] == [*range(7)]
        assert (await caller.list())[0].annotations["a"].score == 6

    async def test_summaries_have_the_newest_of_each_name(self, caller: StoreCaller) -> None:
        await caller.save(make_trace("run", 3))
        await caller.annotate("run", "a", label="old")
        await caller.annotate("run", "a", label="new")
        await caller.annotate("run", "a", label="of a step", step=1)
        await caller.annotate("run", "b", label="step 1", step=1)
        await caller.annotate("run", "b", label="step 2", step=2)
        await caller.annotate("run", "c", note=LONG)
        (summary,) = await caller.query(TraceFilter())
        assert list(summary.annotations) == ["a", "b", "c"]
        assert [one.label for one in summary.annotations.values()] == ["new", "step 2", None]
        note = summary.annotations["c"].note
        assert note is not None
        assert note[:100] == LONG[:100]
        assert len(note) == 200
        summaries = [one async for one in caller.iter_summaries()]
        assert summaries == [summary]
        summary.annotations.clear()
        assert (await caller.list())[0].annotations

    async def test_filters_ask_for_annotations(self, caller: StoreCaller) -> None:
        await caller.save_many(make_traces(6))
        await caller.annotate("run-000", "quality", label="bad", score=0.25)
        await caller.annotate("run-001", "quality", label="good", score=0.75, note="well done")
        await caller.annotate("run-002", "tone", label="bad")
        await caller.annotate("run-003", "quality", label="bad", score=0.1)
        await caller.annotate("run-003", "quality", label="good", score=0.9)
        for text, expected in {
            "score.quality<0.5": "0",
            "score.quality>=0.25": "310",
            "score.quality=0.75": "1",
            "-score.quality<0.5": "54321",
            "label:bad": "20",
            "label:b*": "20",
            "label.quality:bad": "0",
            "label.quality:bad OR label.tone:*": "20",
            "has:note": "1",
            "has:score": "310",
            "has:label": "3210",
            "has:annotation": "3210",
            "-has:annotation": "54",
            "has:annotation.tone": "2",
            "has:score.tone": "",
            "has:score.quality n>0": "31",
        }.items():
            filters = TraceFilter(where=text)
            assert [r[-1] for r in await caller.ids(filters)] == list(expected), text
            assert await caller.count(filters) == len(expected), text
            assert (await caller.histogram(filters)).total == len(expected), text
            streamed = [
                s.run_id[-1] async for s in caller.iter_summaries(filters, oldest_first=True)
            ]
            assert streamed == list(expected)[::-1], text

    async def test_a_new_annotation_is_found_at_once(self, caller: StoreCaller) -> None:
        await caller.save_many(make_traces(400))
        filters = TraceFilter(where="label:bad", limit=2)
        assert await caller.ids(filters) == []
        for number in (7, 399, 260):
            await caller.annotate(f"run-{number:03}", "q", label="bad")
        page = await caller.query(filters)
        assert [s.run_id for s in page] == ["run-399", "run-260"]
        page = await caller.query(filters, cursor=page.next_cursor)
        assert [s.run_id for s in page] == ["run-007"]
        await caller.remove_annotation("run-260", name="q")
        assert await caller.count(TraceFilter(where="label:bad")) == 2

    async def test_runs_are_ordered_by_a_score(self, caller: StoreCaller) -> None:
        await caller.save_many(make_traces(6))
        for number, score in ((0, 0.5), (2, -1), (3, 7), (4, 0.5)):
            await caller.annotate(f"run-{number:03}", "q", score=score)
        await caller.annotate("run-005", "q", label="no score")
        rising = await caller.ids(TraceFilter(order_by="score.q"))
        assert [run_id[-1] for run_id in rising] == list("204315")
        falling = await caller.ids(TraceFilter(order_by="-score.q"))
        assert [run_id[-1] for run_id in falling] == list("340251")
        for order, size in (("-score.q", 2), ("score.q", 2), ("score.q", 1), ("-score.q", 5)):
            pages, cursor = [], None
            while True:
                filters = TraceFilter(order_by=order, limit=size)
                page = await caller.query(filters, cursor=cursor)
                pages += [summary.run_id[-1] for summary in page]
                cursor = page.next_cursor
                if cursor is None:
                    break
            assert pages == list("340251" if order[0] == "-" else "204315")
        with pytest.raises(ValueError, match=r"score\.NAME"):
            TraceFilter(order_by="score.")

    async def test_groups_and_statistics_know_annotations(self, caller: StoreCaller) -> None:
        await caller.save_many(make_traces(5))
        for number, label, score in ((0, "bad", 0.0), (1, "good", 1.0), (2, "bad", 0.5)):
            await caller.annotate(f"run-{number:03}", "q", label=label, score=score)
        await caller.annotate("run-003", "tone", label="bad")
        groups = {group.key: group for group in await caller.groups("label.q", order_by="key")}
        assert {key: group.runs for key, group in groups.items()} == {"bad": 2, "good": 1}
        assert groups["bad"].annotations["q"].score.mean == 0.25
        assert groups["good"].annotations["q"].labels == {"good": 1}
        every = {group.key: group.runs for group in await caller.groups("label")}
        assert every == {"bad": 3, "good": 1}
        facets = await caller.facets()
        assert facets.fields["label"].values == [("bad", 3), ("good", 1)]
        said = (await caller.statistics()).annotations
        assert list(said) == ["q", "tone"]
        assert (said["q"].runs, said["q"].score.mean) == (3, 0.5)
        assert said["q"].labels == {"bad": 2, "good": 1}
        assert (said["tone"].runs, said["tone"].score.count) == (1, 0)
        of_bad = await caller.statistics(TraceFilter(where="label.q:bad"), by=())
        assert (of_bad.total.runs, of_bad.annotations["q"].score.mean) == (2, 0.25)

    async def test_each_group_tells_its_annotations(self, caller: StoreCaller) -> None:
        for number, (model, user, score) in enumerate(
            (("a", "ada", -1.0), ("a", "ben", 0.5), ("b", "ada", 0.25), ("b", "eve", None))
        ):
            steps = [TraceStep("llm_call", model=model), TraceStep("llm_call", model=model)]
            await caller.save(AgentTrace(steps, 5.0, f"run-{number}", metadata={"user": user}))
            if score is not None:
                await caller.annotate(f"run-{number}", "q", score=score, label=f"{score < 0.3}")
        found = await caller.statistics(by=("model", "metadata.user", "day"))
        models = {group.key: group.annotations for group in found.models}
        assert models["a"]["q"].score == Percentiles(2, -0.5, -0.25, -1, -1, 0.5, 0.5, 0.5, 0.5)
        assert models["b"]["q"].labels == {"True": 1}
        users = {group.key: group.annotations for group in found.groups["metadata.user"]}
        assert (users["ada"]["q"].runs, users["ada"]["q"].score.mean) == (2, -0.375)
        assert users["eve"] == {}
        assert found.days[0].annotations == found.total.annotations == found.annotations
        for order, keys in (("score.q", "ada ben eve"), ("-score.q", "ben ada eve")):
            page = await caller.groups("meta.user", order_by=order, limit=2)
            rest = await caller.groups("meta.user", order_by=order, cursor=page.next_cursor)
            assert [group.key for group in [*page, *rest]] == keys.split()
        with pytest.raises(ValueError, match=r"score\.NAME"):
            await caller.groups("user", order_by="score.")

    async def test_another_store_sees_annotations(
        self, caller: StoreCaller, reopen: Reopen | None
    ) -> None:
        await caller.save_many(make_traces(3))
        kept = await caller.annotate("run-001", "a", label="x", note=LONG)
        if not self.shared:
            await caller.close()
        async with self.another(reopen) as other:
            assert await other.annotations("run-001") == [kept]
            if self.shared:
                more = await other.annotate("run-001", "a", label="y")
                assert await caller.annotations("run-001") == [kept, more]
                assert (await caller.list())[1].annotations["a"].label == "y"
                await other.remove_annotation("run-001", name="a")
                assert (await caller.list())[1].annotations == {}

    async def test_many_annotate_at_once(self, caller: StoreCaller) -> None:
        await caller.save(make_trace("run"))
        calls = [lambda n=n: caller.annotate("run", "a", score=n) for n in range(32)]
        outcomes = await caller.together(calls)
        assert [o for o in outcomes if isinstance(o, BaseException)] == []
        found = await caller.annotations("run")
        assert sorted(one.score for one in found) == [*range(32)]  # type: ignore[type-var]
        assert len({one.created_at for one in found}) == 32

    async def test_closed_stores_refuse_annotations(self, caller: StoreCaller) -> None:
        await caller.save(make_trace("run"))
        await caller.close()
        for call in (
            lambda: caller.annotate("run", "a", score=1),
            lambda: caller.annotations("run"),
            lambda: caller.annotations_of(["run"]),
            lambda: caller.remove_annotation("run", name="a"),
        ):
            with pytest.raises(StoreClosedError):
                await call()

    async def test_sources_are_kept(self, caller: StoreCaller) -> None:
        await caller.save(make_trace("run"))
        for source in SOURCES:
            await caller.annotate("run", "a", label="x", source=source)
        assert tuple(one.source for one in await caller.annotations("run")) == SOURCES
