"""The sizes of a run: a full one, and a quick one that ends within two minutes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Settings:
    """Everything that makes a run bigger or smaller; the cases themselves do not change."""

    quick: bool
    rounds: int
    min_seconds: float
    """A sample repeats its batch until this long has been measured."""
    stored: int
    """Traces present before loads are measured."""
    sizes: tuple[int, ...]
    """Store sizes of the latency picture; the first and the last are compared."""
    medium: int
    """The store that is scanned by the peer, queried, and streamed."""
    jsonl_lines: int
    big_bytes: int
    budget_seconds: float | None
    """Past its share of this a group gets two rounds; past the whole, cases are left out."""
    patience_seconds: float
    """A build, warm-up or sample that takes longer is ended, and reported as such."""
    texts: int = 10_000
    """Runs that are searched for what was said."""
    engine_runs: int = 5_000
    """Runs in each server's store that is asked; of more than a million, in ClickHouse's alone."""

    @property
    def small(self) -> int:
        return self.sizes[0]

    @property
    def large(self) -> int:
        return self.sizes[-1]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Settings:
        return cls(**{**data, "sizes": tuple(data["sizes"])})


FULL = Settings(
    quick=False,
    rounds=7,
    min_seconds=0.5,
    stored=2_000,
    sizes=(10_000, 100_000, 300_000, 1_000_000),
    medium=300_000,
    jsonl_lines=100_000,
    big_bytes=10_000_000,
    budget_seconds=None,
    patience_seconds=1_800.0,
    texts=100_000,
    engine_runs=1_000_000,
)

QUICK = Settings(
    quick=True,
    rounds=3,
    min_seconds=0.1,
    stored=500,
    sizes=(5_000, 20_000, 50_000),
    medium=20_000,
    jsonl_lines=10_000,
    big_bytes=10_000_000,
    budget_seconds=90.0,
    patience_seconds=20.0,
)
