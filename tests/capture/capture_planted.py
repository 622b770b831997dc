"""Secrets of many kinds, none of them real, and runs that hold them wherever there is text."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

from selectools_observe import AgentTrace, TraceStep


def _jwt() -> str:
    parts = [b'{"alg":"HS256"}', b'{"sub":"planted"}', b"planted-signature-000"]
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts)


# Told by their form, wherever they stand.
FORMS = {
    "openai": "sk-proj-" + "Pl4nted" * 6,
    "anthropic": "sk-ant-api03-" + "Pl4nted_" * 6,
    "groq": "gsk_" + "Pl4nted" * 7,
    "huggingface": "hf_" + "PlantedAbc" * 4,
    "langsmith": "lsv2_pt_" + "0a1b2c3d" * 4 + "_0123456789",
    "github": "ghp_" + "Pl4nted00" * 4,
    "github-fine": "github_pat_" + "Pl4nted_0" * 6,
    "gitlab": "glpat-" + "Pl4nted-00" * 2,
    "slack": "xoxb-" + "123456789012-Pl4nted0000",
    "slack-hook": "https://hooks.slack.com/services/T00PLANTED/B00PLANTED/PlantedPlanted",
    "aws-id": "AKIA" + "PLANTED000000000",
    "google": "AIza" + "Pl4nted" * 5,
    "stripe": "sk_live_" + "Pl4nted" * 4,
    "sendgrid": "SG." + "Pl4nted_0123456789-abc" + "." + "Pl4nted0" * 5 + "abc",
    "npm": "npm_" + "Pl4nted00" * 4,
    "pypi": "pypi-" + "AgEIcHlwaS5vcmc" + "Pl4nted0" * 6,
    "twilio": "SK" + "0123456789abcdef" * 2,
    "telegram": "123456789:AA" + "Pl4nted_" * 4 + "0",
    "jwt": _jwt(),
    "private-key": "-----BEGIN RSA PRIVATE KEY-----\nPlantedMIIEpAIBAAKCAQEA\nPlanted+/==\n"
    "-----END RSA PRIVATE KEY-----",
    "bearer": "Bearer planted.opaque-token_0123",
    "url": "postgres://planted_user:planted_pw@db.internal:5432/app",
    "azure": "AccountKey=" + "PlantedPlantedPlantedPlantedPlanted+/0==",
    "email": "planted.person+tag@mail.example.co.uk",
    "card": "4111 1111 1111 1111",
    "card-amex": "3782-822463-10005",
}
# What of it must not be found anywhere.
TRACES_OF = {
    "private-key": "PlantedMIIEpAIBAAKCAQEA",
    "bearer": "planted.opaque-token_0123",
    "url": "planted_pw",
    "azure": "PlantedPlantedPlanted",
    "slack-hook": "B00PLANTED",
}
# Told by the name they stand under.
NAMED = {
    "api_key": "named-secret-01",
    "X-API-Key": "named-secret-02",
    "authorization": "named-secret-03",
    "password": "named-secret-04",
    "userPassword": "named-secret-05",
    "DB_PASSWORD": "named-secret-06",
    "client_secret": "named-secret-07",
    "accessToken": "named-secret-08",
    "refresh_token": "named-secret-09",
    "Set-Cookie": "named-secret-10",
    "privateKey": "named-secret-11",
    "AWS_SECRET_ACCESS_KEY": "named-secret-12",
    "credentials": "named-secret-13",
    "passphrase": "named-secret-14",
}


@dataclass
class Client:
    """What an agent may pass to a tool as it is."""

    api_key: str
    note: str


def runs() -> list[AgentTrace]:
    """For each secret a run that holds it in arguments, results, errors and metadata."""
    found = [_run_with(kind, secret) for kind, secret in FORMS.items()]
    return found + [_run_with_named(key, secret) for key, secret in NAMED.items()]


def _run_with(kind: str, secret: str) -> AgentTrace:
    return AgentTrace(
        [
            TraceStep(
                "tool_execution",
                tool_name="call",
                tool_args={
                    "deep": {"er": [1, {"text": f"use {secret} please"}, [secret]]},
                    "raw": secret.encode(),
                    f"key {secret}": 1,
                    "set": {secret},
                },
                tool_result=json.dumps({"body": json.dumps({"text": f"it is {secret}."})}),
            ),
            TraceStep(
                "error",
                error=f"ValueError: rejected ({secret})",
                summary=f"call -> {secret}",
                reasoning=f"I was given\n{secret}\nto use",
                extra={"newer_field": [secret]},
            ),
        ],
        run_id=f"form-{kind}",
        metadata={"note": {"nested": [f"<{secret}>"]}, "text": secret},
        extra={"newer": {"field": secret}},
    )


def _run_with_named(key: str, secret: str) -> AgentTrace:
    return AgentTrace(
        [
            TraceStep(
                "tool_execution",
                tool_args={
                    "headers": {"n": 1, key: secret},
                    "pairs": [[key, secret], ["Accept", "text"]],
                    "listed": [{"name": key, "value": secret}],
                    "inside": {key: {"value": [secret]}},
                    "client": Client(secret, "fine"),
                },
                tool_result=json.dumps(
                    {"env": {key: secret}, "as_text": f'{{"{key}": "{secret}"}}'}
                ),
            ),
            TraceStep(
                "error",
                error=f"Refused: {{'{key}': '{secret}', 'n': 1}}",
                summary=f"{key}={secret}&x=1",
                reasoning=f"{key}: {secret}\nand go on",
                tool_result=f"<{key}>{secret}</{key}>",
            ),
            TraceStep("tool_execution", tool_result=f'{{"cut off": 1, "{key}": "{secret}'),
            TraceStep("tool_execution", tool_result=f"run --{key} {secret} now"),
        ],
        run_id=f"named-{key}",
        metadata={"config": {key: secret}},
    )


def leaks(data: bytes) -> list[str]:
    """Which planted secrets are in these bytes, as they are or as base64."""
    planted = {kind: TRACES_OF.get(kind, secret) for kind, secret in FORMS.items()} | NAMED
    return [
        kind
        for kind, secret in planted.items()
        if secret.encode() in data or json.dumps(secret).strip('"').encode() in data
    ] + [
        f"{kind} in base64"
        for kind, secret in FORMS.items()
        if base64.b64encode(secret.encode()) in data
    ]
