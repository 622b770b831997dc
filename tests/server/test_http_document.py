"""The OpenAPI document says what the service does, no more and no less."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from pathlib import Path

import pytest
from hostile import LONG, PROFILE
from served import TOKEN, run_of, serving

from selectools_observe import (
    AgentTrace,
    AsyncSQLiteTraceStore,
    InMemoryTraceStore,
    SQLiteTraceStore,
    TraceFilter,
    TraceStep,
    TraceSummary,
)
from selectools_observe.model.text_query import SearchHit
from selectools_observe.server import entrance
from selectools_observe.server.openapi.document import document
from selectools_observe.server.responses import Problem
from selectools_observe.testing.samples import full_trace, various_traces

pytestmark = pytest.mark.timeout(3600 if LONG else 600)
DOCS = Path(__file__).parents[2] / "docs" / "http.md"


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A service of a few runs, whose document is attacked."""
    path = tmp_path_factory.mktemp("document") / "runs.db"
    with SQLiteTraceStore(path) as store:
        store.save_many([*various_traces(30), full_trace(), run_of("run-1")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(entrance, "_EACH", 0.0)  # it guesses tokens, and would wait for each
        with serving(AsyncSQLiteTraceStore(path), token=TOKEN) as service:
            yield service


@pytest.mark.slow
@pytest.mark.parametrize("run_ids", ["any", "stored"])
def test_schemathesis_finds_nothing(filled, run_ids):
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    from hypothesis import HealthCheck, Phase, settings
    from hypothesis import strategies as st

    headers = {"Authorization": f"Bearer {TOKEN}"}
    told = filled.get("/api/openapi.json", headers=headers).json()
    del told["paths"]["/api/live"]  # an answer that never ends
    if run_ids == "stored":
        told = about_stored_runs(told)
    # Not any text is a filter, or has a word in it.
    filters = ["status:error", "reward<1 -tool:think", "(user:ada OR refund) has:cost"]
    schemathesis.openapi.format("trace-filter", st.sampled_from(filters))
    schemathesis.openapi.format("words", st.from_regex(r'\A["a-z ]*[a-z0-9]+["a-z ]*\Z'))
    zones = ["UTC", "+05:30", "Europe/Berlin"]
    schemathesis.openapi.format("time-zone", st.sampled_from(zones))
    modes = {schemathesis.GenerationMode.POSITIVE: told}
    if run_ids == "any":
        modes[schemathesis.GenerationMode.NEGATIVE] = without_words(told)
    profile = settings(
        max_examples={"default": 3, "ci": 8, "long": 200}[PROFILE],
        deadline=None,
        database=None,
        derandomize=not LONG,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    for mode, document_ in modes.items():
        schema = schemathesis.openapi.from_dict(document_)
        schema.config.update(base_url=str(filled.client.base_url))
        for operation in schema.get_all_operations():
            attack(operation.ok(), mode, profile, headers)


def without_words(told):
    """The document without the formats of texts: most texts have a word, or are a filter, also
    others than ours."""

    def bare(value):
        if isinstance(value, list):
            return [bare(each) for each in value]
        if isinstance(value, dict):
            of_texts = [("format", "words"), ("format", "trace-filter")]
            return {key: bare(each) for key, each in value.items() if (key, each) not in of_texts}
        return value

    return bare(told)


def about_stored_runs(told):
    """The part of a document that is about one run, asked of runs that are there."""
    stored = {"type": "string", "enum": ["full", "run-1", "various-007", "various-021"]}
    paths = {path: told["paths"][path] for path in told["paths"] if "{run_id}" in path}
    paths |= {path: told["paths"][path] for path in told["paths"] if "/compare" in path}
    paths.pop("/api/traces/{run_id}/annotations/{annotation_id}")  # removes, and nothing else
    for operations in paths.values():
        operations.pop("delete", None)
        asked = operations.get("get", {}).get("parameters", [])
        for parameter in [*operations.get("parameters", []), *asked]:
            if parameter["name"] in {"run_id", "one", "other"}:
                parameter["schema"] = stored
            elif parameter["name"] == "run_ids":
                parameter["schema"] = {**parameter["schema"], "items": stored}
            elif parameter["name"] in {"index", "left", "right"}:
                parameter["schema"] = {"type": "integer", "minimum": 0, "maximum": 2}
    return {**told, "paths": paths}


def attack(operation, mode, profile, headers):
    from hypothesis import assume, given
    from hypothesis.errors import Unsatisfiable

    @profile
    @given(case=operation.as_strategy(generation_mode=mode))
    def each(case):
        # What is sent differs from what was made up: anything in place of a list becomes a list of
        # texts, and nothing is sent of what is empty.
        query = case.query or {}
        assume(isinstance(query.get("run_ids", []), list))
        # An empty text and an empty filter ask nothing.
        assume(all(str(query.get(name, "x")).strip() for name in ("text", "filter")))
        assume(not any(value is None or value in ([], {}) for value in query.values()))
        case.call_and_validate(headers=headers)

    with contextlib.suppress(Unsatisfiable):  # nothing about this operation can be wrong
        each()


def test_every_route_is_in_it():
    """Of the API; the page and its files are no part of it."""
    from selectools_observe.server.app import _routes

    told = document("", has_token=True)["paths"]
    routed = {
        (route.path, method)
        for route in _routes()
        if route.path not in {"/", "/login", "/static"}
        for method in route.methods - {"HEAD"}
    }
    described = {
        (path, method.upper())
        for path, operations in told.items()
        for method in operations
        if method != "parameters"
    }
    assert described == routed


def test_every_field_of_the_models_is_in_it():
    told = document("", has_token=False)
    names = {parameter["name"] for parameter in told["paths"]["/api/traces"]["get"]["parameters"]}
    called = {"metadata_match": "metadata", "where": "filter"}
    assert {
        called.get(field.name, field.name) for field in dataclasses.fields(TraceFilter)
    } <= names
    schemas = told["components"]["schemas"]
    for schema, model in (
        ("Summary", TraceSummary),
        ("Step", TraceStep),
        ("SentStep", TraceStep),
        ("Trace", AgentTrace),
        ("SentTrace", AgentTrace),
        ("SearchHit", SearchHit),
    ):
        fields = set(model.__struct_fields__) - {"extra"}
        assert fields <= set(schemas[schema]["properties"]), schema


def test_every_schema_that_is_named_is_there():
    told = json.dumps(document("", has_token=False))
    named = set(re.findall(r"#/components/schemas/(\w+)", told))
    assert named == set(document("", has_token=False)["components"]["schemas"])


def test_a_token_is_asked_for_if_there_is_one():
    assert "security" not in document("", has_token=False)
    assert document("", has_token=True)["security"] == [{"token": []}]
    with serving(InMemoryTraceStore()) as service:
        assert service.json("/api/openapi.json") == document("", has_token=False)


class TestDocs:
    def test_every_route_is_described(self):
        text = DOCS.read_text("utf-8")
        for path, operations in document("", has_token=False)["paths"].items():
            for method in set(operations) - {"parameters"}:
                assert f"`{method.upper()} {path}" in text, (method, path)

    def test_every_parameter_is_described(self):
        text = DOCS.read_text("utf-8")
        for path, operations in document("", has_token=False)["paths"].items():
            for operation in (operations.get("get", {}), operations.get("post", {})):
                for parameter in operation.get("parameters", ()):
                    assert re.search(rf"\b{parameter['name']}\b", text), (path, parameter["name"])

    def test_every_kind_of_error_is_described(self):
        text = DOCS.read_text("utf-8")
        server = Path(__file__).parents[2] / "selectools_observe" / "server"
        source = "".join(path.read_text("utf-8") for path in server.glob("*.py"))
        kinds = set(re.findall(r"Problem\(\s*\d{3},\s*\"(\w+)\"", source))
        assert len(kinds) > 10
        assert {kind for kind in kinds if f"`{kind}`" not in text} == set()
        assert Problem(400, "x", "y").as_dict() == {"type": "x", "message": "y"}
