"""A redactor for the tokens and keys of well-known services, told by their form."""

from __future__ import annotations

import math
import re
from collections import Counter
from functools import partial

from .provider_rules import RULES
from .traversal import REDACTED, Redactor, Walk

_START = r"(?<![A-Za-z0-9])"

# What a text must hold for a form to be worth looking for, and the form.
_FORMS: list[tuple[tuple[str, ...], str]] = [
    (("gsk_", "xai-", "pplx-", "tvly-", "nvapi-"), r"(?:gsk_|xai-|pplx-|tvly-|nvapi-)[\w-]{20,}"),
    (("hf_", "r8_"), r"(?:hf_|r8_)[A-Za-z0-9]{30,}"),  # Hugging Face, Replicate
    (("lsv2_", "pcsk_", "sk-lf-"), r"(?:lsv2_(?:pt|sk)|pcsk)_\w{20,}"),  # LangSmith, Pinecone
    (("gh",), r"gh[opusr]_[A-Za-z0-9]{30,}"),  # GitHub
    (("github_pat_",), r"github_pat_\w{22,}"),
    (("gl",), r"gl(?:pat|dt|ptt|rt|cbt|ft|soat|agent|imt)-[\w.-]{20,}"),  # GitLab
    (("xox", "xapp-"), r"(?:xox[a-z]|xapp)-[A-Za-z0-9-]{10,}"),  # Slack
    (("hooks.slack.com",), r"hooks\.slack\.com/\w+/[\w/+-]{10,}"),
    (("api/webhooks/",), r"discord(?:app)?\.com/api/webhooks/\d+/[\w-]{10,}"),
    (
        ("AKIA", "ASIA", "ABIA", "ACCA", "AROA", "AIDA", "A3T"),  # AWS
        r"(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA|AROA|AIDA)[A-Z0-9]{16}(?![A-Za-z0-9])",
    ),
    (("AIza",), r"AIza[\w-]{30,}"),  # Google
    (("ya29.",), r"ya29\.[\w-]{20,}"),
    (("GOCSPX-",), r"GOCSPX-[\w-]{20,}"),
    (("1//0",), r"1//0[\w-]{20,}"),
    (("_live_", "_test_"), r"[rsp]k_(?:live|test)_[A-Za-z0-9]{10,}"),  # Stripe
    (("whsec_",), r"whsec_[A-Za-z0-9+/=]{20,}"),
    (("SG.",), r"SG\.[\w-]{16,100}\.[\w-]{16,}"),  # SendGrid
    (("AC", "SK"), r"(?:AC|SK)[0-9a-f]{32}(?![0-9a-f])"),  # Twilio
    (("key-",), r"key-[0-9a-z]{32}(?![0-9a-z])"),  # Mailgun
    ((":AA",), r"(?:bot)?\d{8,10}:AA[\w-]{30,}"),  # Telegram
    (("npm_",), r"npm_[A-Za-z0-9]{30,}"),
    (("pypi-",), r"pypi-[\w-]{50,}"),
    (("_v1_",), r"do[opr]_v1_[0-9a-f]{60,}"),  # DigitalOcean
    (("dapi",), r"dapi[0-9a-f]{32}(?:-\d+)?"),  # Databricks
    (("shp",), r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),  # Shopify
    (("lin_api_",), r"lin_api_\w{30,}"),
    (("ntn_", "secret_"), r"(?:ntn_|secret_)[A-Za-z0-9]{40,}"),  # Notion
    (("hvs.", "hvb.", "hvr."), r"hv[sbr]\.[\w-]{20,}"),  # Vault
    (("sgp_",), r"sgp_(?:[0-9a-fA-F]{16}_|local_)?[0-9a-fA-F]{40}"),  # Sourcegraph
    (
        ("tgp_v1_", "fw_", "csk-", "vcp_", "sbp_", "rnd_", "re_", "dckr_pat_", "ddp_"),
        r"(?:tgp_v1_|fw_|csk-|vcp_|sbp_|rnd_|re_|dckr_pat_|ddp_)(?=[\w-]{0,24}\d)[\w-]{24,}",
    ),
    (("glc_", "glsa_"), r"gl(?:c|sa)_[A-Za-z0-9+/_]{32,}={0,2}"),  # Grafana
    (("NRAK-",), r"NRAK-[A-Z0-9]{20,}"),  # New Relic
    (("secret-token:",), r"secret-token:[\w.~+/=%-]{8,}"),  # RFC 8959
    (("dp.",), r"dp\.(?:pt|st|ct|sa|scim|audit)\.[\w.-]{30,}"),  # Doppler
    (("pat",), r"pat[A-Za-z0-9]{14}\.[0-9a-f]{40,}"),  # Airtable
    (("ATATT3", "ATCTT3"), r"AT[AC]TT3[\w=-]{50,}"),  # Atlassian
    (("EAA",), r"EAA[A-Za-z0-9]{60,}"),  # Meta
    (("AccountKey=", "SharedAccessKey="), r"(?:Account|SharedAccess)Key=[A-Za-z0-9+/=]{20,}"),
    (("sig=",), r"sig=(?=[\w%+/=-]{0,24}\d)[\w%+/=-]{16,}"),  # signed URLs
    (
        ("Signature=", "signature="),
        r"(?:X-\w{1,5}-)?[Ss]ignature=(?=[\w%+/=~.-]{0,24}\d)[\w%+/=~.-]{16,}",
    ),
]
_NAME = (
    r"(?:password|passphrase|passwort|kennwort|mot\sde\spasse|contrase\u00f1a|wachtwoord|senha|pw|secret|token"
    r"|api[ _]key)"
)
# What follows such a word, unless it is a plain word itself.
_SCHEMES = re.compile(
    r"\b((?i:bearer|basic))\s{1,8}(?![A-Za-z][a-z]{1,40}(?![\w~+/=-]|\.\w))[\w.~+/=-]{8,}"
)
_IN_URL = re.compile(r"(://)[^\s/@:'\"]{0,256}:[^\s/@'\"]{1,256}(?=@)")
# ``curl -u name:password``, ``mysql -pPASSWORD``, ``sshpass -p PASSWORD``, and .netrc.
_IN_COMMANDS = [
    (
        ("curl", "wget", "http"),
        re.compile(
            r"(?i)((?:^|(?<=\s))(?:-u|-U|--user|--proxy-user)(?:\s{1,4}|=)?[\"']?[^\s:\"'=]{1,128}:)"
            r"[^\s\"'|;&]{1,256}"
        ),
    ),
    (
        ("mysql", "mariadb"),
        re.compile(r"(?i)((?:mysql|mariadb)[\w-]{0,16}\s(?:[^\n|;&]{0,200}?\s)?-p)[^\s|;&]{1,256}"),
    ),
    (
        ("smbclient", "smbget", "rpcclient"),
        re.compile(
            r"((?:smbclient|smbget|rpcclient)\s[^\n|;&]{0,200}?-U\s{0,4}[^\s%]{1,64}%)\S{1,256}"
        ),
    ),
    (
        ("zip", "7z"),
        re.compile(r"(\b(?:unzip|zip|7z[ar]?)\s(?:[^\n|;&]{0,99}?\s)?-[Pp]\s?)[^\s|;&]{4,256}"),
    ),
    (("ldap",), re.compile(r"(\bldap\w{1,12}\s(?:[^\n|;&]{0,200}?\s)?-w\s{1,4})[^\s|;&]{1,256}")),
    (
        ("htpasswd",),
        re.compile(r"(htpasswd\s-\w{0,4}b\w{0,4}\s\S{1,128}\s\S{1,64}\s)[^\s|;&]{1,256}"),
    ),
    (
        ("gh secret",),
        re.compile(r"(gh secret set\s[^\n|;&]{1,99}?(?:-b|--body)[\s=]{1,4})[^\s|;&]{1,256}"),
    ),
    (
        ("set -", "configure set", "setenv", "env "),
        re.compile(
            r"(?i)(\b(?:set\s-[xgU]{1,3}|aws\sconfigure\sset|setenv|(?-i:ENV))\s{1,4}\w{0,64}"
            r"(?:token|secret|password|key)\w{0,32}\s{1,4})[^\s|;&]{1,256}"
        ),
    ),
    (  # SQL
        ("create", "alter"),
        re.compile(
            r"(?i)(\b(?:create|alter)\s{1,4}(?:user|role|login)\s[^\n;]{0,200}?"
            r"\b(?:password|identified\s{1,4}by)\s{0,4}=?\s{0,4}')[^'\n]{1,256}"
        ),
    ),
    (  # Calls: a secret that is given to a setter or to a type that hides it.
        ("setpassword", "set_password", "secretstr", "secretbytes", "securestring"),
        re.compile(
            r"(?i)((?:\bset_?password\(|\bsecret(?:str|bytes)\(|\bConvertTo-SecureString)"
            r"\s{0,4}b?[\"'])[^\"'\n]{1,256}"
        ),
    ),
    (
        ("form-data",),
        re.compile(
            r"(?i)(form-data;\s{0,4}name=\"\w{0,64}(?:password|passwd|secret|token|api_?key)\""
            r"(?:\r?\n[^\r\n]{1,200}){0,4}\r?\n\r?\n)[^\r\n]{1,4096}"
        ),
    ),
    (  # Terraform
        ("variable",),
        re.compile(
            r"(?i)(\bvariable\s{1,4}\"\w{0,64}(?:password|secret|token|key)\"\s{0,4}\{"
            r"[^{}]{0,400}?\bdefault\s{0,4}=\s{0,4}\")[^\"\n]{1,256}"
        ),
    ),
    (  # A cell of a table, and a sentence: what is no word of a language.
        ("pass", "secret", "token", "key", "contrase", "kennwort", "wachtw", "senha", "pw"),
        re.compile(
            rf"((?i:\|\s{{0,8}}{_NAME}\s{{0,8}}\|\s{{0,8}}[`\"']?"
            rf"|\b{_NAME}\s{{1,4}}->\s{{1,4}}[`\"']?"
            rf"|(?:\A|\n)[ \t]{{0,40}}-\s{_NAME}\r?\n[ \t]{{0,40}}-\s[`\"']?"
            rf"|\b{_NAME}(?:\s\w{{1,12}}){{0,3}}\s{{1,4}}(?:is|was|ist|lautet|es|est|\u00e8|\u00e9)(?:\snow)?:?"
            rf"\s{{1,4}}[`\"']?|\b(?:use|enter|type)\s{{1,4}}[`\"']?"
            rf"(?=\S{{8,99}}\s{{1,4}}as\s(?:the|your|my)\s{_NAME})))"
            r"(?=[^\s|]{0,64}[a-z])(?=[^\s|]{0,64}[A-Z])(?=[^\s|]{0,64}\d)[^\s|`\"',;]{8,256}"
        ),
    ),
    (  # A browser's cookies: https://curl.se/docs/http-cookies.html
        ("\ttrue\t", "\tfalse\t"),
        re.compile(
            r"(?m)(^[^\t\n]{1,256}\t(?:TRUE|FALSE)\t/[^\t\n]{0,256}\t(?:TRUE|FALSE)\t\d{1,20}"
            r"\t[^\t\n]{1,256}\t)[^\t\r\n]{1,4096}"
        ),
    ),
    (  # What asks for one.
        ("pass",),
        re.compile(
            r"(?i)(\bpass(?:word|phrase|code)\s(?:prompt|(?:for|of)\s[^\s:]{1,64})\s{0,4}:\s{1,4})"
            r"(?=\S{0,64}\d)\S{1,256}"
        ),
    ),
    (
        ("-u", "-p", "-n ", "signtool"),
        re.compile(
            r"((?:\s-(?:u|U|user|username)\s{1,4}[^\s-]\S{0,63}\s[^\n|;&]{0,99}?-[pP]"
            r"|\bssh-keygen\s[^\n|;&]{0,200}?-[NP]|\b(?:certutil|signtool)\s[^\n|;&]{0,200}?[-/][pP])\s{1,4})"
            r"(?!\d{1,5}(?:[\s:]|\Z)|-)[^\s|;&]{1,256}"
        ),
    ),
    (
        ("--user",),
        re.compile(
            r"(--user[\s=]{1,4}[^\s:=]{1,64}:)(?=\S{0,64}\d)(?=\S{0,64}[A-Z])[^\s|;&]{6,256}"
        ),
    ),
    (
        ("nmcli", "http-basic", "ftp>", "password-command"),
        re.compile(
            r"(\bnmcli\s[^\n|;&]{0,200}?\bpassword\s{1,4}|\bconfig\shttp-basic\.\S{1,64}\s\S{1,64}\s{1,4}"
            r"|\bftp>\s{0,4}user\s\S{1,64}\s{1,4}|--password-command[\s=]{1,4}[\"']?echo\s{1,4})"
            r"[^\s|;&\"']{1,256}"
        ),
    ),
    (  # IMAP and POP, settings of servers, what somebody writes down for a colleague.
        ("login", "pass", "cred"),
        re.compile(
            r"((?m:(?:^|\()(?:[A-Za-z]?\d{1,6}\sLOGIN\s{1,4}[^\s]{1,64}\s{1,4}|PASS\s{1,4}"
            r"|[ \t]{0,40}\w{0,40}(?:password|passwd)\s{1,4}))"
            r"|(?i:\b(?:creds?|credentials|login)\s{0,4}:\s{1,4}\S{1,64}\s/\s"
            r"|\b(?:changed?|re-?set|set)\s(?:\w{1,12}\s){1,2}password\sto\s)[\"'`]?)"
            r"(?=\S{0,64}[a-z])(?=\S{0,64}[A-Z])(?=\S{0,64}\d)[^\s|\"'`;,]{8,256}"
        ),
    ),
    (
        ("auth",),
        re.compile(
            r"(\bauth\s{0,4}=\s{0,4}[(\[]\s{0,4}[\"'][^\"'\n]{1,128}[\"']\s{0,4},\s{0,4}[\"'])[^\"'\n]{1,256}"
        ),
    ),
    (  # Declarations that name a type.
        ("password", "secret", "token", "apikey", "api_key"),
        re.compile(
            r"(?i)(\b\w{0,40}(?:password|secret|token|api_?key)\s{0,4}:\s{0,4}&?[\w<>\[\]?]{1,40}"
            r"\s{0,4}=\s{0,4}b?[\"'])(?=[^\"'\n]{0,64}\d)[^\"'\n]{6,256}"
        ),
    ),
    (
        ("<input", "<key>"),
        re.compile(
            r"(?i)(<input\s[^<>]{0,300}?type=[\"']?password\b[^<>]{0,300}?value=[\"']"
            r"|<key>\w{0,40}(?:password|secret|token|api_?key)</key>\s{0,8}<string>)[^\"'<>]{1,256}"
        ),
    ),
    (
        ("http ", "https "),
        re.compile(
            r"(\bhttps?\s(?:[^\n|;&]{0,99}?\s)?(?:-a|--auth)[\s=]{1,4}[^\s:]{1,64}:)[^\s|;&]{1,256}"
        ),
    ),
    (
        ("snmp",),
        re.compile(r"(\bsnmp\w{1,12}\s(?:[^\n|;&]{0,200}?\s)?-[cAX]\s{1,4})[^\s|;&]{1,256}"),
    ),
    (
        ("rdp", "net use"),
        re.compile(
            r"(?i)(\b(?:[xw]freerdp\s[^\n|;&]{0,200}?/p:"
            r"|net\suse\s(?:\w:\s{1,4})?\S{1,128}\s{1,4}(?=\S{1,256}\s{1,4}/user)))[^\s|;&]{1,256}"
        ),
    ),
    (
        (" login ",),
        re.compile(r"(\b(?:az|docker|podman|helm)\s[^\n|;&]{0,200}?-p\s{1,4})[^\s|;&]{1,256}"),
    ),
    (  # Given to the standard input of what asks for one.
        ("-stdin", "sudo -s", "passwd <"),
        re.compile(
            r"(\becho\s(?:-n\s)?[\"']?(?=[^\n|]{1,256}\|[^\n|;&]{0,99}?(?:--password-stdin|sudo\s-S))"
            r"|\b(?:passwd|--password-stdin|sudo\s-S)[^\n|;&]{0,60}?<<<\s{0,4}[\"']?)[^\s|\"']{1,256}"
        ),
    ),
    (
        ("jdbc:oracle", "sqlplus"),
        re.compile(r"((?:jdbc:oracle:\w{1,8}:|\bsqlplus\s)[^\s/@:]{1,64}/)[^\s@]{1,256}(?=@)"),
    ),
    (("sshpass",), re.compile(r"(sshpass\s(?:[^\n|;&]{0,60}?\s)?-p\s{0,4})[^\s|;&]{1,256}")),
    (("redis-cli",), re.compile(r"(redis-cli\s(?:[^\n|;&]{0,99}?\s)?-a\s{1,4})[^\s|;&]{1,256}")),
    (
        ("password",),
        re.compile(
            r"(?i)(\blogin\s{1,8}\S{1,128}\s{1,8}(?:account\s{1,8}\S{1,128}\s{1,8})?password\s{1,8})\S{1,256}"
        ),
    ),
]
# Tokens of many begin so: OpenAI, Anthropic, OpenRouter, DeepSeek. So do the names of packages.
_SK = re.compile(r"(?<![A-Za-z0-9])sk-[\w-]{16,}")
_RANDOM = re.compile(r"[A-Za-z0-9_]{12,}")
_JWT_RUN = re.compile(r"[\w-]*+")
_JWT = re.compile(r"(?<![A-Za-z0-9])eyJ[\w-]{8,}+\.[\w-]{4,}+(?:\.[\w-]*+){0,3}")

# What a token can stand in: a long run of the characters that tokens are made of. Most texts have
# few of these, and only what is in them is looked through for the signs.
_RUN = re.compile(r"[A-Za-z0-9_.~+/=:%-]{12,}+")
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY.*?(?:-----END [A-Z0-9 ]{0,40}KEY[A-Z ]*-----|\Z)",
    re.DOTALL,
)
_COMPILED = [(sign, re.compile(_START + form)) for signs, form in _FORMS for sign in signs]
_PROVIDERS: dict[str, list[tuple[re.Pattern[str], float]]] = {}
for _, _keywords, _form, _bits in RULES:
    for _keyword in _keywords:
        _PROVIDERS.setdefault(_keyword, []).append((re.compile(_form), _bits))
_SHORTEST = 12


def redact_tokens(replacement: str = REDACTED) -> Redactor:
    """A redactor for secrets that are told by their form, whatever stands around them.

    API keys and tokens of model providers, clouds, code hosts, chat and payment services, by rules
    of our own and those of gitleaks (see `provider_rules`); JSON Web Tokens; private keys;
    ``Bearer`` and ``Basic`` credentials; passwords in URLs, in .netrc and of well-known commands.
    """
    return Walk(
        lambda text: _without_tokens(text, replacement) if len(text) >= _SHORTEST else text,
        is_pure=True,
    )


def _without_tokens(text: str, replacement: str) -> str:
    if "PRIVATE KEY" in text:
        text = _PRIVATE_KEY.sub(lambda _: replacement, text)
    runs = "\n".join(_RUN.findall(text))
    if runs:
        text = _without_forms(text, runs, replacement)
        text = _without_provider_tokens(text, runs.lower(), replacement)
    if "://" in text:
        text = _IN_URL.sub(lambda found: f"{found[1]}{replacement}", text)
    return _without_credentials(text, replacement)


def _without_forms(text: str, runs: str, replacement: str) -> str:
    for sign, form in _COMPILED:
        if sign in runs and form.search(runs):
            text = form.sub(lambda _: replacement, text)
    if "eyJ" in runs:
        text = _without_jwt(text, replacement)
    if "sk-" in runs:
        text = _SK.sub(lambda found: replacement if _is_random(found[0]) else found[0], text)
    return text


def _without_credentials(text: str, replacement: str) -> str:
    """The text without what commands and headers say to prove who they are."""
    lowered = text.lower()
    for signs, form in _IN_COMMANDS:
        if any(sign in lowered for sign in signs):
            text = form.sub(lambda found: f"{found[1]}{replacement}", text)
    if "bearer" in lowered or "basic" in lowered:
        text = _SCHEMES.sub(lambda found: f"{found[1]} {replacement}", text)
    return text


def _without_provider_tokens(text: str, runs: str, replacement: str) -> str:
    for keyword, rules in _PROVIDERS.items():
        if keyword in runs:
            for form, bits in rules:
                text = form.sub(partial(_replaced_if_random, bits, replacement), text)
    return text


def _replaced_if_random(bits: float, replacement: str, found: re.Match[str]) -> str:
    return replacement if _bits_of(found[0]) >= bits else found[0]


def _is_random(token: str) -> bool:
    """Whether a part of a token looks made by a machine: long, with digits or letters mixed."""
    return any(
        any(map(str.isdigit, part)) or (part.lower() != part and part.upper() != part)
        for part in _RANDOM.findall(token[3:])
    )


def _without_jwt(text: str, replacement: str) -> str:
    """The text without JSON Web Tokens.

    Where none begins, the run of their characters is passed over whole: to try at each beginning
    in it would take quadratic time.
    """
    pieces: list[str] = []
    done = at = 0
    while (at := text.find("eyJ", at)) >= 0:
        if at and text[at - 1].isalnum():
            at += 3
            continue
        found = _JWT.match(text, at)
        if found is not None:
            pieces += text[done:at], replacement
            done = at = found.end()
        else:
            run = _JWT_RUN.match(text, at)
            at = run.end() if run else at + 3
    return "".join([*pieces, text[done:]]) if pieces else text


def _bits_of(text: str) -> float:
    """The information that a character bears, by how often each occurs (Shannon's entropy)."""
    counts = Counter(text).values()
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts)
