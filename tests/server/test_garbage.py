"""Full collections wait for a quiet moment, but not for ever; a command has few."""

from __future__ import annotations

import asyncio
import gc

import pytest

from selectools_observe.runtime import garbage


@pytest.fixture
def collections(monkeypatch):
    """How often all objects were looked at."""
    seen: list[int] = []
    monkeypatch.setattr(garbage, "EVERY", 0.001)
    monkeypatch.setattr(garbage, "PATIENCE", 5)

    def told(phase, info):
        if phase == "stop" and info["generation"] == 2:
            seen.append(1)

    gc.callbacks.append(told)
    yield seen
    gc.callbacks.remove(told)


async def until(seen, number):
    for _ in range(30_000):
        if len(seen) >= number:
            return
        await asyncio.sleep(0.001)
    raise AssertionError(f"{len(seen)} collections")


@pytest.fixture(params=["nothing is", "the tests are"])
def frozen(request):
    """Whether objects of others are frozen, as those of the tests are."""
    is_frozen = request.param == "the tests are"
    (gc.freeze if is_frozen else gc.unfreeze)()
    yield is_frozen
    gc.collect()
    gc.freeze()


async def test_quiet_moments_are_used(collections, frozen):
    before = gc.get_threshold()
    async with garbage.full_collections_when(lambda: True):
        assert gc.get_threshold() != before
        await until(collections, 4)
    assert gc.get_threshold() == before
    assert bool(gc.get_freeze_count()) == frozen


def test_few_while_a_command_runs(frozen):
    before = gc.get_threshold()
    with garbage.few_collections():
        assert gc.get_threshold()[0] > before[0]
        assert gc.get_freeze_count()
    assert gc.get_threshold() == before
    assert bool(gc.get_freeze_count()) == frozen


async def test_others_after_a_while(collections):
    looks = []
    async with garbage.full_collections_when(lambda: bool(looks.append(1))):
        await until(collections, 3)
    assert len(looks) >= 10
