"""A corpus for redaction: 40 forms of secrets in 5 places each, and 500 texts that hold none."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Iterable
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


FURTHER = {
    "rows of JSON": '["user", "password"]\n["ada", "{s}"]',
    "cookie file": "example.org\tTRUE\t/\tFALSE\t0\tsessionid\t{s}",
    "signtool": "signtool sign /f c.pfx /p {s} x",
    "arrow": "password -> {s}",
    "yaml pair": "fields:\n- password\n- {s}",
    "docker run -e": "docker run -e DB_PASSWORD={s} img",
    "kubectl literal": "kubectl create secret generic s --from-literal=password={s}",
    "sql create user": "CREATE USER bob WITH PASSWORD '{s}';",
    "sql identified by": "ALTER USER bob IDENTIFIED BY '{s}'",
    "psql env": "PGPASSWORD={s} psql -h db",
    "mysql_pwd": "MYSQL_PWD={s} mysql",
    "redis-cli -a": "redis-cli -a {s} ping",
    "mongo -p": "mongosh --username u --password {s}",
    "ftp url": "ftp://bob:{s}@host/file",
    "smb": "smbclient //srv/share -U bob%{s}",
    "openssl pass": "openssl enc -aes256 -pass pass:{s}",
    "unzip -P": "unzip -P {s} a.zip",
    "7z -p": "7z x -p{s} a.7z",
    "htpasswd": "htpasswd -b file bob {s}",
    "wget": "wget --http-password={s} http://x",
    "http header X-Api-Key": "X-Api-Key: {s}",
    "X-Auth-Token": "x-auth-token: {s}",
    "Proxy-Authorization": "Proxy-Authorization: Basic {s}QQ==",
    "set-cookie": "Set-Cookie: session={s}; HttpOnly",
    "ini": "[db]\nuser=bob\npasswd = {s}\n",
    "properties": "spring.datasource.password={s}",
    "toml": '[x]\napi_key = "{s}"',
    "xml element": "<password>{s}</password>",
    "xml attr": '<add key="ApiKey" value="{s}" />',
    "xml conn": "Server=db;Database=x;User Id=sa;Password={s};",
    "jdbc": "jdbc:postgresql://h/db?user=u&password={s}",
    "terraform": 'variable "db_password" {\n  default = "{s}"\n}',
    "powershell": '$env:API_KEY = "{s}"',
    "powershell secure": 'ConvertTo-SecureString "{s}" -AsPlainText -Force',
    "cmd set": "set SECRET_KEY={s}",
    "fish": "set -x GITHUB_TOKEN {s}",
    "export": "export AWS_SECRET_ACCESS_KEY='{s}'",
    "go struct": 'Config{Password: "{s}"}',
    "ruby hash": ':password => "{s}"',
    "php": "'password' => '{s}',",
    "js": "const apiKey = '{s}';",
    "java": 'setPassword("{s}")',
    "python call": "login(user='x', password='{s}')",
    "graphql": 'mutation { login(email: "a", password: "{s}") { id } }',
    "json nested escaped": '"{\\"password\\": \\"{s}\\"}"',
    "json triple": '"\\"{\\\\\\"a\\\\\\": {\\\\\\"client_secret\\\\\\": \\\\\\"{s}\\\\\\"}}\\""',
    "html input": '<input type="password" name="password" value="{s}">',
    "multipart": 'Content-Disposition: form-data; name="password"\r\n\r\n{s}\r\n--b',
    "curl form": "curl -F password={s} https://x",
    "curl data json": 'curl -d \'{"password":"{s}"}\' https://x',
    "curl header": "curl -H 'Authorization: token {s}' https://x",
    "git url": "https://oauth2:{s}@gitlab.com/a.git",
    "git extraheader": 'git -c http.extraheader="AUTHORIZATION: basic {s}QQ" clone',
    "aws configure": "aws configure set aws_secret_access_key {s}",
    "npmrc": "//registry.npmjs.org/:_authToken={s}",
    "pip index": "pip install --index-url https://u:{s}@pypi.x/simple",
    "dockerconfig": '{"auths": {"r": {"auth": "{s}"}}}',
    "repr dict single": "{'api_key': '{s}'}",
    "dataclass repr": "Settings(host='h', api_key='{s}', port=1)",
    "SecretStr": "password=SecretStr('{s}')",
    "markdown table": "| password | {s} |",
    "prose is": "The password is {s}.",
    "prose colon": "your new password: {s}",
    "german": "Passwort: {s}",
    "spanish": "contrase\u00f1a: {s}",
    "env dump": "HOME=/root\nOPENAI_API_KEY={s}\nPATH=/bin",
    "k8s yaml": "- name: DB_PASSWORD\n  value: {s}",
    "k8s yaml quoted": '- name: API_TOKEN\n  value: "{s}"',
    "ansible": "ansible_become_pass: {s}",
    "hex key": "secret_key_base: {s}",
    "totp url": "otpauth://totp/x?secret={s}&issuer=y",
    "sas": "https://a.blob.core.windows.net/c?sv=1&sig={s}%3D",
    "fragment": "https://app/cb#access_token={s}&token_type=bearer",
    "slack webhook": "https://hooks.slack.com/services/T00000000/B00000000/{s}AbCdEfGh",
    "discord webhook": "https://discord.com/api/webhooks/123456789012345678/{s}AbCdEfGhIjKlMnOpQrStUvWxYz0123456789AbCdEfGhIjKlMnOp",
    "telegram bot": "https://api.telegram.org/bot123456789:AA{s}AbCdEfGhIjKlMnOpQr/send",
    "account key": "DefaultEndpointsProtocol=https;AccountName=a;AccountKey={s}==;",
    "amqp": "amqp://u:{s}@mq:5672/",
    "ldap": "ldapsearch -D cn=admin -w {s}",
    "sshpass env": "SSHPASS={s} sshpass -e ssh h",
    "vault kv": "vault kv put secret/x password={s}",
    "heroku": "heroku config:set SECRET_TOKEN={s}",
    "gh secret": "gh secret set TOKEN --body {s}",
    "fly secrets": "fly secrets set API_KEY={s}",
    "yaml list pair": "env:\n  - API_KEY: {s}",
    "csv": "user,password\nada,{s}\n",
    "csv quoted": '"user","password"\n"ada","{s}"',
    "csv semicolon": "id;api_key;n\n1;{s};2",
    "tsv": "user\tpassword\tn\nada\t{s}\t3",
    "csv two rows": "name,token\na,other1\nb,{s}",
    "prompt": "ada@host's password prompt: {s}",
    "sudo": "[sudo] password for ada: {s}",
    "sig link": "https://cdn.example.org/f?Expires=17&Signature={s}~x__&Key-Pair-Id=APK",
    "jdbc 2": "jdbc:oracle:thin:ada/{s}@db:1521/x",
    "dockerfile": "ENV API_TOKEN {s}",
    "csh setenv": "setenv API_TOKEN {s}",
    "rust": 'let api_key: &str = "{s}";',
    "kotlin": 'val apiKey: String = "{s}"',
    "html input 2": '<input type="password" name="pw" value="{s}">',
    "plist": "<key>password</key><string>{s}</string>",
    "chat2": "the api key you need is {s}, please use it",
    "chat3": "use {s} as the password",
    "german 2": "Das Passwort lautet {s}",
    "french": "mot de passe : {s}",
    "spanish 2": "la contrase\xf1a es {s}",
    "japanese": "\u30d1\u30b9\u30ef\u30fc\u30c9: {s}",
    "chinese": "\u5bc6\u7801\uff1a{s}",
    "russian": "\u043f\u0430\u0440\u043e\u043b\u044c: {s}",
    "httpie": "http -a ada:{s} example.org",
    "keytool": "keytool -storepass {s} -list",
    "snmp": "snmpwalk -v2c -c {s} host",
    "rdp": "xfreerdp /u:ada /p:{s} /v:host",
    "net use": "net use z: \\\\srv\\x {s} /user:ada",
    "az": "az login --service-principal -u x -p {s} --tenant y",
    "md table": "| user | password |\n|---|---|\n| ada | {s} |",
    "bullet": "- **Password**: {s}",
    "pipe": "echo {s} | docker login --password-stdin",
    "here": "passwd <<< {s}",
    "syslog": "auth: user=ada pw={s}",
    "passcode": "passcode: {s}",
    "secret word": "secret phrase: {s}",
    "backup": "recovery code: {s}",
    "html entity": "password=&quot;{s}&quot;",
    "url double": "password%253D{s}",
    "psw": "psw={s}",
    "restic": "restic -r x --password-command 'echo {s}'",
    "etcd": "etcdctl --user root:{s} get x",
    "cqlsh": "cqlsh -u a -p {s} host",
    "sqlcmd": "sqlcmd -S h -U sa -P {s}",
    "wifi": 'network={\n ssid="x"\n psk="{s}"\n}',
    "nmcli": "nmcli dev wifi connect X password {s}",
    "htdigest": "auth_basic_password {s}",
    "imap": "a1 LOGIN ada {s}",
    "pop": "USER ada\nPASS {s}",
    "ftp": "ftp> user ada {s}",
    "poetry": "poetry config http-basic.x ada {s}",
    "ssh-keygen": "ssh-keygen -N {s} -f k",
    "certutil": "certutil -importpfx -p {s} f",
    "python tuple auth": "requests.get(u, auth=('ada', '{s}'))",
    "chat new": "I changed the password to {s} yesterday",
    "chat creds": "creds: ada / {s}",
    "slack msg": "pw for staging is {s}",
    "nl": "Het wachtwoord is {s}",
    "it": "la password \xe8 {s}",
    "pt": "a senha \xe9 {s}",
    "pl": "has\u0142o: {s}",
    "tr": "\u015fifre: {s}",
    "xlsx": "| Name | API Key | Owner |\n|---|---|---|\n| x | {s} | ada |",
}
"""Forms of other days than those above, `{s}` for the secret; each in every place."""


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
    return _planted(
        (name, *_filled(form, _SECRET.format(n=n % 100), n % 100))
        for n, (name, form) in enumerate(_FORMS.items())
    )


def planted_further() -> list[tuple[str, str, AgentTrace]]:
    """The same for the further forms."""
    secret = _SECRET.format(n=7)
    return _planted(
        (name, form.replace("{s}", secret), secret[:11]) for name, form in FURTHER.items()
    )


def _planted(texts: Iterable[tuple[str, str, str]]) -> list[tuple[str, str, AgentTrace]]:
    runs = []
    for n, ((name, text, hidden), place) in enumerate(itertools.product(texts, PLACES)):
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
