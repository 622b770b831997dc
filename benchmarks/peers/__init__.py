"""Each participant behind one small interface, so that every case treats them alike."""

from benchmarks.peers.base import (
    FULL,
    NO_FSYNC,
    AsyncStore,
    BlockingStore,
    Peer,
    QueryStore,
    adapter,
)
from benchmarks.peers.registry import PEERS

__all__ = [
    "FULL",
    "NO_FSYNC",
    "PEERS",
    "AsyncStore",
    "BlockingStore",
    "Peer",
    "QueryStore",
    "adapter",
]
