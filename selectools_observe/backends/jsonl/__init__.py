"""The JSONL backend: one line a trace, appended; the newest line of a run wins."""

from .store import JSONLStore

__all__ = ["JSONLStore"]
