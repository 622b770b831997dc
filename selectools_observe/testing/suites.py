"""The conformance suites: the same checks for async and blocking stores."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

from ..runtime.interface import run_sync
from .annotation_checks import AnnotationChecks
from .archive_checks import ManyChecks, PageChecks, StreamChecks
from .callers import AsyncStoreCaller, BlockingStoreCaller
from .close_checks import ClosingChecks
from .concurrency_checks import ConcurrencyChecks, TaskChecks, ThreadChecks
from .created_at_checks import CreatedAtChecks
from .detail_checks import DetailChecks, DetailCountChecks
from .filter_checks import FilteringChecks
from .histogram_checks import HistogramChecks
from .load_checks import ReadingChecks
from .maintenance_checks import TrustChecks
from .persistence_checks import PersistenceChecks
from .question_checks import QuestionChecks
from .retention_checks import RetentionChecks
from .save_checks import SavingChecks
from .summing_checks import SummingChecks
from .update_checks import UpdateChecks
from .value_checks import ValueChecks

SuiteT = TypeVar("SuiteT")


class _StoreChecks(
    SavingChecks,
    ValueChecks,
    ReadingChecks,
    FilteringChecks,
    DetailChecks,
    ClosingChecks,
    PersistenceChecks,
    ConcurrencyChecks,
):
    """All checks of the five methods that both kinds of store must pass."""


class _ArchiveChecks(
    ManyChecks,
    DetailCountChecks,
    UpdateChecks,
    PageChecks,
    StreamChecks,
    HistogramChecks,
    QuestionChecks,
    SummingChecks,
    AnnotationChecks,
    CreatedAtChecks,
    RetentionChecks,
):
    """All checks of the methods for many runs."""


def _blocking(suite: type[SuiteT]) -> type[SuiteT]:
    """The suite with its coroutines driven where they stand, without an event loop."""
    for name in dir(suite):
        check = getattr(suite, name)
        if name.startswith("test_") and inspect.iscoroutinefunction(check):
            setattr(suite, name, _driven(check))
    return suite


def _driven(check: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(check)
    def driven(*args: Any, **kwargs: Any) -> None:
        __tracebackhide__ = True
        run_sync(check(*args, **kwargs))

    return driven


class AsyncTraceStoreConformance(_StoreChecks, TaskChecks):
    """What every `AsyncTraceStore` must pass; give the fixture ``store``."""

    caller_type = AsyncStoreCaller
    pytestmark = pytest.mark.asyncio


@_blocking
class TraceStoreConformance(_StoreChecks, ThreadChecks):
    """What every `TraceStore` must pass; give the fixture ``store``."""

    caller_type = BlockingStoreCaller


class AsyncQueryableTraceStoreConformance(_ArchiveChecks, AsyncTraceStoreConformance):
    """What every `AsyncQueryableTraceStore` must pass; give the fixture ``store``."""


@_blocking
class QueryableTraceStoreConformance(_ArchiveChecks, TraceStoreConformance):
    """What every `QueryableTraceStore` must pass; give the fixture ``store``."""


class AsyncFileTraceStoreConformance(TrustChecks, AsyncQueryableTraceStoreConformance):
    """What every `AsyncFileTraceStore` must pass; give the fixture ``store``."""


@_blocking
class FileTraceStoreConformance(TrustChecks, QueryableTraceStoreConformance):
    """What every `FileTraceStore` must pass; give the fixture ``store``."""
