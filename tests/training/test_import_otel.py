"""OpenTelemetry traces: fixtures that real instrumentations wrote, in the present form and the older ones."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from parcel_records import (
    ANY_JSON,
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
from learned_router.training.importers.importer import Unusable
from learned_router.training.importers.otel import Otel
from learned_router.training.importers.span_logs import joined
from learned_router.training.records import Record, Skipped


def attributes(**values: Any) -> list[dict[str, Any]]:
    """Keyed values of texts and whole numbers; ``__`` stands for a dot."""
    return [
        {
            "key": key.replace("__", "."),
            "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value},
        }
        for key, value in values.items()
    ]


def span(**changes: Any) -> dict[str, Any]:
    """A chat span of the present form, that said hi."""
    return {
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": "b7ad6b7169203331",
        "name": "chat m",
        "startTimeUnixNano": "1760000000000000000",
        "endTimeUnixNano": "1760000001500000000",
        "attributes": attributes(
            gen_ai__operation__name="chat",
            gen_ai__request__model="m",
            gen_ai__input__messages='[{"role": "user", "parts": [{"type": "text", "content": "hi"}]}]',
            gen_ai__output__messages='[{"role": "assistant", "parts": [{"type": "text", "content": "hello"}]}]',
        ),
    } | changes


def document(*spans: dict[str, Any], logs: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    row: dict[str, Any] = {"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}
    return row | ({"resourceLogs": [{"scopeLogs": [{"logRecords": logs}]}]} if logs else {})


def read_one(row: dict[str, Any]) -> Record | Unusable:
    [item] = Otel().read(row)
    assert isinstance(item, Record | Unusable)
    return item


def reason_of(row: dict[str, Any]) -> str:
    item = read_one(row)
    assert isinstance(item, Unusable), item
    return item.reason


@pytest.mark.parametrize("name", ["genai", "console", "traceloop"])
def test_every_form_gives_the_calls_that_were_made(name: str) -> None:
    records, _, _ = read_rows(Otel(), rows_of("otel", f"{name}.jsonl"))
    assert what_was_said(records) == EXPECTED


def test_events_in_log_records_give_the_calls_that_were_made() -> None:
    """The SDK exports log records and spans in batches of their own, hence in lines of their own."""
    rows = [row for row, _ in joined([FIXTURES / "otel" / "events.jsonl"], Skipped(), rows_in)]
    records, _, unusable = read_rows(Otel(), rows)
    assert what_was_said(records) == EXPECTED
    assert sorted(item.reason for item in unusable) == ["embedding_call", "plain_span"]


def test_spans_and_log_records_that_nobody_joined_are_counted() -> None:
    records, _, unusable = read_rows(Otel(), rows_of("otel", "events.jsonl"))
    assert records == []
    reasons = [item.reason for item in unusable]
    assert reasons.count("log_record_without_span") == reasons.count("content_not_recorded") == 4


def test_indexed_attributes_give_the_calls_that_were_made() -> None:
    """The library of that time did not count the tokens of a stream."""
    records, _, _ = read_rows(Otel(), rows_of("otel", "indexed.jsonl"))
    streamed = (*EXPECTED[2][:4], None, None, None)
    assert what_was_said(records) == [*EXPECTED[:2], streamed, EXPECTED[3]]
    assert [record.tools for record in records] == [TOOLS, TOOLS, None, None]


@pytest.mark.parametrize("name", ["genai", "console", "traceloop", "indexed"])
def test_spans_without_a_chat_call_are_counted_by_what_they_are(name: str) -> None:
    _, _, unusable = read_rows(Otel(), rows_of("otel", f"{name}.jsonl"))
    assert sorted(item.reason for item in unusable) == ["embedding_call", "plain_span"]


def test_tool_definitions_are_put_into_openais_shape() -> None:
    records, _, _ = read_rows(Otel(), rows_of("otel", "traceloop.jsonl"))
    assert [record.tools for record in records] == [TOOLS, TOOLS, None, None]


def test_the_calls_of_a_trace_are_a_session_in_order_of_time() -> None:
    records, _, _ = read_rows(Otel(), rows_of("otel", "genai.jsonl"))
    first, second, alone, _ = records
    assert first.session == second.session != alone.session
    assert isinstance(first.timestamp, float)
    assert isinstance(second.timestamp, float)
    assert first.timestamp < second.timestamp
    latency = first.outputs["large-model"].latency_s
    assert latency is not None
    assert first.timestamp + latency <= second.timestamp


def test_the_console_exporter_and_otlp_say_the_same() -> None:
    console, _, _ = read_rows(Otel(), rows_of("otel", "console.jsonl"))
    otlp, _, _ = read_rows(Otel(), rows_of("otel", "genai.jsonl"))
    for one, other in zip(console, otlp, strict=True):
        assert (one.id, one.session, one.messages) == (other.id, other.session, other.messages)
        assert one.timestamp == pytest.approx(other.timestamp, abs=1e-5)


def test_a_conversation_id_is_the_session_and_the_trace_is_kept_beside_it() -> None:
    item = read_one(document(span(attributes=span()["attributes"] + attributes(gen_ai__conversation__id="c1"))))
    assert isinstance(item, Record)
    assert (item.session, item.metadata) == ("c1", {"trace": "0af7651916cd43dd8448eb211c80319c"})


def test_latency_is_the_span_s_duration() -> None:
    item = read_one(document(span()))
    assert isinstance(item, Record)
    assert (item.timestamp, item.outputs["m"].latency_s) == (1760000000.0, 1.5)


def test_the_model_that_answered_wins_over_the_model_that_was_asked() -> None:
    item = read_one(
        document(span(attributes=span()["attributes"] + attributes(gen_ai__response__model="m-2025-01-01")))
    )
    assert isinstance(item, Record)
    assert list(item.outputs) == ["m-2025-01-01"]


def test_system_instructions_come_first() -> None:
    said = attributes(gen_ai__system_instructions='[{"type": "text", "content": "Be brief."}]')
    item = read_one(document(span(attributes=span()["attributes"] + said)))
    assert isinstance(item, Record)
    assert item.messages == [Message(role="system", content="Be brief."), Message(role="user", content="hi")]


def test_a_span_alone_on_its_line_is_read() -> None:
    assert Otel().recognises(span())
    assert isinstance(read_one(span()), Record)


def test_messages_that_were_not_recorded_are_a_reason_of_their_own() -> None:
    bare = attributes(gen_ai__operation__name="chat", gen_ai__request__model="m")
    assert reason_of(document(span(attributes=bare))) == "content_not_recorded"


def test_a_span_with_neither_answer_nor_error_is_unusable() -> None:
    assert reason_of(document(span(attributes=span()["attributes"][:3]))) == "no_answer"


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        ("embeddings", "embedding_call"),
        ("execute_tool", "tool_run"),
        ("invoke_agent", "agent_run"),
        ("something_new", "plain_span"),
    ],
)
def test_other_operations_are_no_chat_calls(operation: str, reason: str) -> None:
    assert reason_of(document(span(attributes=attributes(gen_ai__operation__name=operation)))) == reason


def test_one_bad_span_does_not_cost_the_others() -> None:
    bad = attributes(gen_ai__operation__name="chat", gen_ai__request__model="m", gen_ai__input__messages='[{"x": 1}]')
    items = list(Otel().read(document(span(), span(spanId="b2", attributes=bad), span(spanId="b3"))))
    assert [item.reason if isinstance(item, Unusable) else "record" for item in items] == [
        "record",
        "unreadable_messages",
        "record",
    ]


def test_span_events_of_the_oldest_form_are_read() -> None:
    events = [
        {
            "name": "gen_ai.content.prompt",
            "attributes": attributes(gen_ai__prompt='[{"role": "user", "content": "hi"}]'),
        },
        {
            "name": "gen_ai.content.completion",
            "attributes": attributes(gen_ai__completion='[{"role": "assistant", "content": "hello"}]'),
        },
    ]
    item = read_one(document(span(attributes=span()["attributes"][:2], events=events)))
    assert isinstance(item, Record)
    assert (item.messages, item.outputs["m"].text) == ([Message(role="user", content="hi")], "hello")


def test_span_events_with_one_json_text_each_are_read() -> None:
    """As the Azure SDK wrote them; it cannot run here, so this is built to its documentation."""
    said = {"message": {"content": "hello"}, "finish_reason": "stop", "index": 0}
    events = [
        {
            "name": "gen_ai.user.message",
            "attributes": attributes(gen_ai__event__content='{"role": "user", "content": "hi"}'),
        },
        {"name": "gen_ai.choice", "attributes": attributes(gen_ai__event__content=json.dumps(said))},
    ]
    item = read_one(document(span(attributes=span()["attributes"][:2], events=events)))
    assert isinstance(item, Record)
    assert (item.messages, item.outputs["m"].text) == ([Message(role="user", content="hi")], "hello")


def log_record(name: str, body: dict[str, str]) -> dict[str, Any]:
    return {
        "traceId": span()["traceId"],
        "spanId": span()["spanId"],
        "eventName": name,
        "body": {"kvlistValue": {"values": attributes(**body)}},
    }


def rows_in(path: Path, skipped: Skipped) -> Iterator[tuple[dict[str, Any], str]]:
    """A plain reader of JSON lines."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        yield json.loads(line), f"{path.name}:{number}"


def items_of(tmp_path: Path, *files: list[dict[str, Any]]) -> list[tuple[Any, str]]:
    """What is read of files of rows when log records are joined to spans, each with its place."""
    paths = [tmp_path / f"{number}.jsonl" for number in range(len(files))]
    for path, rows in zip(paths, files, strict=True):
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return [(item, place) for row, place in joined(paths, Skipped(), rows_in) for item in Otel().read(row)]


ASKED = log_record("gen_ai.user.message", {"content": "hi"})
ANSWERED = log_record("gen_ai.choice", {"message": "hello"})
BARE = document(span(attributes=span()["attributes"][:2]))


@pytest.mark.parametrize(
    "files",
    [
        [[document(logs=[ASKED, ANSWERED]), BARE]],
        [[BARE, document(logs=[ASKED, ANSWERED])]],
        [[document(logs=[ASKED]), BARE, document(logs=[ANSWERED])]],
        [[ASKED, ANSWERED], [BARE]],
        [[BARE], [document(logs=[ASKED]), document(logs=[ANSWERED])]],
    ],
    ids=["logs first", "span first", "span between", "two files, logs first", "two files, span first"],
)
def test_log_records_find_their_span_wherever_they_stand(tmp_path: Path, files: list[list[dict[str, Any]]]) -> None:
    [(item, _)] = items_of(tmp_path, *files)
    assert isinstance(item, Record)
    assert (item.messages, item.outputs["m"].text) == ([Message(role="user", content="hi")], "hello")


def test_log_records_of_no_span_are_counted_with_their_place(tmp_path: Path) -> None:
    [(item, place)] = items_of(tmp_path, [{"x": 1}, document(logs=[ASKED]), document(logs=[ANSWERED])])[1:]
    assert isinstance(item, Unusable)
    assert (item.reason, place) == ("log_record_without_span", "0.jsonl:2")


def test_joining_leaves_a_log_without_log_records_as_it_is(tmp_path: Path) -> None:
    rows = [document(span()), span(spanId="b2"), {"x": 1}, document(span(spanId="b3"))]
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert [row for row, _ in joined([path], Skipped(), rows_in)] == rows


def test_spans_of_the_console_exporter_find_their_log_records(tmp_path: Path) -> None:
    """The exporters of spans and of log records both write ids with 0x; the latter's shape is from the SDK's source."""
    context = {"trace_id": "0x" + span()["traceId"], "span_id": "0x" + span()["spanId"]}
    bare = {
        "name": "chat m",
        "context": context,
        "start_time": "2026-01-01T00:00:00Z",
        "status": {"status_code": "UNSET"},
    }
    bare["attributes"] = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"}
    said = [
        {"body": {"content": "hi"}, "attributes": {"event.name": "gen_ai.user.message"}, **context},
        {"body": {"message": {"content": "hello"}}, "attributes": {}, "event_name": "gen_ai.choice", **context},
    ]
    [(item, _)] = items_of(tmp_path, [*said, bare])
    assert isinstance(item, Record)
    assert item.outputs["m"].text == "hello"


def test_a_log_record_that_holds_a_whole_call_is_read_alone() -> None:
    whole = {
        "traceId": "t1",
        "spanId": "s1",
        "eventName": "gen_ai.client.inference.operation.details",
        "timeUnixNano": "1760000000000000000",
        "attributes": span()["attributes"],
    }
    item = read_one(document(logs=[whole]))
    assert isinstance(item, Record)
    assert (item.id, item.outputs["m"].text, item.timestamp) == ("s1", "hello", 1760000000.0)


def test_a_log_record_that_holds_a_whole_call_counts_once_beside_its_span() -> None:
    whole = {
        "traceId": span()["traceId"],
        "spanId": span()["spanId"],
        "eventName": "gen_ai.client.inference.operation.details",
        "attributes": span()["attributes"],
    }
    item = read_one(document(span(attributes=span()["attributes"][:2]), logs=[whole]))
    assert isinstance(item, Record)
    assert (item.outputs["m"].text, item.outputs["m"].latency_s) == ("hello", 1.5)


def test_a_call_that_two_instrumentations_wrapped_counts_once() -> None:
    items = list(Otel().read(document(span(spanId="b2", parentSpanId="b7ad6b7169203331"), span())))
    assert [item.id if isinstance(item, Record) else item.reason for item in items] == ["b2", "outer_span"]


def test_a_reasoning_part_is_no_part_of_the_answer() -> None:
    parts = [{"type": "reasoning", "content": "hm"}, {"type": "text", "content": "hello"}]
    said = attributes(gen_ai__output__messages=json.dumps([{"role": "assistant", "parts": parts}]))
    item = read_one(document(span(attributes=span()["attributes"][:3] + said)))
    assert isinstance(item, Record)
    assert item.outputs["m"].text == "hello"


def test_rows_of_other_formats_are_not_recognised() -> None:
    for row in (
        {"id": "a", "messages": [], "outputs": {}},
        {"request": {}, "response": {}},
        {"body": {}, "id": "x"},
        {},
    ):
        assert not Otel().recognises(row)


@given(
    ANY_JSON,
    rows_with(
        "gen_ai.input.messages",
        "gen_ai.output.messages",
        "gen_ai.tool.definitions",
        "gen_ai.system_instructions",
        "gen_ai.prompt.0.content",
        "gen_ai.prompt.0.tool_calls.0.name",
        "gen_ai.completion.0.role",
        "llm.request.functions.0.name",
        "ai.prompt.messages",
        "ai.prompt.tools",
        "ai.response.toolCalls",
        **{"gen_ai.operation.name": "chat", "gen_ai.request.model": "m"},
    ),
)
@settings(max_examples=100, deadline=5000)
def test_any_attributes_and_events_give_records_or_reasons(value: Any, found: dict[str, Any]) -> None:
    events = [{"name": "gen_ai.user.message", "attributes": found}, {"name": "gen_ai.choice", "body": value}]
    holds_items_only(Otel(), document(span(attributes=found, events=events)))
    holds_items_only(Otel(), document(span(attributes=found | {"ai.operationId": "ai.generateText.doGenerate"})))


@given(
    rows_with(
        "resourceSpans",
        "resourceLogs",
        "attributes",
        "context",
        "events",
        "status",
        "start_time",
        "body",
        "name",
        **span(),
    )
)
@settings(max_examples=100, deadline=5000)
def test_any_row_gives_records_or_reasons(row: dict[str, Any]) -> None:
    holds_items_only(Otel(), row)


def test_a_line_of_a_thousand_spans_is_read_in_a_second() -> None:
    row = document(*(span(spanId=f"b{number}") for number in range(1000)))
    began = time.process_time()
    assert sum(isinstance(item, Record) for item in Otel().read(row)) == 1000
    assert time.process_time() - began < 1


def test_values_nested_too_deeply_cost_their_span_alone() -> None:
    deep: Any = {"stringValue": "x"}
    for _ in range(5000):
        deep = {"arrayValue": {"values": [deep]}}
    key = {"key": "gen_ai.input.messages", "value": deep}
    items = list(Otel().read(document(span(attributes=[key]), span(spanId="b2"))))
    assert [item.reason if isinstance(item, Unusable) else "record" for item in items] == ["too_deep", "record"]
