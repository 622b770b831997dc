"""Redaction on a corpus: no leak, no false alarm, and time that grows with the text, not faster."""

from __future__ import annotations

import json
import re
import time

import pytest
import redaction_corpus as corpus

from selectools_observe import AgentTrace, InMemoryTraceStore
from selectools_observe.capture import (
    AsyncProcessingTraceStore,
    ProcessingTraceStore,
    common_redactors,
    redact_keys,
    redact_tokens,
)
from selectools_observe.capture.processing.processor import TraceProcessor
from selectools_observe.capture.redaction import provider_rules
from selectools_observe.capture.redaction.traversal import fuse_redactors


@pytest.fixture(scope="module")
def processor():
    return TraceProcessor(redact=common_redactors())


def kept(processor, trace) -> str:
    return json.dumps(processor.trace(trace).to_dict(), ensure_ascii=False)


def test_the_corpus_is_what_it_says():
    runs, texts = corpus.planted(), corpus.ordinary()
    assert (len(runs), len(texts)) == (200, 500)
    bare = TraceProcessor()
    assert [name for name, hidden, run in runs if not corpus.leaked(hidden, kept(bare, run))] == []


def test_none_of_200_planted_secrets_leaks(processor):
    leaks = [
        name
        for name, hidden, trace in corpus.planted()
        if corpus.leaked(hidden, kept(processor, trace))
    ]
    assert leaks == []


def test_no_secret_of_further_forms_leaks(processor):
    runs = corpus.planted_further()
    assert len(runs) == 5 * len(corpus.FURTHER)
    bare = TraceProcessor()
    assert [name for name, hidden, run in runs if not corpus.leaked(hidden, kept(bare, run))] == []
    leaks = [n for n, hidden, run in runs if corpus.leaked(hidden, kept(processor, run))]
    assert leaks == []


ORDINARY = [
    "create the user with password reset enabled", "ALTER USER bob SET ROLE admin;",
    "the password is required", "The token is base64-encoded", "Your password is incorrect.",
    "token is 2026-11-29T10:00", "the secret is out", "| token | count |", "| secret | yes |",
    "zip -r backup.zip folder", "unzip -l archive.zip", "7z l archive.7z", "set -x", "set -e -x",
    "aws configure list", "gh secret list", "ldapsearch -x -b dc=example", "htpasswd -c file bob",
    "setPassword(user.password)", "SecretStr(value)", "user.set_password(raw)",
    'variable "region" { default = "eu-west-1" }', 'form-data; name="file"; filename="a.txt"',
    "bot12345:hello", "smbclient -L //srv -U bob", "a password was sent to Ada",
    "Passwort vergessen?",
    "el campo contrase\u00f1a es obligatorio", "the api key is missing",
    "token was TokenType.IDENT",
    '["id", "token"]\n[1, "the"]\n[2, "word"]', '["user", "password"]\nis a list of 2 names',
]  # fmt: skip


@pytest.mark.parametrize("text", ORDINARY)
def test_texts_like_the_further_forms_stay(processor, text):
    assert processor.trace(AgentTrace(metadata={"note": text})).metadata["note"] == text


def test_none_of_500_ordinary_texts_is_changed(processor):
    changed = [
        text
        for text in corpus.ordinary()
        if processor.trace(AgentTrace(metadata={"note": text})).metadata["note"] != text
    ]
    assert changed == []


def _examples() -> dict[str, str]:
    """Tokens of providers, none of them real."""
    mixed = "k3Jx9QbV2mWz8RtY5nLc7PdF1gHs4AeU6oTi0BqX" * 12
    lower, hexes, upper = mixed.lower(), "4f1c9a07e2b85d36" * 30, "Q7XK2M4ZTB5RW6NJ" * 10
    digits = "8203719465" * 5
    return {
        "anthropic": f"sk-ant-api03-{mixed[:93]}AA",
        "openai": f"sk-proj-{mixed[:58]}T3BlbkFJ{mixed[:58]}",
        "aws": f"AKIA{upper[:16]}",
        "bedrock": f"ABSK{mixed[:110]}",
        "azure": f"Zx~8Q~{mixed[:34]}",
        "gcp": f"AIza{mixed[:35]}",
        "github": f"ghp_{mixed[:36]}",
        "github fine": f"github_pat_{mixed[:82]}",
        "gitlab": f"glpat-{mixed[:20]}",
        "slack": f"xoxb-{digits[:12]}-{digits[:12]}-{mixed[:24]}",
        "huggingface": f"hf_{''.join(c for c in mixed if c.isalpha())[:34]}",
        "perplexity": f"pplx-{mixed[:48]}",
        "databricks": f"dapi{hexes[:32]}",
        "digitalocean": f"dop_v1_{hexes[:64]}",
        "doppler": f"dp.pt.{mixed[:43]}",
        "dynatrace": f"dt0c01.{upper[:24]}.{upper[:64]}",
        "fly": f"fm2_{mixed[:110]}",
        "grafana": f"glsa_{mixed[:32]}_{hexes[:8]}",
        "harness": f"pat.{mixed[:22]}.{mixed[:24]}.{mixed[:20]}",
        "linear": f"lin_api_{mixed[:40]}",
        "notion": f"ntn_{digits[:11]}{mixed[:35]}",
        "npm": f"npm_{mixed[:36]}",
        "planetscale": f"pscale_tkn_{mixed[:40]}",
        "postman": f"PMAK-{hexes[:24]}-{hexes[:34]}",
        "prefect": f"pnu_{mixed[:36]}",
        "pulumi": f"pul-{hexes[:40]}",
        "pypi": f"pypi-AgEIcHlwaS5vcmc{mixed[:60]}",
        "sendgrid": f"SG.{mixed[:66]}",
        "sentry": f"sntryu_{hexes[:64]}",
        "shopify": f"shpat_{hexes[:32]}",
        "sourcegraph": f"sgp_{hexes[:40]}",
        "stripe": f"rk_live_{mixed[:24]}",
        "terraform": f"{lower[:14]}.atlasv1.{mixed[:64]}",
        "vault": f"hvs.{mixed[:95]}",
        "1password": "A3-Q7XK2M-4ZTB5RW6NJH-8DPGA-3VCYE-L9FSU",
        "docker": f"dckr_pat_{mixed[:27]}",
        "together": f"tgp_v1_{mixed[:43]}",
    }


EXAMPLES = _examples()


@pytest.mark.parametrize("name", EXAMPLES)
def test_tokens_of_providers(name):
    token = EXAMPLES[name]
    redactor = redact_tokens()
    for text in (token, f"use {token}, please", f'"{token}"', f"<{token}>", f"({token})."):
        found = redactor({"value": text})["value"]
        assert token not in found
        assert token[:20] not in found


def test_the_rules_say_where_and_when_they_are_from():
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", provider_rules.TAKEN_ON)
    assert len(provider_rules.RULES) > 100
    assert "MIT" in (provider_rules.__doc__ or "")


SEEDS = [
    "eyJ-", "eyJ", "eyJa.", "eyJaaaaaaaa.", "\\", '\\"', "\\'", "password=\\", 'password="\\', "'",
    '"', "sk-", "sk-a-", "://", "://a:", "a@", "@a.", "a@a-", "4", "4 ", "key=", "?key=", "&key=a",
    "token", "token ", "token=", "token: |\n ", "--password ", "bearer ", "basic a", "curl -u a:",
    "curl -u ", "mysql -p", "mysql  ", "sshpass -p", "login a password ", "login ", "SG.a",
    "SG.aaaaaaaaaaaaaaaaaaaaaa", "ghp_", "glpat-", "xoxb-1-", "name='a',", "name: a\n", "value",
    "A", "Aa1+", "cookie: a=", "cookie:", "%3d", "%22password%22%3A", "password%3D%",
    "('password', ", "('password', '", "p\u0430ss", "-----BEGIN PRIVATE KEY", "hvs.", "s.a",
    "smbclient -U a", "unzip -P ", "ldapsearch -w ", "htpasswd -b a b ", "gh secret set a --body ",
    "set -x token ", "aws configure set key ", "create user a ", "alter user password '",
    "setpassword(", "secretstr('", 'form-data; name="token"\n', 'variable "key" { default = ',
    "| token | ", "token is ", "token was aA", "user,password\n", "|a|token|\n", "token;",
    "password for ", "token: a =", "<input type=password ", "<key>token</key>", "http -a a:",
    "snmpget -c ", "net use a ", "az login -p ", "echo a | --password-stdin ", "sqlplus a/",
    "Signature=", " -u a -p ", "ssh-keygen -N ", "--user a:", "nmcli password ", "login: a / ",
    "set a password to ", "auth=('a', '", "PASS ", "use a",
    ".atlasv1.", "pypi-AgEIcHlwaS5vcmc", "[", "{", '{"a":', " ", "\n", "a.", "aaaaaaaaaaaaaaaa\n",
    *(keywords[0] for _, keywords, _, _ in provider_rules.RULES),
]  # fmt: skip


def seconds(redactor, text: str) -> float:
    began = time.process_time()
    redactor({"value": text})
    return time.process_time() - began


@pytest.mark.slow
def test_time_grows_as_the_text_does():
    """Four times the text is four times the time; sixteen times would be quadratic."""
    (redactor,) = fuse_redactors(common_redactors())
    slow = []
    for seed in SEEDS:
        small = (seed * (25_000 // len(seed) + 1))[:25_000]
        large = (seed * (100_000 // len(seed) + 1))[:100_000]
        took = seconds(redactor, large)
        # So quick that nothing can be wrong, or else measured again, since machines pause.
        if took > 0.2 and min(took, seconds(redactor, large)) > 9 * seconds(redactor, small):
            slow.append((seed, took))
    assert slow == []


def test_a_run_id_that_is_a_secret_is_not_stored(tmp_path):
    token = EXAMPLES["github"]
    inner = InMemoryTraceStore()
    with ProcessingTraceStore(inner, redact=common_redactors()) as store:
        outer_id = store.save(AgentTrace(run_id=f"run-{token}"))
        store.save(AgentTrace(run_id="child", parent_run_id=f"run-{token}"))
        assert token not in json.dumps([each.run_id for each in inner.list()])
        assert store.load("child").parent_run_id == outer_id
        assert store.load(f"run-{token}").run_id == outer_id
        assert store.load(outer_id).run_id == outer_id
        assert store.delete(f"run-{token}")
        assert store.save_many([AgentTrace(run_id="plain")]) == ["plain"]


async def test_nor_by_an_async_store():
    from selectools_observe import AsyncInMemoryTraceStore

    inner = AsyncInMemoryTraceStore()
    async with AsyncProcessingTraceStore(inner, redact=common_redactors()) as store:
        run_id = await store.save(AgentTrace(run_id="ada@example.org"))
        assert run_id.startswith("redacted-")
        assert await store.update("ada@example.org", lambda trace: trace)
        assert [each.run_id for each in await inner.list()] == [run_id]


@pytest.mark.parametrize(
    "arguments",
    [
        ["tool", "--password", "hunter2"],
        ["--api-key", "hunter2", "--verbose"],
        ["-v", "--token", "hunter2", "x"],
    ],
)  # fmt: skip
def test_argument_lists(arguments):
    found = redact_keys()({"argv": list(arguments)})["argv"]
    assert "hunter2" not in found
    assert [each for each in found if each != "[redacted]"] == [
        each for each in arguments if each != "hunter2"
    ]
