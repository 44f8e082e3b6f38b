"""Messages, tools and answers of every known shape, put into OpenAI's; text that only looks like one stays text."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learned_router.request import Message
from learned_router.training.importers.conversation import read_answer, read_messages, read_tools
from learned_router.training.importers.traced import Answer, UnusableError
from learned_router.training.records import ToolCall


@pytest.mark.parametrize(
    "text",
    [
        '{"topic":"refund"}',
        '["a", "b"]',
        '[{"name": "x"}, {"name": "y"}]',
        '{"role": "admin", "name": "x"}',
        '{"type": "user", "id": 3}',
        '{"content": "x"}',
        "[]",
        "{not json",
        "",
        " plain ",
    ],
)
def test_an_answer_that_is_json_stays_as_the_model_wrote_it(text: str) -> None:
    assert read_answer(text) == Answer(text=text, tool_calls=[])


@pytest.mark.parametrize("value", [{"topic": "refund"}, ["a", "b"], [{"name": "x"}, {"name": "y"}], 3, True])
def test_an_answer_that_a_log_parsed_is_json_again(value: Any) -> None:
    answer = read_answer(value)
    assert answer is not None
    assert json.loads(answer.text or "") == value


@pytest.mark.parametrize(
    "value",
    [
        {"role": "assistant", "content": "hello"},
        [{"role": "assistant", "content": "hello"}],
        [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}],
        '{"role": "assistant", "content": "hello"}',
        {"role": "assistant", "content": [{"type": "text", "text": "hello"}]},
        {"role": "assistant", "parts": [{"type": "text", "content": "hello"}]},
        {"role": "model", "parts": [{"text": "hello"}]},
        {"choices": [{"message": {"role": "assistant", "content": "hello"}}]},
        {"choices": [{"text": "hello", "index": 0}]},
        {"lc": 1, "type": "constructor", "id": ["x", "AIMessage"], "kwargs": {"content": "hello", "type": "ai"}},
        {"type": "ai", "data": {"content": "hello"}},
        {"type": "AIMessageChunk", "content": "hello"},
        [{"type": "reasoning", "summary": []}, {"type": "message", "role": "assistant", "content": "hello"}],
        [
            {"type": "reasoning", "summary": []},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hello"}]},
        ],
        "hello",
    ],
    ids=lambda value: json.dumps(value)[:40],
)
def test_an_answer_of_any_shape_is_its_text(value: Any) -> None:
    assert read_answer(value) == Answer(text="hello", tool_calls=[])


@pytest.mark.parametrize(
    "call",
    [
        {"tool_calls": [{"id": "c", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}]},
        {"tool_calls": [{"name": "add", "args": {"a": 1}, "id": "c", "type": "tool_call"}]},
        {"tool_calls": [{"toolCallId": "c", "toolName": "add", "input": '{"a": 1}'}]},
        {"function_call": {"name": "add", "arguments": '{"a": 1}'}},
        {"content": [{"type": "tool_use", "id": "c", "name": "add", "input": {"a": 1}}]},
        {"content": [{"type": "tool-call", "toolCallId": "c", "toolName": "add", "args": {"a": 1}}]},
        {"parts": [{"type": "tool_call", "id": "c", "name": "add", "arguments": {"a": 1}}]},
        {
            "content": [{"type": "tool_use", "id": "c", "name": "add", "input": {}}],
            "tool_calls": [{"name": "add", "args": {"a": 1}}],
        },
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_a_call_of_any_shape_is_a_call(call: dict[str, Any]) -> None:
    assert read_answer({"role": "assistant", **call}) == Answer(None, [ToolCall("add", {"a": 1})])


@pytest.mark.parametrize(
    "tool",
    [
        {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": {"type": "object"}}},
        {"type": "function", "name": "add", "description": "Adds.", "parameters": {"type": "object"}},
        {"name": "add", "description": "Adds.", "inputSchema": {"type": "object"}},
        {"name": "add", "description": "Adds.", "input_schema": {"type": "object"}},
        {"name": "add", "description": "Adds.", "parameters": '{"type": "object"}'},
    ],
    ids=lambda value: json.dumps(value)[:40],
)
def test_a_tool_of_any_shape_is_openais(tool: dict[str, Any]) -> None:
    expected = [
        {"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": {"type": "object"}}},
    ]
    assert read_tools([tool]) == read_tools(json.dumps([tool])) == read_tools([json.dumps(tool)]) == expected
    assert read_tools(tool) == expected


def test_tools_by_name_are_tools() -> None:
    found = read_tools({"add": '{"description": "Adds.", "parameters": {}}'})
    assert found == [{"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": {}}}]


def test_a_prompt_is_one_user_message_even_when_it_begins_with_a_bracket() -> None:
    for prompt in ("Say hello.", "[urgent] Where is it?", "[1, 2] are numbers", '["a", "b"]'):
        assert read_messages(prompt) == [Message(role="user", content=prompt)]


@pytest.mark.parametrize("role", ["human", "user", "HumanMessageChunk"])
def test_langchain_s_names_of_roles_are_translated(role: str) -> None:
    assert read_messages([{"type": role, "content": "hi"}]) == [Message(role="user", content="hi")]


def test_text_that_is_json_in_a_message_stays_text() -> None:
    assert read_messages([{"role": "user", "content": '{"a": 1}'}]) == [Message(role="user", content='{"a": 1}')]
    assert read_messages({"prompts": ['{"a": 1}']}) == [Message(role="user", content='{"a": 1}')]


@pytest.mark.parametrize("value", [{"question": "hi"}, [{"a": 1}], [3], {"messages": [{"role": 7}]}])
def test_what_is_no_message_is_named(value: Any) -> None:
    with pytest.raises(UnusableError) as caught:
        read_messages(value)
    assert caught.value.unusable.reason == "unreadable_messages"


@pytest.mark.parametrize("prompt", ['{"sku": 1}', '["a", "b"]', "[]", "{}"])
def test_a_prompt_that_is_json_is_a_prompt(prompt: str) -> None:
    assert read_messages({"input": prompt}) == [Message(role="user", content=prompt)]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}},
        {"type": "file", "mediaType": "image/png", "data": "iVBO"},
        {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "iVBO"},
        {"type": "image", "image": "data:image/png;base64,iVBO"},
    ],
    ids=lambda part: json.dumps(part)[:40],
)
def test_an_image_of_any_shape_is_openais(part: dict[str, Any]) -> None:
    expected = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}
    assert read_messages([{"role": "user", "content": [part]}]) == [Message(role="user", content=[expected])]


@pytest.mark.parametrize("result", ["", None])
def test_a_tool_that_gave_nothing_gave_empty_text(result: str | None) -> None:
    part = {"type": "tool_call_response", "id": "c", "response": result}
    assert read_messages([{"role": "tool", "parts": [part]}]) == [Message(role="tool", content="", tool_call_id="c")]


@given(st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), st.text(min_size=1)), min_size=1))
def test_openais_own_messages_come_back_as_they_are(said: list[tuple[str, str]]) -> None:
    messages = [{"role": role, "content": content} for role, content in said]
    assert read_messages(messages) == [Message(role=role, content=content) for role, content in said]


@given(st.dictionaries(st.text(), st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text()))
def test_arguments_come_back_as_they_are(arguments: dict[str, Any]) -> None:
    for written in (json.dumps(arguments), arguments):
        answer = read_answer({"role": "assistant", "tool_calls": [{"name": "f", "arguments": written}]})
        assert answer is not None
        assert answer.tool_calls == [ToolCall("f", arguments)]
