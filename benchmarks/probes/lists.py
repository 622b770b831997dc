"""Lists of the newest fifty, blocking, in each kind of store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.peers import adapter
from benchmarks.probes.base import Bench, Sampler, median_ms

_STORED = 300
_LISTED = 50


@contextmanager
def newest(bench: Bench, kind: str, calls: int = 200, method: str = "newest") -> Iterator[Sampler]:
    """Milliseconds to list fifty of 300 ten-step traces, or to find fifty by a range."""
    store: Any = adapter(bench.peer).blocking(kind, bench.folder / "store")
    for item in bench.natives(store.native, _STORED):
        store.save(item)

    def ask(count: int) -> None:
        found = getattr(store, method)(count)
        if found != count:
            raise AssertionError(f"{found} traces")

    ask(_LISTED)
    yield lambda: {"list_ms": median_ms(ask, [_LISTED] * calls)}
    store.close()
