"""The terms of a run are what the files of this version hold."""

from __future__ import annotations

from hashlib import blake2b

from selectools_observe import AgentTrace, TraceStep
from selectools_observe.backends.sql.terms import terms_of, unpack
from selectools_observe.backends.sqlite import schema
from selectools_observe.model.codec import encode

RUN = AgentTrace(
    [
        TraceStep("llm_call", 1.0, 1.0, model="gpt-4o"),
        TraceStep("tool_execution", 1.0, 1.0, tool_name="search", error="Timeout"),
    ],
    1.0,
    "r",
    "parent",
    {"user": "ada", "trials": [1, 2.5], "of": {"a": None}},
    "refund",
    "Question",
    "Answer",
    "s-1",
    "u-1",
    "support",
    ["a", "b"],
    "ok",
)


def test_older_rows_have_the_terms_that_are_asked_for():
    """Rows saved before a term came to be do not have it, and a filter would leave them out.

    Where this fails, a new version of the schemas of SQLite, PostgreSQL and ClickHouse makes the
    index of older files again. While that version is unreleased, the figure here is all to change.
    """
    encoded = encode(RUN)
    terms = sorted(unpack(terms_of(encoded.metadata, encoded.facts, encoded.details)))
    digest = blake2b(repr(terms).encode(), digest_size=8).hexdigest()
    assert (schema.VERSION, len(terms), digest) == (3, 16, "9ee4a29871a4f454")
