"""Requests and answers full of what two languages could read differently: hand-made ones, and others made from a seed."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from typing import Any

# Characters that are white space, digits, letters, upper case or word boundaries to one language and not to another
ODD = (
    "\x00\x01\x0b\x0c\x1c\x1d\x1e\x1f\x7f\x85\xa0\xad\u1680\u180e\u2003\u200b\u200d\u2028\u2029\u202f\u205f\u2060\u3000\ufeff"
    "²³¹½¼Ⅳⅷ①⑨⓪٠١٢٣४५一二三十万零壹"
    "İıſKÅßẞΣσςΑΩµéÉñÇŒœæǅǈ"
    "äöüçe\u0301n\u0303각가あア漢字𠀀𪜀中文。！？…—–‘’“”«»´`"
    "😀👨‍👩‍👧🏽𝟘𝟙𝟡𝒳𝕀\U0001f1e6\ud83d\ude00\udc80"
    "عברहिไทยЖжДд٪％＝＋（）１２３ＡＢＣ"
)
PIECES = (
    *r"""
1,200.50 | 007 | 3.0 | 12% | 5 km | 20 miles | 100°F | 1e5 | 0.5 | -4 | 1.2.3 | ٣٤ | １２ | 2024-03-05
05/03/2024 | 3 * 4 = 12 | $5 + 7% = 12 | 2 × 3 ÷ 4 = 1.5 | 1/0 = 3 | 50/200 = 25% | 9 = 9 | 100 - 1 = 99 = 99
٣+٤ = ٧ | The answer is 12. | #### 1,234 | \boxed{42} | answer: (B) | Answer: C | answer is ı
The answer is -3/4 | \cdot \times \\div | A) red apples | (B) blue 12 | C. 3 green | 1. first | 2) second
- item | * item | Step 1 | step: x | I'm sorry | I cannot help | İ am unable | not enough information | perhaps
WAİT | wait, actually | as an AI | however | ``` | { | } | [ | ] | "a": | () | def f | return | == | $ | \ | ^
error | TRACEBACK | tımed out | not found | Ms. Smith | O'Brien | McDonald-Lee | Paris | NEW YORK | élan Vital
Ünal | get_userName | camelCase | a.b | snake_case_s | how many | twice | two | dozen | half | and | then | ,
; | ? | ! | . | : | list the orders | city, state | yyyy-mm-dd | YYYY/MM/DD | celsius | km | percent
decimal fraction | March | 5th | 21st | <name> | [your city] | N/A | placeholder | my_key | TBD | null | example
gas | gaps | bus
""".strip()
    .replace("\n", " | ")
    .split(" | "),
    *(" D) ٤", "\n", "\r\n", "\t", "  ", "\u2028", "\n\n1) x"),
)
ROLES = ("user", "user", "user", "assistant", "system", "tool", "developer", "function", "İ")
TYPES = (
    "string",
    "integer",
    "number",
    "boolean",
    "array",
    "object",
    "null",
    "int",
    "Float",
    "any",
    "ſtring",
    ["string", "null"],
    3,
)
NAMES = (
    "10",
    "2",
    "city",
    "date",
    "unit",
    "1",
    "userName",
    "max_results",
    "é",
    "__positional__",
    "flag",
    "a.b",
    "__proto__",
    "",
    "ΣΑΣ",
)
NUMBERS = (
    *(
        0,
        1,
        -1,
        12,
        5,
        1200.5,
        3.0,
        0.1,
        1e-7,
        1e16,
        1e17,
        1e22,
        123456.5,
        100000.5,
        1234567.25,
        0.00001,
        0.12,
        0.05,
        -0.0,
        2.5,
    ),
    *(10**17, 10**18, 10**19, 2**53, 2**53 + 1, -(10**18), 1e300, math.inf, -math.inf, math.nan, 99999.95, 0.0001, 1.0),
)


class Maker:
    """Makes cases from a seed: the same ones on every machine."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def text(self, longest: int = 12) -> str:
        rng = self.rng
        parts = [rng.choice(ODD) if rng.random() < 0.3 else rng.choice(PIECES) for _ in range(rng.randint(0, longest))]
        text = rng.choice((" ", " ", "", "\n", ", ")).join(parts)
        return text * rng.choice((40, 200)) if rng.random() < 0.03 else text

    def value(self, depth: int = 0) -> Any:
        rng = self.rng
        kind = rng.random()
        if kind < 0.35:
            return self.text(3)
        if kind < 0.65:
            return rng.choice(NUMBERS)
        if kind < 0.75 or depth > 3:
            return rng.choice((True, False, None, "", [], {}))
        if kind < 0.87:
            return [self.value(depth + 1) for _ in range(rng.randint(0, 4))]
        return {self.name(): self.value(depth + 1) for _ in range(rng.randint(0, 4))}

    def name(self) -> str:
        return self.rng.choice(NAMES) if self.rng.random() < 0.8 else self.text(2)

    def schema(self, depth: int = 0) -> Any:
        rng = self.rng
        if rng.random() < 0.04:
            return rng.choice((None, [], "string", {"$ref": "#/x"}))
        found: dict[str, Any] = {"type": rng.choice(TYPES)}
        if rng.random() < 0.5:
            found["description"] = self.text(5) + rng.choice(
                ("", " one of \"metric\" or 'imperial'", " default is 'km'")
            )
        if rng.random() < 0.2:
            found["enum"] = [self.value(4) for _ in range(rng.randint(0, 4))]
        if rng.random() < 0.2:
            found["default"] = self.value(3)
        if depth < 3 and rng.random() < (0.9 if depth == 0 else 0.3):
            found["properties"] = {self.name(): self.schema(depth + 1) for _ in range(rng.randint(0, 6))}
            found["required"] = rng.sample(NAMES, rng.randint(0, 3)) + ([7] if rng.random() < 0.1 else [])
        if depth < 3 and rng.random() < 0.2:
            found["items"] = self.schema(depth + 1)
        return found

    def tool(self) -> dict[str, Any]:
        rng = self.rng
        inner = {
            "name": rng.choice(("get_weather", "list.orders", "list_orders", "sendMail", self.text(2))),
            "description": self.text(8),
            "parameters": self.schema(),
        }
        if rng.random() < 0.1:
            inner["strict"] = rng.choice((True, None))
        return rng.choice(({"type": "function", "function": inner}, inner, {"type": "function", **inner}))

    def call(self) -> dict[str, Any]:
        rng = self.rng
        arguments: Any = {self.name(): self.value() for _ in range(rng.randint(0, 5))}
        if rng.random() < 0.6:
            arguments = json.dumps(arguments, ensure_ascii=rng.random() < 0.5)
        if rng.random() < 0.1:
            arguments = rng.choice((None, "", "{", "[1, 2.0]", "7", '{"a": 1, "a": 2.50}', '{"a": 01}', "nope", 3, [1]))
        inner = {
            "name": rng.choice(("get_weather", "list_orders", "list.orders", "sendMail", self.text(1))),
            "arguments": arguments,
        }
        return rng.choice(({"id": "c", "type": "function", "function": inner}, inner))

    def content(self) -> Any:
        rng = self.rng
        if rng.random() < 0.12:
            return [
                rng.choice(
                    ("plain", {"type": "text", "text": self.text()}, {"type": "image_url"}, {"type": "x"}, 5, {})
                )
                for _ in range(rng.randint(0, 3))
            ]
        return self.text()

    def request(self) -> Any:
        rng = self.rng
        if rng.random() < 0.1:
            return self.text()
        messages = []
        for _ in range(rng.randint(1, 5)):
            message: dict[str, Any] = {"role": rng.choice(ROLES), "content": self.content()}
            if rng.random() < 0.2:
                message["tool_calls"] = [self.call() for _ in range(rng.randint(0, 2))]
                message["content"] = rng.choice((None, "", message["content"]))
            messages.append(message)
        request: dict[str, Any] = {"messages": messages}
        if rng.random() < 0.6:
            request["tools"] = [self.tool() for _ in range(rng.choice((0, 1, 2, 3, 40)))]
        if rng.random() < 0.3:
            request["response_format"] = rng.choice(
                (
                    {"type": "text"},
                    {"type": "json_object"},
                    {"type": "json_schema", "json_schema": {"schema": self.schema()}},
                )
            )
        if rng.random() < 0.3:
            request["step"] = rng.choice(("code", "tool_call", "plan", None))
        return request

    def output(self) -> Any:
        rng = self.rng
        if rng.random() < 0.25:
            return self.text(30)
        output: dict[str, Any] = {"content": rng.choice((None, self.text(30)))}
        if rng.random() < 0.25:
            written = json.dumps(self.value(), ensure_ascii=rng.random() < 0.5, indent=rng.choice((None, 2)))
            output["content"] = rng.choice(("", "```json\n", "Sure: ")) + written + rng.choice(("", "\n```", " }"))
        if rng.random() < 0.5:
            output["tool_calls"] = [self.call() for _ in range(rng.choice((0, 1, 1, 2, 3, 10)))]
            if output["tool_calls"] and rng.random() < 0.2:
                output["tool_calls"].append(output["tool_calls"][0])
        if rng.random() < 0.2:
            output["finish_reason"] = rng.choice(("stop", "length", None))
        if rng.random() < 0.2:
            output["model"] = rng.choice(("model-s", "other", "models/Model-S.gguf", ""))
        if rng.random() < 0.2:
            output["logprobs"] = self.logprobs()
        return {"choices": [{"message": output, "finish_reason": None}]} if rng.random() < 0.2 else output

    def logprobs(self) -> Any:
        rng = self.rng
        values = (-0.03125, -1, 0, -2.5, -200, 1e-9)
        tokens = [{"token": sign, "logprob": rng.choice((*values, rng.uniform(-9, 0)))} for sign in self.text(9)]
        return rng.choice(({"content": tokens}, {"mean": -1, "least": -2.5, "arguments": None}, {"mean": True}))


def wide_schema(width: int, depth: int) -> dict[str, Any]:
    """A schema of some width to the power of depth others, of which only the second half of each has an enum."""
    if depth == 0:
        return {"type": "string", "enum": ["a"]}
    inner = wide_schema(width, depth - 1)
    found = {f"p{index}": inner if index * 2 >= width else {"properties": {}, "x": 1} for index in range(width)}
    return {"type": "object", "properties": found, "items": inner}


def many(value: Any, count: int) -> dict[str, Any]:
    return {f"p{index}": value for index in range(count)}


def call_of(properties: Any, arguments: Any, calls: int = 1) -> tuple[Any, Any]:
    tools = [{"name": "f", "parameters": {"properties": properties}}]
    return {"prompt": "count the orders", "tools": tools}, {
        "tool_calls": [{"name": "f", "arguments": arguments}] * calls
    }


HAND_MADE: tuple[tuple[Any, Any], ...] = (
    ("", ""),
    (" \u2028\x1c\x85 ", "\ufeff"),
    ("\ufeff", "x"),
    ("a\ud83d", "b\udc00\ud83d"),
    ("😀" * 2000, "😀" * 7000),
    ("x" * 100_000, "y " * 60_000),
    (["a"], "x"),
    ({"messages": [*[{"role": "tool", "content": "TIMEDOUT error"}] * 70, {"role": "user", "content": "go on"}]}, "x"),
    ({"messages": [{"role": "tool", "content": text} for text in ("time  out", "Tımed out", "İNVALID", "ok")]}, "x"),
    ({"prompt": "x", "tools": [{"name": "f", "parameters": wide_schema(12, 4)}]}, "x"),
    ({"prompt": "x", "tools": [{"name": "f", "parameters": wide_schema(40, 2)}]}, "x"),
    call_of(many({"items": {"enum": ["a"]}}, 20), many(["z"] * 64, 20), calls=20),
    call_of(many({"enum": ["a"]}, 64), many("z", 64), calls=64),
    call_of(many({"enum": [*range(256), "z"]}, 3), {"p0": "z", "p1": 255, "p2": 255.0}),
    call_of(many({"enum": [math.nan, 1, [2], None]}, 6), {f"p{n}": v for n, v in enumerate((math.nan, True, 2, None))}),
    ("a", {"text": "x", "logprobs": {"mean": -(10**400), "least": -math.inf, "arguments": 10**400}}),
    ("a", {"text": "x", "logprobs": {"content": [{"token": "x", "logprob": -(10**400)}, {"logprob": 5}]}}),
    ("a", {"text": "x", "logprobs": {"mean": -1, "least": math.nan}}),
    (" \x0bA) x\n\n\x1c(b. y\n\u2028 3) z\n\n", "x"),
    ({"messages": []}, "x"),
    ({"messages": [{"role": 3}]}, "x"),
    ({"messages": [{"role": "user", "content": 5}]}, "x"),
    ({"prompt": "hello"}, {"text": None}),
    ({"prompt": "hello", "step": "nope"}, {"text": None}),
    ({"prompt": "hello", "tools": {}}, {"text": 5}),
    ("a", {"neither": 1}),
    ("a", {"choices": []}),
    ("a", {"content": [{"text": "x"}, "y", 3]}),
    ("a", {"content": None, "refusal": "I'm sorry"}),
    ("a", {"content": "x", "tool_calls": [{"function": {}}]}),
    ("a", {"content": "[" * 100_000 + "]" * 100_000}),
    ("a", {"content": "{" + '"a":{' * 500 + "}" * 501}),
    ("a", {"content": '{"n": ' + "9" * 4301 + "}"}),
    ("a", {"content": '{"n": ' + "9" * 4300 + "}"}),
    ("a", {"content": '{"a": "line\nbreak", "z": 1.0}'}),
    ("a", {"content": "", "tool_calls": [{"name": "f", "arguments": '{"a": "line\nbreak"}'}]}),
    ("a", {"content": "", "tool_calls": [{"name": "f", "arguments": '{"2": 1.0, "10": 2, "1": NaN, "x": -Infinity}'}]}),
    (
        "send 12% of 5 km, 1200.5 and 2.5",
        {"tool_calls": [{"name": "f", "arguments": {"a": 0.12, "b": 5.0, "c": 1200.5, "d": 5}}]},
    ),
    ("on the 5th of March 2024", {"tool_calls": [{"name": "f", "arguments": {"d": "2024-03-05", "e": "٢٠٢٤-٠٣-٠٥"}}]}),
    ("Which?\nA) red apples 3\nB) blue 12\nC) 7\r\nD) x", "So 3 * 4 = 12. The answer is (B)"),
    ("Which?\nA) red\u2028B) blue\nI) ice", "answer is İ, answer is ı"),
    ("ΑΣ ΑΣΑ", "ὈΔΥΣΣΕΎΣ. ΟΔΟΣ"),
    ("I have 7.", "\n".join(f"{n} + 1 = {n + 1 + (n % 5 == 0)}" for n in range(60))),
)


def made_cases(count: int, seed: int = 0) -> Iterator[tuple[Any, Any]]:
    maker = Maker(seed)
    for _ in range(count):
        yield maker.request(), maker.output()
