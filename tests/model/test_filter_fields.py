"""Every field of `TraceFilter` is everywhere where a field must be.

An index that does not know of a field would leave it out without a word: what shows that is the
conformance suite, if the field is among its samples.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from selectools_observe import TraceFilter
from selectools_observe.testing.samples import various_filters

ROOT = Path(__file__).resolve().parents[2]
FIELDS = {field.name for field in dataclasses.fields(TraceFilter)}
# Checked by tests of their own: they need real times, texts, or an order.
APART = {"since", "until", "text", "where", "order_by"}


def test_every_field_is_tried_in_every_backend():
    assert set().union(*various_filters(3000)) == FIELDS - APART


def test_every_field_has_a_parameter():
    pytest.importorskip("starlette")
    from selectools_observe.server.query_params import FILTERS

    named = {"metadata": "metadata_match", "filter": "where"}
    parameters = {named.get(parameter.name, parameter.name) for parameter in FILTERS}
    # And the zone whose days the language's dates are.
    assert parameters == (FIELDS - {"limit", "order_by"}) | {"tz"}


def test_every_field_is_documented():
    documented = TraceFilter.__doc__ or ""
    assert [name for name in sorted(FIELDS) if f" {name}: " not in documented] == []
    manual = (ROOT / "docs" / "store.md").read_text("utf-8")
    assert [name for name in sorted(FIELDS) if f"`{name}`" not in manual] == []
