"""Decode OpenTelemetry's JSON into spans and events: OTLP files, and what the SDK's console exporters print.

Knows OTLP's encoding of values, ids and times; knows nothing of what the attributes mean.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from learned_router.training.importers.fields import first_of, list_of, mapping_of, moment, text

_TRACES: Final = ("resourceSpans", "resource_spans")
_LOGS: Final = ("resourceLogs", "resource_logs")
_SCOPES: Final = ("scopeSpans", "scope_spans", "instrumentationLibrarySpans", "scopeLogs", "scope_logs")


class Event(msgspec.Struct, frozen=True):
    """An event of a span, or a log record. body: the log record's, decoded. span: ids of its trace and span."""

    name: str
    attributes: dict[str, Any]
    body: Any = None
    span: tuple[str | None, str | None] = (None, None)
    time: float | None = None


class Span(msgspec.Struct, frozen=True):
    """A span with decoded attributes. start, end: seconds since 1970. error: why it failed, None when it did not."""

    name: str
    trace: str | None
    id: str | None
    parent: str | None
    start: float | None
    end: float | None
    attributes: dict[str, Any]
    events: list[Event]
    error: str | None


def is_otlp(row: dict[str, Any]) -> bool:
    return any(isinstance(row.get(name), list) for name in (*_TRACES, *_LOGS)) or _is_span(row) or _is_log(row)


def raw_spans(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The spans of a row, not yet decoded: of an OTLP document, or the row itself."""
    if _is_span(row):
        yield row
    yield from _leaves(row, _TRACES, "spans")


def raw_logs(row: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The log records of a row, not yet decoded: of an OTLP document, or the row itself."""
    if _is_log(row):
        yield row
    yield from _leaves(row, _LOGS, "logRecords", "log_records")


def decode_span(raw: dict[str, Any]) -> Span:
    context = mapping_of(raw.get("context"))
    status = mapping_of(raw.get("status"))
    attributes = _attributes(raw.get("attributes"))
    events = [decode_event(event) for event in list_of(raw.get("events")) if isinstance(event, dict)]
    return Span(
        name=text(raw.get("name")) or "",
        trace=_id(first_of(raw, "traceId", "trace_id") or context.get("trace_id")),
        id=_id(first_of(raw, "spanId", "span_id") or context.get("span_id")),
        parent=_id(first_of(raw, "parentSpanId", "parent_span_id", "parent_id")),
        start=moment(first_of(raw, "startTimeUnixNano", "start_time_unix_nano", "start_time")),
        end=moment(first_of(raw, "endTimeUnixNano", "end_time_unix_nano", "end_time")),
        attributes=attributes,
        events=events,
        error=_error(status, attributes, events),
    )


def decode_event(raw: dict[str, Any]) -> Event:
    attributes = _attributes(raw.get("attributes"))
    name = first_of(raw, "eventName", "event_name", "name") or attributes.get("event.name")
    return Event(
        name=text(name) or "",
        attributes=attributes,
        body=_body(raw.get("body")),
        span=(_id(first_of(raw, "traceId", "trace_id")), _id(first_of(raw, "spanId", "span_id"))),
        time=moment(first_of(raw, "timeUnixNano", "observedTimeUnixNano", "timestamp", "observed_timestamp")),
    )


def span_ids(raw: dict[str, Any]) -> str:
    """What names a span in all of a log, and the span of a log record: the ids of its trace and its own."""
    context = mapping_of(raw.get("context"))
    trace = _id(first_of(raw, "traceId", "trace_id") or context.get("trace_id"))
    return f"{trace}/{_id(first_of(raw, 'spanId', 'span_id') or context.get('span_id'))}"


def _is_span(row: dict[str, Any]) -> bool:
    """A span as a line of its own: OTLP's, or the console exporter's, whose ids stand in ``context``."""
    has_ids = (first_of(row, "traceId", "trace_id") and first_of(row, "spanId", "span_id")) is not None
    in_context = {"trace_id", "span_id"} <= mapping_of(row.get("context")).keys()
    timed = first_of(row, "startTimeUnixNano", "start_time_unix_nano", "start_time") is not None
    return timed and (has_ids or in_context) and isinstance(row.get("attributes"), list | dict) and "name" in row


def _is_log(row: dict[str, Any]) -> bool:
    has_ids = first_of(row, "traceId", "trace_id") is not None and first_of(row, "spanId", "span_id") is not None
    named = isinstance(row.get("attributes"), list | dict) or first_of(row, "eventName", "event_name") is not None
    return has_ids and named and "body" in row and not _is_span(row)


def _leaves(row: dict[str, Any], tops: tuple[str, ...], *names: str) -> Iterator[dict[str, Any]]:
    for resource in (item for top in tops for item in list_of(row.get(top))):
        for scope in (item for name in _SCOPES for item in list_of(mapping_of(resource).get(name))):
            for leaf in (item for name in names for item in list_of(mapping_of(scope).get(name))):
                if isinstance(leaf, dict):
                    yield leaf


def _attributes(value: Any) -> dict[str, Any]:
    if isinstance(value, dict):  # the console exporter's, plain
        return value
    return {
        item["key"]: _any_value(item.get("value"))
        for item in list_of(value)
        if isinstance(item, dict) and isinstance(item.get("key"), str)
    }


def _any_value(value: Any) -> Any:
    """OTLP's ``{"stringValue": ...}`` and so on, decoded; 64 bit integers are written as text."""
    if not isinstance(value, dict):
        return value
    for name, item in value.items():
        match name:
            case "stringValue" | "string_value" | "boolValue" | "bool_value" | "doubleValue" | "double_value":
                return item
            case "intValue" | "int_value":
                return int(item) if isinstance(item, str) and item.lstrip("-").isdecimal() and len(item) < 21 else item
            case "arrayValue" | "array_value":
                return [_any_value(element) for element in list_of(mapping_of(item).get("values"))]
            case "kvlistValue" | "kvlist_value":
                return _attributes(list_of(mapping_of(item).get("values")))
            case "bytesValue" | "bytes_value":
                return item
    return None


def _body(value: Any) -> Any:
    """A log record's body; the console exporter prints it plain."""
    if isinstance(value, dict) and len(value) == 1 and next(iter(value)).endswith(("Value", "_value")):
        return _any_value(value)
    return value


def _id(value: Any) -> str | None:
    """An id without the console exporter's 0x; all zeros mean that there is none."""
    found = (text(value) or "").removeprefix("0x")
    return found if found.strip("0") else None


def _error(status: dict[str, Any], attributes: dict[str, Any], events: list[Event]) -> str | None:
    """Why a span failed: the message of its status, of its exception, or its error's type."""
    code = first_of(status, "code", "status_code")
    failed = code in (2, "2", "STATUS_CODE_ERROR", "ERROR")
    kind = text(attributes.get("error.type"))
    if not failed and kind is None:
        return None
    messages = [event.attributes.get("exception.message") for event in events if event.name == "exception"]
    found = [first_of(status, "message", "description"), *messages, attributes.get("error.message"), kind]
    return next((told for told in map(text, found) if told), "failed")
