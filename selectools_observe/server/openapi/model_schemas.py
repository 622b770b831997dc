"""Schemas that msgspec makes of the models: a new field is in the document by itself."""

from __future__ import annotations

import functools
import inspect
import operator
from datetime import datetime
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec

from ..param_types import AWARE, Schema, documented_attributes

_PLACE = "#/components/schemas/{name}"


def fields_of(model: type) -> dict[str, Schema]:
    """The schema of each field of a model, a struct or a dataclass, by the field's name."""
    names = inspect.signature(model).parameters
    types = {name: _shown(kind) for name, kind in get_type_hints(model).items() if name in names}
    made, _ = msgspec.json.schema_components(types.values(), ref_template=_PLACE)
    about = documented_attributes(model)
    return {
        name: {**schema, "description": about[name]} if name in about else schema
        for name, schema in zip(types, made, strict=True)
    }


def components_of(*models: type[msgspec.Struct]) -> dict[str, Schema]:
    """The schemas that those of the models' fields refer to, by name."""
    types = [field.type for model in models for field in msgspec.structs.fields(model)]
    _, components = msgspec.json.schema_components(types, ref_template=_PLACE)
    return {name: _in_short(schema) for name, schema in components.items()}


def _shown(kind: Any) -> Any:
    """A type as a document tells it: times have a zone, and what may be an integer is a number."""
    if kind is datetime:
        return AWARE
    if get_origin(kind) not in {Union, UnionType}:
        return kind
    kinds = get_args(kind)
    shown = [_shown(each) for each in kinds if each is not int or float not in kinds]
    return functools.reduce(operator.or_, shown)


def _in_short(schema: Schema) -> Schema:
    """A schema with the first sentence of its model's documentation."""
    reported = schema.get("description", "").partition("\n\n")[0]
    return {**schema, "description": " ".join(reported.split())}
