"""Replace keys, tokens, passwords, e-mails and card numbers by stable placeholders. Knows texts; reads and writes no file.

Patterns of services' keys come from detect-secrets; ours add what it lacks, and are kept narrow: a number, an id or a
UUID that only looks random is no secret, because removing it changes what the request asks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any, Final, NamedTuple, TypeVar

import msgspec

from learned_router.errors import MissingExtraError
from learned_router.training.records import Label, Record

T = TypeVar("T", Label, Record)

# Detectors of detect-secrets, with what a text must hold for the pattern to be tried (in lower case; none: always).
# Left out: those that take ordinary words for keys (Artifactory), and slow ones for "name = value" (ours does that).
_DETECTORS: Final[dict[str, tuple[str, ...]]] = {
    "aws.AWSKeyDetector": ("akia", "asia", "abia", "acca", "a3t", "aws"),
    "azure_storage_key.AzureStorageKeyDetector": ("accountkey=",),
    "discord.DiscordBotTokenDetector": (),
    "gitlab_token.GitLabTokenDetector": ("gl", "gr1348941"),
    "mailchimp.MailchimpDetector": ("-us",),
    "npm.NpmDetector": ("_authtoken",),
    "pypi_token.PypiTokenDetector": ("pypi-age",),
    "sendgrid.SendGridDetector": ("sg.",),
    "slack.SlackDetector": ("xox", "hooks.slack.com"),
    "square_oauth.SquareOAuthDetector": ("sq0csp-",),
    "telegram_token.TelegramBotTokenDetector": (":aa",),
    "twilio.TwilioKeyDetector": ("ac", "sk"),
}
_SECRET_NAME: Final = (
    r"(?:[a-z]+[_-])?(?:api[_-]?key|access[_-]?key(?:[_-]?id)?|secret(?:[_-]?key)?|client[_-]?secret|private[_-]?key|"
    r"(?:auth|access|refresh|bearer|session|api|secret)[_-]?token|passw(?:or)?d|passphrase|pwd)"
)


class _Rule(NamedTuple):
    """pattern: its first group, or where it has none the whole, is replaced. needles: one must be in the lowered text."""

    kind: str
    pattern: re.Pattern[str]
    needles: tuple[str, ...] = ()
    accepts: Callable[[str], bool] = bool


def _has_letter_and_digit(value: str) -> bool:
    return any(c.isdigit() for c in value) and any(c.isalpha() for c in value)


def is_card_number(digits: str) -> bool:
    """Whether digits, spaces and hyphens are a card number: a card's first digits and length, and Luhn's check sum.

    13 digits are never one: old cards of that length are rarer than times in milliseconds.
    """
    number = re.sub(r"[ -]", "", digits)
    if not (number.isascii() and number.isdigit() and len(number) in _CARD_LENGTHS and _CARD_START.match(number)):
        return False
    doubled = (int(c) * 2 if i % 2 else int(c) for i, c in enumerate(reversed(number)))
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


_CARD_LENGTHS: Final = (14, 15, 16, 19)
_CARD_START: Final = re.compile(
    r"4|5[1-5]|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)|6(?:011|4[4-9]|5)|3[47]|3(?:0[0-5]|[68])|35(?:2[89]|[3-8])|62"
)
_PLACEHOLDER: Final = re.compile(r"<(?:EMAIL|CARD|KEY|PRIVATE_KEY|PASSWORD)_(\d+)>")
_PLACEHOLDER_BYTES: Final = re.compile(rb"<(EMAIL|CARD|KEY|PRIVATE_KEY|PASSWORD)_(\d{1,9})>")
_NAMED_SECRET: Final = re.compile(_SECRET_NAME, re.IGNORECASE)

_SERVICE_NEEDLES: Final = (
    *("gh", "hf_", "gsk_", "npm_", "k_live_", "k_test_", "whsec_"),
    *("dop_v1_", "lsv2_", "r8_", "shpat_", "shpss_", "xox"),
)

_RULES: Final = (
    _Rule(
        "PRIVATE_KEY",
        re.compile(
            r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
            r"(?:[^-]{0,20000}(?:-[^-]{1,2000}){0,20}-----END [A-Z0-9 ]{0,60}-----|[A-Za-z0-9+/=\s\\]*)"
        ),
        ("private key",),
    ),
    _Rule("PASSWORD", re.compile(r"://[^\s:/?#\[\]@\"'<>]{0,200}:([^\s/?#\[\]@\"'<>]{1,200})@"), ("://",)),
    _Rule("EMAIL", re.compile(r"(?<![\w.+%-])[\w.+%-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w-])"), ("@",)),
    _Rule("KEY", re.compile(r"(?<![\w-])eyJ[\w=-]{8,}\.[\w=-]{8,}(?:\.[\w=-]*)?"), ("eyj",)),
    _Rule("KEY", re.compile(r"(?<![\w-])sk-[\w-]{20,}"), ("sk-",), _has_letter_and_digit),
    _Rule(
        "KEY",
        re.compile(
            r"(?<![A-Za-z0-9])(?:gh[pousr]_\w{36,255}|github_pat_\w{22,255}|hf_[A-Za-z0-9]{30,}|gsk_[A-Za-z0-9]{40,}|"
            r"npm_[A-Za-z0-9]{36}|[sr]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9]{24,}|dop_v1_[a-f0-9]{64}|"
            r"lsv2_[a-z]{2}_\w{30,}|r8_[A-Za-z0-9]{30,}|shp(?:at|ss)_[a-fA-F0-9]{32}|xox[a-z]-[A-Za-z0-9-]{10,})"
        ),
        _SERVICE_NEEDLES,
    ),
    _Rule(
        "KEY",
        re.compile(r"(?<![\w-])(?:AIza[\w-]{35}|xai-[A-Za-z0-9]{40,}|pplx-[A-Za-z0-9]{40,})"),
        ("aiza", "xai-", "pplx-"),
    ),
    _Rule("KEY", re.compile(r"(?<![\w.-])ya29\.[\w-]{20,}"), ("ya29.",)),
    _Rule(
        "KEY",
        re.compile(r"(?<![A-Za-z])(?:bearer|basic)\s{1,4}([\w.+/=~-]{16,})", re.IGNORECASE),
        ("bearer", "basic"),
        _has_letter_and_digit,
    ),
    _Rule(
        "PASSWORD",
        re.compile(
            rf"(?<![A-Za-z0-9]){_SECRET_NAME}\\?[\"']?\s{{0,4}}(?::=|=>|[:=])\s{{0,4}}\\?[\"']?([^\s\"'`,;<>{{}}()\[\]\\&]{{6,}})",
            re.IGNORECASE,
        ),
        ("key", "secret", "token", "passw", "passphrase", "pwd"),
        _has_letter_and_digit,
    ),
    _Rule(
        "CARD",
        re.compile(
            r"(?<![\w.-])(?<!\d )(?:\d{4}([ -])\d{4}\1\d{4}\1\d{4}|\d{4}([ -])\d{6}\2\d{4,5}|\d{14,19})(?![\w-])(?!\.\d| \d)"
        ),
        (),
        is_card_number,
    ),
)


class Redactor:
    """Redacts records and labels, each with placeholders of its own: the same secret has one placeholder in a record.

    Raises MissingExtraError, with the line that installs it, when detect-secrets is not installed.
    """

    def __init__(self) -> None:
        self._rules = (*_RULES[:-1], *_rules_of_detect_secrets(), _RULES[-1])

    def redact(self, item: T) -> T:
        """A copy of ``item`` without secrets in any text, tool, argument or output; ``item`` itself where it has none.

        A secret becomes ``<EMAIL_1>``, ``<CARD_1>``, ``<KEY_1>``, ``<PRIVATE_KEY_1>`` or ``<PASSWORD_1>``, numbered as
        first met; numbers that stand in the item already are not used again. An id or a session that holds a secret
        becomes a hash, so that records stay apart. Redacting again changes nothing.
        """
        changes: dict[str, Any] = {}
        pen = _Pen(self._rules, item)
        for field, kind in _fields(type(item)):
            value = getattr(item, field)
            if value is None:
                continue
            plain = msgspec.to_builtins(value)
            if field == "outputs":  # its keys are models' names
                clean = {model: pen.clean(output) for model, output in plain.items()}
            else:
                clean = pen.clean(plain, schema=field == "tools")
            if clean == plain:
                continue
            if field in {"id", "session"}:
                changes[field] = f"{field}-{sha256(value.encode('utf-8', 'replace')).hexdigest()[:16]}"
            else:
                changes[field] = msgspec.convert(clean, kind)
        return msgspec.structs.replace(item, **changes) if changes else item

    def redact_text(self, text: str) -> str:
        """``text`` without secrets, numbered as in a record of this one text."""
        return _Pen(self._rules, text).clean_text(text)


class _Pen:
    """Writes one record's placeholders."""

    def __init__(self, rules: tuple[_Rule, ...], item: Any) -> None:
        self._rules, self._item = rules, item
        self._names: dict[str, str] = {}
        self._taken: set[str] | None = None

    def clean(self, value: Any, *, schema: bool = False) -> Any:
        """``value`` of JSON without secrets. schema: a name such as ``password`` then names a field, not its value."""
        if isinstance(value, str):
            return self.clean_text(value)
        if isinstance(value, list):
            return [self.clean(item, schema=schema) for item in value]
        if isinstance(value, dict):
            return {
                self.clean_text(key): self._clean_named(key, item) if not schema else self.clean(item, schema=True)
                for key, item in value.items()
            }
        if isinstance(value, int) and value >= 10**13 and is_card_number(str(value)):
            return self._placeholder("CARD", str(value))
        return value

    def clean_text(self, text: str) -> str:
        if len(text) < 6:
            return text
        while True:  # a replacement may lay bare the edge of another secret; each turn leaves fewer of them
            before, lowered = text, text.lower()
            for rule in self._rules:
                if not rule.needles or any(needle in lowered for needle in rule.needles):
                    text = rule.pattern.sub(lambda match, rule=rule: self._replace(match, rule), text)
            if text == before:
                return text

    def _clean_named(self, key: str, value: Any) -> Any:
        """The value of an argument: whole, where the name says that it is a secret and it looks like one."""
        if isinstance(value, str) and len(value) >= 4 and not re.search(r"\s", value) and _NAMED_SECRET.fullmatch(key):
            return value if _PLACEHOLDER.fullmatch(value) else self._placeholder("PASSWORD", value)
        return self.clean(value)

    def _replace(self, match: re.Match[str], rule: _Rule) -> str:
        group = 1 if rule.kind != "CARD" and match.re.groups and match[1] else 0
        secret = match[group]
        if not rule.accepts(secret) or _PLACEHOLDER.search(secret):
            return match[0]
        start, end = match.start(group) - match.start(), match.end(group) - match.start()
        return f"{match[0][:start]}{self._placeholder(rule.kind, secret)}{match[0][end:]}"

    def _placeholder(self, kind: str, secret: str) -> str:
        if self._taken is None:  # looked up at the first secret only: most records have none
            found = _PLACEHOLDER_BYTES.findall(msgspec.json.encode(self._item))
            self._taken = {f"<{name.decode()}_{int(number)}>" for name, number in found}
        if secret not in self._names:
            number = 1
            while (name := f"<{kind}_{number}>") in self._taken:
                number += 1
            self._taken.add(name)
            self._names[secret] = name
        return self._names[secret]


def _fields(kind: type[Label] | type[Record]) -> list[tuple[str, Any]]:
    """Names and types of the fields that may hold text of a user; what routers are trained by is not among them."""
    if kind not in _FIELDS:
        left_alone = {"quality", "models", "grader", "certainty", "weight", "split", "group", "step", "timestamp"}
        _FIELDS[kind] = [(f.name, f.type) for f in msgspec.structs.fields(kind) if f.name not in left_alone]
    return _FIELDS[kind]


_FIELDS: Final[dict[type, list[tuple[str, Any]]]] = {}


def _rules_of_detect_secrets() -> Iterator[_Rule]:
    import importlib

    for name, needles in _DETECTORS.items():
        module, _, detector = name.partition(".")
        try:
            plugin = getattr(importlib.import_module(f"detect_secrets.plugins.{module}"), detector)
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                f"--redact needs the package {error.name!r}: pip install 'learned-router[train]'"
            ) from None
        for pattern in plugin.denylist:
            yield _Rule("KEY", pattern, needles)
