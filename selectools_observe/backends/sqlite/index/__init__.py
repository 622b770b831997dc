"""The index of an SQLite store: terms, postings and bounds in blocks of 256 traces."""
