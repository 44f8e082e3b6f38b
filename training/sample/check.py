"""Confirm every reference a second time, and report what disagrees. Knows requests and their tools, not the families.

Answers are derived anew by ``derive``; calls are checked here against the schemas of the tools and the words said.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final

from learned_router.training.records import Record
from learned_router.training.sample.derive import DERIVERS, last_text, tools_meant
from learned_router.training.sample.values import NUMBER_WORDS

JSON_TYPES: Final[dict[str, type]] = {"string": str, "integer": int}


def find_problems(records: Iterable[Record]) -> list[str]:
    """One sentence for each record whose reference the checker does not confirm, with its id."""
    problems = []
    for record in records:
        problem = check_reference(record)
        if problem:
            problems.append(f"{record.id} ({record.category}): {problem}")
    return problems


def check_reference(record: Record) -> str | None:
    """None when the reference is confirmed, else what was found and wanted."""
    facts = (record.metadata or {})["check"]
    reference = record.reference or {}
    if "expected_calls" in reference or "no_call" in reference:
        return _check_calls(record, facts)
    found = reference["json"] if "json" in reference else reference["answer"]
    shape = _check_shape(record, found)
    if shape:
        return shape
    derived = DERIVERS[facts["kind"]](record, facts)
    value = next(iter(found.values())) if isinstance(found, dict) and len(found) == 1 else found
    if not isinstance(derived, dict) and isinstance(found, dict) and len(found) != 1:
        return f"{len(found)} fields in the reference; the checker derives one"
    wanted = next(iter(derived.values())) if isinstance(derived, dict) and len(derived) == 1 else derived
    return None if value == wanted else f"reference is {value!r}; derived from the request: {wanted!r}"


def _check_shape(record: Record, found: Any) -> str | None:
    if record.response_format is None:
        return None if isinstance(found, str) else "a reference in JSON without a response format"
    properties = record.response_format["json_schema"]["schema"]["properties"]
    if set(properties) != set(found):
        return f"fields {sorted(found)}; the response format wants {sorted(properties)}"
    for name, rule in properties.items():
        if "enum" in rule and found[name] not in rule["enum"]:
            return f"{name} is {found[name]!r}; it must be one of {rule['enum']}"
        if rule.get("type") in JSON_TYPES and not isinstance(found[name], JSON_TYPES[rule["type"]]):
            return f"{name} is {found[name]!r}; it must be of type {rule['type']}"
    return None


def _texts(record: Record) -> str:
    return "\n".join(str(message.content) for message in record.messages[1:] if message.content)


def _check_calls(record: Record, facts: dict[str, Any]) -> str | None:
    schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in record.tools or []}
    reference = record.reference or {}
    calls = reference.get("expected_calls", [])
    if facts["kind"] == "no_call":
        words = set(re.findall(r"[a-z]+", last_text(record).lower()))
        verbs = {name.split("_")[0] for name in schemas} & words
        return None if reference == {"no_call": True} and not verbs else f"the message holds {sorted(verbs)}"
    if not calls or reference.get("no_call"):
        return "no expected call in the reference"
    for call in calls:
        schema = schemas.get(call["name"])
        if schema is None:
            return f"{call['name']} is not among the tools {sorted(schemas)}"
        if set(call["arguments"]) != set(schema["required"]):
            return f"arguments {sorted(call['arguments'])}; {call['name']} wants {schema['required']}"
        for name, accepted in call["arguments"].items():
            problem = _check_argument(record, facts, schema["properties"][name]["type"], accepted[0])
            if problem:
                return f"{name}: {problem}"
    if facts["kind"] == "call":
        said = [str(message.content) for message in record.messages if message.role == "user"]
        meant = tools_meant(said, list(schemas))
        if meant != {call["name"] for call in calls}:
            return f"calls {[call['name'] for call in calls]}; the words ask for {sorted(meant)}"
    return None


def _check_argument(record: Record, facts: dict[str, Any], json_type: str, value: Any) -> str | None:
    if not isinstance(value, JSON_TYPES[json_type]):
        return f"{value!r} is not of type {json_type}"
    wanted = value
    if facts["kind"] == "call_date":
        said = re.search(r"\d+ [A-Z][a-z]+ 2026", _texts(record))
        wanted = datetime.strptime(said.group(), "%d %B %Y").strftime("%Y-%m-%d") if said else None
    elif facts["kind"] == "call_number":
        hours = re.search(r"(\d+) hours", _texts(record))
        words = [word for word in re.findall(r"[a-z]+", _texts(record)) if word in NUMBER_WORDS]
        wanted = int(hours.group(1)) * 60 if hours else NUMBER_WORDS.index(words[0])
    elif str(value) not in _texts(record):
        return f"{value!r} is said nowhere in the messages"
    elif value == facts.get("not"):
        return f"{value!r} is the value that failed"
    return None if value == wanted else f"{value!r}; the messages give {wanted!r}"
