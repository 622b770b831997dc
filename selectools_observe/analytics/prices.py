"""What model calls cost where nobody told: estimated from a table of prices, and marked so.

Needs the extra ``prices`` for the table of `genai-prices`; prices of your own need nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from os import PathLike, fspath
from typing import Any, TypeAlias

import msgspec

from ..extras import needs
from ..model.amounts import is_finite
from ..model.filters import TraceFilter
from ..model.trace import AgentTrace, StepType, TraceStep
from ..protocols import AsyncQueryableTraceStore, QueryableTraceStore

OwnPrices: TypeAlias = Mapping[str, Mapping[str, Any]]
"""US dollars for a million tokens, by model: ``{"my-model": {"input": 2.5, "output": 10}}``.
Further kinds: ``cache_read``, ``cache_write`` (each of them as ``input`` unless given)."""

ESTIMATE = "cost_estimate"
"""The key of a step's ``extra`` that says that its cost was estimated, and from which table."""

_KINDS = frozenset({"input", "output", "cache_read", "cache_write"})
# A step's further tokens, by the names that the table has for them.
_FURTHER = {
    "cache_read_tokens": "cache_read_tokens",
    "cache_write_tokens": "cache_write_tokens",
    "audio_input_tokens": "input_audio_tokens",
    "audio_output_tokens": "output_audio_tokens",
}
_MILLION = 1_000_000


class CostEstimate(msgspec.Struct, frozen=True):
    """What a model call cost by a table of prices.

    Attributes:
        cost_usd: US dollars.
        table: The table: ``"genai-prices 0.2.3"``, or ``"own"``.
        date: Of which day the prices are, ``YYYY-MM-DD``: for those of the package the day of the
            call, as its tables know when prices changed; None if nobody says.
    """

    cost_usd: float
    table: str
    date: str | None = None


class RepriceReport(msgspec.Struct, frozen=True):
    """What `reprice` did.

    Attributes:
        runs: How many runs it looked at.
        repriced: How many of them have costs now that they did not have.
        steps: How many calls were given a cost.
        unknown: For each model that no table knows, how many calls it had.
    """

    runs: int
    repriced: int
    steps: int
    unknown: dict[str, int]


class PriceTable:
    """Prices of model calls: your own first, then those of the package `genai-prices`.

    Args:
        own: Your own prices, or a TOML file with a table for each model.
        date: Of which day your own prices are.
        package: Whether to ask `genai-prices`.

    Raises:
        ModuleNotFoundError: `genai-prices` is asked for and not installed.
        OSError: The file cannot be read.
        ValueError: It is no TOML, or a price is not a number of at least 0.
    """

    def __init__(
        self,
        own: OwnPrices | str | PathLike[str] | None = None,
        *,
        date: str | None = None,
        package: bool = True,
    ) -> None:
        self._own = _checked(own if isinstance(own, Mapping) else _read(own))
        self._date = date
        self._calculate = _package() if package else None

    def estimate(self, step: TraceStep) -> CostEstimate | None:
        """What a step cost; None if it used no tokens of a model that a table knows.

        A price is that of the day of the call. Tokens that were read from or written to a cache,
        and audio tokens, count at their own price where ``extra`` tells them; tokens of reasoning
        are among those that the model wrote.
        """
        if not (step.prompt_tokens or step.completion_tokens):
            return None
        for model in _models_of(step):
            if model in self._own:
                dollars = _by_own_prices(self._own[model], step)
                return CostEstimate(dollars, "own", self._date)
        for model in _models_of(step) if self._calculate is not None else ():
            found = self._calculate(step, model)  # type: ignore[misc]
            if found is not None:
                return found
        return None

    def priced(self, trace: AgentTrace, *, again: bool = False) -> tuple[int, Counter[str]]:
        """Set the cost of those steps of a run that tell tokens and no cost.

        Args:
            trace: The run; it is changed.
            again: Also replace costs that were estimated before.

        Returns:
            How many steps were given a cost, and how many calls of each model no table knows.
        """
        done, unknown = 0, Counter[str]()
        for step in trace.steps:
            extra = step.extra or {}
            if step.cost_usd is not None and not (again and ESTIMATE in extra):
                continue
            found = self.estimate(step)
            if found is not None:
                reported = {"table": found.table, "date": found.date}
                step.cost_usd, step.extra = found.cost_usd, {**extra, ESTIMATE: reported}
                done += 1
            elif step.type == StepType.LLM_CALL and (step.prompt_tokens or step.completion_tokens):
                unknown[step.model or "(no model)"] += 1
        return done, unknown


def reprice(
    store: QueryableTraceStore,
    filters: TraceFilter | None = None,
    *,
    prices: PriceTable | None = None,
    again: bool = False,
) -> RepriceReport:
    """Estimate the costs of stored runs where nobody told them.

    Each run that changes is updated in one atomic change, oldest first. As after any save, it is
    among the newest then. What a run's framework told is never replaced.

    Args:
        store: The store.
        filters: Which runs; all, unless given.
        prices: The prices; those of `genai-prices`, unless given.
        again: Also replace what was estimated before, as with newer prices.

    Raises:
        ModuleNotFoundError: `genai-prices` is needed and not installed.
    """
    work = _Repricing(prices or PriceTable(), again=again)
    for run_id in [summary.run_id for summary in store.iter_summaries(filters, oldest_first=True)]:
        store.update(run_id, work.change)
        work.settle()
    return work.report()


async def areprice(
    store: AsyncQueryableTraceStore,
    filters: TraceFilter | None = None,
    *,
    prices: PriceTable | None = None,
    again: bool = False,
) -> RepriceReport:
    """`reprice` for an async store."""
    work = _Repricing(prices or PriceTable(), again=again)
    found = store.iter_summaries(filters, oldest_first=True)
    for run_id in [summary.run_id async for summary in found]:
        await store.update(run_id, work.change)
        work.settle()
    return work.report()


class _Repricing:
    """Counts what becomes of runs; a change may be tried more than once before it is made."""

    def __init__(self, prices: PriceTable, *, again: bool) -> None:
        self._prices = prices
        self._again = again
        self._runs = self._repriced = self._steps = 0
        self._unknown: Counter[str] = Counter()
        self._last: tuple[int, Counter[str]] | None = None

    def change(self, stored: AgentTrace | None) -> AgentTrace | None:
        if stored is None:
            self._last = None
            return None
        self._last = self._prices.priced(stored, again=self._again)
        return stored if self._last[0] else None

    def settle(self) -> None:
        if self._last is not None:
            done, unknown = self._last
            self._runs += 1
            self._repriced += done > 0
            self._steps += done
            self._unknown += unknown
        self._last = None

    def report(self) -> RepriceReport:
        return RepriceReport(self._runs, self._repriced, self._steps, dict(self._unknown))


def _models_of(step: TraceStep) -> Iterator[str]:
    """The names of a step's model, the one that answered first."""
    extra = step.extra or {}
    for name in (extra.get("response_model"), step.model, extra.get("request_model")):
        if isinstance(name, str) and name:
            yield name
            if "/" in name:  # of a gateway: openai/gpt-4o
                yield name.rpartition("/")[2]


def _further(step: TraceStep) -> dict[str, int]:
    extra = step.extra or {}
    return {
        meant: value
        for name, meant in _FURTHER.items()
        if type(value := extra.get(name)) is int and value > 0
    }


def _prompt_and_further(step: TraceStep) -> tuple[int, dict[str, int]]:
    """All tokens of the prompt, and which of them are of a kind of their own."""
    prompt, further = step.prompt_tokens or 0, _further(step)
    cached = further.get("cache_read_tokens", 0) + further.get("cache_write_tokens", 0)
    # More than the whole: they were told next to the prompt's, as Anthropic does.
    return (prompt + cached if cached > prompt else prompt), further


def _by_own_prices(prices: Mapping[str, float], step: TraceStep) -> float:
    prompt, further = _prompt_and_further(step)
    read, wrote = (further.get(f"cache_{kind}_tokens", 0) for kind in ("read", "write"))
    plain = max(0, prompt - read - wrote)
    dollars = (
        plain * prices["input"]
        + read * prices.get("cache_read", prices["input"])
        + wrote * prices.get("cache_write", prices["input"])
        + (step.completion_tokens or 0) * prices["output"]
    )
    return dollars / _MILLION


def _package() -> Callable[[TraceStep, str], CostEstimate | None]:
    """The calculation of `genai-prices`.

    Raises:
        ModuleNotFoundError: It is not installed.
    """
    with needs("prices", "An estimate of costs"):
        from genai_prices import Usage, calc_price  # noqa: PLC0415 - slow, and an extra
    from importlib import metadata  # noqa: PLC0415 - slow, seldom used

    table = f"genai-prices {metadata.version('genai-prices')}"

    def calculate(step: TraceStep, model: str) -> CostEstimate | None:
        began = _moment(step)
        prompt, further = _prompt_and_further(step)
        usage = Usage(input_tokens=prompt, output_tokens=step.completion_tokens or 0, **further)
        try:
            price = calc_price(usage, model, genai_request_timestamp=began)
        except (LookupError, ValueError):
            return None
        day = None if began is None else began.date().isoformat()
        return CostEstimate(float(price.total_price), table, day)

    return calculate


def _moment(step: TraceStep) -> datetime | None:
    if not is_finite(step.timestamp) or step.timestamp <= 0:
        return None
    try:
        return datetime.fromtimestamp(float(step.timestamp), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _read(path: str | PathLike[str] | None) -> dict[str, object]:
    if path is None:
        return {}
    import tomllib  # noqa: PLC0415 - seldom used

    with open(path, "rb") as file:
        try:
            return tomllib.load(file)
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"{fspath(path)} is not TOML: {error}") from None


def _checked(own: Mapping[str, object]) -> dict[str, dict[str, float]]:
    checked = {}
    for model, prices in own.items():
        if not isinstance(prices, Mapping) or not {"input", "output"} <= set(prices) <= _KINDS:
            kinds = ", ".join(sorted(_KINDS - {"input", "output"}))
            raise ValueError(f"{model}: give input and output, and of {kinds} what there is")
        for kind, price in prices.items():
            if isinstance(price, bool) or not is_finite(price) or not price >= 0:
                raise ValueError(f"{model}.{kind} must be US dollars a million tokens: {price!r}")
        checked[model] = {kind: float(price) for kind, price in prices.items()}
    return checked
