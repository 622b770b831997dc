"""Observers that save every run of selectools, and what it serves; extra ``selectools``."""

from .observers import AsyncTraceSavingObserver, TraceSavingObserver
from .serve import persist_traces

__all__ = ["AsyncTraceSavingObserver", "TraceSavingObserver", "persist_traces"]
