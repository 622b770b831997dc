"""What a store reads of its server, noted for tests that little is."""

from __future__ import annotations

import pytest


def noted(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, *, asked: bool = False
) -> list[object]:
    """A list of the rows that an async method gives from now on, or of the keys it is asked for."""
    method, seen = getattr(owner, name), []

    async def noting(self, *given):
        found = await method(self, *given)
        seen.extend(given[0] if asked else found)
        return found

    monkeypatch.setattr(owner, name, noting)
    return seen
