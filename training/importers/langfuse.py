"""Read Langfuse's exports: observations as its API and its exports write them, and scores as feedback.

Knows Langfuse's rows in camel case (API, UI) and snake case (blob storage); knows no file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from learned_router.training.importers.conversation import read_answer, read_messages, read_tools
from learned_router.training.importers.fields import (
    count,
    first_of,
    list_of,
    mapping_of,
    moment,
    number,
    object_of,
    parsed,
    rating,
    text,
)
from learned_router.training.importers.importer import Feedback, Item, Unusable
from learned_router.training.importers.traced import attempt, make_feedback, make_record, no_call
from learned_router.training.records import Record

_KINDS: Final = {
    "GENERATION": None,
    "SPAN": "plain_span",
    "EVENT": "plain_span",
    "AGENT": "agent_run",
    "CHAIN": "chain_run",
    "TOOL": "tool_run",
    "RETRIEVER": "retriever_run",
    "EMBEDDING": "embedding_call",
    "EVALUATOR": "plain_span",
    "GUARDRAIL": "plain_span",
}
_SCORES: Final = frozenset({"NUMERIC", "BOOLEAN", "CATEGORICAL", "TEXT", "CORRECTION"})


class Langfuse:
    """Observations and scores, a row each; pages of the API (``{"data": [...]}``) and traces with both inside."""

    name = "langfuse"

    def recognises(self, row: dict[str, Any]) -> bool:
        return _is_observation(row) or _is_score(row) or any(True for _ in _inside(row))

    def read(self, row: dict[str, Any]) -> Iterator[Item]:
        yield from attempt(_read, row)


def _read(row: dict[str, Any]) -> Iterator[Item]:
    if _is_observation(row):
        yield _read_observation(row)
    elif _is_score(row):
        yield _read_score(row)
    else:
        found = False
        session = text(first_of({**row, **mapping_of(row.get("trace"))}, "sessionId", "session_id"))
        for item in _inside(row):
            found = True
            yield from attempt(_read, {"sessionId": session, **item} if session and _is_observation(item) else item)
        if not found:
            yield Unusable("not_an_observation", "neither an observation nor a score; export observations and scores")


def _is_observation(row: dict[str, Any]) -> bool:
    kind = row.get("type")
    return (
        isinstance(kind, str)
        and kind in _KINDS
        and first_of(row, "startTime", "start_time") is not None
        and ("traceId" in row or "trace_id" in row)
    )


def _is_score(row: dict[str, Any]) -> bool:
    kind = first_of(row, "dataType", "data_type")
    return isinstance(kind, str) and kind in _SCORES and "name" in row and "source" in row


def _inside(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Observations and scores that stand in a page of the API, or in the export of a trace."""
    for name in ("data", "observations", "scores"):
        for item in list_of(row.get(name)):
            if isinstance(item, dict) and (_is_observation(item) or _is_score(item)):
                yield item


def _read_observation(row: dict[str, Any]) -> Record:
    reason = _KINDS[row["type"]]
    if reason is not None:
        raise no_call(reason)
    request = parsed(row.get("input"))
    asked = request if isinstance(request, dict) else {}
    parameters = object_of(first_of(row, "modelParameters", "model_parameters"))
    usage = {
        **object_of(row.get("usage")),
        **object_of(first_of(row, "usageDetails", "usage_details")),
    }
    costs = object_of(first_of(row, "costDetails", "cost_details"))
    return make_record(
        id=text(row.get("id")),
        model=text(first_of(row, "model", "providedModelName", "provided_model_name")),
        messages=read_messages(row.get("input")),
        answer=read_answer(first_of(row, "output")),  # of CSV, nothing is an empty cell
        error=_error(row),
        session=text(first_of(row, "sessionId", "session_id")),
        trace=text(first_of(row, "traceId", "trace_id")),
        start=moment(first_of(row, "startTime", "start_time")),
        end=moment(first_of(row, "endTime", "end_time")),
        tools=read_tools(
            first_of(asked, "tools", "functions")
            or first_of(parameters, "tools")
            or first_of(row, "toolDefinitions", "tool_definitions")
        ),
        response_format=parsed(first_of(asked, "response_format") or parameters.get("response_format")),
        input_tokens=count(first_of(usage, "input", "prompt_tokens", "promptTokens", "input_tokens", "inputUsage")),
        output_tokens=count(
            first_of(usage, "output", "completion_tokens", "completionTokens", "output_tokens", "outputUsage")
        ),
        latency_s=number(row.get("latency")),
        step=object_of(row.get("metadata")).get("step"),
        cost_usd=number(first_of(row, "totalCost", "total_cost", "calculatedTotalCost") or first_of(costs, "total")),
    )


def _error(row: dict[str, Any]) -> str | None:
    if row.get("level") != "ERROR":
        return None
    return text(first_of(row, "statusMessage", "status_message")) or "failed"


def _read_score(row: dict[str, Any]) -> Feedback:
    """A score on the observation, else on the session, else on the trace that it names."""
    subject = mapping_of(row.get("subject"))  # version 3 of the scores API
    target = text(
        first_of(row, "observationId", "observation_id", "sessionId", "session_id", "traceId", "trace_id")
        or (subject.get("id") if first_of(subject, "type", "kind") != "experiment" else None)
    )
    name = text(row.get("name")) or "score"
    kind = first_of(row, "dataType", "data_type")
    value, word = row.get("value"), first_of(row, "stringValue", "string_value")
    if kind in ("NUMERIC", "BOOLEAN"):
        found = rating(value) if value is not None else rating(None, word)
    else:  # the number of a category is its place in a list that the row does not show
        found = rating(None, word if word is not None else value if isinstance(value, str) else None)
    return make_feedback(target, found, name, word if word is not None and kind != "NUMERIC" else value)
