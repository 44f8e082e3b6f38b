"""Import Helicone's exports: rows of its CSV, and the same rows as JSON.

Knows Helicone's columns; the bodies are read by ``chat``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from learned_router.training.importers.calls import count_tokens, make_record
from learned_router.training.importers.chat import read_request, read_response
from learned_router.training.importers.fields import (
    feedback,
    first_of,
    number,
    object_of,
    parsed,
    seconds_of_ms,
    session_of,
    step_of,
    text,
    timestamp,
)
from learned_router.training.importers.importer import Item, Unusable
from learned_router.training.records import Output, Record

MARKS: Final = frozenset(
    ["request_created_at", "response_created_at", "request_properties", "helicone_user", "request_user_id", "delay_ms"]
)
INCLUDE_BODIES: Final = "export with --include-body, as CSV with the column response_body or as JSON lines"


class Helicone:
    """One request a row, with its body and its response's as JSON in cells, or as objects."""

    name = "helicone"
    feedback_apart = False

    def recognises(self, row: dict[str, Any]) -> bool:
        return bool({"request_id", "response_id"} & row.keys()) and len(MARKS & row.keys()) >= 2

    def read(self, row: dict[str, Any]) -> Iterator[Item]:
        yield _read_row(row)


def _read_row(row: dict[str, Any]) -> Record | Unusable:
    body = object_of(row.get("request_body"))
    if not body:
        return Unusable("no_request", f"request_body is empty; {INCLUDE_BODIES}")
    asked = read_request(body)
    if isinstance(asked, Unusable):
        return asked
    model = text(first_of(row, "model", "response_model", "request_model", "model_override"))
    status = number(first_of(row, "response_status", "status"))
    answer = parsed(first_of(row, "response_body"))
    if isinstance(answer, dict) and isinstance(answer.get("streamed_data"), list | str):
        answer = answer["streamed_data"]
    answered = read_response(answer, tools_offered=bool(asked.tools))
    notes: dict[str, Any] = {}
    created = None
    if isinstance(answered, Unusable):
        if status is None or 0 < status < 400:
            return Unusable("no_response", f"response_body is empty; {INCLUDE_BODIES}") if not answer else answered
        output = Output(error=f"HTTP {int(status)}")
    else:
        output, created, notes = answered.output, answered.created, answered.notes
        model = answered.model or model
        if status is not None and status >= 400 and not output.error:
            output = Output(error=f"HTTP {int(status)}")
    _add_figures(row, output)
    properties = _properties(row)
    return make_record(
        row,
        asked,
        model or asked.model,
        output,
        id=text(first_of(row, "request_id", "response_id")),
        session=session_of(properties),
        timestamp=timestamp(first_of(row, "request_created_at", "created_at", "response_created_at"))
        or timestamp(created),
        step=step_of(properties),
        notes=notes,
    )


def _add_figures(row: dict[str, Any], output: Output) -> None:
    count_tokens(row, output)
    output.latency_s = seconds_of_ms(first_of(row, "delay_ms", "latency"))
    output.cost_usd = number(first_of(row, "cost", "costUSD", "cost_usd"))
    output.feedback = feedback(first_of(row, "feedback_rating", "feedback", "request_feedback"))


def _properties(row: dict[str, Any]) -> dict[str, Any]:
    """Helicone's own and the user's properties, named as other logs name them: ``Helicone-Session-Id`` → ``session_id``."""
    found = object_of(first_of(row, "request_properties", "properties"))
    return {key.lower().removeprefix("helicone-").replace("-", "_"): value for key, value in found.items()}
