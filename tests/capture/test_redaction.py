"""Secrets never reach a store's bytes; what is no secret does."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import capture_planted as planted
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selectools_observe import (
    AgentTrace,
    AsyncSQLiteTraceStore,
    InMemoryTraceStore,
    JSONLTraceStore,
    SQLiteTraceStore,
    TraceStep,
)
from selectools_observe.capture import (
    AsyncBackgroundTraceStore,
    AsyncProcessingTraceStore,
    BackgroundTraceStore,
    ProcessingTraceStore,
    Recorder,
    common_redactors,
    redact_cards,
    redact_emails,
    redact_keys,
    redact_pattern,
    redact_texts,
    redact_tokens,
)
from selectools_observe.capture.redaction.traversal import fuse_redactors


def bytes_in(folder: Path) -> bytes:
    """All that stands in the files of a folder, names included."""
    while True:
        try:
            files = [path for path in folder.rglob("*") if path.is_file()]
            return b"".join(path.read_bytes() + str(path).encode() for path in files)
        except FileNotFoundError:
            continue  # the last connection has just moved the log into the database


def check_nothing_leaked(folder: Path) -> None:
    data = bytes_in(folder)
    assert b"form-openai" in data
    assert planted.leaks(data) == []


def test_the_planted_secrets_are_found_where_nothing_is_redacted(tmp_path):
    with JSONLTraceStore(tmp_path / "traces.jsonl") as store:
        store.save_many(planted.runs())
    found = set(planted.leaks(bytes_in(tmp_path)))
    assert found >= {*planted.FORMS, *planted.NAMED}
    assert {kind for kind in planted.FORMS if f"{kind} in base64" in found} == set(planted.FORMS)


class TestPlantedSecrets:
    @pytest.mark.parametrize("kind", [SQLiteTraceStore, JSONLTraceStore])
    def test_stay_out_of_files(self, kind, tmp_path):
        with ProcessingTraceStore(kind(tmp_path / "traces"), redact=common_redactors()) as store:
            for trace in planted.runs():
                store.save(trace)
            check_nothing_leaked(tmp_path)  # the log of a database too
            store.save_many(planted.runs())
            assert store.counts.redactions_failed == 0
        check_nothing_leaked(tmp_path)

    def test_stay_out_of_an_export(self, tmp_path):
        with ProcessingTraceStore(InMemoryTraceStore(), redact=common_redactors()) as store:
            store.save_many(planted.runs())
            with JSONLTraceStore(tmp_path / "export.jsonl") as export:
                export.save_many(store.iter_traces())
        check_nothing_leaked(tmp_path)

    def test_stay_out_in_the_background(self, tmp_path):
        prepared = ProcessingTraceStore(
            SQLiteTraceStore(tmp_path / "traces"), redact=common_redactors()
        )
        with BackgroundTraceStore(prepared) as store:
            store.save_many(planted.runs())
        check_nothing_leaked(tmp_path)

    async def test_stay_out_of_async_stores(self, tmp_path):
        prepared = AsyncProcessingTraceStore(
            AsyncSQLiteTraceStore(tmp_path / "traces"), redact=common_redactors()
        )
        async with AsyncBackgroundTraceStore(prepared) as store:
            for trace in planted.runs():
                await store.save(trace)
        check_nothing_leaked(tmp_path)

    def test_stay_out_of_live_records(self, tmp_path):
        with SQLiteTraceStore(tmp_path / "traces.db") as store:
            prepared = ProcessingTraceStore(store, redact=common_redactors())
            recorder = Recorder(prepared, live=True)
            for trace in planted.runs():
                with recorder.run(metadata=trace.metadata, run_id=trace.run_id) as run:
                    for step in trace.steps:
                        run.add(step)
                    run.metadata["late"] = trace.metadata
                    check_nothing_leaked(tmp_path)
            assert recorder.counts.unwritten == 0
            recorder.close()
        check_nothing_leaked(tmp_path)


def redacted(redactor, value):
    return redactor({"value": value})["value"]


class TestKeys:
    @pytest.mark.parametrize(
        "key",
        ["api_key", "apiKey", "API-KEY", "x-api-key", "OPENAI_API_KEY", "apikey", "github_token",
         "token", "password2", "my.password", "Proxy-Authorization", "aws_secret_access_key"],
    )  # fmt: skip
    def test_are_told_by_their_last_words(self, key):
        assert redact_keys()({key: "s3cret"}) == {key: "[redacted]"}

    @pytest.mark.parametrize(
        "key",
        ["prompt_tokens", "token_count", "max_tokens", "tokenizer", "secretary", "passport",
         "key", "keyboard", "monkey", "author", "cookiecutter"],
    )  # fmt: skip
    def test_that_only_look_alike_stay(self, key):
        assert redact_keys()({key: "fine"}) == {key: "fine"}

    def test_values_that_say_nothing_stay(self):
        item = {"api_key": None, "password": "", "token": True}
        assert redact_keys()(dict(item)) == item

    def test_values_of_any_kind_go_as_a_whole(self):
        item = {"password": 12345, "credentials": {"user": "ada"}, "cookies": [["a", "b"]]}
        assert set(redact_keys()(item).values()) == {"[redacted]"}

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("password=hunter2 and on", "password=[redacted] and on"),
            ('{"password": "a b", "n": 1} x', '{"password": "[redacted]", "n": 1} x'),
            ("{'api_key': 'a b'}", "{'api_key': '[redacted]'}"),
            (r"{\"api_key\": \"ab\"} x", r"{\"api_key\": \"[redacted]\"} x"),
            ("Authorization: Bearer abc.def", "Authorization: [redacted]"),
            ("Set-Cookie: a=b; c=d\nHost: x", "Set-Cookie: [redacted]\nHost: x"),
            ("/path?token=abc&page=2", "/path?token=[redacted]&page=2"),
            ("curl --api-key abc url", "curl --api-key [redacted] url"),
            ("headers['X-API-Key'] = 'abc'", "headers['X-API-Key'] = '[redacted]'"),
            ("İstanbul PASSWORD=abc", "İstanbul PASSWORD=[redacted]"),
            ("the token count: 5", "the token count: 5"),
            ("no secret here", "no secret here"),
            ("prompt_tokens: 5", "prompt_tokens: 5"),
        ],
    )
    def test_are_found_in_plain_text(self, text, expected):
        assert redacted(redact_keys(), text) == expected
        assert redacted(redact_keys(), expected) == expected

    def test_of_ones_own(self):
        item = {"patient_name": "Ada", "password": "stays", "patientName": "Ada"}
        redactor = redact_keys("patient name", replacement="***")
        assert redactor(item) == {"patient_name": "***", "password": "stays", "patientName": "***"}

    def test_without_letters_are_refused(self):
        with pytest.raises(ValueError, match="must have letters"):
            redact_keys("--")


class TestInsideOfText:
    def test_json_text_is_looked_into_and_stays_json(self):
        text = json.dumps({"a": json.dumps({"password": "x", "n": 10**30}), "mail": "é"})
        (inner, mail) = json.loads(redacted(redact_keys(), text)).values()
        assert json.loads(inner) == {"password": "[redacted]", "n": 10**30}
        assert mail == "é"

    def test_json_text_without_secrets_stays_as_it_is(self):
        text = '{ "b" : [1.50, NaN],\n "a": "x" }'
        assert redacted(redact_keys(), text) == text

    def test_escapes_hide_nothing(self):
        text = r'{"text": "ada\u0040example.org", "pass\u0077ord": "x"}'
        item = redact_keys()({"value": text})
        item = redact_emails()(item)
        assert json.loads(item["value"]) == {"text": "[redacted]", "password": "[redacted]"}

    def test_a_key_that_comes_twice_hides_nothing(self):
        text = '{"password": "hunter2", "password": "x"}'
        assert "hunter2" not in redacted(redact_keys(), text)

    def test_keys_that_look_the_same_afterwards_are_all_kept(self):
        item = {"ada@example.org": 1, "bob@example.org": 2}
        assert sorted(redact_emails()(item).values()) == [1, 2]


class TestCards:
    @pytest.mark.parametrize(
        "number",
        ["4111111111111111", "4111-1111-1111-1111", "5555 5555 5555 4444", "378282246310005",
         "6011111111111117", "3530111333300000", "30569309025904", 4111111111111111],
    )  # fmt: skip
    def test_are_found(self, number):
        assert redacted(redact_cards(), number) == "[redacted]"

    @pytest.mark.parametrize(
        "number",
        ["4111111111111112", "1234567890123456", "1700000000000000", 1764000000000, "41111111",
         10**400, "order-4111111111111111x", 5, True, 3.5],
    )  # fmt: skip
    def test_other_numbers_stay(self, number):
        assert redacted(redact_cards(), number) == number


class TestTokens:
    @pytest.mark.parametrize(
        "text",
        ["task-management-and-risk-assessment-guide", "sk-short", "a JWT begins with eyJ",
         "https://example.org/a:b@c", "basic authentication", "AKIA", "the bearer of news"],
    )  # fmt: skip
    def test_what_only_looks_alike_stays(self, text):
        assert redacted(redact_tokens(), text) == text

    def test_a_private_key_that_was_cut_off(self):
        text = "here: -----BEGIN PRIVATE KEY-----\nMIIE"
        assert redacted(redact_tokens(), text) == "here: [redacted]"


class TestOnesOwn:
    def test_a_pattern(self):
        redactor = redact_pattern(r"PAT-(\d+)", r"PAT-\1[0]")
        assert redactor({"a": ["PAT-17 is here"]}) == {"a": ["PAT-17[0] is here"]}

    def test_a_function_of_text(self):
        assert redact_texts(str.upper)({"a": [{"b": "c"}]}) == {"A": [{"B": "C"}]}

    def test_a_callable_of_steps_and_metadata(self):
        def scrub(item):
            if isinstance(item, TraceStep):
                item.tool_args = None
                return item
            return {key: value for key, value in item.items() if key != "secret"}

        with ProcessingTraceStore(InMemoryTraceStore(), redact=scrub) as store:
            step = TraceStep("tool_execution", tool_args={"a": 1}, tool_result="r")
            trace = AgentTrace([step], metadata={"secret": 1, "user": "ada"})
            loaded = store.load(store.save(trace))
        assert loaded.metadata == {"user": "ada"}
        assert (loaded.steps[0].tool_args, loaded.steps[0].tool_result) == (None, "r")
        assert step.tool_args == {"a": 1}
        assert trace.metadata == {"secret": 1, "user": "ada"}


def explode(item):
    raise RuntimeError(f"cannot redact {item!r}")


class TestARedactorThatFails:
    def store(self, redactor) -> ProcessingTraceStore:
        return ProcessingTraceStore(InMemoryTraceStore(), redact=[redactor])

    @pytest.mark.parametrize("redactor", [explode, lambda _: None, lambda _: "text"])
    def test_leaks_nothing_and_is_counted_and_logged(self, redactor, caplog):
        step = TraceStep(
            "tool_execution", 5.0, 7.0, tool_name="hunter2", tool_args={"hunter2": 1},
            tool_result="hunter2", error="hunter2", prompt_tokens=3, extra={"hunter2": 1},
        )  # fmt: skip
        trace = AgentTrace([step], metadata={"hunter2": 1, "unfinished": True})
        with caplog.at_level(logging.ERROR, "selectools_observe"), self.store(redactor) as store:
            loaded = store.load(store.save(trace))
            assert store.counts.redactions_failed == 2
        kept = loaded.steps[0]
        assert "hunter2" not in json.dumps(loaded.to_dict())
        assert (kept.timestamp, kept.duration_ms, kept.prompt_tokens) == (5.0, 7.0, 3)
        assert kept.error is not None
        assert loaded.metadata["unfinished"] is True
        assert "hunter2" not in caplog.text
        assert "failed" in caplog.text

    def test_harms_no_other_step(self):
        def fails_on_one(item):
            return explode(item) if getattr(item, "tool_name", "") == "bad" else item

        with self.store(fails_on_one) as store:
            steps = [TraceStep("tool_execution", tool_name=name) for name in ("good", "bad")]
            loaded = store.load(store.save(AgentTrace(steps)))
        assert loaded.steps[0].tool_name == "good"
        assert loaded.steps[1].tool_name.startswith("[withheld")


texts = st.text(st.sampled_from("abz019 \n\"'{}[]:=,;&<>\\@.-_/+"), max_size=60)


@given(texts)
def test_any_text_is_survived_and_twice_is_once(text):
    item = {"value": text}
    for redactor in common_redactors():
        item = redactor(item)
        assert redactor({"value": item["value"]}) == item


@given(texts, texts)
def test_redactors_in_one_go_find_what_they_find_one_by_one(text, other):
    item = {"value": text, "list": [other, {"n": 4111111111111111}], "text": json.dumps([text])}
    one_by_one = item
    for redactor in common_redactors():
        one_by_one = redactor(one_by_one)
    (at_once,) = fuse_redactors(common_redactors())
    assert at_once(item) == one_by_one


@given(st.lists(texts, max_size=4), texts)
def test_what_was_seen_before_changes_nothing(before, text):
    (used,) = fuse_redactors(common_redactors())
    (fresh,) = fuse_redactors(common_redactors())
    for each in (*before, text):
        used({"value": each, each: 1, "text": json.dumps([each])})
    item = {"value": text, text: json.dumps({"password": text})}
    assert used(item) == fresh(item)


def test_a_function_of_ones_own_is_given_each_text_each_time():
    given = []
    redactor = redact_texts(lambda text: given.append(text) or text)
    for _ in range(2):
        redactor({"value": "the same"})
    assert given.count("the same") == 2


@given(texts, texts)
def test_a_password_in_json_text_never_survives(before, after):
    text = json.dumps({"a": before, "password": "hunter2-planted", "b": [after]})
    assert "hunter2-planted" not in redacted(redact_keys(), text)


@pytest.mark.parametrize("text", ["a" * 500_000, "a@" * 200_000, "4" * 500_000, "eyJ" * 150_000,
                                  "sk-" * 150_000, "://" * 150_000, '"' * 300_000, "key " * 100_000,
                                  "-----BEGIN PRIVATE KEY " * 9000, "token=" * 80_000])  # fmt: skip
def test_long_texts_are_no_trap(text):
    """An expression that tries too much would take minutes here, and run into the time limit."""
    item = {"value": text}
    for redactor in common_redactors():
        item = redactor(item)
    assert len(item["value"]) <= len(text) + 10_000_000
