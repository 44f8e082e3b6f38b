"""The parts of collecting: how tiers are spelt, how requests are built and answers read, that secrets stay secret."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learned_router.answer import Logprobs
from learned_router.errors import InputError
from learned_router.request import Message
from learned_router.training.collecting.channels import scrub
from learned_router.training.collecting.completion import chat_body, fingerprint, read_call, read_calls, read_output
from learned_router.training.collecting.endpoints import CollectTier, parse_tiers
from learned_router.training.records import Output, Record, ToolCall


def tier(option: str, **options: Any) -> CollectTier:
    name = option.partition("=")[0]
    (parsed,) = parse_tiers([option], prices=[f"{name}=1,2"], **options)
    return parsed


def test_a_tier_without_a_place_is_never_asked_and_needs_no_price() -> None:
    assert parse_tiers(["small=any model@all"]) == [CollectTier("small", "any model@all")]


@pytest.mark.parametrize(
    ("option", "model", "url", "served"),
    [
        ("s=m@http://localhost:8080/v1", "m", "http://localhost:8080/v1", None),
        ("s=m@http://localhost:8080/v1/", "m", "http://localhost:8080/v1", None),
        ("s=m@https://h/v1/chat/completions", "m", "https://h/v1", None),
        ("s=m@http://[::1]:8080/v1#m:1b", "m", "http://[::1]:8080/v1", "m:1b"),
        ("s=claude@20240620@https://h/v1", "claude@20240620", "https://h/v1", None),
        ("s=a=b@https://h/v1", "a=b", "https://h/v1", None),
        ("s=litellm:openai/gpt-4o", "openai/gpt-4o", "litellm:", "openai/gpt-4o"),
        ("s=gpt-4o@litellm:azure/my-deployment", "gpt-4o", "litellm:", "azure/my-deployment"),
    ],
)
def test_a_tier_is_read_with_its_place(option: str, model: str, url: str, served: str | None) -> None:
    parsed = tier(option)
    assert parsed.endpoint is not None
    assert (parsed.model, parsed.endpoint.url, parsed.endpoint.served_name) == (model, url, served)


@pytest.mark.parametrize(
    ("url", "keys", "variable"),
    [
        ("https://api.openai.com/v1", [], "OPENAI_API_KEY"),
        ("https://eu.api.openai.com/v1", [], "OPENAI_API_KEY"),
        ("https://api.openai.com/v1", ["s=MINE"], "MINE"),
        ("https://elsewhere.example/v1", [], None),
        ("https://notopenai.com/v1", [], None),
        ("https://elsewhere.example/v1", ["s=MINE"], "MINE"),
        ("http://localhost:1/v1", [], None),
        ("http://api.openai.com/v1", [], None),
    ],
)
def test_openais_key_goes_to_openai_and_no_key_to_others_unless_named(
    url: str, keys: list[str], variable: str | None
) -> None:
    endpoint = tier(f"s=m@{url}", keys=keys).endpoint
    assert endpoint is not None
    assert endpoint.api_key_variable == variable


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"tiers": []}, "--tier: none given"),
        ({"tiers": ["small"]}, "write NAME=MODEL"),
        ({"tiers": ["=m"]}, "write NAME=MODEL"),
        ({"tiers": ["s=@https://h/v1"]}, "write NAME=MODEL"),
        ({"tiers": ["s=litellm:"]}, "write NAME=MODEL"),
        ({"tiers": ["s=m@litellm:"]}, "write NAME=MODEL"),
        ({"tiers": ["s=m@ftp://h/v1"]}, "not an http or https URL"),
        ({"tiers": ["s=m@https:///v1"]}, "has no host"),
        ({"tiers": ["s=m@https://h:port/v1"]}, "cannot be read"),
        ({"tiers": ["s=m", "s=n"]}, "'s' is given twice"),
        ({"tiers": ["s=m", "t=m"]}, "stands for two tiers"),
        ({"tiers": ["s=\udcff"]}, "not UTF-8"),
        ({"tiers": ["s=nobody-knows@https://h/v1"]}, "--tier s: no price is known for model 'nobody-knows'"),
        ({"tiers": ["s=m@http://h/v1"], "prices": ["s=1,1", "t=1,1"]}, "--price t: no such tier"),
        ({"tiers": ["s=m"], "keys": ["s=KEY"]}, "--key s: no such tier to ask"),
        ({"tiers": ["s=m"], "keys": ["s"]}, "write NAME=VARIABLE"),
    ],
)
def test_a_misspelt_tier_is_told(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_tiers(**options)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"tiers": ["s=m@https://me:sk-secret@h/v1"]},
        {"tiers": ["s=m@https://h/v1?api-key=sk-secret"]},
        {"tiers": ["s=m@ftp://me:sk-secret@h/v1"]},
        {"tiers": ["s=m@ftp://h/v1?key=sk-secret"]},
        {"tiers": ["=m@https://me:sk-secret@h/v1"]},
        {"tiers": ["s=m@https://h/v1", "t=@https://me:sk-secret@h/v1"], "prices": ["s=1,1"]},
        {"tiers": ["s=m"], "keys": ["s=sk-secret"]},
    ],
)
def test_a_key_on_the_command_line_is_refused_and_not_repeated(options: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        parse_tiers(**options)
    assert "sk-secret" not in str(caught.value)


def test_a_price_goes_by_tier_then_by_model_then_by_what_is_known() -> None:
    options = ["a=gpt-4o@https://h/v1", "b=gpt-4o-mini@https://h/v1", "c=x@https://h/v1#gpt-4.1"]
    parsed = parse_tiers(options, prices=["a=7,7", "gpt-4o-mini=8,8"])
    assert [one.price.input_per_million for one in parsed if one.price] == [7.0, 8.0, 2.0]


def record(**fields: Any) -> Record:
    return Record(**{"id": "r", "messages": [Message("user", "hello")], "outputs": {}} | fields)


def test_the_body_keeps_history_in_openai_shape_and_turns_flat_calls_and_tools_into_it() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "ping", "arguments": "{}"}}
    messages = [
        Message("assistant", tool_calls=[call]),
        Message("assistant", tool_calls=[{"name": "ping", "arguments": {"x": 1}}]),
        Message("tool", "{}", tool_call_id="c"),
    ]
    tools = [{"type": "function", "function": {"name": "ping"}}, {"name": "pong", "parameters": {}}]
    body = chat_body(record(messages=messages, tools=tools), "m", temperature=None)
    assert body["messages"][0] == {"role": "assistant", "tool_calls": [call]}
    assert body["messages"][1]["tool_calls"][0]["function"] == {"name": "ping", "arguments": '{"x": 1}'}
    assert body["tools"] == [tools[0], {"type": "function", "function": tools[1]}]
    assert "temperature" not in body


def test_a_fingerprint_changes_with_everything_that_is_asked() -> None:
    bodies = [
        chat_body(record(), "m"),
        chat_body(record(), "n"),
        chat_body(record(), "m", max_tokens=5),
        chat_body(record(), "m", temperature=0.5),
        chat_body(record(tools=[{"name": "a"}]), "m"),
        chat_body(record(response_format={"type": "json_object"}), "m"),
    ]
    assert len({fingerprint(body) for body in bodies}) == len(bodies)
    assert fingerprint(dict(reversed(bodies[0].items()))) == fingerprint(bodies[0])


def completion(**message: Any) -> dict[str, Any]:
    return {"choices": [{"message": message}], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}


def test_tool_calls_are_read_and_their_arguments_parsed_or_kept_as_written() -> None:
    calls = [{"function": {"name": "ping", "arguments": text}} for text in ('{"host": "db1"}', "{host", "", "9" * 5000)]
    output = read_output(completion(content=None, tool_calls=calls), 0.5)
    assert output.tool_calls == [
        ToolCall("ping", {"host": "db1"}),
        ToolCall("ping", "{host"),
        ToolCall("ping", {}),
        ToolCall("ping", "9" * 5000),
    ]


def test_content_parts_are_joined_and_a_refusal_is_an_answer() -> None:
    assert read_output(completion(content=[{"type": "text", "text": "a"}, {"text": "b"}, 7]), 0.1).text == "ab"
    assert read_output(completion(content=None, refusal="I cannot"), 0.1).text == "I cannot"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, JSON, JSON)
def test_whatever_an_answer_holds_it_is_an_output_that_can_be_written_or_a_value_error(
    content: Any, calls: Any, usage: Any
) -> None:
    shapes = [completion(content=content, tool_calls=calls) | {"usage": usage}, {"choices": content}, content]
    function = {"name": "f", "arguments": calls}
    shapes.append(completion(content=content, tool_calls=[{"function": function}]))
    for shape in shapes:
        try:
            output = read_output(shape, 0.1, calls_in_text=True)
        except ValueError:
            continue
        assert msgspec.json.decode(msgspec.json.encode(output), type=Output).text == output.text


def test_what_utf8_and_64_bits_cannot_hold_does_not_lose_a_paid_answer() -> None:
    arguments = '{"a": "\\ud800", "n": 123456789012345678901234567890}'
    output = read_output(
        completion(content="x\ud800", tool_calls=[{"function": {"name": "f", "arguments": arguments}}]), 0.1
    )
    assert msgspec.json.encode(output)
    assert output.tool_calls == [ToolCall("f", arguments)]


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ('<tool_call>\n{"name": "a", "arguments": {"x": 1}}\n</tool_call>', [ToolCall("a", {"x": 1})]),
        (
            'Sure: [{"name": "a", "parameters": {}}, {"name": "b", "arguments": "{}"}]',
            [ToolCall("a", {}), ToolCall("b", {})],
        ),
        ('{"name": "Ann"}', None),
        ('{"name": "a", "arguments": {', None),
        ("nothing here {", None),
        ("", None),
    ],
)
def test_calls_are_read_out_of_text(text: str, calls: list[ToolCall] | None) -> None:
    assert read_calls(text) == calls


def test_arguments_that_are_an_object_already_are_kept() -> None:
    assert read_call({"name": "f", "arguments": {"x": [1]}}) == ToolCall("f", {"x": [1]})


def test_secrets_of_the_environment_are_taken_out_of_what_servers_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "gsk-123456789")
    monkeypatch.setenv("ODDLY_NAMED", "odd-value")
    said = json.dumps({"error": "gsk-123456789 is wrong, and so is odd-value"})
    assert "gsk-123456789" not in scrub(said)
    assert "odd-value" not in scrub(said, "ODDLY_NAMED")
    assert "odd-value" in scrub(said)


def test_log_probabilities_are_asked_for_when_wanted_and_kept_with_why_an_answer_ended() -> None:
    record = Record(id="a", messages=[Message("user", "count")])
    assert "logprobs" not in chat_body(record, "m")
    assert chat_body(record, "m", logprobs=True)["logprobs"] is True
    tokens = {"content": [{"token": "tw", "logprob": -0.5}, {"token": "o", "logprob": -1.5}]}
    choice = {"message": {"content": "two"}, "logprobs": tokens}
    for ended, kept in (("length", "length"), ("stop", None), (None, None), (7, None)):
        output = read_output({"choices": [{**choice, "finish_reason": ended}]}, 0.1)
        assert output.finish_reason == kept
        assert output.logprobs == Logprobs(mean=-1.0, least=-1.5)
