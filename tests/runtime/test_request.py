"""Whatever is routed becomes one request, or an InputError that names the field. Nothing else may come out."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from learned_router import Decision, InputError, Reason, Router
from learned_router.request import STEPS, Message, Request, message_text, needs_vision, parse_request

USER = {"role": "user", "content": "count the orders"}
TOOL = {"type": "function", "function": {"name": "count", "parameters": {"type": "object", "properties": {}}}}

any_text = st.text(st.characters(), max_size=40) | st.sampled_from(
    ["\ud800", "\0", "\udfff\0x", "user", "tool", "code"]
)
scalars = (
    st.none() | st.booleans() | st.integers() | st.builds(pow, st.just(10), st.just(5000)) | st.floats() | any_text
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4), max_leaves=12
)
# Most random JSON is refused at the first look, so the fields a request has are also filled one by one.
almost_messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "system", "assistant", "tool", "\ud800"]) | anything},
        optional={"content": any_text | anything, "tool_calls": anything, "name": anything},
    ),
    max_size=4,
)
almost_tools = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "name": anything,
            "type": anything,
            "function": st.fixed_dictionaries(
                {}, optional={"name": anything, "description": anything, "parameters": anything}
            ),
            "parameters": anything,
        },
    ),
    max_size=3,
)
almost_requests = st.fixed_dictionaries(
    {"messages": almost_messages | anything},
    optional={
        "tools": almost_tools | anything,
        "step": st.sampled_from(STEPS) | anything,
        "response_format": st.dictionaries(st.sampled_from(["type", "json_schema"]), anything) | anything,
        "prompt": anything,
    },
)
hostile = anything | almost_messages | almost_requests
thorough = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def nested(depth: int) -> Any:
    value: Any = "leaf"
    for _ in range(depth):
        value = {"properties": {"a": value}, "items": [value] if depth < 100 else value}
    return value


@pytest.mark.parametrize(
    "given_as",
    [
        "count the orders",
        [USER],
        (USER,),
        {"messages": [USER]},
        {"prompt": "count the orders"},
        {"prompt": "count the orders", "messages": None, "tools": None, "step": None, "response_format": None},
        [Message(role="user", content="count the orders")],
        Request(messages=[Message(role="user", content="count the orders")]),
    ],
)
def test_every_way_to_give_a_prompt_gives_the_same_request(given_as: Any) -> None:
    assert parse_request(given_as) == Request(messages=[Message(role="user", content="count the orders")])


def test_messages_tools_format_and_step_of_a_mapping_are_kept() -> None:
    parsed = parse_request(
        {"messages": [USER], "tools": [TOOL], "step": "tool_call", "response_format": {"type": "json_object"}}
    )
    assert parsed.tools == [TOOL]
    assert parsed.step == "tool_call"
    assert parsed.response_format == {"type": "json_object"}


def test_tools_and_step_beside_a_request_win_over_those_inside_it() -> None:
    parsed = parse_request({"messages": [USER], "tools": [TOOL], "step": "plan"}, tools=[], step="code")
    assert (parsed.tools, parsed.step) == ([], "code")


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        *((value, "request is") for value in (None, 3, 2.5, True, b"bytes", {USER["role"]}, object())),
        ([], "messages is empty"),
        ({}, "messages is absent"),
        ({"messages": "text"}, "messages is of type str"),
        ({"messages": []}, "messages is empty"),
        (Request(messages=[]), "messages is empty"),
        ({"prompt": 5}, "prompt is of type int"),
        ({"prompt": None}, "prompt is absent"),
        (["text"], "messages[0] is of type str"),
        ([USER, 7], "messages[1] is of type int"),
        ([{"content": "no role"}], "messages[0].role is absent"),
        ([USER, {"role": 1}], "messages[1].role is of type int"),
        ([{"role": "user", "content": 5}], "messages[0].content is of type int"),
        ([{"role": "user", "content": {"text": "x"}}], "messages[0].content is of type dict"),
        ([{"role": "assistant", "tool_calls": "call"}], "messages[0].tool_calls is of type str"),
        *(({"messages": [USER], "tools": tools}, "tools is of type") for tools in ("t", 5, {"name": "t"}, True)),
        ({"messages": [USER], "tools": [TOOL, "t"]}, "tools[1] is of type str"),
        ({"messages": [USER], "response_format": "json"}, "response_format is of type str"),
        ({"messages": [USER], "step": 5}, "step is of type int"),
        ({"messages": [USER], "step": "cooking"}, "step is 'cooking'"),
        # structs made by hand: nothing has checked them
        (Request(messages="text"), "messages is of type str"),  # type: ignore[arg-type]
        (Request(messages=[5]), "messages[0] is of type int"),  # type: ignore[list-item]
        (Request(messages=[Message(role="user")], tools="t"), "tools is of type str"),  # type: ignore[arg-type]
        (Request(messages=[Message(role="user")], response_format="json"), "response_format is of type str"),  # type: ignore[arg-type]
        ([Message(role=5)], "messages[0].role is of type int"),  # type: ignore[arg-type]
        ([USER, Message(role="user", content=5)], "messages[1].content is of type int"),  # type: ignore[arg-type]
        ([Message(role="user", tool_calls={})], "messages[0].tool_calls is of type dict"),  # type: ignore[arg-type]
        (range(10**12), "messages[0] is of type int"),
    ],
    ids=lambda value: None,
)
def test_a_wrong_type_is_refused_by_the_name_of_its_field(request_: Any, field: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_request(request_)
    assert str(caught.value).startswith(field)
    assert "; it must" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"tools": "count"}, "tools is"),
        ({"tools": [None]}, "tools[0] is"),
        ({"step": 5}, "step is of type int"),
        ({"step": "x" * 1_000_000}, "step is"),
    ],
)
def test_a_wrong_option_beside_the_request_is_refused_in_few_words(options: dict[str, Any], field: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_request("count", **options)
    assert str(caught.value).startswith(field)
    assert len(str(caught.value)) < 300


@given(hostile, st.none() | st.sampled_from(STEPS) | anything, st.none() | almost_tools | anything)
@thorough
def test_any_value_parses_or_is_refused_by_an_input_error(request_: Any, step: Any, tools: Any) -> None:
    told = None
    try:
        parsed = parse_request(request_, step=step, tools=tools)
    except InputError as error:
        told = str(error)
    if told is not None:
        assert re.match(r"(request|messages|prompt|tools|step|response_format)\b", told)
        return
    assert isinstance(parsed, Request)
    assert parsed.messages


@given(hostile, st.none() | anything)
@thorough
def test_any_value_gives_a_decision_or_an_input_error(router: Router, request_: Any, mode: Any) -> None:
    try:
        decision = router.route(request_, mode=mode)
    except InputError:
        return
    assert isinstance(decision, Decision)
    assert decision.tier in router.tiers
    assert 0.0 <= decision.confidence <= 1.0


@given(almost_tools)
@thorough
def test_any_tools_give_a_decision(router: Router, tools: list[dict[str, Any]]) -> None:
    assert isinstance(router.route("count the orders", tools=tools), Decision)


@pytest.mark.parametrize("prompt", ["", " ", "\n\t  \r\n", "\u2003\u00a0"])
def test_an_empty_prompt_goes_to_the_top_tier(router: Router, prompt: str) -> None:
    for request in (prompt, [{"role": "system", "content": "Be brief."}, {"role": "user", "content": prompt}]):
        decision = router.route(request)
        assert (decision.tier, decision.reason) == ("frontier", Reason.EMPTY_REQUEST)
        assert decision.confidence == 1.0


@pytest.mark.parametrize("content", [None, [], [{"type": "text", "text": " "}], ""])
def test_a_last_message_without_text_is_an_empty_request(router: Router, content: Any) -> None:
    assert router.route([USER, {"role": "user", "content": content}]).reason == Reason.EMPTY_REQUEST


def test_an_image_alone_is_no_empty_request(router: Router) -> None:
    image = [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]
    assert router.route([{"role": "user", "content": image}]).reason != Reason.EMPTY_REQUEST


@pytest.mark.parametrize("unit", ["a", "word ", "é", "\n", "\ud800", "\0", "(((", "```"])
def test_a_prompt_of_a_million_characters_is_decided_and_said_to_be_truncated(router: Router, unit: str) -> None:
    assert router.route((unit * 1_000_000)[: 1_000_000 - 1] + "?").truncated is True


@pytest.mark.parametrize("prompt", ["\ud800", "count \udfff orders", "\0", "a\0b", "\ufffe\uffff", "\U0010ffff"])
def test_odd_characters_are_decided(router: Router, prompt: str) -> None:
    assert router.route(prompt).truncated is False


@pytest.mark.parametrize(
    "schema",
    [
        None,
        "text",
        7,
        [],
        {"properties": None},
        {"properties": ["a"]},
        {"properties": {"a": None, "b": 3, "": {"enum": []}}, "required": "a"},
        {"properties": {"a": {}}, "required": [None, {}, "a"]},
        {"properties": {1: {}, None: {}, ("x",): {}}},
        {"properties": {f"p{i}": {"type": "string"} for i in range(10_000)}},
        nested(500),
    ],
    ids=lambda schema: type(schema).__name__,
)
def test_a_tool_with_an_odd_schema_is_decided(router: Router, schema: Any) -> None:
    for tool in ({"type": "function", "function": {"name": "f", "parameters": schema}}, {"parameters": schema}):
        assert router.route("count the orders", tools=[tool, {}]).tier in router.tiers


def test_message_text_joins_text_parts_and_names_the_others() -> None:
    parts = ["a", {"type": "text", "text": "b"}, {"type": "image_url"}, {"type": 10**5000}, {}, 5, None]
    assert message_text(Message(role="user", content=parts)) == "a\nb\n[image_url]\n[part]\n[part]"


def test_an_image_part_in_any_message_needs_vision() -> None:
    image = {"role": "user", "content": [{"type": "input_image"}]}
    assert needs_vision(parse_request([image, USER]))
    assert not needs_vision(parse_request([USER, {"role": "user", "content": [{"type": "text", "text": "image"}, 5]}]))


plain_messages = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "role": st.sampled_from(["user", "assistant", "tool"]) | anything,
            "content": st.text() | st.none() | st.lists(anything) | anything,
            "tool_calls": st.none() | st.lists(anything) | anything,
            "tool_call_id": st.text() | anything,
            "name": st.text() | anything,
            "cache_control": anything,
        },
    ),
    min_size=1,
    max_size=3,
)


@given(plain_messages)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_messages_are_read_alike_together_and_one_by_one(messages: list[dict[str, Any]]) -> None:
    """A list of plain objects is read at once, which is faster; a tuple of the same never is."""

    def read(given: Any) -> Any:
        try:
            return parse_request({"messages": given})
        except InputError as error:
            return str(error)

    assert read(messages) == read(tuple(messages))
