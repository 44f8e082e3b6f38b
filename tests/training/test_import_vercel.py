"""Spans of the Vercel AI SDK, written by the real ``ai`` package of versions 6 and 7 with telemetry."""

from __future__ import annotations

import json
from typing import Any

import pytest
from parcel_records import (
    CALL,
    CALLED,
    EXPECTED,
    FOUND,
    QUESTION,
    TOOLS,
    WITH_RESULT,
    read_rows,
    rows_of,
    what_was_said,
)

from learned_router.request import Message
from learned_router.training.importers.importer import Unusable
from learned_router.training.importers.otel import Otel
from learned_router.training.records import Record, ToolCall

# what the SDK adds to the schema that it makes of a zod object
MADE_BY_ZOD = {"$schema": "http://json-schema.org/draft-07/schema#", "additionalProperties": False}


def span(**values: str | list[str]) -> dict[str, Any]:
    """A span of ``ai.generateText.doGenerate`` that was asked hi; ``__`` stands for a dot."""
    found: dict[str, str | list[str]] = {
        "ai.operationId": "ai.generateText.doGenerate",
        "ai.model.id": "m",
        "ai.prompt.messages": '[{"role": "user", "content": [{"type": "text", "text": "hi"}]}]',
    }
    found |= {key.replace("__", "."): value for key, value in values.items()}
    attributes = [
        {
            "key": key,
            "value": {"stringValue": value}
            if isinstance(value, str)
            else {"arrayValue": {"values": [{"stringValue": item} for item in value]}},
        }
        for key, value in found.items()
    ]
    return {
        "traceId": "t1",
        "spanId": "s1",
        "name": found["ai.operationId"],
        "startTimeUnixNano": "1760000000000000000",
    } | {
        "endTimeUnixNano": "1760000000250000000",
        "attributes": attributes,
    }


def read_one(row: dict[str, Any]) -> Record | Unusable:
    [item] = Otel().read({"resourceSpans": [{"scopeSpans": [{"spans": [row]}]}]})
    assert isinstance(item, Record | Unusable)
    return item


def test_the_sdk_s_spans_give_the_calls_that_were_made() -> None:
    records, _, _ = read_rows(Otel(), rows_of("vercel", "spans.jsonl"))
    said = what_was_said(records)
    assert said[:3] == EXPECTED[:3]
    assert said[3] == (*EXPECTED[3][:-1], "the model is overloaded")


def test_the_outer_spans_of_calls_are_not_counted_twice() -> None:
    records, _, unusable = read_rows(Otel(), rows_of("vercel", "spans.jsonl"))
    assert len(records) == 5
    reasons = [item.reason for item in unusable]
    assert sorted(reasons) == ["embedding_call"] * 2 + ["outer_span"] * 4 + ["tool_run"]


def test_a_generated_object_keeps_the_schema_that_the_outer_span_knows() -> None:
    records, _, _ = read_rows(Otel(), rows_of("vercel", "spans.jsonl"))
    wanted = records[4]
    schema = {"type": "object", "properties": {"topic": {"type": "string"}}, "required": ["topic"], **MADE_BY_ZOD}
    assert wanted.response_format == {"type": "json_schema", "json_schema": {"schema": schema}}
    assert wanted.outputs["small-model"].text == '{"topic": "delivery"}'


def test_tools_are_put_into_openais_shape() -> None:
    records, _, _ = read_rows(Otel(), rows_of("vercel", "spans.jsonl"))
    [tool] = records[0].tools or []
    expected = TOOLS[0]["function"]
    parameters = {**expected["parameters"], **MADE_BY_ZOD}
    assert tool == {"type": "function", "function": {**expected, "parameters": parameters}}


def test_the_session_named_in_the_metadata_is_the_session() -> None:
    records, _, _ = read_rows(Otel(), rows_of("vercel", "spans.jsonl"))
    assert [record.session for record in records[:2]] == ["chat-7", "chat-7"]
    assert records[2].session not in ("chat-7", None)


def test_version_7_writes_the_conventions_and_gives_the_same_calls() -> None:
    records, _, unusable = read_rows(Otel(), rows_of("vercel", "spans7.jsonl"))
    assert [row[:4] for row in what_was_said(records)] == [
        (QUESTION, "large-model", None, CALLED),
        (WITH_RESULT, "large-model", FOUND, []),
    ]
    assert records[0].tools == records[1].tools
    assert [tool["function"]["name"] for tool in records[0].tools or []] == ["find_parcel"]
    assert sorted(item.reason for item in unusable) == ["agent_run", "chain_run", "chain_run", "tool_run"]


def test_spans_of_both_kinds_in_one_file_are_read() -> None:
    importer = Otel()
    both = rows_of("vercel", "spans.jsonl") + rows_of("otel", "genai.jsonl")
    records, _, _ = read_rows(importer, both)
    assert len(records) == 9


def test_calls_of_version_3_are_read() -> None:
    """The names before version 4 of the SDK, from its documentation: that version is not run here."""
    calls = '[{"toolCallId": "c", "toolName": "add", "args": {"a": 1}}]'
    item = read_one(span(ai__result__toolCalls=calls, ai__finishReason="tool-calls"))
    assert isinstance(item, Record)
    assert item.outputs["m"].tool_calls == [ToolCall(name="add", arguments={"a": 1})]


def test_text_beside_a_tool_call_is_kept() -> None:
    calls = '[{"toolCallId": "c", "toolName": "add", "input": "{\\"a\\": 1}"}]'
    item = read_one(span(ai__response__text="One moment.", ai__response__toolCalls=calls))
    assert isinstance(item, Record)
    assert (item.outputs["m"].text, len(item.outputs["m"].tool_calls or [])) == ("One moment.", 1)


def test_two_results_in_one_tool_message_are_two_messages() -> None:
    results = [
        {"type": "tool-result", "toolCallId": call, "output": {"type": "json", "value": {"sum": value}}}
        for call, value in (("c1", 1), ("c2", 2))
    ]
    messages = json.dumps([{"role": "tool", "content": results}])
    item = read_one(span(ai__prompt__messages=messages, ai__response__text="done"))
    assert isinstance(item, Record)
    assert item.messages == [
        Message(role="tool", content='{"sum": 1}', tool_call_id="c1"),
        Message(role="tool", content='{"sum": 2}', tool_call_id="c2"),
    ]


def test_an_image_is_still_an_image() -> None:
    image = '[{"role": "user", "content": [{"type": "file", "mediaType": "image/png", "data": "iVBO"}]}]'
    item = read_one(span(ai__prompt__messages=image, ai__response__text="a cat"))
    assert isinstance(item, Record)
    expected = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}]
    assert item.messages == [Message(role="user", content=expected)]


@pytest.mark.parametrize("operation", ["ai.generateText", "ai.streamText", "ai.generateObject", "ai.streamObject"])
def test_an_outer_span_alone_is_a_reason(operation: str) -> None:
    item = read_one(span(ai__operationId=operation, ai__response__text="x"))
    assert isinstance(item, Unusable)
    assert item.reason == "outer_span"


def test_inputs_that_were_not_recorded_are_a_reason() -> None:
    item = read_one(span(ai__prompt__messages="", ai__response__text="x"))
    assert isinstance(item, Unusable)
    assert item.reason == "content_not_recorded"


def test_a_call_has_the_arguments_that_the_model_wrote() -> None:
    records, _, _ = read_rows(Otel(), rows_of("vercel", "spans.jsonl"))
    [called] = [message.tool_calls for message in records[1].messages if message.tool_calls]
    assert called == [{"id": "call_1", **CALL}]
