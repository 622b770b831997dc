"""Logs of Inspect (``.eval`` and ``.json``): a sample of an evaluation is a run.

An ``.eval`` file is a zip archive with a file a sample, packed with zstd since Inspect 0.3.190.
"""

from __future__ import annotations

import struct
import sys
import zipfile
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, cast

from ..extras import needs
from ..model.annotations import Annotation
from ..model.limits import loads_limited
from ..model.trace import AgentTrace, TraceStep
from .builders import run, seconds, step, text_of, total
from .form import BinaryForm, JSONForm, JSONObject, SavedRun
from .scores import Score
from .source import LONGEST, LONGEST_TEXT, Source

_ZSTD = 93  # zip's number of the method
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_ATTACHMENT = "attachment://"
_SAMPLES = "samples/"
_LIMITS = "limit"
# What Inspect itself takes its letters for.
_GRADES = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}


def _runs_of_log(log: JSONObject, source: Source) -> Iterator[SavedRun]:
    for sample in log.get("samples") or []:
        if isinstance(sample, dict):
            yield _scored(run_of_sample(sample, log), sample, source)


def _scored(run: AgentTrace, sample: JSONObject, source: Source) -> SavedRun:
    """The run with the scores of the sample; of a score of several parts, each."""
    said: list[Annotation] = []
    for name, score in _dict(sample.get("scores")).items():
        value = _dict(score).get("value")
        parts = value if isinstance(value, dict) else {"": value}
        for part, told in parts.items():
            named = f"{name}.{part}" if part else name
            try:
                said.append(_score(run.run_id, named, told, score, sample).annotation(run.run_id))
            except (TypeError, ValueError) as error:
                source.skipped(f"{source.path}, score {named} of {run.run_id}", str(error))
    return SavedRun(run, None, said)


def _score(run_id: str, name: str, value: Any, score: Any, sample: JSONObject) -> Score:
    graded = _GRADES.get(value) if isinstance(value, str) else None
    return Score(
        id=f"inspect-{run_id}-{name}",
        name=name,
        value=value if graded is None else graded,
        label=None if graded is None else value,
        note=_dict(score).get("explanation"),
        when=sample.get("completed_at"),
    )


def run_of_sample(sample: JSONObject, log: JSONObject) -> AgentTrace:
    """A sample as a run; ``log`` is the evaluation that it is of."""
    texts = sample.get("attachments")
    if isinstance(texts, dict) and texts:
        sample = _with_texts({k: v for k, v in sample.items() if k != "attachments"}, texts)
    evaluation = _dict(log.get("eval"))
    events = [event for event in sample.get("events") or [] if isinstance(event, dict)]
    pool = _dict(sample.get("events_data")).get("messages") or []
    steps = [made for event in events for made in _steps_of(event, pool)]
    began = seconds(sample.get("started_at")) or min(
        [float(made.timestamp) for made in steps], default=seconds(evaluation.get("created")) or 0.0
    )
    output = _dict(sample.get("output"))
    return run(
        _run_id(sample, evaluation),
        began,
        steps,
        name=f"{evaluation.get('task')}: {sample.get('id')}",
        input=_question(sample.get("input")),
        output=output.get("completion"),
        agent=evaluation.get("solver") or evaluation.get("task"),
        tags=evaluation.get("tags") or None,
        outcome=_outcome(sample, log),
        metadata={
            "source": "inspect",
            "task": evaluation.get("task"),
            "eval_id": evaluation.get("eval_id"),
            "sample_id": sample.get("id"),
            "epoch": sample.get("epoch"),
            "model": evaluation.get("model"),
            "target": sample.get("target"),
            "scores": _scores(sample) or None,
            "total_time": sample.get("total_time"),
            "limit": _dict(sample.get(_LIMITS)).get("type"),
        }
        | {f"sample.{key}": value for key, value in _dict(sample.get("metadata")).items()},
    )


def _run_id(sample: JSONObject, evaluation: JSONObject) -> str:
    if isinstance(sample.get("uuid"), str):
        return str(sample["uuid"])
    return f"{evaluation.get('eval_id')}-{sample.get('id')}-{sample.get('epoch')}"


def _outcome(sample: JSONObject, log: JSONObject) -> str:
    if sample.get("error"):
        return "error"
    if sample.get(_LIMITS) or log.get("status") == "cancelled":
        return "cancelled"
    return "ok" if sample.get("output") else "unfinished"


def _scores(sample: JSONObject) -> JSONObject:
    scores = _dict(sample.get("scores"))
    return {name: _dict(score).get("value") for name, score in scores.items()}


def _question(given: Any) -> str | None:
    if isinstance(given, list):
        users = [m for m in given if isinstance(m, dict) and m.get("role") == "user"]
        return text_of(users[-1].get("content")) if users else None
    return given if isinstance(given, str) else None


def _steps_of(event: JSONObject, pool: list[Any]) -> list[TraceStep]:
    began = seconds(event.get("timestamp"))
    if began is None:
        return []
    match event.get("event"):
        case "model":
            return [_model_step(event, began, pool)]
        case "tool":
            return [_tool_step(event, began)]
        case "error":
            error = _dict(event.get("error")).get("message") or "error"
            return [step("error", began, began, error=str(error))]
        case "sample_limit":
            message = event.get("message") or event.get("type")
            return [step("budget_exceeded", began, began, summary=str(message))]
    return []


def _model_step(event: JSONObject, began: float, pool: list[Any]) -> TraceStep:
    output = _dict(event.get("output"))
    usage = _dict(output.get("usage"))
    messages = [_message(_dict(choice).get("message")) for choice in output.get("choices") or []]
    read, written = (usage.get(f"input_tokens_cache_{name}") for name in ("read", "write"))
    return step(
        "llm_call", began, seconds(event.get("completed")),
        model=output.get("model") or event.get("model"),
        prompt_tokens=total(usage.get("input_tokens"), read, written),
        completion_tokens=total(usage.get("output_tokens")),
        cost_usd=usage.get("total_cost"),
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=usage.get("reasoning_tokens"),
        reasoning=_reasoning(messages),
        error=event.get("error") or output.get("error"),
        input=[_message(message) for message in _input_of(event, pool)] or None,
        output=messages or None,
    )  # fmt: skip


def _message(message: Any) -> Any:
    """A message with its tool calls as OpenAI has them; Inspect names the function only."""
    calls = _dict(message).get("tool_calls")
    if not isinstance(calls, list):
        return message
    return message | {"tool_calls": [_tool_call(call) for call in calls]}


def _tool_call(call: Any) -> Any:
    if not isinstance(call, dict) or not isinstance(call.get("function"), str):
        return call
    function = {"name": call["function"], "arguments": call.get("arguments")}
    others = {name: value for name, value in call.items() if name != "arguments"}
    return others | {"type": "function", "function": function}


def _input_of(event: JSONObject, pool: list[Any]) -> list[Any]:
    """The messages of a call: written there, or as ranges of the sample's own list of them."""
    refs = event.get("input_refs")
    if not isinstance(refs, list):
        return list(event.get("input") or [])
    return [message for first, end in refs for message in pool[first:end]]


def _tool_step(event: JSONObject, began: float) -> TraceStep:
    result = event.get("result")
    arguments = event.get("arguments")
    error = event.get("error")
    return step(
        "tool_execution", began, seconds(event.get("completed")),
        tool_name=event.get("function"),
        tool_args=arguments if isinstance(arguments, dict) else None,
        tool_result=text_of(result) if isinstance(result, str | list) else str(result),
        error=_dict(error).get("message") or (str(error) if error else None),
        tool_call_id=event.get("id"),
    )  # fmt: skip


def _reasoning(messages: list[Any]) -> str | None:
    parts = [
        part.get("reasoning")
        for message in messages
        for part in _list(_dict(message).get("content"))
        if isinstance(part, dict) and part.get("type") == "reasoning"
    ]
    return "\n".join(part for part in parts if isinstance(part, str) and part) or None


def _with_texts(value: Any, texts: JSONObject) -> Any:
    """The value with its long texts, which stand aside, in their places."""
    if isinstance(value, str) and value.startswith(_ATTACHMENT):
        return texts.get(value.removeprefix(_ATTACHMENT), value)
    if isinstance(value, list):
        return [_with_texts(item, texts) for item in value]
    if isinstance(value, dict):
        return {key: _with_texts(item, texts) for key, item in value.items()}
    return value


def _dict(value: Any) -> JSONObject:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


class _LogReader:
    def __init__(self, source: Source) -> None:
        self._source = source

    def take(self, value: JSONObject, _: str) -> Iterator[SavedRun]:
        return _runs_of_log(value, self._source)

    def rest(self) -> Iterable[AgentTrace]:
        return ()


def _is_log(value: JSONObject) -> bool:
    return "eval" in value and "status" in value and isinstance(value["eval"], dict)


def _is_archive(path: str) -> bool:
    with open(path, "rb") as file:
        if file.read(4) != b"PK\x03\x04":
            return False
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return False
    return bool(names & {"header.json", "_journal/start.json"})


def _read_archive(source: Source) -> Iterator[SavedRun]:
    with open(source.path, "rb") as file, zipfile.ZipFile(file) as archive:
        names = {entry.filename: entry for entry in archive.infolist()}
        # A log that was cut short has no header; how it began tells the same.
        head = names.get("header.json") or names["_journal/start.json"]
        log = _dict(loads_limited(_entry(file, archive, head), source.limits))
        samples = [entry for name, entry in names.items() if name.startswith(_SAMPLES)]
        for done, entry in enumerate(samples, 1):
            try:
                sample = _dict(loads_limited(_entry(file, archive, entry), source.limits))
                made = _scored(run_of_sample(sample, log), sample, source)
            except (ValueError, zipfile.BadZipFile) as error:
                source.skipped(f"{source.path}, {entry.filename}", str(error))
            else:
                yield made
            source.progress(done, len(samples))


def _entry(file: IO[bytes], archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    """The content of an entry, also where this Python's zipfile does not know zstd."""
    if entry.compress_type != _ZSTD or sys.version_info >= (3, 14):
        with archive.open(entry) as member:
            return _bounded(member)
    file.seek(entry.header_offset)
    header = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
    file.seek(header[-2] + header[-1], 1)  # the entry's name and its further fields
    return _bounded(_unpack_zstd()(file.read(entry.compress_size)))


def _bounded(file: IO[bytes]) -> bytes:
    data = file.read(LONGEST + 1)
    if len(data) > LONGEST:
        raise ValueError(f"the entry is larger than {LONGEST_TEXT} when unpacked")
    return data


def _unpack_zstd() -> Callable[[bytes], IO[bytes]]:
    with needs("zstd", "This log"):
        import zstandard  # noqa: PLC0415 - an extra
    return lambda data: cast("IO[bytes]", zstandard.ZstdDecompressor().stream_reader(data))


FORM = JSONForm(
    "inspect-json",
    "a log of Inspect as JSON",
    _is_log,
    _LogReader,
    ("version", "status", "eval", "samples"),
    "`inspect eval --log-format json`, `inspect log dump`",
)
ARCHIVE_FORM = BinaryForm(
    "inspect-eval",
    "a log of Inspect",
    _is_archive,
    _read_archive,
    ("header.json", "samples/"),
    "`inspect eval`, a `.eval` file",
)
