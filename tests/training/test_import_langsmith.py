"""LangSmith's rows. The runs were sent by the real SDK, from LangChain and from a wrapped OpenAI client. What the product
adds (status, tokens, cost, feedback) is built to its documented run data format, as the product itself cannot run here."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from parcel_records import (
    CALLED,
    EXPECTED,
    FIXTURES,
    TOOLS,
    holds_items_only,
    read_rows,
    rows_of,
    rows_with,
    what_was_said,
)

from learned_router.request import Message
from learned_router.training.importers.importer import Feedback, Unusable
from learned_router.training.importers.langsmith import Langsmith
from learned_router.training.records import Record

RUNS = rows_of("langsmith", "runs.jsonl")


def run(**changes: Any) -> dict[str, Any]:
    return {
        "id": "r1",
        "trace_id": "t1",
        "run_type": "llm",
        "start_time": "2026-01-01T00:00:00+00:00",
        "end_time": "2026-01-01T00:00:01.500000+00:00",
        "inputs": {"messages": [{"role": "user", "content": "hi"}], "model": "m"},
        "outputs": {"choices": [{"message": {"role": "assistant", "content": "hello"}}]},
    } | changes


def record_of(row: dict[str, Any]) -> Record:
    [item] = Langsmith().read(row)
    assert isinstance(item, Record), item
    return item


def reason_of(row: dict[str, Any]) -> str:
    [item] = Langsmith().read(row)
    assert isinstance(item, Unusable), item
    return item.reason


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (r'{"model": "m", "messages": [{"role": "user", "content": "hi \ud800"}]}', "hi ?"),
        ('{"model": "m", "top_p": NaN, "messages": [{"role": "user", "content": "hi"}]}', "hi"),
        ('{""model"": ""m"", ""messages"": [{""role"": ""user"", ""content"": ""hi""}]}', "hi"),
    ],
)
def test_json_text_is_read_as_python_and_csv_write_it(inputs: str, said: str) -> None:
    """Half a surrogate and NaN are no JSON, and a cell may have been quoted twice; the messages are there all the same."""
    assert record_of(run(inputs=inputs)).messages == [Message(role="user", content=said)]


def in_parquet(row: dict[str, Any]) -> dict[str, Any]:
    """A row as the bulk export's columns hold it: nested fields as JSON text."""
    return {key: json.dumps(value) if isinstance(value, dict | list) else value for key, value in row.items()}


@pytest.mark.parametrize("rows", [RUNS, [in_parquet(row) for row in RUNS]], ids=["json", "parquet"])
def test_runs_give_the_calls_that_were_made(rows: list[dict[str, Any]]) -> None:
    records, _, unusable = read_rows(Langsmith(), rows)
    large, with_result, failed, small, asked = what_was_said(records)
    assert [large, with_result, small] == EXPECTED[:3]
    assert failed == (*EXPECTED[3][:-1], "OpenAIInvalidRequestError('Error code: 400 - the model is overloaded')")
    assert asked[:4] == ([Message(role="user", content="Where is parcel PX-4471?")], "small-model", None, CALLED)
    assert [item.reason for item in unusable] == ["chain_run"]


def test_the_parquet_file_of_a_bulk_export_gives_the_same_records() -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed; it reads Parquet")
    rows = parquet.read_table(FIXTURES / "langsmith" / "runs.parquet").to_pylist()
    assert read_rows(Langsmith(), rows) == read_rows(Langsmith(), RUNS)


def test_tools_cost_and_latency_are_kept() -> None:
    records, _, _ = read_rows(Langsmith(), RUNS)
    assert [record.tools for record in records] == [TOOLS, TOOLS, None, None, TOOLS]
    outputs = [next(iter(record.outputs.values())) for record in records]
    assert [output.cost_usd for output in outputs] == [0.00021, 0.00021, None, 0.00021, 0.00021]
    assert all(output.latency_s is not None and 0 < output.latency_s < 5 for output in outputs)


def test_a_thread_is_a_session_and_so_is_a_trace_without_one() -> None:
    records, _, _ = read_rows(Langsmith(), RUNS)
    assert [record.session for record in records[:2]] == ["chat-7", "chat-7"]
    assert records[0].metadata == {"trace": records[0].id}
    assert records[3].session == records[4].session
    assert records[3].metadata is None


def test_feedback_stats_are_feedback_on_their_run() -> None:
    records, feedback, _ = read_rows(Langsmith(), RUNS)
    assert feedback == [Feedback(records[1].id, 0.5, "user_score")]


def test_feedback_on_a_chain_is_feedback_on_its_trace() -> None:
    stats = {"thumbs": {"n": 1, "avg": 1.0}}
    unusable, feedback = Langsmith().read(run(id="t1", run_type="chain", feedback_stats=stats))
    assert isinstance(unusable, Unusable)
    assert feedback == Feedback("t1", 1.0, "thumbs")


def test_votes_by_word_are_averaged() -> None:
    stats = {"thumb": {"n": 4, "avg": None, "values": {"up": 3, "down": 1}}}
    _, feedback = Langsmith().read(run(feedback_stats=stats))
    assert feedback == Feedback("r1", 0.75, "thumb")


def test_a_mean_beyond_one_is_no_feedback() -> None:
    _, item = Langsmith().read(run(feedback_stats={"stars": {"n": 1, "avg": 4.5}}))
    assert isinstance(item, Unusable)
    assert item.reason == "score_without_scale"


def test_rows_of_feedback_are_read() -> None:
    row = {"id": "f1", "run_id": "r1", "key": "thumbs", "score": 0, "value": None}
    assert Langsmith().recognises(row)
    assert list(Langsmith().read(row)) == [Feedback("r1", 0.0, "thumbs")]


def test_a_page_of_the_api_and_nested_runs_are_read() -> None:
    page = {"runs": [run(id="c", run_type="chain", child_runs=[run(), run(id="r2")])]}
    assert Langsmith().recognises(page)
    items = list(Langsmith().read(page))
    assert [item.id if isinstance(item, Record) else "-" for item in items] == ["-", "r1", "r2"]


def test_older_serialised_messages_are_read() -> None:
    """LangChain's ``messages_to_dict``, and calls in ``additional_kwargs``, as older versions logged them."""
    call = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    asked = {"messages": [{"type": "human", "data": {"content": "hi"}}, ["ai", "hm"]]}
    message = {"type": "ai", "data": {"content": "", "additional_kwargs": {"tool_calls": [call]}}}
    row = run(
        inputs=asked, outputs={"generations": [{"text": "", "message": message}], "llm_output": {"model_name": "m"}}
    )
    record = record_of(row)
    assert record.messages == [Message(role="user", content="hi"), Message(role="assistant", content="hm")]
    assert [called.name for called in record.outputs["m"].tool_calls or []] == ["add"]


def test_a_call_that_langchain_could_not_parse_is_kept_as_it_was_written() -> None:
    call = {"name": "add", "args": "{a: 1", "id": "c1", "error": None}
    message = {"role": "assistant", "content": "", "tool_calls": [], "invalid_tool_calls": [call]}
    [called] = record_of(run(outputs={"message": message})).outputs["m"].tool_calls or []
    assert called.arguments == "{a: 1"


def test_a_completion_of_a_prompt_is_read() -> None:
    row = run(
        inputs={"prompts": ["Say hello."]},
        outputs={"generations": [[{"text": "hello"}]]},
        extra={"invocation_params": {"model_name": "m"}},
    )
    record = record_of(row)
    assert record.messages == [Message(role="user", content="Say hello.")]
    assert record.outputs["m"].text == "hello"


def test_an_error_is_kept_without_its_stack_trace() -> None:
    error = 'ValueError("bad")Traceback (most recent call last):\n  File "/home/someone/secret.py"'
    output = record_of(run(error=error, outputs=None)).outputs["m"]
    assert (output.error, output.text, output.tool_calls) == ('ValueError("bad")', None, None)


def test_a_wanted_schema_is_kept() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}
    row = run(extra={"invocation_params": {"model": "m", "response_format": wanted}})
    assert record_of(row).response_format == wanted


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"run_type": "tool"}, "tool_run"),
        ({"run_type": "embedding"}, "embedding_call"),
        ({"run_type": "something"}, "plain_span"),
        ({"outputs": None}, "no_answer"),
        ({"inputs": {}, "outputs": {"model": "m", "content": "hello"}}, "content_not_recorded"),
        ({"inputs": {"messages": [{"role": "user", "content": "hi"}]}}, "no_model"),
        ({"id": ""}, "no_id"),
        ({"inputs": {"question": "hi", "model": "m"}}, "unreadable_messages"),
    ],
)
def test_what_cannot_be_used_has_a_reason(changes: dict[str, Any], reason: str) -> None:
    assert reason_of(run(**changes)) == reason


@given(
    rows_with("inputs", "outputs", "extra", "feedback_stats", "error", "child_runs", "runs", "run_type", "id", **run()),
)
@settings(max_examples=100, deadline=5000)
def test_any_row_gives_records_feedback_or_reasons(row: dict[str, Any]) -> None:
    holds_items_only(Langsmith(), row)


@given(rows_with("messages", "model", "tools", "prompts", model="m", messages=[{"role": "user", "content": "hi"}]))
@settings(max_examples=100, deadline=5000)
def test_any_inputs_and_outputs_give_records_or_reasons(found: dict[str, Any]) -> None:
    holds_items_only(Langsmith(), run(inputs=found))
    holds_items_only(Langsmith(), run(outputs=found))
    holds_items_only(Langsmith(), run(outputs={"generations": [[found]]}))
