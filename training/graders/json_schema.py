"""Check an output against the JSON that its request asked for. Knows response formats and schemas; knows no grades."""

from __future__ import annotations

import json
import warnings
from functools import lru_cache
from typing import Any

from learned_router.errors import MissingExtraError
from learned_router.training.graders.json_fields import find_json

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
    written = json.dumps(schema)
    validator = _validator(written)
    try:
        if found is not None and validator.is_valid(found):
            return True
    except Exception:
        # the library raises what its parts raise: a reference to nowhere, a pattern that is none, a schema in circles
        return None
    # last, since it takes longer than all before: a schema that is none refuses nothing
    return False if _is_schema(written) else None


@lru_cache(maxsize=256)  # a log asks for few schemas, each many times
def _validator(schema: str) -> Any:
    try:
        from jsonschema.validators import Draft202012Validator, validator_for
        from referencing import Registry
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"grading against a JSON schema needs the package {error.name!r}: pip install 'learned-router[train]'"
        ) from None
    parsed = json.loads(schema)
    kind = validator_for(parsed, default=Draft202012Validator)
    return kind(parsed, registry=Registry())  # an empty registry: a schema of a log must not fetch anything


@lru_cache(maxsize=256)
def _is_schema(schema: str) -> bool:
    from jsonschema.exceptions import SchemaError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _validator(schema).check_schema(json.loads(schema))
    except (SchemaError, RecursionError):
        return False
    return True
