"""Read a call's arguments and what the tool's schema says of them. Knows calls and schemas; compares no outputs."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from learned_router.training.graders.literal import same_value
from learned_router.training.graders.number import parse_number
from learned_router.training.records import Record, ToolCall

# What the Berkeley Function Calling Leaderboard ignores in strings: spaces and , . / - _ * ^, case, kind of quote.
_IGNORED: Final = str.maketrans({**dict.fromkeys(" ,./-_*^"), "'": '"'})

# how far behind the word "default" a description may name it
DEFAULT_CHARS: Final = 60
_WORD: Final = re.compile(r"[\w.³²%]+")


def read_arguments(call: ToolCall) -> dict[str, Any] | None:
    """The call's arguments as a dict, from a JSON string if need be; None when they are none."""
    arguments = call.arguments
    if arguments is None or arguments == "":
        return {}
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            return None
    return arguments if isinstance(arguments, dict) else None


def same_name(found: str, wanted: str) -> bool:
    """Equal, with ``math.factorial`` and ``math_factorial`` alike (most APIs do not allow the dot).

    ``wanted`` may leave a namespace out: ``factorial`` is met by ``math.factorial``.
    """
    if found == wanted:
        return True
    return found.replace(".", "_") == wanted.replace(".", "_") or ("." not in wanted and found.endswith("." + wanted))


def standard_string(text: str) -> str:
    """``text`` as the leaderboard compares it: lower case, one kind of quote, without spaces and ``,./-_*^``."""
    return text.translate(_IGNORED).lower()


def same_argument(found: Any, wanted: Any) -> bool:
    """Equal in value; texts as the leaderboard compares them."""
    if isinstance(found, str) and isinstance(wanted, str):
        return standard_string(found) == standard_string(wanted)
    return same_value(found, wanted)


def says_nothing(value: Any, schema: Any) -> bool:
    """Whether to pass ``value`` is to leave an optional argument out: it is empty, or the default.

    Many schemas state the default only in the argument's description: "the unit, default is 'metric'".
    """
    if value is None or value in ("", [], {}):
        return True
    if not isinstance(schema, dict):
        return False
    if "default" in schema:
        return same_argument(value, schema["default"])
    description = schema.get("description")
    _, told, rest = description.lower().partition("default") if isinstance(description, str) else ("", "", "")
    if not told or isinstance(value, list | dict):
        return False
    words, stated = (
        _WORD.findall(str(value).lower()),
        [word.rstrip(".") for word in _WORD.findall(rest[:DEFAULT_CHARS])],
    )
    if isinstance(value, int | float) and not isinstance(value, bool):
        return any(same_value(value, number) for word in stated if (number := parse_number(word)) is not None)
    return bool(words) and any(stated[i : i + len(words)] == words for i in range(len(stated)))


def schema_of(record: Record, name: str) -> dict[str, Any]:
    """The parameters of the record's tool ``name``; empty when there is none."""
    for tool in record.tools or ():
        function = tool.get("function", tool)
        if isinstance(function, dict) and isinstance(found := function.get("name"), str) and same_name(found, name):
            parameters = function.get("parameters")
            return parameters if isinstance(parameters, dict) else {}
    return {}


def properties_of(record: Record, name: str) -> dict[str, Any]:
    properties = schema_of(record, name).get("properties")
    return properties if isinstance(properties, dict) else {}


def defaults_of(record: Record, name: str) -> dict[str, Any]:
    properties = properties_of(record, name).items()
    return {key: schema["default"] for key, schema in properties if isinstance(schema, dict) and "default" in schema}


def required_of(record: Record, name: str) -> list[str]:
    required = schema_of(record, name).get("required")
    return [item for item in required if isinstance(item, str)] if isinstance(required, list) else []
