"""Langfuse's rows. What its SDK sends was recorded; what the product makes of it is built to its documented schema,
through the row types of the SDK's own API client (see ``fixtures/make_langfuse.py``): the product itself cannot run here."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from parcel_records import EXPECTED, TOOLS, holds_items_only, read_rows, rows_of, rows_with, what_was_said

from learned_router.request import Message
from learned_router.training.importers.importer import Feedback, Unusable
from learned_router.training.importers.langfuse import Langfuse
from learned_router.training.records import Record, ToolCall


def observation(**changes: Any) -> dict[str, Any]:
    return {
        "id": "o1",
        "traceId": "t1",
        "type": "GENERATION",
        "startTime": "2026-01-01T00:00:00.000Z",
        "endTime": "2026-01-01T00:00:01.500Z",
        "model": "m",
        "level": "DEFAULT",
        "input": [{"role": "user", "content": "hi"}],
        "output": {"role": "assistant", "content": "hello"},
    } | changes


def score(**changes: Any) -> dict[str, Any]:
    return {"id": "s1", "traceId": "t1", "name": "n", "source": "API", "dataType": "NUMERIC", "value": 1.0} | changes


def read_one(row: dict[str, Any]) -> Record | Feedback | Unusable:
    [item] = Langfuse().read(row)
    return item


def record_of(row: dict[str, Any]) -> Record:
    item = read_one(row)
    assert isinstance(item, Record), item
    return item


def reason_of(row: dict[str, Any]) -> str:
    item = read_one(row)
    assert isinstance(item, Unusable), item
    return item.reason


@pytest.mark.parametrize("name", ["observations", "exported"])
def test_rows_of_the_api_and_of_blob_storage_give_the_calls_that_were_made(name: str) -> None:
    records, _, unusable = read_rows(Langfuse(), rows_of("langfuse", f"{name}.jsonl"))
    said = what_was_said(records)
    assert said[:4] == EXPECTED
    assert said[4] == ([Message(role="user", content="Say hello.")], "small-model", "Hello.", [], None, None, None)
    assert [item.reason for item in unusable] == ["plain_span"]


@pytest.mark.parametrize("name", ["observations", "exported"])
def test_tools_cost_latency_and_session_are_kept(name: str) -> None:
    records, _, _ = read_rows(Langfuse(), rows_of("langfuse", f"{name}.jsonl"))
    assert [record.tools for record in records] == [TOOLS, TOOLS, None, None, None]
    assert [record.outputs[next(iter(record.outputs))].cost_usd for record in records] == [0.00021] * 3 + [None] * 2
    assert all(next(iter(record.outputs.values())).latency_s is not None for record in records)
    assert [record.session for record in records[:2]] == ["chat-7", "chat-7"]
    assert records[0].metadata == records[1].metadata
    assert records[0].metadata is not None
    assert records[2].session not in ("chat-7", None)


def test_scores_are_feedback_on_an_observation_or_a_trace() -> None:
    records, _, _ = read_rows(Langfuse(), rows_of("langfuse", "observations.jsonl"))
    _, feedback, unusable = read_rows(Langfuse(), rows_of("langfuse", "scores.jsonl"))
    assert feedback == [Feedback(records[0].id, 0.75, "helpful"), Feedback(records[2].session or "", 1.0, "solved")]
    assert [item.reason for item in unusable] == ["score_without_scale"] * 2


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        ({"value": 0}, 0.0),
        ({"value": 0.25}, 0.25),
        ({"dataType": "BOOLEAN", "value": 0, "stringValue": "False"}, 0.0),
        ({"dataType": "BOOLEAN", "value": True}, 1.0),
        ({"dataType": "CATEGORICAL", "value": 0, "stringValue": "good"}, 1.0),
        ({"dataType": "CATEGORICAL", "value": 1, "stringValue": "Incorrect"}, 0.0),
        ({"dataType": "CATEGORICAL", "value": "thumbs-up"}, 1.0),
    ],
)
def test_each_kind_of_score_lies_between_bad_and_good(changes: dict[str, Any], value: float) -> None:
    assert read_one(score(**changes)) == Feedback("t1", value, "n")


@pytest.mark.parametrize(
    "changes",
    [
        {"value": 4},
        {"value": -1},
        {"value": None},
        {"dataType": "CATEGORICAL", "value": 1, "stringValue": "purple"},
        {"dataType": "TEXT", "value": "I liked it"},
    ],
)
def test_a_score_whose_scale_cannot_be_known_is_no_feedback(changes: dict[str, Any]) -> None:
    assert reason_of(score(**changes)) == "score_without_scale"


def test_an_observation_s_score_goes_to_it_and_not_to_its_trace() -> None:
    assert read_one(score(observationId="o9")) == Feedback("o9", 1.0, "n")


def test_a_score_of_version_3_names_its_subject() -> None:
    row = score(subject={"type": "observation", "id": "o9", "traceId": "t1"})
    del row["traceId"]
    assert Langfuse().recognises(row)
    assert read_one(row) == Feedback("o9", 1.0, "n")


def test_a_score_that_names_nothing_is_a_reason() -> None:
    assert reason_of({key: value for key, value in score().items() if key != "traceId"}) == "score_without_target"


def test_a_page_of_the_api_is_read_row_by_row() -> None:
    page = {"data": [observation(), observation(id="o2", type="SPAN"), observation(id="o3")], "meta": {"cursor": "x"}}
    assert Langfuse().recognises(page)
    items = list(Langfuse().read(page))
    assert [item.id if isinstance(item, Record) else "-" for item in items] == ["o1", "-", "o3"]


def test_a_downloaded_trace_gives_its_observations_its_session_and_its_scores() -> None:
    trace = {"id": "t1", "sessionId": "c1", "observations": [observation()], "scores": [score(observationId="o1")]}
    assert Langfuse().recognises(trace)
    record, feedback = Langfuse().read(trace)
    assert isinstance(record, Record)
    assert (record.session, record.metadata) == ("c1", {"trace": "t1"})
    assert feedback == Feedback("o1", 1.0, "n")


def test_an_error_is_an_output_that_failed() -> None:
    output = record_of(observation(level="ERROR", statusMessage="too long", output=None)).outputs["m"]
    assert (output.text, output.tool_calls, output.error) == (None, None, "too long")


def test_latency_is_end_minus_start_and_the_row_s_own_without_an_end() -> None:
    assert record_of(observation()).outputs["m"].latency_s == 1.5
    assert record_of(observation(latency=0.25, endTime=None)).outputs["m"].latency_s == 0.25


def test_a_step_named_in_the_metadata_is_kept_if_it_is_one_of_ours() -> None:
    assert record_of(observation(metadata={"step": "extract"})).step == "extract"
    assert record_of(observation(metadata='{"step": "extract"}')).step == "extract"
    assert record_of(observation(metadata={"step": "warm up"})).step is None


def test_rows_of_a_csv_export_are_read() -> None:
    """Every cell is text, nested ones JSON, and what is missing is empty."""
    row = {key: value if isinstance(value, str) else json.dumps(value) for key, value in observation().items()}
    row |= {"sessionId": "", "usageDetails": '{"input": 3, "output": 4}', "totalCost": "0.5", "statusMessage": ""}
    record = record_of(row)
    assert record.session == "t1"
    output = record.outputs["m"]
    assert (output.text, output.input_tokens, output.output_tokens, output.cost_usd) == ("hello", 3, 4, 0.5)
    assert reason_of(row | {"output": ""}) == "no_answer"


def test_older_usage_and_cost_fields_are_read() -> None:
    row = observation(usage={"promptTokens": 3, "completionTokens": 4}, calculatedTotalCost=0.5)
    output = record_of(row).outputs["m"]
    assert (output.input_tokens, output.output_tokens, output.cost_usd) == (3, 4, 0.5)


def test_anthropics_blocks_are_put_into_openais_shape() -> None:
    call = {"type": "tool_use", "id": "u1", "name": "add", "input": {"a": 1}}
    result = {"type": "tool_result", "tool_use_id": "u1", "content": [{"type": "text", "text": "2"}]}
    asked = {
        "system": "Count.",
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": [{"type": "text", "text": "Well."}, call]},
            {"role": "user", "content": [result]},
        ],
    }
    record = record_of(observation(input=asked, output={"role": "assistant", "content": [call]}))
    written = {"id": "u1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    assert record.messages == [
        Message(role="system", content="Count."),
        Message(role="user", content="hi"),
        Message(role="assistant", content="Well.", tool_calls=[written]),
        Message(role="tool", content="2", tool_call_id="u1"),
    ]
    assert record.outputs["m"].tool_calls == [ToolCall(name="add", arguments={"a": 1})]


def test_items_of_openais_responses_are_put_into_chat_messages() -> None:
    call = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "add", "arguments": '{"a": 1}'}
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hello"}]}
    asked = {"instructions": "Count.", "input": [{"role": "user", "content": "hi"}, call]}
    asked["input"].append({"type": "function_call_output", "call_id": "c1", "output": "2"})
    record = record_of(observation(input=asked, output=[{"type": "reasoning", "summary": []}, said, call]))
    written = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    assert record.messages == [
        Message(role="system", content="Count."),
        Message(role="user", content="hi"),
        Message(role="assistant", tool_calls=[written]),
        Message(role="tool", content="2", tool_call_id="c1"),
    ]
    output = record.outputs["m"]
    assert (output.text, output.tool_calls) == ("hello", [ToolCall(name="add", arguments={"a": 1})])


def test_an_answer_logged_as_an_object_is_its_json() -> None:
    assert record_of(observation(output={"topic": "refund"})).outputs["m"].text == '{"topic": "refund"}'


def test_an_input_without_messages_is_a_reason() -> None:
    assert reason_of(observation(input={"question": "hi"})) == "unreadable_messages"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"type": "SPAN"}, "plain_span"),
        ({"type": "TOOL"}, "tool_run"),
        ({"type": "EMBEDDING"}, "embedding_call"),
        ({"model": None}, "no_model"),
        ({"input": None}, "content_not_recorded"),
        ({"output": None}, "no_answer"),
        ({"id": None}, "no_id"),
        ({"input": [{"content": 3, "x": 1}, 4]}, "unreadable_messages"),
        ({"output": "\ud800"}, "not_writable"),
    ],
)
def test_what_cannot_be_used_has_a_reason(changes: dict[str, Any], reason: str) -> None:
    assert reason_of(observation(**changes)) == reason


@given(
    rows_with(
        "input",
        "output",
        "usage",
        "usageDetails",
        "modelParameters",
        "tool_definitions",
        "level",
        "value",
        **observation(),
    )
)
@settings(max_examples=100, deadline=5000)
def test_any_observation_gives_records_or_reasons(row: dict[str, Any]) -> None:
    holds_items_only(Langfuse(), row)


@given(rows_with("value", "stringValue", "dataType", "observationId", "subject", "data", "scores", "name", **score()))
@settings(max_examples=100, deadline=5000)
def test_any_score_gives_feedback_or_reasons(row: dict[str, Any]) -> None:
    holds_items_only(Langfuse(), row)
