"""A corpus for redaction: 40 forms of secrets in 5 places each, and 500 texts that hold none."""

from __future__ import annotations

import base64
import itertools
import json
from urllib.parse import quote

from selectools_observe import AgentTrace, TraceStep

_SECRET = "Zq7vPlanted{n:02d}Xw9k"


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


# The form, with the secret in it; what must not be found is the secret, or what stands for it.
_FORMS = {
    "tuple": "[('Authorization', '{s}'), ('Accept', '*/*')]",
    "tuple of a cookie": "headers=(('Cookie', 'sid={s}'),)",
    "list of a pair": 'sent ["X-Api-Key", "{s}"] along',
    "pair in bytes": "(b'authorization', b'{s}')",
    "curl -u": "curl -u admin:{s} https://api.example.org/v1",
    "curl --user": "curl -sS --user 'admin:{s}' https://api.example.org",
    "URL-encoded": "POST body user%3Dada%26password%3D{s}%26x%3D1",
    "URL-encoded JSON": "q=%7B%22api_key%22%3A%22{s}%22%2C%22n%22%3A1%7D",
    "base64 in prose": "the header was {b64:password={s}} I think",
    "base64 of JSON": 'it sent {b64:{{"api_key": "{s}"}}} to the server',
    "YAML block": "db:\n  password: |\n    {s}\n  port: 5432",
    "YAML folded": "secret: >-\n  {s}\n",
    "YAML": "database:\n  password: {s}\n  host: db",
    "netrc": "machine api.example.org login ada password {s}",
    "netrc on lines": "machine api.example.org\n  login ada\n  password {s}\n",
    "mysql -p": "mysql -h db -u root -p{s} shop",
    "sshpass": "sshpass -p {s} ssh ada@host",
    "redis-cli": "redis-cli -h cache -a {s} ping",
    "argument list": "subprocess.run(['tool', '--password', '{s}', '-v'])",
    "argument list of JSON": 'argv: ["deploy", "--api-token", "{s}"]',
    "name and value": '[{{"name": "API_KEY", "value": "{s}"}}] and more',
    "name and value of Python": "env=[{{'name': 'DB_PASSWORD', 'value': '{s}'}}] ok",
    "key and value of YAML": "- name: SECRET_TOKEN\n  value: {s}\n",
    "look-alike letters": "p\u0430ssword={s} now",
    "full-width letters": "\uff50\uff41\uff53\uff53\uff57\uff4f\uff52\uff44: {s}",
    "pass": "login with user=ada pass={s} done",
    "auth": "redis://cache?auth={s}",
    "pin": "the card's pin=48{n:02d}{n:02d}",
    "otp": "otp: 91{n:02d}{n:02d} was sent",
    "sessionid": "Got sessionid={s}; path=/",
    "dsn": 'dsn = "https://{s}@errors.example.org/42"',
    "sas": "sas=sv=2024&sig={s}",
    "private_key_pem": 'private_key_pem: "{s}"',
    "query key": "GET https://maps.example.org/api?key={s}&v=3",
    "query key, second": "https://maps.example.org/api?v=3&key={s}",
    "assignment": "export API_TOKEN={s}",
    "flag": "run --client-secret={s} --port 80",
    "header": "x-api-key: {s}",
    "URL password": "postgres://ada:{s}@db/app",
    "XML": "<password>{s}</password>",
}


def _filled(form: str, secret: str, n: int) -> tuple[str, str]:
    """The text, and what must not be found of it."""
    if "{b64:" in form:
        before, rest = form.split("{b64:", 1)
        inner, after = rest.rsplit("} ", 1)
        held = _b64(inner.format(s=secret, n=n))
        return f"{before}{held} {after}", held
    text = form.format(s=secret, n=n)
    if "{s}" not in form:
        hidden = form[form.index("{n") - 2 :].partition(" ")[0]
        return text, hidden.format(n=n)
    return text, secret


PLACES = ("arguments", "result", "error", "JSON in text", "metadata")


def planted() -> list[tuple[str, str, AgentTrace]]:
    """200 runs: what they hold and where, what must not be found, the run."""
    runs = []
    for n, ((name, form), place) in enumerate(itertools.product(_FORMS.items(), PLACES)):
        text, hidden = _filled(form, _SECRET.format(n=n % 100), n % 100)
        trace = AgentTrace([TraceStep("tool_execution", tool_name="call")], run_id=f"run-{n}")
        step = trace.steps[0]
        if place == "arguments":
            step.tool_args = {"deep": [{"text": text}]}
        elif place == "result":
            step.tool_result = f"Here is what I found:\n{text}\nand that is all."
        elif place == "error":
            step.error = f"ValueError: refused ({text})"
        elif place == "JSON in text":
            step.tool_result = json.dumps({"body": {"lines": [text]}})
        else:
            trace.metadata = {"note": text}
        runs.append((f"{name}, {place}", hidden, trace))
    return runs


def leaked(hidden: str, data: str) -> bool:
    return hidden in data or _b64(hidden).rstrip("=")[:-2] in data or quote(hidden) in data


_NAMES = ["token", "secret", "password", "api_key", "auth_token", "credentials", "cookie",
          "access_token", "private_key", "session_token"]  # fmt: skip
_CODE = [
    "def connect({0}: str) -> Client:",
    "def connect({0}: str | None = None, retries: int = 3):",
    "client = Client({0}={0})",
    "client = Client({0}=None)",
    "if {0} == other:",
    "if {0} != expected: raise ValueError('wrong')",
    "self.{0} = {0}",
    '{0} = os.environ["SERVICE_NAME"]',
    "{0} = get_{0}(config)",
    "{0} = self.settings.{0}",
    "assert {0} is not None",
    "return {0}.strip()",
    "{0}: Optional[str] = None",
    "for {0} in {0}s:",
    "print(len({0}))",
    "const {0}: string = props.{0};",
    "export interface Login {{ {0}: string }}",
    "{0}={{{{ vault_{0} }}}}",
    "{0}: ${{{{ secrets.DEPLOY }}}}",
    "{0}=$1",
    "columns = ['id', '{0}', 'created_at']",
    "SELECT id, {0} FROM accounts WHERE {0} = ?",
    "{0} := r.Header.Get(name)",
    "@property\ndef {0}(self): ...",
]
_PROSE = [
    "The {0} is required to log in.",
    "Please give a {0}; without one the call fails.",
    "Your {0} has expired: ask for a new one.",
    "Error: {0} missing",
    "Invalid {0}: expired at 12:30",
    "{0}: the text that a client must know",
    "{0} (string, optional): what the service asks for",
]
_OTHER = [
    "sk-estimator-html-representation-css",
    "class sk-toggleable__content-arrow in the page",
    "http://localhost:8080/path@2x.png",
    "icons/logo@2x.png and icons/logo@3x.webp",
    "prompt_tokens: 512, completion_tokens: 128, total_tokens=640",
    "max_tokens=4096 temperature=0.2",
    "tokens per second: 81.3",
    "token_count=17",
    "author: Ada Lovelace",
    "authors = ['Ada', 'Grace']",
    "authority: registrar of the county",
    "tests: pass: 41 fail: 1 skip: 3",
    "12 passed, 1 failed in 3.21s",
    "key=value pairs, separated by commas",
    "for key, value in pairs: print(key, value)",
    "sorted(items, key=len)",
    "sorted(rows, key=lambda row: row.name)",
    "primary key: id; foreign key: user_id",
    "session_id=conversation-17 thread_id=4",
    "docker run -u 1000:1000 -p 8080:80 image:tag",
    "ssh -p 2222 build-host",
    "cp -pr src dst && mkdir -p build/out",
    "the password policy asks for 12 characters",
    "bearer of good news",
    "basic authentication is not supported",
    "commit 3f786850e387550fdab836ed7e6dc881de23001b",
    "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "id 550e8400-e29b-41d4-a716-446655440000 was found",
    "2026-11-28T20:44:01.123456Z INFO server started on port 8600",
    '127.0.0.1 - - [28/Nov/2026:20:44:01 +0000] "GET /api/traces?limit=50 HTTP/1.1" 200 5120',
    'Traceback (most recent call last):\n  File "agent.py", line 12, in main',
    "KeyError: 'order_id'",
    "the eyJ prefix marks a JSON Web Token",
    "https://docs.example.org/guide/authentication#tokens",
    "https://example.org/search?q=secret+gardens&page=2",
    "git clone https://github.com/example/project.git",
    "npm install @scope/package@1.2.3",
    "pip install selectools-observe==0.1.0",
    "Order 4071 was shipped on 12/24 and costs $1,234.56",
    "the pin is 12 mm long and made of steel",
    "pinned: true",
    "spinning=fast",
    "Compass points: N, S, E, W",
    "bypass=true",
    "/usr/local/lib/python3.11/site-packages/starlette/requests.py",
    "data:image/png;base64,",
    "aws s3 ls s3://bucket/prefix --recursive",
    "kubectl get secrets -n default",
    "cookies are small files that browsers keep",
    "A credential is whatever proves who you are.",
]


def ordinary() -> list[str]:
    """500 texts without a secret: code, logs, prose."""
    texts = list(_OTHER)
    for name, form in itertools.product(_NAMES, _CODE + _PROSE):
        texts.append(form.format(name))
    for n, text in enumerate(itertools.cycle(_OTHER)):
        if len(texts) >= 500:
            break
        texts.append(f"[{n}] {text} (seen {n + 2} times)")
    return texts[:500]
