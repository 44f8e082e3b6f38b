"""What secrets look like: keys, tokens, passwords, e-mails and card numbers. Knows patterns; replaces nothing.

Patterns of services' keys come from detect-secrets; ours add what it lacks, and are kept narrow: a number, an id or a
UUID that only looks random is no secret, because removing it changes what the request asks.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from learned_router.errors import MissingExtraError

# Detectors of detect-secrets, with what a text must hold for slow ones to be worth trying.
# Left out: those that take ordinary words for keys (Artifactory), slow ones for "name = value" (ours does that), and
# npm's, which takes minutes of a text of slashes.
_DETECTORS: Final[dict[str, tuple[str, ...]]] = {
    "aws.AWSKeyDetector": (),
    "azure_storage_key.AzureStorageKeyDetector": ("AccountKey=",),
    "discord.DiscordBotTokenDetector": (),
    "gitlab_token.GitLabTokenDetector": (),
    "mailchimp.MailchimpDetector": ("-us",),
    "pypi_token.PypiTokenDetector": ("pypi-Ag",),
    "sendgrid.SendGridDetector": ("SG.",),
    "slack.SlackDetector": ("xox", "hooks.slack.com"),
    "square_oauth.SquareOAuthDetector": ("sq0csp-",),
    "telegram_token.TelegramBotTokenDetector": (":AA",),
    "twilio.TwilioKeyDetector": ("AC", "SK"),
}
_SECRET_NAME: Final = (
    r"(?:[a-z]+[_-])?(?:api[_-]?key|access[_-]?key(?:[_-]?id)?|secret(?:[_-]?key)?|client[_-]?secret|private[_-]?key|"
    r"(?:auth|access|refresh|bearer|session|api|secret)[_-]?token|passw(?:or)?d|passphrase|pwd)"
)


class Rule(NamedTuple):
    """pattern: its first group is replaced, or the whole where it has none or ``whole`` says so.
    needles: where none of them is in a text (lowered, for a pattern that ignores case), neither is a match; looking
    for them costs a part of the pattern.
    """

    kind: str
    pattern: re.Pattern[str]
    needles: tuple[str, ...] | re.Pattern[str] = ()
    accepts: Callable[[str], bool] = bool
    whole: bool = False

    def may_match(self, text: str, lowered: str) -> bool:
        where = lowered if self.pattern.flags & re.IGNORECASE else text
        if isinstance(self.needles, re.Pattern):
            return self.needles.search(where) is not None
        return not self.needles or any(needle in where for needle in self.needles)

    def finds_in(self, text: str) -> bool:
        return any(self.is_secret(match[self.group(match)]) for match in self.pattern.finditer(text))

    def is_secret(self, found: str) -> bool:
        return self.accepts(found) and not PLACEHOLDER.search(found)

    def group(self, match: re.Match[str]) -> int:
        """Which group of a match is the secret."""
        return 1 if match.re.groups and not self.whole else 0


def has_letter_and_digit(value: str) -> bool:
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
PLACEHOLDER: Final = re.compile(r"<(?:EMAIL|CARD|KEY|PRIVATE_KEY|PASSWORD)_\d+>")
NAMED_SECRET: Final = re.compile(_SECRET_NAME, re.IGNORECASE)

_SERVICE_NEEDLES: Final = (
    *("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "hf_", "gsk_", "npm_", "k_live_", "k_test_", "whsec_"),
    *("dop_v1_", "lsv2_", "r8_", "shpat_", "shpss_", "xox"),
)

_RULES: Final = (
    Rule(
        "PRIVATE_KEY",
        re.compile(
            r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
            r"(?:[^-]{0,20000}(?:-[^-]{1,2000}){0,20}-----END [A-Z0-9 ]{0,60}-----|[A-Za-z0-9+/=\s\\]*)"
        ),
        ("PRIVATE KEY",),
    ),
    Rule("PASSWORD", re.compile(r"://[^\s:/?#\[\]@\"'<>]{0,200}:([^\s/?#\[\]@\"'<>]{1,200})@"), ("://",)),
    Rule("EMAIL", re.compile(r"(?<![\w.+%-])[\w.+%-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}(?![\w-])"), ("@",)),
    Rule("KEY", re.compile(r"(?<![\w-])eyJ[\w=-]{8,}\.[\w=-]{8,}(?:\.[\w=-]*)?"), ("eyJ",)),
    Rule("KEY", re.compile(r"(?<![\w-])sk-[\w-]{20,}"), ("sk-",), has_letter_and_digit),
    Rule(
        "KEY",
        re.compile(
            r"(?<![A-Za-z0-9])(?:gh[pousr]_\w{36,255}|github_pat_\w{22,255}|hf_[A-Za-z0-9]{30,}|gsk_[A-Za-z0-9]{40,}|"
            r"npm_[A-Za-z0-9]{36}|[sr]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_[A-Za-z0-9]{24,}|dop_v1_[a-f0-9]{64}|"
            r"lsv2_[a-z]{2}_\w{30,}|r8_[A-Za-z0-9]{30,}|shp(?:at|ss)_[a-fA-F0-9]{32}|xox[a-z]-[A-Za-z0-9-]{10,})"
        ),
        _SERVICE_NEEDLES,
    ),
    Rule(
        "KEY",
        re.compile(r"(?<![\w-])(?:AIza[\w-]{35}|xai-[A-Za-z0-9]{40,}|pplx-[A-Za-z0-9]{40,})"),
        ("AIza", "xai-", "pplx-"),
    ),
    Rule("KEY", re.compile(r"(?<![\w.-])ya29\.[\w-]{20,}"), ("ya29.",)),
    Rule(
        "KEY",
        re.compile(r"(?<![A-Za-z])(?:bearer|basic)\s{1,4}([\w.+/=~-]{16,})", re.IGNORECASE),
        ("bearer", "basic"),
        has_letter_and_digit,
    ),
    Rule(
        "PASSWORD",
        re.compile(
            rf"(?<![A-Za-z0-9]){_SECRET_NAME}\\?[\"']?\s{{0,4}}(?::=|=>|[:=])\s{{0,4}}\\?[\"']?([^\s\"'`,;<>{{}}()\[\]\\&]{{6,}})",
            re.IGNORECASE,
        ),
        re.compile(r"secret|passw|passphrase|pwd|(?:api|access|private|auth|refresh|bearer|session)[_-]?(?:key|token)"),
        has_letter_and_digit,
    ),
    Rule(
        "CARD",
        re.compile(
            r"(?<![\w.-])(?<!\d )(?:\d{4}([ -])\d{4}\1\d{4}\1\d{4}|\d{4}([ -])\d{6}\2\d{4,5}|\d{14,19})(?![\w-])(?!\.\d| \d)"
        ),
        re.compile(r"\d{4}[ -]?\d{4}[ -]?\d{2}"),
        is_card_number,
        whole=True,  # its groups are separators
    ),
)


def _rules_of_detect_secrets() -> Iterator[Rule]:
    for name, needles in _DETECTORS.items():
        module, _, detector = name.partition(".")
        try:
            plugin = getattr(importlib.import_module(f"detect_secrets.plugins.{module}"), detector)
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                f"--redact needs the package {error.name!r}: pip install 'learned-router[train]'"
            ) from None
        for pattern in plugin.denylist:
            yield Rule("KEY", pattern, needles, whole=True)  # a group may be the prefix alone, as of GitLab's


def all_rules() -> tuple[Rule, ...]:
    """Every rule in the order they are applied: whole blocks first, cards last, when longer secrets are gone.

    Raises MissingExtraError, with the line that installs it, when detect-secrets is not installed.
    """
    return (*_RULES[:-1], *_rules_of_detect_secrets(), _RULES[-1])
