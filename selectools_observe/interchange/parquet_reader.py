"""The rows of a Parquet file, read in a process of its own: some files end the process.

pyarrow is not made for files that mean harm. Of what it aborts with nothing is left to be caught,
and what a file claims to hold is what it allocates.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from ..extras import needs
from ..runtime.work_process import bound_time
from .form import JSONObject
from .source import LONGEST, LONGEST_TEXT

if TYPE_CHECKING:
    import pyarrow.parquet as pq

WORK = f"{__name__}:answers"
MEMORY = 2 << 30  # bytes of address space
SECONDS = 60  # of processor time, and as many more as it has MiB
MAGIC = b"PAR1"
_READ_AT_ONCE = 256
_BATCH_BYTES = 64 << 20
_LOT, _LOT_BYTES = 64, 1 << 20  # rows that are handed over at once
_ROW_BYTES = 1024  # that a row counts as at least, and a value
_VALUE_BYTES = 64
UNPACKED = 1 << 30  # bytes that any file may become
_MOST_PACKED = 200  # times its size; text is packed to a tenth or so
_BUFFER = 1 << 20


class ReadColumns(msgspec.Struct, frozen=True):
    """Ask for the names of a file's columns."""

    path: str


class ReadRows(msgspec.Struct, frozen=True):
    """Ask for a file's rows, in lots.

    Attributes:
        path: The file.
        columns: The columns that are wanted; None: all.
        unpacked: The bytes that it may become, however small it is.
    """

    path: str
    columns: list[str] | None
    unpacked: int = UNPACKED


class RowLot(msgspec.Struct, frozen=True):
    """Some rows.

    Attributes:
        rows: The rows.
        done: How many rows have been read with these.
        total: How many there are.
    """

    rows: list[JSONObject]
    done: int
    total: int


Message: TypeAlias = ReadColumns | ReadRows


def loaded_pyarrow() -> Any:
    """Pyarrow, with what reads and writes Parquet.

    Raises:
        ModuleNotFoundError: It is not installed; the text has the command that installs it.
    """
    with needs("parquet", "Parquet"):
        import_module("pyarrow.parquet")
        return import_module("pyarrow")


def answers(message: Message, _: bytes) -> Iterator[Any]:
    """The answers to a message.

    Raises:
        ValueError: The file is damaged, or unpacks to too much.
        ModuleNotFoundError: pyarrow is not installed.
    """
    # Its own allocator takes a gigabyte of addresses before it is asked for anything.
    os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"
    pyarrow = loaded_pyarrow()
    bound_time(SECONDS + (os.path.getsize(message.path) >> 20))
    _say_nothing()
    with _readable(pyarrow):
        if isinstance(message, ReadColumns):
            yield pyarrow.parquet.read_schema(message.path).names
        else:
            yield from _lots(pyarrow, message)


def _say_nothing() -> None:
    """What aborts the process says so in its own words; whoever asked is told in ours."""
    with suppress(OSError):
        sys.stderr.flush()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)


@contextmanager
def _readable(pyarrow: Any) -> Iterator[None]:
    """Tell of what pyarrow cannot read in one way.

    Raises:
        ValueError: Instead of pyarrow's errors.
    """
    try:
        yield
    except (pyarrow.ArrowException, KeyError, OverflowError, RecursionError) as error:
        raise ValueError(f"a damaged Parquet file: {error}") from error
    except OSError as error:
        if error.errno is not None:  # the system's, not pyarrow's
            raise
        raise ValueError(f"a damaged Parquet file: {error}") from error


def _lots(pyarrow: Any, message: ReadRows) -> Iterator[RowLot]:
    path, columns = message.path, message.columns
    size = os.path.getsize(path)
    done, left = 0, max(message.unpacked, _MOST_PACKED * size)
    with pyarrow.parquet.ParquetFile(path, buffer_size=_BUFFER) as file:
        _check_footer(file.metadata, columns, size)
        total = file.metadata.num_rows
        for group in range(file.num_row_groups):
            largest, declared = _declared(file.metadata.row_group(group), columns)
            _check_left(left - declared, done)
            # One value may be a whole column, and stand in each row.
            at_once = max(1, min(_READ_AT_ONCE, _BATCH_BYTES // max(1, largest)))
            for batch in file.iter_batches(
                at_once, row_groups=[group], columns=columns, use_threads=False
            ):
                weight = batch.num_rows * _ROW_BYTES + sum(map(_weight, batch.columns))
                left -= weight
                _check_left(left, done)
                lot = max(1, min(_LOT, _LOT_BYTES * batch.num_rows // max(1, weight)))
                for at in range(0, batch.num_rows, lot):
                    rows = list(_rows_of(batch.slice(at, lot)))
                    done += len(rows)
                    yield RowLot(rows, done, total)
        if done != total:
            raise ValueError(f"a damaged Parquet file: it has {done} of its {total} rows")


def _check_footer(footer: pq.FileMetaData, columns: list[str] | None, size: int) -> None:
    """Refuse a file that says what cannot be: many row groups may be told to be one place in it.

    Raises:
        ValueError: It does.
    """
    ranges, rows = [], 0
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        rows += max(0, group.num_rows)
        for chunk in _chunks(group, columns):
            begins = [chunk.data_page_offset, chunk.dictionary_page_offset or 0]
            start = min(offset for offset in begins if offset > 0 or offset is begins[0])
            ranges.append((start, start + chunk.total_compressed_size))
            if not len(MAGIC) <= start <= ranges[-1][1] <= size:
                place = f"row group {number}, column {chunk.path_in_schema!r:.80}"
                raise ValueError(f"a damaged Parquet file: {place} is not within it")
    if rows != footer.num_rows:
        raise ValueError(
            f"a damaged Parquet file: its row groups have {rows} rows, not {footer.num_rows}"
        )
    ranges.sort()
    if any(end > start for (_, end), (start, _) in pairwise(ranges)):
        raise ValueError("a damaged Parquet file: columns of it overlap")


def _chunks(
    group: pq.RowGroupMetaData, columns: list[str] | None
) -> Iterator[pq.ColumnChunkMetaData]:
    """The columns of a row group that are read."""
    for number in range(group.num_columns):
        chunk = group.column(number)
        if columns is None or chunk.path_in_schema.partition(".")[0] in columns:
            yield chunk


def _declared(group: pq.RowGroupMetaData, columns: list[str] | None) -> tuple[int, int]:
    """The size of the largest column of a row group that is read, and of all of them."""
    sizes = [max(0, chunk.total_uncompressed_size) for chunk in _chunks(group, columns)]
    return max(sizes, default=0), sum(sizes)


def _check_left(left: int, done: int) -> None:
    if left < 0:
        raise ValueError(
            f"it unpacks to more than {_MOST_PACKED} times its size: what follows row {done} is "
            "left out"
        )


def _weight(array: Any) -> int:
    """The bytes of a column, and what its values take as objects."""
    if hasattr(array, "dictionary_decode"):  # each row is an object of its own
        array = array.dictionary_decode()
    return int(array.nbytes) + _VALUE_BYTES * _values_in(array)


def _values_in(array: Any) -> int:
    if hasattr(array, "keys"):  # a map
        inner = [array.keys, array.items]
    elif hasattr(array, "flatten"):  # a list, or a struct
        flat = array.flatten()
        inner = flat if isinstance(flat, list) else [flat]
    else:
        inner = []
    return len(array) + sum(map(_values_in, inner))


def _rows_of(batch: Any) -> Iterator[JSONObject]:
    """The rows one by one: all at once, they may be a hundred times the batch."""
    columns = list(zip(batch.schema.names, batch.columns, strict=True))
    for number in range(batch.num_rows):
        yield {name: _value(column[number]) for name, column in columns}


def _value(scalar: Any) -> Any:
    """A value as an object; of one that is beyond Python's, or too large, the reason as text."""
    buffer = scalar.as_buffer() if hasattr(scalar, "as_buffer") else None
    if buffer is not None and buffer.size > LONGEST:
        return f"(larger than {LONGEST_TEXT})"
    try:
        return scalar.as_py()
    except (OverflowError, KeyError, ValueError) as error:  # a time, a time zone, letters
        return f"({error})"
