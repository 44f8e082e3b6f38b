"""Inputs of hostile size or shape cost no more than their length: nothing is read without end, or again and again.

What is allowed is told in units of work measured in the same process, so that a slow or busy machine fails nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learned_router import Router, model_names, request_features
from learned_router.answer import Output, ToolCall, parse_output
from learned_router.answers.features import find_failures
from learned_router.errors import InputError
from learned_router.request import parse_request
from learned_router.request_features import SCHEMAS_READ, read_tool
from learned_router.view import AnswerViewSpec, ViewSpec, make_answer_view, make_view

USER = {"role": "user", "content": "count the orders"}
CALLS = 64


def cost(call: Callable[[], object]) -> float:
    """Seconds of this process's own work, the least of three."""

    def once() -> float:
        began = time.process_time()
        call()
        return time.process_time() - began

    return min(once() for _ in range(3))


@pytest.fixture(scope="module")
def unit() -> float:
    """What 10,000 views of a short prompt cost: some 0.1 s. What hung took minutes, or for ever."""
    return cost(lambda: [make_view(parse_request("count the orders"), ViewSpec()) for _ in range(10_000)])


def nested(depth: int, key: str | None = None) -> Any:
    value: Any = "leaf"
    for _ in range(depth):
        value = [value] if key is None else {key: value, "items": value, "properties": {"a": value}}
    return value


def cyclic(width: int) -> dict[str, Any]:
    """A schema whose references were resolved: each of its fields is itself."""
    schema: dict[str, Any] = {"type": "object", "enum": []}
    schema["properties"] = {f"p{index}": schema for index in range(width)}
    schema["items"] = schema
    return schema


endless: list[Any] = ["part"]
endless.append(endless)
HOSTILE: dict[str, Any] = {
    "10,000 levels of content": [{"role": "user", "content": nested(10_000)}],
    "10,000 levels of a schema": {"messages": [USER], "tools": [{"name": "f", "parameters": nested(10_000, "items")}]},
    "10,000 levels of a response format": {"messages": [USER], "response_format": nested(10_000, "schema")},
    "a list that holds itself": [{"role": "user", "content": endless, "tool_calls": endless}],
    "a schema that holds itself 24 times": {
        "messages": [USER],
        "tools": [{"name": f"f{index}", "parameters": cyclic(24)} for index in range(32)],
    },
    "a prompt of ten million characters": "é" * 10_000_000,
    "a role of ten million characters": [{"role": "u" * 10_000_000, "content": "a"}],
    "a prompt of ten million line ends": "\n" * 10_000_000,
    "100,000 tools": {"messages": [USER], "tools": [{"name": f"f{index}"} for index in range(100_000)]},
    "100,000 tool results": [{"role": "tool", "content": "x" * 400}] * 100_000,
    "100,000 parts": [{"role": "user", "content": [{"type": "text", "text": "a"}] * 100_000}],
    "100,000 calls before a result": [{"role": "assistant", "tool_calls": [{}] * 100_000}, {"role": "tool"}],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_request_of_hostile_size_is_decided_in_bounded_time(router: Router, unit: float, name: str) -> None:
    assert cost(lambda: router.route(HOSTILE[name])) < 20 * unit


def test_a_million_messages_take_ten_times_as_long_as_a_tenth(unit: float) -> None:
    def read(count: int) -> float:
        return cost(lambda: make_view(parse_request([USER] * count), ViewSpec()))

    assert read(1_000_000) < 40 * read(100_000) + unit


@pytest.mark.parametrize("given_as", [range(10**12), {"messages": range(10**12)}, [range(10**12)]])
def test_what_only_says_that_it_is_long_is_refused_without_being_read(unit: float, given_as: Any) -> None:
    def refuse() -> None:
        with pytest.raises(InputError, match=r"^messages"):
            parse_request(given_as)

    assert cost(refuse) < unit


def test_of_a_schema_without_end_a_bounded_number_of_schemas_is_read() -> None:
    looked = 0

    class Counting(dict[str, Any]):
        def get(self, key: str, default: Any = None) -> Any:
            nonlocal looked
            looked += key == "properties"
            return super().get(key, default)

    schema = Counting(type="object")
    schema["properties"] = {f"p{index}": schema for index in range(24)}
    read_tool({"name": "f", "parameters": schema})
    assert 24 < looked <= SCHEMAS_READ + 1


def many(value: Any, count: int = 64) -> dict[str, Any]:
    return {f"p{index}": value for index in range(count)}


LARGE = [["zz"] * 64] * 8
ENUM = {"items": {"items": {"enum": [f"e{index}" for index in range(256)]}}}
ANSWERS: dict[str, tuple[Any, Any]] = {
    "64 calls of 64 large arguments with long enums": (many(ENUM), many(LARGE)),
    "64 calls of 64 large arguments at their defaults": (many({"default": LARGE}), many(LARGE)),
    "64 calls that leave 64 arguments with long enums out": (many({"enum": ["x" * 400] * 256}), {}),
    "arguments nested 10,000 levels": (many({}), {"p0": nested(10_000)}),
    "arguments that hold themselves": (many({}), {"p0": endless, "p1": cyclic(24)}),
    "an integer of a million digits": (many({"type": "integer"}), {"p0": 10**1_000_000}),
    "a text that is a million calls": (many({}), "f(" * 500_000),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_of_hostile_size_is_read_in_bounded_time(unit: float, name: str) -> None:
    properties, arguments = ANSWERS[name]
    request = parse_request([USER], tools=[{"name": "f", "parameters": {"properties": properties}}])
    output = parse_output({"tool_calls": [{"name": "f", "arguments": arguments}] * CALLS})

    def read() -> None:
        make_answer_view(request, output, 0.0, AnswerViewSpec())
        find_failures(request, output)

    assert cost(read) < 30 * unit


def test_calls_of_unknown_tools_are_looked_for_among_100_000_tools(unit: float) -> None:
    request = parse_request([USER], tools=[{"name": f"f.{index}"} for index in range(100_000)])
    output = Output(tool_calls=[ToolCall(f"g.{index}", {}) for index in range(CALLS)])
    assert cost(lambda: find_failures(request, output)) < 30 * unit


PATTERNS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": pattern
    for module in (request_features, model_names)
    for name, pattern in vars(module).items()
    if isinstance(pattern, re.Pattern)
}
UNITS = (
    " ",
    "\n",
    "\t",
    "1",
    "1.",
    "a",
    "A) ",
    "\nA) ",
    "A)",
    "(",
    "((",
    ".",
    ". ",
    "?\n",
    "-20",
    "-2024-01-01",
    "é",
    "٣",
    "²",
)


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_of_the_views_takes_time_linear_in_what_it_reads(unit: float, name: str) -> None:
    for text in UNITS:
        for end in ("", "!"):
            long = (text * 100_000)[:100_000] + end
            assert cost(lambda long=long: PATTERNS[name].findall(long)) < 5 * unit, text  # type: ignore[misc]


@given(st.text(alphabet=" \n\r\t\x0b\x1c\u2028(A1.)x", max_size=40))
def test_options_are_counted_as_the_artifacts_learned_them(text: str) -> None:
    # a white space of any kind before an option, line ends too, takes time in the square of a text's blank lines
    slow = re.compile(r"^\s*\(?[A-Ja-j1-9][.)]\s", re.MULTILINE)
    assert len(request_features._OPTION.findall(text)) == len(slow.findall(text))
