"""Replace keys, tokens, passwords, e-mails and card numbers by stable placeholders.

Knows texts and what they stand in; knows no pattern, and reads and writes no file.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache, partial
from hashlib import sha256
from typing import Any, Final, TypeVar

import msgspec

from learned_router.training.labelling.secret_patterns import (
    NAMED_SECRET,
    PLACEHOLDER,
    Rule,
    all_rules,
    has_letter_and_digit,
    is_card_number,
)
from learned_router.training.records import Label, Record

T = TypeVar("T", Label, Record)

SHORTEST_SECRET: Final = 6  # characters; shorter texts are not looked at
SHORTEST_NAMED: Final = 4  # of an argument whose name says that it is a secret
_NAMES: Final = frozenset({"id", "session"})  # a placeholder would make two records' one


class Redactor:
    """Redacts records and labels, each with placeholders of its own: the same secret has one placeholder in a record.

    Raises MissingExtraError, with the line that installs it, when detect-secrets is not installed.
    """

    def __init__(self) -> None:
        self._rules = all_rules()

    def redact(self, item: T) -> T:
        """A copy of ``item`` without secrets in any text, tool, argument or output; ``item`` itself where it has none.

        A secret becomes ``<EMAIL_1>``, ``<CARD_1>``, ``<KEY_1>``, ``<PRIVATE_KEY_1>`` or ``<PASSWORD_1>``, numbered as
        first met; numbers that stand in the item already are not used again. An id or a session that holds a secret
        becomes a hash, so that records stay apart. Redacting again changes nothing.
        """
        written = msgspec.json.encode(item).decode()  # as JSON, in which every needle stands as it does in the text
        lowered = written.lower()
        rules = tuple(rule for rule in self._rules if rule.may_match(written, lowered))
        pen, kinds = _Pen(written), _fields(type(item))
        values = {name: value for name in kinds if (value := getattr(item, name)) is not None}
        fields = clean = {name: msgspec.to_builtins(value) for name, value in values.items()}
        while pen.look(clean, rules):
            cleaned = {name: pen.clean_field(name, value) for name, value in clean.items()}
            if cleaned == clean:
                break
            clean = cleaned
        changed = {name: value for name, value in clean.items() if value != fields[name]}
        for name, value in changed.items():
            changed[name] = _stand_in(name, fields[name]) if name in _NAMES else msgspec.convert(value, kinds[name])
        return msgspec.structs.replace(item, **changed) if changed else item

    def redact_text(self, text: str) -> str:
        """``text`` without secrets, numbered as in a record of this one text."""
        pen, lowered = _Pen(text), text.lower()
        rules = tuple(rule for rule in self._rules if rule.may_match(text, lowered))
        while pen.look({"": text}, rules) and (cleaned := pen.clean(text)) != text:
            text = cleaned
        return text


class _Pen:
    """Writes one record's placeholders. written: the record as it was, where placeholders may stand already."""

    def __init__(self, written: str) -> None:
        self._written = written
        self._rules: list[Rule] = []
        self._names: dict[str, str] = {}
        self._taken: set[str] | None = None

    def look(self, fields: dict[str, Any], rules: Iterable[Rule]) -> bool:
        """Whether there is still something to write over: one search of all texts together, to spare most records, and
        of the others most rules, the search of each text. What was a secret in one place is one wherever it stands.
        """
        texts: list[str] = []
        named = [_collect(value, texts, name == "tools") for name, value in fields.items()]
        text = "\n".join(texts)
        self._rules = [rule for rule in rules if rule.finds_in(text)]
        return any(named) or bool(self._rules) or any(pattern.search(text) for pattern, _ in self._known())

    def _known(self) -> Iterator[tuple[re.Pattern[str], str]]:
        for secret, name in self._names.items():
            # a word such as "secret" for a password is one in its place only
            if len(secret) >= SHORTEST_SECRET and (has_letter_and_digit(secret) or not name.startswith("<PASSWORD")):
                yield re.compile(rf"(?<![A-Za-z0-9]){re.escape(secret)}(?![A-Za-z0-9])"), name

    def clean_field(self, name: str, value: Any) -> Any:
        """A record's field without secrets; the names of models, by which outputs are found, are left alone."""
        if name == "outputs":
            return {model: self.clean(output) for model, output in value.items()}
        return self.clean(value, schema=name == "tools")

    def clean(self, value: Any, *, schema: bool = False) -> Any:
        """``value`` of JSON without secrets. schema: a name such as ``password`` then names a field, not its value."""
        if isinstance(value, str):
            return self.clean_text(value)
        if isinstance(value, list):
            return [self.clean(item, schema=schema) for item in value]
        if isinstance(value, dict):
            return {self.clean_text(key): self._clean_named(key, item, schema) for key, item in value.items()}
        if _is_card_as_number(value):
            return self._placeholder("CARD", str(value))
        return value

    def clean_text(self, text: str) -> str:
        if len(text) < SHORTEST_SECRET:
            return text
        lowered = text.lower()
        for rule in self._rules:
            if rule.may_match(text, lowered):
                text = rule.pattern.sub(partial(self._replace, rule=rule), text)
        for pattern, name in self._known():
            text = pattern.sub(name, text)
        return text

    def _clean_named(self, key: str, value: Any, schema: bool) -> Any:
        """The value of an argument: whole, where the name says that it is a secret and it looks like one."""
        if not schema and _is_named_secret(key, value):
            return self._placeholder("PASSWORD", value)
        return self.clean(value, schema=schema)

    def _replace(self, match: re.Match[str], rule: Rule) -> str:
        group = rule.group(match)
        secret = match[group]
        if not rule.is_secret(secret):
            return match[0]
        start, end = match.start(group) - match.start(), match.end(group) - match.start()
        return f"{match[0][:start]}{self._placeholder(rule.kind, secret)}{match[0][end:]}"

    def _placeholder(self, kind: str, secret: str) -> str:
        if self._taken is None:  # looked up at the first secret only: most records have none
            self._taken = {match[0] for match in PLACEHOLDER.finditer(self._written)}
        if secret not in self._names:
            number = 1
            while (name := f"<{kind}_{number}>") in self._taken:
                number += 1
            self._taken.add(name)
            self._names[secret] = name
        return self._names[secret]


def _collect(value: Any, texts: list[str], schema: bool) -> bool:
    """Adds all texts in ``value`` to ``texts``; whether it holds a secret that is none by a pattern of its text."""
    if isinstance(value, str):
        texts.append(value)
        return False
    if isinstance(value, list):
        return sum(_collect(item, texts, schema) for item in value) > 0  # any() would stop at the first
    if isinstance(value, dict):
        texts.extend(value)
        named = not schema and any(_is_named_secret(key, item) for key, item in value.items())
        return sum(_collect(item, texts, schema) for item in value.values()) > 0 or named
    return _is_card_as_number(value)


def _stand_in(name: str, value: str) -> str:
    return f"{name}-{sha256(value.encode('utf-8', 'replace')).hexdigest()[:16]}"


def _is_named_secret(key: str, value: Any) -> bool:
    if not isinstance(value, str) or len(value) < SHORTEST_NAMED or not _names_a_secret(key):
        return False
    return not re.search(r"\s", value) and not PLACEHOLDER.fullmatch(value)


@lru_cache(maxsize=10_000)
def _names_a_secret(key: str) -> bool:
    return len(key) < 100 and NAMED_SECRET.fullmatch(key) is not None


def _is_card_as_number(value: Any) -> bool:
    return type(value) is int and 10**13 <= value < 10**19 and is_card_number(str(value))


@lru_cache
def _fields(kind: type[Label] | type[Record]) -> dict[str, Any]:
    """Types, by name, of the fields that may hold text of a user; what routers are trained by is not among them."""
    left_alone = {"quality", "models", "grader", "certainty", "weight", "split", "group", "step", "timestamp"}
    return {field.name: field.type for field in msgspec.structs.fields(kind) if field.name not in left_alone}
