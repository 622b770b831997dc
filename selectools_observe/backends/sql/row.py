"""A row that a database answers with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

Row: TypeAlias = Sequence[Any]
"""Its values, in the order in which the statement asked for them."""
