"""What is seen of an answer: each feature by an example, and that any input gives finite numbers in bounded time."""

from __future__ import annotations

import math
import re
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_answer import any_text, anything
from test_request import almost_tools

from learned_router.answer import Output, ToolCall
from learned_router.answers import call_checks, call_values, features, reasoning_checks, said, schema_checks, text
from learned_router.answers.features import ANSWER_FEATURES, find_failures, read_features
from learned_router.policy import Reason
from learned_router.request import Request, parse_request

TOOL = {"name": "count", "parameters": {"type": "object", "properties": {"of": {"type": "string"}}, "required": ["of"]}}
PAIR = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x", "y"]}
OPTIONS = "Which lasts longest?\nA. a day\nB. a week of rain\nC. a year of drought"
FORMAT = {"type": "json_schema", "json_schema": {"schema": PAIR}}
UNITS = (
    "1+", "1,", "1 + 1 = ", "9=", "1%", "$", "\\boxed{", "answer is ", "A. ", "\n", "\n ", "'a'", "[", "[1,", '{"a":', "<",
    "```", "yyyy-", "aA", "not ", "I am ", "1.", "\\", "(A) ", "İ", "\ud800", "²", "- ",
)  # fmt: skip


def see(output: Output | str, asked: str = "Count.", **given_: Any) -> dict[str, float]:
    answer = Output(text=output) if isinstance(output, str) else output
    request = parse_request({"messages": [{"role": "user", "content": asked}], **given_})
    return dict(zip(ANSWER_FEATURES, read_features(request, answer, 0.0), strict=True))


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("3 + 4 = 7", 0),
        ("3 + 4 = 8", 1),
        ("2 * 3 + 4 = 10", 0),
        ("2 + 3 * 4 = 20", 1),
        ("$1,200 / 3 = $400", 0),
        ("20% * 50 = 10", 0),
        ("1 / 3 = 0.33", 0),
        ("3 / 12 = 25%", 0),
        ("5 / 0 = 0", 0),
        ("7 \\times 6 = 42", 0),
        ("(40 - 20) / 4 = 10", 0),  # only a part of it is read, so nothing is said of it
    ],
)
def test_an_equation_that_does_not_hold_is_wrong(text: str, wrong: int) -> None:
    assert see(text)["wrong_equations"] == pytest.approx(math.log1p(wrong))


def test_a_number_that_nobody_gave_is_unexplained() -> None:
    asked = "Ann has 3 boxes of 8 pears and eats 5. How many are left?"
    assert see("3 * 8 = 24. 24 - 5 = 19. The answer is 19", asked)["unexplained_terms"] == 0.0
    assert see("3 * 8 = 24. 24 - 6 = 18. The answer is 18", asked)["unexplained_terms"] > 0.0


def test_a_result_that_nothing_uses_is_dangling() -> None:
    assert see("3 * 8 = 24. 24 - 5 = 19.")["dangling_results"] == 0.0
    assert see("3 * 8 = 24. 13 - 5 = 8.")["dangling_results"] > 0.0


def test_a_final_answer_follows_from_the_last_equation_or_not() -> None:
    assert see("3 * 8 = 24\n#### 24")["final_follows"] == 1.0
    assert see("3 * 8 = 24\n#### 42")["final_follows"] == 0.0


@pytest.mark.parametrize(("final", "parts"), [("4", 0.0), ("4.5", 1.0), ("-4", 1.0), ("9/2", 1.0), ("4.0", 0.0)])
def test_a_count_that_is_no_whole_number_is_seen(final: str, parts: float) -> None:
    assert see(f"The answer is {final}", "How many pears?")["counts_parts"] == parts


def test_a_letter_that_is_no_option_is_seen() -> None:
    assert see("The answer is (D)", OPTIONS)["final_off_options"] == 1.0
    assert see("The answer is (B)", OPTIONS)["final_off_options"] == 0.0


def test_the_option_that_the_reasoning_names_matches_better() -> None:
    reasoning = "Drought may last a whole year. The answer is "
    assert see(f"{reasoning}(C)", OPTIONS)["option_match"] > 0.0 > see(f"{reasoning}(B)", OPTIONS)["option_match"]


def test_an_option_with_the_number_that_was_computed_is_told_from_the_nearest_and_from_another() -> None:
    asked = "How far?\nA. 10 km\nB. 20 km\nC. 30 km"
    found = [
        see(f"That makes {n} km. The answer is ({letter})", asked)["option_number"]
        for n, letter in ((20, "B"), (22, "B"), (20, "C"))
    ]
    assert found == [1.0, -0.5, -1.0]


def test_json_is_checked_against_the_schema_of_the_response_format() -> None:
    right = see(
        '{"x": 1, "y": 2}',
        response_format={"type": "json_schema", "json_schema": {"schema": {**PAIR, "properties": {}}}},
    )
    wrong = see('{"x": "1"}', response_format=FORMAT)
    assert (right["json_missing"], right["json_missing_fields"], right["json_wrong"]) == (0.0, 0.0, 0.0)
    assert wrong["json_missing_fields"] == wrong["json_wrong"] == pytest.approx(math.log(2))
    assert see("x is 1", response_format=FORMAT)["json_missing"] == 1.0


def test_the_last_field_of_json_is_looked_for_in_what_comes_before() -> None:
    told = see('{"reasoning": "It spells pear.", "answer": "pear"}')
    assert (told["json_last_told"], told["json_last_asked"]) == (1.0, 0.0)
    assert see('{"answer": {"pears": 2}}')["json_nested"] == 1.0


@pytest.mark.parametrize(
    ("feature", "text"),
    [
        ("refusal", "I'm sorry, I cannot help."),
        ("hedging", "It is probably six."),
        ("self_correction", "Wait, that is a mistake."),
        ("repetition", "it goes on and on " * 9),
        ("asks_back", "Which orders?"),
        ("cut_off", "```\ncode"),
        ("language_switch", "да"),
    ],
)
def test_a_text_shows_its_feature_and_a_plain_one_does_not(feature: str, text: str) -> None:
    assert see(text)[feature] > 0.0 == see("There are six orders.")[feature]


def failures(output: Output, **given_: Any) -> list[Reason]:
    return find_failures(
        parse_request({"prompt": "x", **given_})
        if not given_
        else Request(messages=parse_request("x").messages, **given_),
        output,
    )


def test_what_is_certainly_wrong_is_named() -> None:
    assert failures(Output(text=" ")) == [Reason.EMPTY_OUTPUT]
    assert failures(Output(text="a", finish_reason="length")) == [Reason.CUT_OFF]
    assert failures(Output(text="a"), response_format={"type": "json_object"}) == [Reason.NOT_JSON]
    for arguments, name, reasons in (
        ({"of": "a"}, "count", []),
        ({}, "count", [Reason.MISSING_ARGUMENT]),
        ({}, "sum", [Reason.UNKNOWN_TOOL]),
        ("of=a", "count", [Reason.UNREADABLE_ARGUMENTS, Reason.MISSING_ARGUMENT]),
        ({"__positional__": ["a"]}, "count", []),
    ):
        assert failures(Output(tool_calls=[ToolCall(name, arguments)]), tools=[TOOL]) == reasons


@given(any_text, any_text, st.lists(st.builds(ToolCall, any_text, anything), max_size=3), almost_tools, anything)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_answer_gives_a_finite_number_for_each_feature(
    asked: str, text: str, calls: list[ToolCall], tools: list[dict[str, Any]], schema: Any
) -> None:
    form = {"type": "json_schema", "json_schema": {"schema": schema}}
    request = Request(messages=parse_request(asked).messages, tools=tools, response_format=form)
    output = Output(text=text, tool_calls=calls)
    values = read_features(request, output, 0.5)
    assert len(values) == len(ANSWER_FEATURES)
    assert all(isinstance(value, float) and math.isfinite(value) for value in values)
    find_failures(request, output)


@pytest.mark.parametrize("unit", UNITS)
def test_a_million_characters_take_bounded_time(unit: str) -> None:
    text = (unit * 1_000_000)[:1_000_000]
    tool = {
        "name": "f",
        "description": text,
        "parameters": {"properties": {"a": {"description": text, "enum": [text]}}},
    }
    start = time.process_time()
    values = [
        *see(text, text).values(),
        *see("{" + text, response_format=FORMAT).values(),
        *see(Output(tool_calls=[ToolCall(text, {"a": text, text: [text] * 300})] * 16), text, tools=[tool]).values(),
    ]
    assert time.process_time() - start < 3.0
    assert all(map(math.isfinite, values))


READERS = (features, text, call_checks, call_values, reasoning_checks, said, schema_checks)
PATTERNS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": pattern
    for module in READERS
    for name, pattern in vars(module).items()
    if isinstance(pattern, re.Pattern)
}


@pytest.mark.parametrize("name", PATTERNS)
def test_no_expression_takes_longer_than_a_long_text_allows(name: str) -> None:
    for unit in ("1 + 1 = ", "(", "a ", "\\frac{", "-", "1", " ", "\n", "1x", "1 - ", "1,111", "A) x\n", "$ ", "YYYY-"):
        text = (unit * 200_000)[:200_000] + "!"
        start = time.process_time()
        for _ in PATTERNS[name].finditer(text):
            pass
        assert time.process_time() - start < 2.0, unit


def test_the_same_answer_gives_the_same_features() -> None:
    output = Output(text="3 + 4 = 7. The answer is 7", tool_calls=[ToolCall("count", {"of": "a"}), ToolCall("sum", {})])
    assert see(output, tools=[TOOL]) == see(output, tools=[TOOL])


@pytest.mark.parametrize(
    ("feature", "value"),
    [("out_chars", 9.0), ("out_words", 3.0), ("out_lines", 1.0)],
)
def test_lengths_are_logarithms_of_one_more(feature: str, value: float) -> None:
    assert see("one\ntwo 3")[feature] == pytest.approx(math.log1p(value))


@pytest.mark.parametrize(
    ("text", "reason", "cut"),
    [("a.", "length", 1.0), ("word " * 40, "stop", 0.0), ("word " * 40, None, 1.0), ("word " * 39 + "end.", None, 0.0)],
)
def test_what_the_server_says_of_the_end_wins_over_how_it_looks(text: str, reason: str | None, cut: float) -> None:
    assert see(Output(text=text, finish_reason=reason))["cut_off"] == cut


def test_failures_are_named_worst_first() -> None:
    calls = [ToolCall("count", {}), ToolCall("sum", {}), ToolCall("count", "of=a")]
    assert failures(Output(tool_calls=calls, finish_reason="length"), tools=[TOOL]) == [
        Reason.UNREADABLE_ARGUMENTS,
        Reason.UNKNOWN_TOOL,
        Reason.MISSING_ARGUMENT,
        Reason.CUT_OFF,
    ]


@pytest.mark.parametrize("huge", [10**5000, -(10**5000), float("inf"), float("nan")], ids=["big", "-big", "inf", "nan"])
def test_a_number_beyond_all_bounds_gives_finite_features(huge: float) -> None:
    schema = {"name": "f", "parameters": {"properties": {"n": {"type": "number", "enum": [huge], "default": huge}}}}
    output = Output(text="1" * 5000 + " = " + "9" * 5000, tool_calls=[ToolCall("f", {"n": huge, "of": [huge]})])
    assert all(map(math.isfinite, see(output, "9" * 5000 + "%", tools=[schema]).values()))
    assert all(map(math.isfinite, see('{"n": ' + "9" * 5000 + "}", response_format=FORMAT).values()))


def test_a_final_answer_near_the_end_of_the_reasoning_stands_in_it() -> None:
    assert see("So we get 12. The answer is 12")["final_in_reasoning"] == 1.0
    assert see("So we get 13. The answer is 12")["final_in_reasoning"] == 0.0
