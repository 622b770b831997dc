"""The JSON values of files, however they are laid out."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selectools_observe.interchange.json_documents import documents

TEXTS = st.text(alphabet='ab"\\{}[],:\n é', max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.lists(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=3), min_size=1, max_size=4)


def values_of(text: str) -> list[object]:
    found = list(documents(text.encode().splitlines(keepends=True)))
    assert [each for each in found if each.problem] == []
    return [each.value for each in found]


@given(OBJECTS, st.sampled_from([None, 1]))
def test_an_array_is_its_elements(objects, indent):
    found = values_of(json.dumps(objects, indent=indent))
    assert found in ([objects], objects)  # in one line it is one value


@given(OBJECTS)
def test_lines(objects):
    assert values_of("\n".join(map(json.dumps, objects))) == objects


@given(OBJECTS, st.integers(0, 2))
def test_values_one_after_another(objects, indent):
    assert values_of("\n".join(json.dumps(each, indent=indent) for each in objects)) == objects


@pytest.mark.slow
@given(OBJECTS)
def test_elements_on_a_line_each(objects):
    text = "[\n" + ",\n".join(map(json.dumps, objects)) + "\n]\n"
    assert values_of(text) == objects


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_reported(data):
    for document in documents(data.splitlines(keepends=True)):
        assert document.place.startswith("line ")


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ('{"a": 1}\n{"b": \n{"c": 2}\n', ["line 2"]),
        ('{"a": \n{"b": 1}\n', ["line 1"]),
        ('[\n{"a": 1},\n{"b": \n', ["line 3"]),
        ('[\n1,\n{"a": 1}\n]\n', ["line 2"]),
        ('hello\n{\n"a": 1\n}\nworld', ["line 1", "line 5"]),
    ],
)
def test_what_is_not_json_is_reported_with_its_line(text, problems):
    found = list(documents(text.encode().splitlines(keepends=True)))
    assert [each.place for each in found if each.problem] == problems
