"""Logs of other tools as records: from the fixtures to exact records, and from bad rows to counted reasons.

fixtures/openai and fixtures/litellm were made by the real clients; batch lines, LiteLLM_SpendLogs and Helicone's exports
follow the documented schema, because no such service runs here.
"""

from __future__ import annotations

import contextlib
import csv
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learned_router.errors import InputError, LearnedRouterError
from learned_router.request import Message
from learned_router.training.importers import IMPORTERS, logs
from learned_router.training.importers.importer import Feedback, Unusable
from learned_router.training.importers.logs import read_logs, read_pairs
from learned_router.training.label import label_files
from learned_router.training.labelling.steps import infer_step
from learned_router.training.records import Output, Record, Skipped, ToolCall, read_labels, read_records

FIXTURES = Path(__file__).resolve().parent / "fixtures"
SYSTEM = "You answer guests of a small hotel by the sea. Be brief."
BREAKFAST = [Message("system", SYSTEM), Message("user", "When is breakfast, and may I bring my dog?")]
BOOKING = [
    Message("system", SYSTEM),
    Message("user", "Please book the sauna for tomorrow at seven in the evening, for two."),
]
SMALL_SAYS = "Breakfast is from seven to ten. Dogs are welcome on the terrace."
FRONTIER_SAYS = "Breakfast is served from 7 to 10, on Sundays until 11. Your dog is welcome on the terrace."
SAUNA_CALL = ToolCall(name="book_sauna", arguments={"hour": 19, "persons": 2})
SMALL, FRONTIER = "small-1-2026-01-01", "frontier-1-2026-01-01"


def read(*paths: Path) -> tuple[list[Record], Skipped]:
    skipped = Skipped()
    return list(read_logs(paths, skipped)), skipped


def write_rows(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def answers(record: Record) -> tuple[str | None, list[ToolCall] | None]:
    (output,) = record.outputs.values()
    return output.text, output.tool_calls


def test_what_the_openai_client_sent_and_got_becomes_records() -> None:
    records, skipped = read(FIXTURES / "openai" / "calls.jsonl")
    assert skipped.total == 0
    assert [next(iter(record.outputs)) for record in records] == [
        SMALL,
        FRONTIER,
        SMALL,
        FRONTIER,
        SMALL,
        FRONTIER,
        "broken-1",
    ]
    assert [infer_step(record) for record in records[:4]] == ["respond", "respond", "tool_call", "extract"]
    first, _, booked, extracted, streamed, streamed_call, failed = records
    assert (first.id, first.messages, first.session, first.timestamp) == (
        "chatcmpl-0001",
        BREAKFAST,
        "stay-1",
        1767225601.0,
    )
    assert first.metadata == {"asked_as": {SMALL: "small-1"}}
    output = first.outputs[SMALL]
    assert (output.text, output.tool_calls, output.input_tokens, output.output_tokens) == (SMALL_SAYS, None, 41, 12)
    assert output.latency_s is not None
    assert 0 < output.latency_s < 5
    assert answers(booked) == (None, [SAUNA_CALL])
    assert [tool["function"]["name"] for tool in booked.tools or []] == ["book_sauna"]
    assert (extracted.response_format or {})["json_schema"]["name"] == "request"
    assert answers(streamed) == (SMALL_SAYS, None)
    assert (streamed.outputs[SMALL].input_tokens, streamed.id) == (45, "chatcmpl-0005")
    assert answers(streamed_call) == (None, [SAUNA_CALL])
    assert failed.outputs["broken-1"].error == "server_error: The model is overloaded."
    assert failed.outputs["broken-1"].text is None


def test_a_batchs_two_files_are_joined_by_custom_id_in_either_order() -> None:
    asked, answered = (FIXTURES / "openai" / f"batch_{name}.jsonl" for name in ("input", "output"))
    for paths in ((asked, answered), (answered, asked)):
        records, skipped = read(*paths)
        assert skipped.total == 0
        assert [record.id for record in records] == [f"batch_req_{index}" for index in (4, 3, 2, 1, 0)]
        expired, _, booked, _, first = records
        assert expired.outputs["small-1"].error is not None
        assert expired.outputs["small-1"].error.startswith("batch_expired: This request")
        assert answers(booked) == (None, [SAUNA_CALL])
        assert (first.messages, answers(first)) == (BREAKFAST, (SMALL_SAYS, None))


def test_half_a_batch_is_counted_and_says_which_file_is_missing() -> None:
    for name, reason in (("input", "no_response"), ("output", "no_request")):
        records, skipped = read(FIXTURES / "openai" / f"batch_{name}.jsonl")
        assert records == []
        assert dict(skipped.counts) == {reason: 5}
        assert "beside it" in skipped.places[reason][0]


def test_two_batches_with_the_same_custom_ids_are_told_apart_by_their_models(tmp_path: Path) -> None:
    def asked(model: str, question: str) -> dict[str, Any]:
        body = {"model": model, "messages": [{"role": "user", "content": question}]}
        return {"custom_id": "r-1", "method": "POST", "url": "/v1/chat/completions", "body": body}

    def answered(model: str, text: str) -> dict[str, Any]:
        body = {"model": model, "choices": [{"message": {"role": "assistant", "content": text}}]}
        return {"id": f"id-{text}", "custom_id": "r-1", "response": {"status_code": 200, "body": body}, "error": None}

    one = write_rows(tmp_path / "one", asked("gpt-9", "when?"), answered("gpt-9-2026-01-01", "now"))
    two = write_rows(tmp_path / "two", asked("gpt-9-mini", "where?"), answered("gpt-9-mini-2026-01-01", "here"))
    records, skipped = read(one, two)
    assert [(item.messages[0].content, answers(item)[0]) for item in records] == [("when?", "now"), ("where?", "here")]
    third = write_rows(tmp_path / "three", asked("gpt-9", "why?"), answered("gpt-9-2026-01-01", "so"))
    records, skipped = read(one, third)
    assert records == []
    assert skipped.counts["ambiguous_custom_id"] == 2


@pytest.mark.parametrize("name", ["standard_logging_payload.jsonl", "spend_logs.jsonl"])
def test_litellms_payloads_and_its_tables_rows_become_the_same_records(name: str) -> None:
    records, skipped = read(FIXTURES / "litellm" / name)
    assert skipped.total == 0
    first, second, booked, streamed, failed = records
    assert first.outputs["small-1"] == Output(
        text=SMALL_SAYS,
        input_tokens=41,
        output_tokens=12,
        latency_s=first.outputs["small-1"].latency_s,
        cost_usd=6.500000000000001e-05,
    )
    assert (first.messages, first.session) == (BREAKFAST, "stay-7")
    assert (first.metadata or {})["answered_as"] == {"small-1": SMALL}
    assert first.timestamp is not None
    assert answers(booked) == (None, [SAUNA_CALL])
    assert booked.tools is not None
    assert (list(second.outputs), answers(streamed)) == (["frontier-1"], (FRONTIER_SAYS, None))
    assert list(streamed.outputs) == ["frontier-1"]
    error = failed.outputs["broken-1"].error
    assert error is not None
    assert error.startswith("BadRequestError: ")
    assert "\n" not in error


def test_the_table_of_litellm_may_come_as_csv_as_a_database_dumps_it(tmp_path: Path) -> None:
    path = FIXTURES / "litellm" / "spend_logs.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        row["startTime"] = row["startTime"].replace("T", " ")
    with (tmp_path / "table.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    records, skipped = read(tmp_path / "table.csv")
    assert skipped.total == 0
    assert [record.outputs for record in records] == [record.outputs for record in read(path)[0]]


def test_litellms_calls_that_are_no_chat_or_were_not_stored_are_counted_with_what_to_do(tmp_path: Path) -> None:
    rows = [json.loads(line) for line in (FIXTURES / "litellm" / "spend_logs.jsonl").read_text().splitlines()]
    rows[0] |= {"call_type": "aembedding"}
    rows[1] |= {"proxy_server_request": "{}"}
    rows[2] |= {"response": "{}"}
    records, skipped = read(write_rows(tmp_path / "log", *rows))
    assert len(records) == 2
    assert dict(skipped.counts) == {"not_a_chat_call": 1, "no_messages": 1, "no_response": 1}
    assert "store_prompts_in_spend_logs" in skipped.places["no_messages"][0]
    assert skipped.places["no_response"][0].startswith("log:3: ")


ASKED = {"messages": [{"role": "user", "content": "hi"}]}
ANSWERED = {"choices": [{"message": {"content": "hello"}}]}
NAMELESS = {
    "openai": {"request": ASKED, "response": ANSWERED},
    "litellm": {**ASKED, "response": ANSWERED, "call_type": "completion", "spend": 0},
    "helicone": {"request_id": "r", "request_created_at": 1, "delay_ms": 250, "request_body": ASKED}
    | {"response_body": ANSWERED},
}


@pytest.mark.parametrize("name", NAMELESS)
def test_a_call_of_which_nothing_names_the_model_is_counted(tmp_path: Path, name: str) -> None:
    records, skipped = read(write_rows(tmp_path / "log", NAMELESS[name]))
    assert (records, dict(skipped.counts)) == ([], {"no_model": 1})


@pytest.mark.parametrize("name", ["litellm", "helicone"])
def test_the_rows_own_counts_stand_in_for_what_the_response_did_not_count(tmp_path: Path, name: str) -> None:
    row = NAMELESS[name] | {"model": "m", "prompt_tokens": 7, "completion_tokens": 8}
    row["response" if name == "litellm" else "response_body"] = ANSWERED | {"usage": {"prompt_tokens": 3}}
    (record,), _ = read(write_rows(tmp_path / "log", row))
    assert (record.outputs["m"].input_tokens, record.outputs["m"].output_tokens) == (3, 8)


def test_a_cached_answer_of_litellm_has_no_latency_and_no_cost(tmp_path: Path) -> None:
    row = json.loads((FIXTURES / "litellm" / "standard_logging_payload.jsonl").read_text().splitlines()[0])
    (record,), _ = read(write_rows(tmp_path / "log", row | {"cache_hit": True}))
    assert (record.outputs["small-1"].latency_s, record.outputs["small-1"].cost_usd) == (None, None)
    assert (record.metadata or {})["cache_hit"] is True


@pytest.mark.parametrize("name", ["requests.csv", "requests.json"])
def test_helicones_csv_and_json_become_the_same_records(name: str) -> None:
    records, skipped = read(FIXTURES / "helicone" / name)
    assert skipped.total == 0
    first, second, booked, streamed, failed = records
    assert first.outputs == {
        SMALL: Output(
            text=SMALL_SAYS, feedback=0.0, input_tokens=41, output_tokens=12, latency_s=0.5, cost_usd=0.000125
        )
    }
    assert (first.session, first.timestamp, first.step) == ("stay-3", "2026-01-01T08:00:01.000Z", "respond")
    assert second.outputs[FRONTIER].feedback == 1.0
    assert answers(booked) == (None, [SAUNA_CALL])
    assert answers(streamed) == (FRONTIER_SAYS, None)
    assert failed.outputs["broken-1"].error == "server_error: The model is overloaded."


def test_helicones_tool_writes_no_responses_into_its_csv_and_that_is_said() -> None:
    records, skipped = read(FIXTURES / "helicone" / "tool.csv")
    assert records == []
    assert dict(skipped.counts) == {"no_response": 2}  # its bodies, with quotes doubled twice, were read
    assert "--include-body" in skipped.places["no_response"][0]


RESPONSES_BODY = {
    "model": "m",
    "instructions": "Be brief.",
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "When?"}]},
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "call_id": "c", "name": "clock", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "nine"},
    ],
    "tools": [{"type": "function", "name": "clock", "parameters": {}}],
    "text": {"format": {"type": "json_schema", "name": "time", "schema": {}}},
}
RESPONSES_ANSWER = {
    "id": "resp_1",
    "created_at": 7,
    "model": "m",
    "output": [
        {"type": "reasoning", "summary": []},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Nine."}]},
        {"type": "function_call", "name": "clock", "arguments": '{"zone": "UTC"}'},
    ],
    "usage": {"input_tokens": 5, "output_tokens": 2},
}


def test_the_responses_api_is_read_into_the_same_shape(tmp_path: Path) -> None:
    (record,), _ = read(write_rows(tmp_path / "log", {"request": RESPONSES_BODY, "response": RESPONSES_ANSWER}))
    assert [(message.role, message.tool_call_id) for message in record.messages] == [
        ("system", None),
        ("user", None),
        ("assistant", None),
        ("tool", "c"),
    ]
    assert record.tools == [{"type": "function", "function": {"name": "clock", "parameters": {}}}]
    assert record.response_format == {"type": "json_schema", "json_schema": {"name": "time", "schema": {}}}
    assert record.outputs == {
        "m": Output(text="Nine.", tool_calls=[ToolCall("clock", {"zone": "UTC"})], input_tokens=5, output_tokens=2)
    }
    assert infer_step(record) == "tool_result"


ASKED = {"model": "m", "messages": [{"role": "user", "content": "When?"}]}
WHOLE = {"id": "c-1", "model": "m", "choices": [{"message": {"role": "assistant", "content": "Nine."}}]}
EVENTS = (
    'data: {"model": "m", "choices": [{"delta": {"content": "Ni"}}]}\n\n'
    'data: {"choices": [{"delta": {"content": "ne."}}]}'
)


@pytest.mark.parametrize(
    "row",
    [
        {"request": ASKED, "response": WHOLE},
        {"request": json.dumps(ASKED), "response": json.dumps(WHOLE)},
        {"request": {"method": "POST", "body": ASKED}, "response": {"status": 200, "body": WHOLE}},
        {"request": {"json_data": ASKED}, "response": {"body": json.dumps(WHOLE)}},
        {"body": ASKED, "response": WHOLE},
        {"request_body": ASKED, "response_body": WHOLE},
        {"kwargs": ASKED, "result": WHOLE},
        {**ASKED, "response": WHOLE},
        {**ASKED, "response": "Nine."},
        {**ASKED, "completion": "Nine."},
        {**ASKED, "choices": WHOLE["choices"]},
        {"request": ASKED, "response": {"content": "Nine."}},
        {"request": ASKED, "response": EVENTS},
        {"request": ASKED, "chunks": EVENTS.split("\n\n")},
    ],
    ids=lambda row: "+".join(row) + f"-{type(next(iter(row.values()))).__name__}",
)
def test_variants_of_a_logged_call_are_read_alike(tmp_path: Path, row: dict[str, Any]) -> None:
    (record,), skipped = read(write_rows(tmp_path / "log", row))
    assert (record.messages, answers(record)) == ([Message("user", "When?")], ("Nine.", None))
    assert list(record.outputs) == ["m"]
    assert skipped.total == 0


def test_what_a_row_says_beside_the_bodies_is_carried_over(tmp_path: Path) -> None:
    row = {
        "request": {**ASKED, "messages": [*ASKED["messages"]]},
        "response": {**WHOLE, "choices": [{**WHOLE["choices"][0], "finish_reason": "length"}]},  # type: ignore[index]
        "id": "call-9",
        "latency_ms": 250,
        "cost": "0.5",
        "timestamp": "2026-01-01T00:00:00Z",
        "metadata": {"trace_id": "t", "session_id": "s", "step": "plan"},
        "feedback": "thumbs_up",
        "task": "hotel",
    }
    (record,), _ = read(write_rows(tmp_path / "log", row))
    assert (record.id, record.session, record.step, record.task) == ("call-9", "s", "plan", "hotel")
    assert (record.timestamp, record.metadata) == ("2026-01-01T00:00:00Z", {"finish_reason": "length"})
    output = record.outputs["m"]
    assert (output.latency_s, output.cost_usd, output.feedback) == (0.25, 0.5, 1.0)


def test_every_importer_recognises_its_own_fixtures_and_no_other_does() -> None:
    for path in sorted(FIXTURES.glob("*/*.jsonl")) + sorted(FIXTURES.glob("*/*.csv")):
        if path.parent.name not in ("openai", "litellm", "helicone"):
            continue
        for row, place in logs.read_rows(path, Skipped()):
            names = [importer.name for importer in IMPORTERS if importer.recognises(row)]
            assert len(names) == 1, f"{place}: {names}"
            assert names[0].split()[0] == path.parent.name


ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 10**20) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = """
    id request response messages model choices message content tool_calls function name arguments error usage body
    call_type model_parameters response_cost proxy_server_request metadata request_body response_body request_id
    request_properties request_created_at custom_id outputs input output type role tools text format stream delta index
    created timestamp latency cost feedback status status_code startTime endTime streamed_data chunks call_id
""".split()  # noqa: SIM905
SHAPED = st.recursive(
    ANY | st.sampled_from(["user", "completion", "message", "data: {}", '{"choices": [{}]}', "{}", "[1]", "failure"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=15,
)


CALL_LOGS = {"openai", "openai batch", "litellm", "helicone", "paired log"}


@pytest.mark.parametrize(
    "row",
    [
        {"id": "r", "run_type": "llm", "inputs": {"messages": []}, "outputs": {"choices": []}, "trace_id": "t"},
        {"id": "o", "input": {"messages": []}, "output": "x", "provided_model_name": "m", "usage_details": {}},
        {"id": "o", "input": {"messages": []}, "output": "x", "model": "m", "usageDetails": {}, "traceId": "t"},
        {"resourceSpans": []},
    ],
    ids=["langsmith", "langfuse", "langfuse API", "otlp"],
)
def test_a_row_of_a_trace_is_none_of_these_formats(row: dict[str, Any]) -> None:
    assert {importer.name for importer in IMPORTERS if importer.recognises(row)}.isdisjoint(CALL_LOGS)


@settings(deadline=None, max_examples=40)
@given(row=st.dictionaries(st.sampled_from(KEYS), SHAPED, max_size=8))
def test_a_row_of_any_shape_gives_records_feedback_or_reasons_and_never_an_exception(row: dict[str, Any]) -> None:
    for importer in IMPORTERS:
        importer.recognises(row)
        for item in importer.read(msgspec.json.decode(msgspec.json.encode(row))):
            assert isinstance(item, Record | Feedback | Unusable)
            if isinstance(item, Record):
                assert msgspec.convert(msgspec.to_builtins(item), Record) is not None
                msgspec.json.encode(item)


def test_a_file_of_no_known_format_is_refused_with_what_it_holds_and_what_is_known(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "orders.jsonl", {"order": 1, "customer": "x"})
    with pytest.raises(
        InputError, match=r"orders.jsonl:1: a log of no known format; it holds order, customer\."
    ) as error:
        read(path)
    for importer in IMPORTERS:
        assert importer.name in str(error.value)


SOURCES = [
    path.read_bytes() for path in sorted(FIXTURES.glob("*/*")) if path.parent.name in ("openai", "helicone", "litellm")
]


@settings(deadline=None, max_examples=60)
@given(
    content=st.sampled_from(SOURCES) | st.binary(max_size=50) | st.text(max_size=50).map(str.encode),
    cuts=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 40), st.binary(max_size=6)), max_size=4),
    packed=st.booleans(),
)
def test_a_damaged_file_gives_records_reasons_or_one_clear_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, cuts: list[tuple[float, int, bytes]], packed: bool
) -> None:
    content = gzip.compress(content, mtime=0) if packed else content
    for share, length, put in cuts:
        place = int(share * len(content))
        content = content[:place] + put + content[place + length :]
    path = tmp_path_factory.mktemp("damaged") / "log"
    path.write_bytes(content)
    skipped = Skipped()
    with contextlib.suppress(LearnedRouterError):  # one line that names what is wrong; no other exception may come
        for record in read_pairs([path], skipped):
            assert record.messages
            assert record.outputs


def test_a_file_in_which_no_row_can_be_read_is_counted_not_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("just a note\nand another\n")
    records, skipped = read(tmp_path)
    assert records == []
    assert dict(skipped.counts) == {"not_json": 2}


def test_a_number_too_large_for_64_bits_is_carried_through_pairing(tmp_path: Path) -> None:
    tool = {"function": {"name": "count", "parameters": {"maximum": 10**30}}}
    row = {**PAIRED[0], "tools": [tool]}
    (record,) = read_pairs([write_rows(tmp_path / "log", row)], Skipped())
    assert record.tools == [tool]


PAIRED = [
    {
        "id": str(i),
        "messages": [{"role": "user", "content": f"question {i}"}],
        "outputs": {"m": {"text": "x"}},
        "step": "respond",
    }
    for i in range(3)
]


@pytest.mark.parametrize("way", ["lines", "gzipped lines", "array", "array on many lines"])
def test_a_paired_log_is_read_as_before_and_in_other_ways_to_write_it(tmp_path: Path, way: str) -> None:
    lines = write_rows(tmp_path / "lines", *PAIRED)
    wanted = list(read_records([lines], Skipped()))
    path = tmp_path / "log"
    content = json.dumps(PAIRED, indent=1 if "many" in way else None) if "array" in way else lines.read_text()
    path.write_bytes(gzip.compress(content.encode()) if "gzipped" in way else content.encode())
    assert read(path)[0] == wanted


@pytest.mark.parametrize("way", ["lines", "array"])
def test_bad_records_are_counted_under_the_same_reasons_however_they_are_written(tmp_path: Path, way: str) -> None:
    bad = [
        PAIRED[0],
        {"id": "x", "outputs": {"m": {}}},
        PAIRED[0],
        {**PAIRED[1], "messages": []},
        {**PAIRED[1], "outputs": {}},
    ]
    path = tmp_path / "log"
    path.write_text(json.dumps(bad) if way == "array" else "\n".join(map(json.dumps, bad)))
    records, skipped = read(path)
    assert len(records) == 1
    assert dict(skipped.counts) == {"missing_field": 1, "duplicate_id": 1, "no_messages": 1, "no_outputs": 1}


def test_a_record_whose_models_stand_in_two_files_under_one_id_is_paired(tmp_path: Path) -> None:
    one = write_rows(tmp_path / "one", *PAIRED)
    two = write_rows(tmp_path / "two", *({**row, "outputs": {"big": {"text": "y"}}} for row in PAIRED))
    skipped = Skipped()
    found = list(read_pairs([one, two], skipped))
    assert [(item.id, list(item.outputs)) for item in found] == [(str(i), ["m", "big"]) for i in range(3)]
    assert skipped.total == 0


def test_a_given_step_is_kept_and_a_missing_one_is_left_to_the_labels(tmp_path: Path) -> None:
    rows = [{**PAIRED[0], "step": "plan"}, {key: value for key, value in PAIRED[1].items() if key != "step"}]
    records, _ = read(write_rows(tmp_path / "log", *rows))
    assert [record.step for record in records] == ["plan", None]


class Rated:
    """A format of which ratings come in rows of their own, before or after the call, of a call or of a session."""

    name = "rated"

    def recognises(self, row: dict[str, Any]) -> bool:
        return "rated" in row

    def read(self, row: dict[str, Any]) -> Iterator[Record | Feedback | Unusable]:
        if "value" in row:
            yield Feedback(row["rated"], row["value"], "thumbs")
        else:
            messages = [Message("user", row["rated"])]
            yield Record(
                id=row["rated"], messages=messages, outputs={"m": Output(text="x")}, session=row.get("session")
            )


@pytest.mark.parametrize("ratings_first", [False, True])
def test_ratings_are_joined_by_record_before_session_wherever_they_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ratings_first: bool
) -> None:
    monkeypatch.setattr(logs, "IMPORTERS", (Rated(),))
    calls = [{"rated": "a", "session": "s"}, {"rated": "b", "session": "s"}, {"rated": "c"}]
    said = [("a", 1.0), ("a", 0.5), ("s", 0.0), ("nobody", 1.0)]
    ratings = [{"rated": target, "value": value} for target, value in said]
    records, skipped = read(write_rows(tmp_path / "log", *(ratings + calls if ratings_first else calls + ratings)))
    assert [record.outputs["m"].feedback for record in records] == [0.75, 0.0, None]
    assert dict(skipped.counts) == {"feedback_without_record": 1}


@pytest.mark.parametrize(
    ("files", "tiers"),
    [
        ("openai/calls.jsonl", (SMALL, FRONTIER)),
        ("openai/batch_*.jsonl", (SMALL, FRONTIER)),
        ("litellm/standard_logging_payload.jsonl", ("small-1", "frontier-1")),
        ("litellm/spend_logs.jsonl", ("small-1", "frontier-1")),
        ("helicone/requests.csv", (SMALL, FRONTIER)),
    ],
)
def test_every_format_goes_from_its_fixture_to_labels(tmp_path: Path, files: str, tiers: tuple[str, str]) -> None:
    names = dict(zip(("small", "frontier"), tiers, strict=True))
    run = label_files(sorted(FIXTURES.glob(files)), names, tmp_path / "labels.jsonl")
    labels = list(read_labels([tmp_path / "labels.jsonl"], Skipped()))
    assert run.made == len(labels) >= 1
    assert labels[0].messages == BREAKFAST
    assert labels[0].step == "respond"
