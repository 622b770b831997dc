"""The columns of cells: what runs, or calls, with something in common add up to."""

from __future__ import annotations

CELL_COLUMNS = (
    "kind UInt8, name LowCardinality(String), quarter Int64, quantity UInt8, bucket Int32, "
    "n UInt64, calls Int128, errors UInt64, prompt_tokens Int128, completion_tokens Int128, "
    "total Float64, least Float64, most Float64"
)
CELL_NAMES = ", ".join(column.split()[0] for column in CELL_COLUMNS.split(", "))
KEPT_DAYS = 90
"""After how many days the server removes kept cells, which count for fewer: nobody misses one."""
