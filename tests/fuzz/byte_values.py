"""Turn any bytes into a value that somebody might pass to the router: the bytes choose, so that a fuzzer can steer.

The same bytes make the same value, with or without a fuzzer. Knows the shapes of requests and answers; checks nothing.
"""

from __future__ import annotations

import collections
import json
import sys
import types
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from learned_router.answer import Logprobs, Output, ToolCall
from learned_router.request import STEPS, Message, Request

T = TypeVar("T")

# Most nesting of one value, and its most parts: large ones are left to the tests of sizes, a fuzzer wants many small ones
DEPTH: Final = 5
ITEMS: Final = 6

ROLES: Final = ("user", "assistant", "system", "tool", "developer", "function", "", "\ud800")
# What the rooms look for in a text: numbers, equations, options, refusals, code, JSON, dates, units, odd characters
FRAGMENTS: Final = (
    *("a", " ", "\n", "\0", "\ud800", "\udfff", "é", "日", "²", "٣", "𝟘", "ß", "İ", "\u2028", "\x1c", "\ufeff"),
    *("count the orders", "I cannot answer", "as an AI", "maybe", "wait", "the answer is 12", "#### 7", "\\boxed{3}"),
    *("1,200.50", "0.5%", "12 km", "5 lb", "2024-01-31", "1/0", "007", "1" * 18, "9" * 40, "1.1.1.1", "-3", "1e999"),
    *("3 * 4 = 12", "2+2=5", "$3 + 5% = $17", "1/0=0", "\\times", "(A)", "A) one\n", "\nB. two\n", "Answer: B"),
    *(
        '{"a": 1}',
        "[",
        "{",
        "}",
        '"',
        "```",
        "```json\n{}\n```",
        "NaN",
        "null",
        "-Infinity",
        "\\ud800",
        "()",
        "def ",
        "==",
    ),
    *(
        "error: timed out",
        "YYYY-MM-DD",
        "decimal",
        "in km",
        "'celsius'",
        "city, state",
        "get_userName",
        "a.b",
        "?",
        ".",
    ),
)
KEYS: Final = (
    *(
        "a",
        "name",
        "type",
        "text",
        "content",
        "role",
        "messages",
        "tools",
        "function",
        "arguments",
        "tool_calls",
        "prompt",
    ),
    *(
        "parameters",
        "properties",
        "required",
        "items",
        "enum",
        "default",
        "description",
        "response_format",
        "json_schema",
    ),
    *(
        "schema",
        "step",
        "model",
        "choices",
        "message",
        "finish_reason",
        "logprobs",
        "token",
        "logprob",
        "refusal",
        "mean",
    ),
    *("least", "tool_call_id", "__raw__", "$ref", "", "\ud800", "outputs", "quality", "id", "score"),
)
TYPES: Final = ("object", "string", "integer", "number", "array", "boolean", "null", "any", "Dict", "float", "x", "")
ODD_NUMBERS: Final = (
    *(
        0,
        1,
        -1,
        2**31,
        2**63,
        2**64,
        -(2**64),
        10**18,
        10**400,
        10**5000,
        -(10**5000),
        0.5,
        -0.0,
        1e308,
        -1e308,
        5e-324,
    ),
    *(float("nan"), float("inf"), float("-inf"), 0.1 + 0.2),
)


class ByteSource:
    """Choices drawn from bytes, from their start; when they are used up every choice is the first."""

    def __init__(self, data: bytes) -> None:
        self._left = iter(data)
        # a C function: most of what a fuzzer's execution costs is making its value
        self.byte: Callable[[], int] = partial(next, self._left, 0)

    def rest(self) -> bytes:
        return bytes(self._left)

    def pick(self, options: Sequence[T]) -> T:
        return options[self.byte() % len(options)]

    def one_in(self, number: int) -> bool:
        """True for one byte of so many; false when the bytes are used up, so that every value ends."""
        return self.byte() % number == number - 1

    def many(self, make: Callable[[], T], most: int = ITEMS) -> list[T]:
        return [make() for _ in range(self.byte() % (most + 1))]

    def text(self) -> str:
        kind = self.byte() % 8
        if kind < 4:
            return self.pick(FRAGMENTS)
        if kind < 6:
            return "".join(self.many(lambda: self.pick(FRAGMENTS), 12))
        if kind == 6:
            return self.pick(FRAGMENTS) * (1 << self.byte() % 10)
        raw = bytes(self.byte() for _ in range(self.byte() % 24))
        return (
            raw.decode("latin-1")
            if self.one_in(2)
            else raw.decode("utf-16-le", "surrogatepass" if len(raw) % 2 == 0 else "replace")
        )

    def number(self) -> int | float:
        kind = self.byte() % 4
        if kind == 0:
            return self.byte()
        return self.pick(ODD_NUMBERS) if kind < 3 else self.byte() / 16 - 8

    def json_value(self, depth: int = 0) -> Any:
        """What JSON can hold, and what Python's reader of it takes beside: NaN, endless numbers, lone surrogates."""
        kind = self.byte() % (9 if depth < DEPTH else 6)
        if kind < 2:
            return self.text()
        if kind == 2:
            return self.number()
        if kind < 6:
            return (None, True, False)[kind - 3]
        if kind == 6:
            return self.many(lambda: self.json_value(depth + 1))
        return {self.key(): self.json_value(depth + 1) for _ in range(self.byte() % (ITEMS + 1))}

    def key(self) -> str:
        return self.pick(FRAGMENTS) if self.one_in(8) else self.pick(KEYS)

    def value(self) -> Any:
        """What JSON can hold, or some other object of Python."""
        kind = self.byte() % 32
        inner = self.json_value(2)
        if kind < 20:
            return inner
        if kind == 20:
            return (inner, inner)
        endless: list[Any] = [inner]
        endless.append(endless)
        loop: dict[Any, Any] = {"a": inner, "type": "object"}
        loop["properties"] = dict.fromkeys(self.many(self.key, 3), loop)
        deep: Any = inner
        if kind == 22:
            for _ in range(self.byte() * 16):
                deep = [deep]
        if kind == 23:
            for _ in range(self.byte() * 16):
                deep = {"properties": {"a": deep}}
        return (
            (inner, inner),
            collections.deque([inner, inner]),
            deep,
            deep,
            endless,
            loop,
            types.MappingProxyType(loop),
            b"bytes",
            range(10**12),
            (part for part in (inner,)),
            {1: inner, None: inner, ("x",): inner, 1.5: inner},
            self.pick((object(), Message, {1, 2}, bytearray(b"x"), memoryview(b"x"), 1j)),
        )[kind - 20]

    def or_odd(self, make: Callable[[], Any]) -> Any:
        """What stands there commonly, or sometimes anything."""
        return self.value() if self.one_in(12) else make()

    def fields(self, **makers: Callable[[], Any]) -> dict[str, Any]:
        """An object with most of its fields."""
        return {name: self.or_odd(make) for name, make in makers.items() if not self.one_in(4)}

    def request(self) -> Any:
        kind = self.byte() % 12
        if kind == 0:
            return self.text()
        if kind == 1:
            return self.value()
        if kind == 2:
            return self.many(self.message)
        if kind == 3:
            return Request(
                messages=self.or_odd(lambda: self.many(self.message_struct, 3)),
                tools=self.or_odd(lambda: self.many(self.tool, 2)),
                response_format=self.or_odd(lambda: None),
                step=self.or_odd(lambda: self.pick(STEPS)),
            )
        made = self.fields(
            messages=lambda: self.many(lambda: self.or_odd(self.message)),
            tools=lambda: self.many(lambda: self.or_odd(self.tool), 4),
            step=lambda: self.pick(STEPS),
            response_format=self.response_format,
        )
        return types.MappingProxyType(made) if kind == 4 else made

    def message_struct(self) -> Any:
        return Message(
            role=self.or_odd(lambda: self.pick(ROLES)),
            content=self.or_odd(self.text),
            tool_calls=self.or_odd(lambda: None),
        )

    def message(self) -> Any:
        if self.one_in(16):
            return self.message_struct()
        return self.fields(
            role=lambda: self.pick(ROLES),
            content=lambda: self.many(self.part, 4) if self.one_in(4) else self.text(),
            tool_calls=lambda: self.many(self.call, 3) if self.one_in(3) else None,
        )

    def part(self) -> Any:
        return (
            self.text()
            if self.one_in(3)
            else self.fields(type=lambda: self.pick(("text", "image_url", "")), text=self.text)
        )

    def response_format(self) -> Any:
        return self.fields(
            type=lambda: self.pick(("json_object", "json_schema", "text")),
            json_schema=lambda: {"schema": self.schema(0)},
        )

    def tool(self) -> Any:
        function = self.fields(name=lambda: self.pick(KEYS), description=self.text, parameters=lambda: self.schema(0))
        return {"type": "function", "function": function} if self.one_in(2) else function

    def schema(self, depth: int) -> Any:
        return self.fields(
            type=lambda: self.pick(TYPES) if not self.one_in(5) else self.many(lambda: self.pick(TYPES), 3),
            properties=lambda: {self.key(): self.schema(depth + 1) for _ in range(self.byte() % 4 if depth < 3 else 0)},
            required=lambda: self.many(lambda: self.or_odd(self.key), 3),
            enum=lambda: self.many(lambda: self.or_odd(self.text), 3),
            items=lambda: self.schema(depth + 1) if depth < 3 else {},
            description=self.text,
            default=self.value,
        )

    def call(self) -> Any:
        function = self.fields(name=lambda: self.pick(KEYS), arguments=self.arguments)
        return {"function": function} if self.one_in(2) else function

    def arguments(self) -> Any:
        made = {self.key(): self.or_odd(self.text) for _ in range(self.byte() % 5)}
        return as_json(made) if self.one_in(2) else made

    def logprobs(self) -> Any:
        if self.one_in(3):
            return {"mean": self.number(), "least": self.number(), "arguments": self.number()}
        return {"content": self.many(lambda: self.fields(token=self.text, logprob=self.number))}

    def output(self) -> Any:
        kind = self.byte() % 12
        if kind < 2:
            return self.text()
        if kind == 2:
            return self.value()
        if kind == 3:
            return Output(
                text=self.or_odd(self.text),
                tool_calls=self.or_odd(lambda: self.many(lambda: ToolCall(self.or_odd(self.key), self.value()), 3)),
                finish_reason=self.or_odd(lambda: "stop"),
                logprobs=self.or_odd(lambda: Logprobs(self.number(), self.number(), self.number())),
                model=self.or_odd(lambda: None),
            )
        if kind == 4:
            return {
                "choices": self.many(
                    lambda: self.fields(message=self.answer, finish_reason=lambda: "length", logprobs=self.logprobs), 2
                )
            }
        return self.answer()

    def answer_record(self) -> Any:
        """An answer as a log holds it."""
        return self.fields(
            text=self.text,
            tool_calls=lambda: self.many(lambda: {"name": self.key(), "arguments": self.json_value(3)}, 2),
            finish_reason=lambda: "stop",
            logprobs=lambda: {"mean": self.number(), "least": self.number()},
            score=self.number,
            input_tokens=self.number,
        )

    def answer(self) -> Any:
        return self.fields(
            content=lambda: self.many(self.part, 4) if self.one_in(5) else self.text(),
            tool_calls=lambda: self.many(lambda: self.or_odd(self.call), 4),
            finish_reason=lambda: self.pick(("stop", "length", "tool_calls")),
            logprobs=self.logprobs,
            model=lambda: "m",
        )


def as_json(value: Any, *, ascii_only: bool = True) -> str:
    """JSON as Python writes it, NaN and integers of any length included; ``{`` for what it cannot write."""
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        return json.dumps(value, ensure_ascii=ascii_only, default=lambda other: type(other).__name__)
    except (ValueError, TypeError, RecursionError):
        return "{"
    finally:
        sys.set_int_max_str_digits(limit)
