"""Check an output against the JSON that its request asked for. Knows response formats and schemas; knows no grades."""

from __future__ import annotations

import json
import warnings
from functools import lru_cache
from typing import Any, Final

from learned_router.errors import MissingExtraError
from learned_router.training.graders.json_fields import find_json

MAX_DEPTH: Final = 64

Format = dict[str, Any]


def asks_for_json(response_format: Format | None) -> bool:
    """Whether ``response_format`` asks for JSON, with or without a schema."""
    return isinstance(response_format, dict) and response_format.get("type") in {"json_object", "json_schema"}


def schema_of(response_format: Format | None) -> dict[str, Any] | None:
    """The schema of OpenAI's ``{"type": "json_schema", "json_schema": {"schema": …}}``; None when there is none."""
    wrapped = (response_format or {}).get("json_schema")
    schema = wrapped.get("schema") if isinstance(wrapped, dict) else None
    return schema if isinstance(schema, dict) else None


def meets_format(text: str, response_format: Format | None) -> bool | None:
    """Whether ``text`` holds the JSON asked for: any, or what the schema allows. None when none was asked for, or
    when the schema itself cannot be used, so that nothing can be said.

    Raises MissingExtraError when there is a schema and the package jsonschema is not installed.
    """
    if not asks_for_json(response_format):
        return None
    found = find_json(text)
    schema = schema_of(response_format)
    if schema is None:
        return found is not None
    validator = _validator(json.dumps(schema, sort_keys=True))
    if validator is None:
        return None
    if found is None:
        return False
    try:
        return bool(validator.is_valid(found))
    except Exception:
        # the library raises what its parts raise: a reference to nowhere, a pattern that is none, a schema in circles
        return None


@lru_cache(maxsize=256)  # a log asks for few schemas, each many times
def _validator(schema: str) -> Any:
    try:
        from jsonschema.exceptions import SchemaError
        from jsonschema.validators import Draft202012Validator, validator_for
        from referencing import Registry
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"grading against a JSON schema needs the package {error.name!r}: pip install 'learned-router[train]'"
        ) from None
    parsed = json.loads(schema)
    kind = validator_for(parsed, default=Draft202012Validator)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kind.check_schema(parsed)
    except (SchemaError, RecursionError):
        return None
    return kind(parsed, registry=Registry())  # an empty registry: a schema of a log must not fetch anything
