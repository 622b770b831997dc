"""What is done to a run before anything of it reaches a store: redaction, truncation, sampling."""

from __future__ import annotations

import hashlib
import logging
import re
import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import msgspec

from ...analytics.prices import PriceTable
from ...backends.files.journal_file import UNFINISHED
from ...model.annotations import Annotation
from ...model.codec import EncodedTrace, decode, decode_step, encode, encode_step
from ...model.text import truncated
from ...model.trace import DETAIL_FIELDS, STEP_FIELDS, AgentTrace, StepType, TraceStep
from ..redaction import Redactor
from ..redaction.traversal import Walk, fuse_redactors

log = logging.getLogger(__name__)

Sample: TypeAlias = float | Callable[[AgentTrace], bool]
"""Which runs are stored: a share of them, or those for which a function says so."""

ROOT_RUN_ID = "root_run_id"
WITHHELD = "[withheld: redaction failed]"
"""What stands for a text that a redactor failed on."""


class ProcessingCounts(msgspec.Struct, frozen=True):
    """What a `TraceProcessor` did so far.

    Attributes:
        sampled_out: Runs that were not stored, by ``sample``.
        redactions_failed: Steps and metadata that were withheld, since a redactor failed on them.
    """

    sampled_out: int = 0
    redactions_failed: int = 0


class TraceProcessor:
    """Makes a run fit to be stored: redacted, then truncated; and says whether it is stored at all.

    Never changes what it is given. Where a redactor fails, or returns something else than a step or
    metadata, the texts it failed on are withheld, which is counted and logged.

    Args:
        redact: Redactors, called in this order; see `selectools_observe.capture.Redactor`.
        truncate: Characters that a text may have, anywhere in a step, in the metadata and in what
            is said of the run, but for ids; what goes beyond is cut off, saying how much. None cuts
            nothing.
        prices: Estimate what model calls cost where nobody told it; see
            `selectools_observe.analytics.PriceTable`. None estimates nothing.
        sample: A share from 0.0 to 1.0 of the runs, chosen by their ids, so that a run and those
            which it started go the same way, in every process; or a function of the trace.
        keep_errors: Store runs with an error whatever ``sample`` says.

    Raises:
        TypeError: Something has the wrong type.
        ValueError: A share that is not between 0 and 1, or ``truncate`` below 1.
    """

    def __init__(
        self,
        *,
        redact: Redactor | Iterable[Redactor] = (),
        truncate: int | None = None,
        prices: PriceTable | None = None,
        sample: Sample | None = None,
        keep_errors: bool = True,
    ) -> None:
        redactors = [redact] if callable(redact) else list(redact)
        for redactor in redactors:
            if not callable(redactor):
                raise TypeError(f"a redactor must be callable, not {redactor!r}")
        if truncate is not None and truncate < 1:
            raise ValueError(f"truncate must be at least 1 character, not {truncate!r}")
        if sample is not None and not callable(sample) and not 0 <= sample <= 1:
            raise ValueError(f"sample must be between 0.0 and 1.0, not {sample!r}")
        self._redactors = fuse_redactors(redactors)
        self._truncate = truncate
        self._prices = prices
        self._sample = sample
        self._keep_errors = keep_errors
        self._lock = threading.Lock()
        self._sampled_out = 0
        self._failed = 0

    @property
    def counts(self) -> ProcessingCounts:
        """What was done so far."""
        return ProcessingCounts(self._sampled_out, self._failed)

    @property
    def samples(self) -> bool:
        """Whether some runs may not be stored."""
        return self._sample is not None

    def trace(self, trace: object) -> AgentTrace | None:
        """The run as it is to be stored; None if it is not.

        Raises:
            InvalidTraceError: It cannot be stored.
        """
        return self.encoded(encode(trace))

    def encoded(self, snapshot: EncodedTrace) -> AgentTrace | None:
        """`trace` of a snapshot."""
        own: AgentTrace = decode(snapshot.trace)
        if not self._is_wanted(own, has_error=snapshot.facts.has_error):
            with self._lock:
                self._sampled_out += 1
            return None
        return self._prepared(own)

    def run_id(self, run_id: str) -> str:
        """The id under which a run is stored: another, if it holds what is redacted.

        The same for the same id, in every process, so that runs still know their parents.
        """
        walks = [each for each in self._redactors if isinstance(each, Walk)]
        if all(walk.text(run_id) == run_id for walk in walks):
            return run_id
        return f"redacted-{hashlib.sha256(run_id.encode(errors='replace')).hexdigest()[:32]}"

    def _prepared(self, own: AgentTrace) -> AgentTrace:
        if self._prices is not None:
            self._prices.priced(own)
        own.run_id = self.run_id(own.run_id)
        if isinstance(own.parent_run_id, str):  # a file may say anything
            own.parent_run_id = self.run_id(own.parent_run_id)
        own.steps = [self._prepared_step(step) for step in own.steps]
        own.metadata = self._cut(self._prepared_metadata(own.metadata))
        if own.extra:
            own.extra = self._cut(self._prepared_metadata(own.extra))
        self._prepare_details(own)
        return own

    def _prepare_details(self, own: AgentTrace) -> None:
        """The run's own fields, which redactors see as they see metadata."""
        details = {name: getattr(own, name) for name in DETAIL_FIELDS}
        details = {name: value for name, value in details.items() if value is not None}
        if not details:
            return
        prepared = self._cut(self._prepared_metadata(details))
        for name in details:
            setattr(own, name, prepared.get(name))

    def step(self, step: TraceStep) -> TraceStep:
        """A step as it is to be stored.

        Raises:
            UnstorableValueError: It holds a value that JSON has no form for.
        """
        return self._prepared_step(decode_step(encode_step(step)))

    def head(self, trace: AgentTrace) -> AgentTrace:
        """A run without its steps, as it is to be stored.

        Raises:
            InvalidTraceError: It cannot be stored.
        """
        bare = msgspec.structs.replace(trace, steps=[])
        return self._prepared(decode(encode(bare).trace))

    def annotation(self, annotation: Annotation) -> Annotation:
        """An annotation as it is to be stored: its label and its note prepared as a run's texts."""
        texts = {"label": annotation.label, "note": annotation.note}
        given = {name: text for name, text in texts.items() if text is not None}
        prepared = self._cut(self._prepared_metadata(given))
        changed = {name: str(prepared.get(name, WITHHELD)) for name in given}
        run_id = self.run_id(annotation.run_id)
        return msgspec.structs.replace(annotation, run_id=run_id, **changed)

    def _cut(self, value: Any) -> Any:
        return value if self._truncate is None else _truncated(value, self._truncate)

    def may_be_wanted(self, trace: AgentTrace) -> bool:
        """Whether a run that has only begun may be stored in the end."""
        return callable(self._sample) or self._keep_errors or self._is_in_share(trace)

    def _is_wanted(self, trace: AgentTrace, *, has_error: bool) -> bool:
        if self._sample is None or (has_error and self._keep_errors):
            return True
        if callable(self._sample):
            try:
                return bool(self._sample(trace))
            except Exception as error:  # noqa: BLE001 - a run too many rather than one too few
                log.warning("sample= failed (%s): the run is kept", type(error).__name__)
                return True
        return self._is_in_share(trace)

    def _is_in_share(self, trace: AgentTrace) -> bool:
        if self._sample is None or callable(self._sample):
            return True
        root = trace.metadata.get(ROOT_RUN_ID) or trace.parent_run_id or trace.run_id
        digest = hashlib.blake2b(str(root).encode(errors="replace"), digest_size=8).digest()
        return int.from_bytes(digest) < self._sample * 2**64

    def _prepared_step(self, step: TraceStep) -> TraceStep:
        for redactor in self._redactors:
            try:
                redacted = redactor(step)
            except Exception as error:  # noqa: BLE001 - foreign code may raise anything
                return self._withheld_step(step, redactor, error)
            if not isinstance(redacted, TraceStep):
                return self._withheld_step(step, redactor, TypeError())
            step = redacted
        return step if self._truncate is None else _truncated_step(step, self._truncate)

    def _prepared_metadata(self, metadata: dict[str, Any]) -> dict[str, Any]:
        for redactor in self._redactors:
            try:
                redacted = redactor(metadata)
            except Exception as error:  # noqa: BLE001 - foreign code may raise anything
                return self._withheld_metadata(metadata, redactor, error)
            if not isinstance(redacted, dict):
                return self._withheld_metadata(metadata, redactor, TypeError())
            metadata = redacted
        return metadata

    def _withheld_step(self, step: TraceStep, redactor: Redactor, error: Exception) -> TraceStep:
        self._note_failure(redactor, error)
        kept = TraceStep(step.type if _is_known(step.type) else StepType.ERROR)
        for name in STEP_FIELDS:
            value = getattr(step, name)
            if isinstance(value, str) and name != "type":
                setattr(kept, name, WITHHELD)
            elif isinstance(value, int | float):
                setattr(kept, name, value)
        return kept

    def _withheld_metadata(
        self, metadata: dict[str, Any], redactor: Redactor, error: Exception
    ) -> dict[str, Any]:
        self._note_failure(redactor, error)
        mark = {UNFINISHED: True} if metadata.get(UNFINISHED) is True else {}
        return {"withheld": WITHHELD, **mark}

    def _note_failure(self, redactor: Redactor, error: Exception) -> None:
        with self._lock:
            self._failed += 1
        # Not the error's own text: it may quote the secret.
        name = getattr(redactor, "__qualname__", type(redactor).__qualname__)
        problem = type(error).__name__
        log.error("The redactor %s failed (%s): what it was given is withheld", name, problem)


def _is_known(kind: StepType) -> bool:
    return kind in StepType.__members__.values()


def _truncated_step(step: TraceStep, longest: int) -> TraceStep:
    for name in (*STEP_FIELDS, "extra"):
        value = getattr(step, name)
        if isinstance(value, str | dict | list) and name != "type":
            setattr(step, name, _truncated(value, longest))
    return step


def _truncated(value: Any, longest: int) -> Any:
    if isinstance(value, str):
        return truncated(value, longest)
    if isinstance(value, dict):
        return {
            key: item if _is_id(key, item) else _truncated(item, longest)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_truncated(item, longest) for item in value]
    return value


def _is_id(name: str, value: object) -> bool:
    """Whether runs, spans or calls are found by it and belong together."""
    return isinstance(value, str) and len(value) <= _LONGEST_ID and _ID.search(name) is not None


_LONGEST_ID = 1024  # a text that is longer is not one, whatever it is called
_ID = re.compile(
    r"(?i:(?:^|[._\-])id)$|[a-z0-9]I[dD]$"
    r"|(?i:(?:user|session|thread|trace|span|run|call|conversation|group|request)id)$"
)
