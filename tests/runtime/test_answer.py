"""Whatever a caller holds of an answer becomes one output, or an InputError that names the field."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from learned_router.answer import (
    CALLS_READ,
    CHARS_READ,
    NAME_READ,
    PARTS_READ,
    Logprobs,
    Output,
    ToolCall,
    parse_output,
    read_arguments,
    read_logprobs,
)
from learned_router.answers.features import read_features
from learned_router.errors import InputError
from learned_router.request import parse_request

any_text = st.text(st.characters(), max_size=40) | st.sampled_from(["\ud800", "\0", "{}", "[1", "null"])
scalars = (
    st.none() | st.booleans() | st.integers() | st.builds(pow, st.just(10), st.just(5000)) | st.floats() | any_text
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4), max_leaves=12
)
calls = st.lists(
    st.fixed_dictionaries({"name": any_text | anything, "arguments": any_text | anything})
    | st.fixed_dictionaries({"function": st.fixed_dictionaries({"name": any_text}, optional={"arguments": anything})})
    | anything,
    max_size=3,
)
messages = st.fixed_dictionaries(
    {"content": any_text | anything},
    optional={"tool_calls": calls | anything, "finish_reason": any_text | anything, "logprobs": anything},
)
completions = st.fixed_dictionaries(
    {"choices": st.lists(st.fixed_dictionaries({"message": messages | anything}), max_size=2) | anything}
)
CALL = {"name": "count", "arguments": {"of": "orders"}}


class Dumped:
    """As the clients' own objects, which are pydantic's."""

    def model_dump(self) -> dict[str, Any]:
        return {"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}


@pytest.mark.parametrize(
    "given_as",
    [
        {"content": None, "tool_calls": [CALL]},
        {"text": None, "tool_calls": [ToolCall("count", {"of": "orders"})]},
        {"tool_calls": [{"function": {"name": "count", "arguments": '{"of": "orders"}'}}]},
        {"choices": [{"message": {"content": None, "tool_calls": [CALL]}}]},
        Output(tool_calls=[ToolCall("count", {"of": "orders"})]),
    ],
)
def test_every_way_to_give_a_call_gives_the_same_output(given_as: Any) -> None:
    assert parse_output(given_as) == Output(tool_calls=[ToolCall("count", {"of": "orders"})])


def test_text_parts_and_a_clients_object_become_text() -> None:
    assert parse_output({"content": [{"type": "text", "text": "a"}, "b", {"type": "image_url"}]}).text == "ab"
    assert parse_output(Dumped()) == Output(text="yes", finish_reason="stop")


def test_arguments_that_do_not_parse_are_kept_as_written() -> None:
    for written in ("{of: orders", "[" * 100_000):
        output = parse_output({"tool_calls": [{"name": "count", "arguments": written}]})
        assert output.tool_calls == [ToolCall("count", written)]


def test_characters_and_parts_beyond_their_limits_are_not_read() -> None:
    long = "é" * (CHARS_READ + 1)
    for given_as in (long, {"content": long}, {"content": [long[:-1], "more"]}, {"content": None, "refusal": long}):
        assert parse_output(given_as).text == "é" * CHARS_READ
    assert parse_output({"content": ["a" * (CHARS_READ - 1), "b", "c"]}).text == "a" * (CHARS_READ - 1) + "b"
    assert parse_output({"content": [{"text": "a"}] * (PARTS_READ + 1)}).text == "a" * PARTS_READ


def test_arguments_and_names_too_long_for_any_tool_are_not_read_to_their_end() -> None:
    written = '"' + "x" * (CHARS_READ - 2) + '"'
    assert read_arguments(written) == "x" * (CHARS_READ - 2)
    assert read_arguments(f"{written} ") == f"{written} "
    [call] = parse_output({"tool_calls": [{"name": "n" * (NAME_READ + 1), "arguments": "{}"}]}).tool_calls or []
    assert call.name == "n" * NAME_READ


def test_a_hundred_million_characters_are_answered_in_no_time() -> None:
    part = {"type": "text", "text": "é" * 1_000}
    huge = [{"content": [part] * 100_000}, {"content": [{"text": "a"}] * 1_000_000}, "é" * 100_000_000]
    began = time.process_time()
    for output in huge:
        parse_output(output)
    # 2.3 s without a limit, 0.02 s with it
    assert time.process_time() - began < 0.5


def test_calls_beyond_the_limit_are_not_read() -> None:
    assert len(parse_output({"tool_calls": [CALL] * (CALLS_READ + 1)}).tool_calls or []) == CALLS_READ


@pytest.mark.parametrize(
    ("output", "field"),
    [
        (None, "output is absent"),
        (5, "output is of type int"),
        (b"yes", "output is of type bytes"),
        ([], "output is of type list"),
        (Dumped, "output is of type type"),
        ({}, "output has the fields none"),
        ({"answer": "yes"}, "output has the fields answer"),
        ({"content": 5}, "output.content is of type int"),
        ({"content": "", "tool_calls": "count"}, "output.tool_calls is of type str"),
        ({"content": "", "tool_calls": [5]}, "output.tool_calls[0] is of type int"),
        ({"content": "", "tool_calls": [{"arguments": {}}]}, "output.tool_calls[0].name is absent"),
        ({"content": "", "finish_reason": 5}, "output.finish_reason is of type int"),
        ({"choices": []}, "output.choices is of type list"),
        ({"choices": [{}]}, "output.choices[0].message is absent"),
    ],
)
def test_a_wrong_field_is_refused_by_its_name(output: Any, field: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_output(output)
    assert str(caught.value).startswith(field)
    assert len(str(caught.value)) < 300


def test_log_probabilities_are_read_for_all_tokens_and_for_arguments() -> None:
    tokens = [{"token": 'f("', "logprob": -1.0}, {"token": "a", "logprob": -3.0}, {"token": ")", "logprob": -math.inf}]
    assert read_logprobs({"content": tokens[:2]}, 'f("a') == Logprobs(mean=-2.0, least=-3.0, arguments=-3.0)
    found = read_logprobs({"content": tokens}, "plain")
    assert found is not None
    assert (found.least, found.arguments) == (-100.0, None)


@pytest.mark.parametrize("logprobs", [None, {}, {"content": []}, {"content": [{"logprob": "x"}]}, {"content": [5]}, 5])
def test_log_probabilities_that_say_nothing_are_none(logprobs: Any) -> None:
    assert read_logprobs(logprobs, "text") is None


@pytest.mark.parametrize("summary", [Logprobs(-0.5, -2.0, -0.7), {"mean": -0.5, "least": -2.0, "arguments": -0.7}])
def test_log_probabilities_as_records_hold_them_are_read_as_they_are(summary: Any) -> None:
    # a reference decision holds its answer so: read as none, a gate that learned from them could not be exported
    assert parse_output({"text": "12", "logprobs": summary}).logprobs == Logprobs(-0.5, -2.0, -0.7)
    assert parse_output({"text": "12", "logprobs": {"mean": -0.5, "least": math.nan}}).logprobs is None
    assert parse_output({"text": "12", "logprobs": {"mean": 10**5000, "least": -1}}).logprobs == Logprobs(0.0, -1.0)


@given(anything | messages | completions)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_value_parses_or_is_refused_by_an_input_error(output: Any) -> None:
    told = None
    try:
        parsed = parse_output(output)
    except InputError as error:
        told = str(error)
    if told is not None:
        assert told.startswith("output")
        return
    assert isinstance(parsed, Output)
    (parsed.text or "").encode()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "x", None])
def test_a_summary_by_hand_that_holds_no_finite_number_is_refused(value: Any) -> None:
    for summary in (Logprobs(value, -1.0), Logprobs(-1.0, value)):
        with pytest.raises(InputError, match=r"^output\.logprobs holds"):
            parse_output(Output(text="a", logprobs=summary))


@pytest.mark.parametrize("summary", [5, "x", {"mean": -1.0, "least": -2.0}, True])
def test_log_probabilities_by_hand_of_another_type_are_refused(summary: Any) -> None:
    with pytest.raises(InputError, match=r"^output\.logprobs is of type"):
        parse_output(Output(text="a", logprobs=summary))


@pytest.mark.parametrize("huge", [-1e308, -(10**400), 10**400, -1])
def test_a_summary_of_numbers_beyond_all_bounds_gives_features_within_them(huge: Any) -> None:
    output = parse_output(Output(text="a", logprobs=Logprobs(huge, huge, huge)))
    values = read_features(parse_request("a"), output, 0.0)
    assert {type(value) for value in values} == {float}
    assert all(-100.0 <= value <= 100.0 for value in values)


@pytest.mark.parametrize("value", [math.nan, True, "x", None, [-1.0]])
def test_a_probability_that_is_no_number_makes_all_unknown(value: Any) -> None:
    assert read_logprobs({"content": [{"logprob": -1.0}, {"logprob": value}]}, "a") is None


@pytest.mark.parametrize(
    ("value", "kept"),
    [(-math.inf, -100.0), (1e-9, 0.0), (math.inf, 0.0), (-(10**5000), -100.0), (10**5000, 0.0)],
    ids=["-inf", "rounded", "inf", "-huge", "huge"],
)
def test_a_log_probability_beyond_what_one_can_be_is_bounded(value: float, kept: float) -> None:
    assert read_logprobs({"content": [{"token": "a", "logprob": value}]}, "a") == Logprobs(mean=kept, least=kept)


@pytest.mark.parametrize(
    "given_as",
    [
        {"content": "a \ud800"},
        {"content": ["a \ud800"]},
        {"text": "a \ud800"},
        {"content": None, "refusal": "a \ud800"},
        "a \ud800",
    ],
)
def test_a_lone_surrogate_becomes_what_can_be_encoded(given_as: Any) -> None:
    assert parse_output(given_as) == Output(text="a ?")


def test_a_refusal_is_the_text_only_where_there_is_no_other() -> None:
    assert parse_output({"content": None, "refusal": "No."}).text == "No."
    assert parse_output({"content": "Yes.", "refusal": "No."}).text == "Yes."


def test_the_end_that_a_choice_tells_wins_over_its_messages() -> None:
    message = {"content": "a", "finish_reason": "stop"}
    assert parse_output(message).finish_reason == "stop"
    assert parse_output({"choices": [{"message": message, "finish_reason": "length"}]}).finish_reason == "length"


@pytest.mark.parametrize(("calls_given", "calls_read"), [(None, None), ([], []), ((), [])])
def test_no_calls_read_and_no_call_made_are_told_apart(calls_given: Any, calls_read: Any) -> None:
    assert parse_output({"content": "a", "tool_calls": calls_given}).tool_calls == calls_read


@pytest.mark.parametrize(("written", "read"), [("", {}), ("{}", {}), ("null", None), ("1" * 5000, "1" * 5000)])
def test_arguments_written_as_json_are_read(written: str, read: Any) -> None:
    assert parse_output({"tool_calls": [{"name": "f", "arguments": written}]}).tool_calls == [ToolCall("f", read)]
