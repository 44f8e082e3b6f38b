"""Import LiteLLM's logs: ``StandardLoggingPayload`` as its callbacks write it, and rows of ``LiteLLM_SpendLogs``.

Knows LiteLLM's fields; the bodies are read by ``chat``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from learned_router.training.importers.calls import count_tokens, make_record
from learned_router.training.importers.chat import error_text, read_request, read_response
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

CHAT_CALLS: Final = frozenset(
    [
        "completion",
        "acompletion",
        "text_completion",
        "atext_completion",
        "responses",
        "aresponses",
        "anthropic_messages",
    ]
)
REDACTED: Final = "redacted-by-litellm"
STORE_PROMPTS: Final = "set general_settings.store_prompts_in_spend_logs: true, and export the calls made after that"


class LiteLLM:
    """One call a row; of calls that failed the error is kept as the output's."""

    name = "litellm"
    feedback_apart = False

    def recognises(self, row: dict[str, Any]) -> bool:
        payload = _payload(row)
        return "call_type" in payload and bool({"response_cost", "model_parameters", "spend"} & payload.keys())

    def read(self, row: dict[str, Any]) -> Iterator[Item]:
        yield _read_payload(_payload(row))


def _payload(row: dict[str, Any]) -> dict[str, Any]:
    """The payload of a row that a callback of one's own has wrapped once or twice, or the row."""
    for place in (row, object_of(row.get("kwargs"))):
        inner = place.get("standard_logging_object")
        if inner:
            return object_of(inner)
    return row


def _read_payload(row: dict[str, Any]) -> Record | Unusable:
    kind = row.get("call_type")
    if not isinstance(kind, str) or kind not in CHAT_CALLS:
        return Unusable("not_a_chat_call", f"call_type is {str(kind)[:40]!r}; wanted is a completion")
    body = _request(row)
    if body is None:
        return Unusable("no_messages", f"the messages were not stored; {STORE_PROMPTS}")
    asked = read_request(body)
    if isinstance(asked, Unusable):
        return asked
    if any(message.content == REDACTED for message in asked.messages):
        return Unusable("redacted", "the messages were redacted by LiteLLM; log calls without turn_off_message_logging")
    metadata = object_of(row.get("metadata"))
    model, output, notes = text(row.get("model")), Output(), {}
    created = None
    error = _error(row, metadata)
    if error:
        output = Output(error=error)
    else:
        answered = read_response(parsed(row.get("response")) or None, tools_offered=bool(asked.tools))
        if isinstance(answered, Unusable):
            detail = (
                f"the response was not stored; {STORE_PROMPTS}" if answered.reason == "no_answer" else answered.detail
            )
            return Unusable("no_response", detail)
        output, created, notes = answered.output, answered.created, answered.notes
        # the row's own name goes first: of a stream litellm logs no other, and a model must have one name
        if model and answered.model and answered.model != model:
            notes["answered_as"] = {model: answered.model}
        model = model or answered.model
    model = model or asked.model
    _add_figures(row, output, notes)
    output.feedback = feedback(first_of(metadata, "feedback", "user_feedback"))
    group = text(row.get("model_group"))
    if group and group != model:
        notes["model_group"] = group
    requester = object_of(metadata.get("requester_metadata"))
    return make_record(
        row,
        asked,
        model,
        output,
        id=text(first_of(row, "id", "request_id", "litellm_call_id")),
        session=session_of(row, metadata, requester),
        timestamp=timestamp(row.get("startTime")) or timestamp(created),
        step=step_of(metadata, requester),
        notes=notes,
    )


def _request(row: dict[str, Any]) -> dict[str, Any] | None:
    """The request's body, put together from where the payload or the table keeps its parts; None when not stored."""
    stored = object_of(row.get("proxy_server_request"))
    stored = object_of(stored.get("body")) or stored
    parameters = object_of(row.get("model_parameters"))
    messages = parsed(row.get("messages"))
    if isinstance(messages, dict):
        messages = messages.get("messages")
    if not messages:
        return stored if first_of(stored, "messages", "input", "prompt") else None
    body: dict[str, Any] = {**stored, **parameters, "messages": messages}
    if row.get("model"):
        body.setdefault("model", row["model"])
    return body


def _error(row: dict[str, Any], metadata: dict[str, Any]) -> str | None:
    information = object_of(row.get("error_information")) or object_of(metadata.get("error_information"))
    message = error_text(information) or error_text(row.get("error_str"))
    failed = "failure" in (row.get("status"), metadata.get("status"))
    return (message or "failure") if failed else None


def _add_figures(row: dict[str, Any], output: Output, notes: dict[str, Any]) -> None:
    count_tokens(row, output)
    if str(row.get("cache_hit")).lower() == "true":
        notes["cache_hit"] = True  # what a copy took and cost says nothing of the model
        return
    output.cost_usd = number(first_of(row, "response_cost", "spend"))
    found = (
        span_s(row.get("startTime"), row.get("endTime")),
        seconds_of_ms(row.get("request_duration_ms")),
        number(row.get("response_time")),
    )
    output.latency_s = next((seconds for seconds in found if seconds is not None), None)
