"""Import calls of OpenAI's API as teams log them: a request body and a response body a row.

Knows the row around the bodies; the bodies are read by ``chat``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from learned_router.training.importers.calls import make_record
from learned_router.training.importers.chat import Answered, error_text, read_request, read_response
from learned_router.training.importers.fields import (
    feedback,
    first_of,
    number,
    object_of,
    parsed,
    seconds_of_ms,
    session_of,
    span_s,
    step_of,
    text,
    timestamp,
)
from learned_router.training.importers.importer import Item, Unusable
from learned_router.training.records import Output, Record

REQUESTS: Final = ("request", "req", "request_body", "input", "body", "kwargs", "params")
RESPONSES: Final = ("response", "resp", "response_body", "output", "completion", "chunks", "stream", "result")
# what marks a row of another format, although it holds a request and a response
OTHERS: Final = frozenset(
    [
        "outputs",
        "call_type",
        "resourceSpans",
        "attributes",
        "run_type",
        "parent_observation_id",
        "parentObservationId",
        "provided_model_name",
        "usage_details",
        "usageDetails",
        "dotted_order",
        "traceId",
        "trace_id_hex",
        "observation_type",
        "dataType",
        "request_properties",
        "request_created_at",
        "response_created_at",
        "custom_id",
    ]
)
_SECONDS: Final = ("latency_s", "duration_s", "elapsed_s", "latency", "duration", "elapsed", "response_time")
_MILLISECONDS: Final = ("latency_ms", "duration_ms", "elapsed_ms", "response_ms", "response_time_ms")
_COSTS: Final = ("cost_usd", "cost", "response_cost", "total_cost", "spend")
_BEGAN: Final = ("start_time", "started_at", "startTime", "request_time")
_ENDED: Final = ("end_time", "ended_at", "endTime", "response_time_at")


class OpenAI:
    """``{"request": {...}, "response": {...}}`` and its variants; also ``messages`` beside ``choices`` or a response."""

    name = "openai"
    feedback_apart = False  # what people said of a call stands in its own row

    def recognises(self, row: dict[str, Any]) -> bool:
        if OTHERS & row.keys():
            return False
        request, _ = _parts(row)
        return request is not None and any(key in row for key in (*RESPONSES, "choices", "error"))

    def read(self, row: dict[str, Any]) -> Iterator[Item]:
        yield read_call(row)


def read_call(row: dict[str, Any]) -> Record | Unusable:
    """The record of one logged call."""
    body, answer = _parts(row)
    if body is None:
        return Unusable("no_request", "no request; the row must hold 'request' (or 'messages') with what was sent")
    asked = read_request(body)
    if isinstance(asked, Unusable):
        return asked
    error = error_text(row.get("error")) or _status_error(row, answer)
    answered = read_response(answer, tools_offered=bool(asked.tools))
    if isinstance(answered, Unusable):
        if not error:
            return answered
        answered = Answered(None, Output(error=error), None, None, {})
    model, output, response_id, created, notes = answered
    if error and not output.error:
        output = Output(error=error)
    model = model or text(row.get("model")) or asked.model
    output.latency_s = _latency_s(row)
    output.cost_usd = number(first_of(row, *_COSTS))
    output.feedback = feedback(first_of(row, "feedback", "user_feedback", "rating", "thumbs"))
    metadata = object_of(row.get("metadata"))
    if asked.model and asked.model != model:
        notes["asked_as"] = {model: asked.model}
    return make_record(
        row,
        asked,
        model,
        output,
        id=text(first_of(row, "id", "request_id", "call_id", "log_id")) or response_id,
        session=session_of(row, metadata, object_of(body.get("metadata"))),
        timestamp=timestamp(first_of(row, "timestamp", "time", "ts", *_BEGAN, "created_at", "created"))
        or timestamp(created),
        step=step_of(row, metadata, object_of(body.get("metadata"))),
        notes=notes,
        task=text(row.get("task")),
    )


def _parts(row: dict[str, Any]) -> tuple[dict[str, Any] | None, Any]:
    """The request's body, None when there is none, and the response's, whatever it is."""
    answer = parsed(first_of(row, *RESPONSES))
    if "choices" in row:
        answer = row
    if isinstance(answer, dict):
        inner = parsed(first_of(answer, "body", "json", "parsed"))
        if isinstance(inner, dict | list) and "choices" not in answer:
            answer = inner
    if isinstance(row.get("messages"), list):
        return row, answer
    for key in REQUESTS:
        body = object_of(row.get(key))
        body = object_of(first_of(body, "body", "json", "json_data")) or body
        if "messages" in body or ("model" in body and ("input" in body or "prompt" in body)):
            return body, answer
    return None, answer


def _status_error(row: dict[str, Any], answer: Any) -> str | None:
    """What an HTTP status of 400 or more says where the response says nothing itself."""
    response = object_of(row.get("response"))
    status = first_of(row, "status_code", "status", "http_status") or first_of(response, "status_code", "status")
    code = number(status)
    if code is None or code < 400 or (isinstance(answer, dict) and error_text(answer.get("error"))):
        return None
    return f"HTTP {int(code)}"


def _latency_s(row: dict[str, Any]) -> float | None:
    found = (
        number(first_of(row, *_SECONDS)),
        seconds_of_ms(first_of(row, *_MILLISECONDS)),
        span_s(first_of(row, *_BEGAN), first_of(row, *_ENDED)),
    )
    return next((seconds for seconds in found if seconds is not None), None)
