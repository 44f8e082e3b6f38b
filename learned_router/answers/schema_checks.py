"""Check a value against a JSON schema: types, enums, required and unknown fields, however deep within the limits.

Knows schemas; knows nothing of requests. Bounded: so many values are looked at and no more, a ``$ref`` is not followed, a
``pattern`` is never run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

import msgspec

DEPTH_CHECKED: Final = 6
# of one list or object, and of all that a value holds
VALUES_CHECKED: Final = 64
NODES_CHECKED: Final = 512
ENUM_CHECKED: Final = 256

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


class SchemaFaults(msgspec.Struct):
    """How many values a schema does not allow, by what is wrong; ``empty``: values that hold nothing, which it may allow."""

    missing: int = 0
    unknown: int = 0
    wrong_type: int = 0
    wrong_enum: int = 0
    empty: int = 0


def check_value(
    value: Any, schema: Any, faults: SchemaFaults | None = None, nodes: int = NODES_CHECKED
) -> SchemaFaults:
    """Faults of a value, added to those given; of so many of its parts. What is no schema allows everything."""
    found = SchemaFaults() if faults is None else faults
    left = nodes
    waiting: list[tuple[Any, Any, int]] = [(value, schema, 0)]
    while waiting and left:
        left -= 1
        value, schema, depth = waiting.pop()
        if not isinstance(schema, Mapping) or "$ref" in schema or depth > DEPTH_CHECKED:
            continue
        if not is_of_type(value, schema.get("type")):
            found.wrong_type += 1
            continue
        allowed = schema.get("enum")
        if isinstance(allowed, list) and allowed and not isinstance(value, list | tuple | Mapping):
            # values that are neither texts nor numbers are in no enum
            known = isinstance(value, str | int | float | None) and value in allowed[:ENUM_CHECKED]
            found.wrong_enum += not known
        if value is None or (isinstance(value, str | list | tuple | Mapping) and not value):
            found.empty += 1
        if isinstance(value, list | tuple):
            items = schema.get("items")
            if isinstance(items, Mapping):
                waiting += [(item, items, depth + 1) for item in value[:VALUES_CHECKED]]
        elif isinstance(value, Mapping):
            properties, required = fields_of(schema)
            found.missing += sum(name not in value for name in required)
            for name, inner in islice(value.items(), VALUES_CHECKED):
                if name in properties:
                    waiting.append((inner, properties[name], depth + 1))
                elif properties:
                    found.unknown += 1
    return found


def fields_of(schema: Any) -> tuple[Mapping[Any, Any], list[str]]:
    """A schema's properties, and the names of those required."""
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    required = schema.get("required") if isinstance(schema, Mapping) else None
    names = [name for name in required[:VALUES_CHECKED] if isinstance(name, str)] if isinstance(required, list) else []
    return properties if isinstance(properties, Mapping) else {}, names


def is_of_type(value: Any, kinds: Any) -> bool:
    """Whether a value is of a schema's type, or of one of its types; of no type that we know, all are."""
    kinds = [kinds] if isinstance(kinds, str) else kinds[:8] if isinstance(kinds, list) else []
    return not kinds or any(_is_of(value, kind) for kind in kinds)


def leaves_of(value: Any) -> Iterator[Any]:
    """Strings and numbers that a value holds, in their order, as many as are looked at."""
    waiting: list[tuple[Any, int]] = [(value, 0)]
    for _ in range(NODES_CHECKED):
        if not waiting:
            return
        value, depth = waiting.pop()
        if isinstance(value, str) or (isinstance(value, int | float) and not isinstance(value, bool)):
            yield value
        elif depth <= DEPTH_CHECKED:
            inner: Any = value if isinstance(value, list | tuple) else ()
            if isinstance(value, Mapping):
                inner = value.values()
            waiting += [(item, depth + 1) for item in reversed(list(islice(inner, VALUES_CHECKED)))]


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal; lists and objects, which may be endless, by their strings and numbers."""
    if isinstance(left, list | tuple | Mapping):
        return isinstance(right, list | tuple | Mapping) and list(leaves_of(left)) == list(leaves_of(right))
    if isinstance(left, str | int | float | None):
        return isinstance(right, str | int | float | None) and left == right
    return False


def _is_of(value: Any, kind: Any) -> bool:
    wanted = _TYPES.get(kind.lower()) if isinstance(kind, str) else None
    if wanted is None:  # 'any', or no type that we know
        return True
    if isinstance(value, bool):
        return wanted is bool
    if wanted is int and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, wanted)  # type: ignore[arg-type]
