"""Check an answer's calls against the tools offered and the request, without running anything.

Knows JSON schemas and texts; knows nothing of models or thresholds. Everything is bounded: a schema is walked so deep and
no further, a ``$ref`` is not followed, a ``pattern`` is never run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import msgspec

from learned_router.answer import ToolCall
from learned_router.request import text_of

CALLS_CHECKED: Final = 16
TOOLS_CHECKED: Final = 64
DEPTH_CHECKED: Final = 6
VALUES_CHECKED: Final = 64
ENUM_CHECKED: Final = 256
# A longer value is compared by its start.
VALUE_CHARS: Final = 400
# An integer beyond this has thousands of digits; what it spells is not looked for in the request.
LARGEST_NUMBER: Final = 10**18

# A dataset's or Python's own word for a type, as many tools are described
_TYPES: Final = {
    "string": str,
    "str": str,
    "integer": int,
    "int": int,
    "number": (int, float),
    "float": (int, float),
    "double": (int, float),
    "boolean": bool,
    "bool": bool,
    "array": (list, tuple),
    "list": (list, tuple),
    "tuple": (list, tuple),
    "object": Mapping,
    "dict": Mapping,
    "null": type(None),
}
_WORD: Final = re.compile(r"[^\W_]+")
_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*")
_DATE_FORMAT: Final = re.compile(r"\b[YMD]{2,4}([-/.])[YMD]{2,4}\1[YMD]{2,4}\b", re.IGNORECASE)
_DIGIT: Final = re.compile(r"\d")
_NAME: Final = re.compile(r"(?<![.!?] )(?<!^)\b[A-Z][\w'-]+")
_NUMBER_WORDS: Final = dict(
    zip(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
        range(13),
        strict=True,
    )
) | {"twenty": 20, "thirty": 30, "fifty": 50, "hundred": 100, "thousand": 1000, "once": 1, "twice": 2, "both": 2}


class CallChecks(msgspec.Struct):
    """What was found of all calls of an answer together; counts, but for the shares at the end.

    unreadable: calls whose arguments are no object. missing: required arguments left out. wrong_type, wrong_enum,
    unknown_arguments: values that the schema does not allow. ungrounded: required and optional strings and numbers that do
    not occur in the request. least_grounded: of all strings, the least share of words that occur in it. missed: optional
    arguments left out whose name or value the request mentions. off_format: values that are not as their description
    says. duplicates: calls that repeat another. unused_numbers, unused_names: shares of the request's numbers and names
    that stand in no call. fit: share of the words of the called tools' names and descriptions that the request holds, and
    fit_of_others: that of the best tool not called.
    """

    calls: int = 0
    unknown_tools: int = 0
    unreadable: int = 0
    missing: int = 0
    unknown_arguments: int = 0
    wrong_type: int = 0
    wrong_enum: int = 0
    off_format: int = 0
    empty_values: int = 0
    arguments: int = 0
    optional: int = 0
    defaults: int = 0
    strings: int = 0
    numbers: int = 0
    ungrounded_required: int = 0
    ungrounded_optional: int = 0
    missed: int = 0
    duplicates: int = 0
    least_grounded: float = 1.0
    unused_numbers: float = 0.0
    unused_names: float = 0.0
    fit: float = 0.0
    fit_of_others: float = 0.0


class Said(msgspec.Struct, frozen=True):
    """What a request says, ready to be looked up in. text: lower case."""

    text: str
    words: frozenset[str]
    numbers: frozenset[str]
    names: frozenset[str]


def read_said(text: str) -> Said:
    """A request's words, numbers (also those written as words) and names."""
    lower = text.lower()
    words = frozenset(_WORD.findall(lower))
    numbers = {_number_text(found) for found in _NUMBER.findall(text)}
    numbers |= {str(_NUMBER_WORDS[word]) for word in words & _NUMBER_WORDS.keys()}
    return Said(lower, words, frozenset(numbers), frozenset(name.lower() for name in _NAME.findall(text)))


def check_calls(calls: Sequence[ToolCall], tools: Sequence[Mapping[str, Any]], said: Said) -> CallChecks:
    """Check the calls of an answer, the first ``CALLS_CHECKED`` of them."""
    found = CallChecks(calls=len(calls))
    offered = {name: function for name, function in map(_named, tools[:TOOLS_CHECKED]) if name}
    used: list[str] = []
    called: set[str] = set()
    seen: list[tuple[str, Any]] = []
    for call in calls[:CALLS_CHECKED]:
        name = _tool_name(call.name, offered)
        called.add(name)
        found.duplicates += (call.name, call.arguments) in seen
        seen.append((call.name, call.arguments))
        if name not in offered:
            # without a list of tools there is nothing that a name could be missing from
            found.unknown_tools += bool(offered)
        if not isinstance(call.arguments, Mapping):
            found.unreadable += call.arguments is not None
            arguments: Mapping[Any, Any] = {}
        else:
            arguments = call.arguments
        _check_arguments(arguments, offered.get(name, {}), said, found, used)
    if calls:
        spoken = " ".join(used).lower()
        found.unused_numbers = _share_absent(said.numbers, {_number_text(n) for n in _NUMBER.findall(spoken)})
        found.unused_names = _share_absent(said.names, set(_WORD.findall(spoken)))
    fits = {name: _fit(name, function, said) for name, function in offered.items()}
    found.fit = max((fits[name] for name in called if name in fits), default=0.0)
    found.fit_of_others = max((fit for name, fit in fits.items() if name not in called), default=0.0)
    return found


def _check_arguments(
    arguments: Mapping[Any, Any], function: Mapping[str, Any], said: Said, found: CallChecks, used: list[str]
) -> None:
    schema = function.get("parameters")
    properties, required = _fields(schema)
    found.missing += sum(name not in arguments for name in required)
    found.arguments += len(arguments)
    for name, value in islice(arguments.items(), VALUES_CHECKED):
        about = properties.get(name)
        optional = name not in required
        found.optional += optional
        if properties and about is None:
            found.unknown_arguments += 1
        about = about if isinstance(about, Mapping) else {}
        if optional and "default" in about and _same(about["default"], value):
            found.defaults += 1
            continue
        _check_value(value, about, found, 0)
        _check_grounds(value, about, optional, said, found, used)
    for name, about in islice(properties.items(), VALUES_CHECKED):
        if name not in arguments and name not in required and isinstance(about, Mapping):
            found.missed += _is_mentioned(name, about, said)


def _check_value(value: Any, schema: Mapping[str, Any], found: CallChecks, depth: int) -> None:
    """Types and enums, of the value and of what it holds."""
    if depth >= DEPTH_CHECKED or "$ref" in schema:
        return
    kinds = schema.get("type")
    kinds = [kinds] if isinstance(kinds, str) else kinds if isinstance(kinds, list) else []
    if kinds and not any(_is_of(value, kind) for kind in kinds[:8]):
        found.wrong_type += 1
        return
    allowed = schema.get("enum")
    if isinstance(allowed, list) and allowed and not isinstance(value, list | tuple):
        found.wrong_enum += not any(_same(value, item) for item in allowed[:ENUM_CHECKED])
    if value is None or (isinstance(value, str | list | tuple | Mapping) and not value):
        found.empty_values += 1
    items = schema.get("items")
    if isinstance(value, list | tuple) and isinstance(items, Mapping):
        for item in value[:VALUES_CHECKED]:
            _check_value(item, items, found, depth + 1)
    if isinstance(value, Mapping):
        properties, required = _fields(schema)
        found.missing += sum(name not in value for name in required)
        for name, inner in islice(value.items(), VALUES_CHECKED):
            about = properties.get(name)
            if isinstance(about, Mapping):
                _check_value(inner, about, found, depth + 1)
            elif properties:
                found.unknown_arguments += 1


def _check_grounds(
    value: Any, about: Mapping[str, Any], optional: bool, said: Said, found: CallChecks, used: list[str]
) -> None:
    """Whether strings and numbers come from the request, and look as their description says."""
    description = text_of(about, "description")[:VALUE_CHARS]
    has_enum = isinstance(about.get("enum"), list)
    for leaf in islice(_leaves(value, 0), VALUES_CHECKED):
        text = leaf[:VALUE_CHARS].lower() if isinstance(leaf, str) else _number_of(leaf)
        if not text:
            continue
        used.append(text)
        if not isinstance(leaf, str):
            found.numbers += 1
            grounded = text in said.numbers
        else:
            found.strings += 1
            if has_enum:
                continue
            words = _WORD.findall(text)
            share = 1.0 if text in said.text else sum(word in said.words for word in words) / max(len(words), 1)
            found.least_grounded = min(found.least_grounded, share)
            grounded = share > 0.99
            found.off_format += _is_off_format(text, description)
        if not grounded:
            found.ungrounded_required += not optional
            found.ungrounded_optional += optional


def _is_off_format(value: str, description: str) -> bool:
    date = _DATE_FORMAT.search(description)
    if date:
        return _DIGIT.sub("0", value) != re.sub(r"[ymd]", "0", date[0].lower())
    return "city, state" in description.lower() and "," not in value


def _is_mentioned(name: Any, about: Mapping[str, Any], said: Said) -> bool:
    words = _WORD.findall(str(name)[:VALUE_CHARS].lower().replace("_", " ")) if isinstance(name, str) else []
    if words and all(word in said.words for word in words):
        return True
    allowed = about.get("enum")
    values = allowed[:ENUM_CHECKED] if isinstance(allowed, list) else []
    default = about.get("default")
    return any(isinstance(v, str) and v != default and v.lower() in said.words for v in values)


def _leaves(value: Any, depth: int) -> Iterator[Any]:
    """Strings and numbers that a value holds, however deep within the limit."""
    if isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool)):
        yield value
    elif depth < DEPTH_CHECKED:
        inner: Any = ()
        if isinstance(value, list | tuple):
            inner = value
        elif isinstance(value, Mapping):
            inner = value.values()
        for item in islice(inner, VALUES_CHECKED):
            yield from _leaves(item, depth + 1)


def _named(tool: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    inner = tool.get("function")
    function: Mapping[str, Any] = inner if isinstance(inner, Mapping) else tool
    return text_of(function, "name"), function


def _tool_name(name: str, offered: Mapping[str, Any]) -> str:
    """The offered name that was meant: servers that allow no dots make ``a.b`` to ``a_b``."""
    if name in offered:
        return name
    return next((other for other in offered if other.replace(".", "_") == name.replace(".", "_")), name)


def _fields(schema: Any) -> tuple[Mapping[Any, Any], list[str]]:
    """A schema's properties, and the names of those required."""
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    required = schema.get("required") if isinstance(schema, Mapping) else None
    names = [name for name in required[:VALUES_CHECKED] if isinstance(name, str)] if isinstance(required, list) else []
    return properties if isinstance(properties, Mapping) else {}, names


def _fit(name: str, function: Mapping[str, Any], said: Said) -> float:
    about = f"{name} {text_of(function, 'description')[:VALUE_CHARS]}".lower().replace("_", " ")
    words = set(_WORD.findall(about))
    return len(words & said.words) / max(len(words), 1)


def _is_of(value: Any, kind: Any) -> bool:
    wanted = _TYPES.get(kind.lower()) if isinstance(kind, str) else None
    if wanted is None:  # 'any', or no type that we know
        return True
    if isinstance(value, bool):
        return wanted is bool
    if wanted is int and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, wanted)  # type: ignore[arg-type]


def _same(left: Any, right: Any) -> bool:
    try:
        return bool(left == right)
    except Exception:  # whatever a caller's own object does when it is compared
        return False


def _number_of(value: Any) -> str:
    """A number as it would stand in a text; "" for one that would not."""
    if not -LARGEST_NUMBER < value < LARGEST_NUMBER:  # also what is not a number
        return ""
    return str(int(value)) if float(value).is_integer() else f"{value:g}"


def _number_text(found: str) -> str:
    """1,200.50 as 1200.5: without what only groups digits."""
    whole, _, part = found.replace(",", "").partition(".")
    part = part.split(".")[0].rstrip("0")
    whole = whole.lstrip("0") or "0"
    return f"{whole}.{part}" if part else whole


def _share_absent(wanted: frozenset[str], there: set[str]) -> float:
    return sum(item not in there for item in wanted) / len(wanted) if wanted else 0.0
