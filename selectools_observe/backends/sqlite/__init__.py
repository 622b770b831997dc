"""The SQLite backend.

The page's ``traces`` table holds everything. Beside it is an index of our own that only
narrows what is read; see `schema` for its shape and `index` for how it is kept.
"""

from .store import SQLiteStore

__all__ = ["SQLiteStore"]
