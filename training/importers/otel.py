"""Read OpenTelemetry traces: each span by the dialect it is written in. Knows which dialects there are and what joins log
records to spans; knows no attribute."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from learned_router.training.importers import genai, vercel
from learned_router.training.importers.importer import Item, Unusable
from learned_router.training.importers.otlp import (
    Event,
    Span,
    decode_event,
    decode_span,
    is_otlp,
    raw_logs,
    raw_spans,
)
from learned_router.training.importers.traced import attempt, no_call
from learned_router.training.records import Record

_Key = tuple[str | None, str | None]


class Otel:
    """OTLP JSON, whole files or a line a batch, and single spans as the SDK's console exporter prints them.

    In the older event form what was said stands in log records: those of the row are read with its spans, and
    ``span_logs.joined`` brings them together where they stand in other rows or files.
    """

    name = "opentelemetry"
    feedback_apart = False  # no convention for what people say of a call is in use

    def recognises(self, row: dict[str, Any]) -> bool:
        return is_otlp(row)

    def read(self, row: dict[str, Any]) -> Iterator[Item]:
        yield from attempt(_read, row)


def _read(row: dict[str, Any]) -> Iterator[Item]:
    spans: list[Span] = []
    for raw in raw_spans(row):
        yield from attempt(partial(_decode, raw, spans))
    events: dict[_Key, list[Event]] = {}
    for raw in raw_logs(row):
        yield from attempt(partial(_keep, raw, events))
    by_key = {_key(span): span for span in spans}
    items = [list(attempt(_read_span, span, events.pop(_key(span), []), by_key)) for span in spans]
    yield from _without_repeats(spans, items)
    for of_no_span in events.values():
        yield from attempt(_read_alone, of_no_span)
    if not spans and not events and not is_otlp(row):
        yield Unusable("not_a_span", "neither a span nor a log record; export traces as OTLP JSON")


def _key(span: Span) -> _Key:
    return span.trace, span.id


def _decode(raw: dict[str, Any], spans: list[Span]) -> Iterator[Item]:
    spans.append(decode_span(raw))
    yield from ()


def _keep(raw: dict[str, Any], events: dict[_Key, list[Event]]) -> Iterator[Item]:
    event = decode_event(raw)
    if genai.is_content(event):
        events.setdefault(event.span, []).append(event)
    else:
        yield Unusable("other_log_record", f"a log record named {event.name[:60]!r}; only what calls said is read")


def _read_span(span: Span, events: list[Event], spans: dict[_Key, Span]) -> Iterator[Item]:
    yield vercel.read_span(span, spans) if vercel.is_vercel(span) else genai.read_span(span, events)


def _read_alone(events: list[Event]) -> Iterator[Item]:
    """Log records whose span is not there: one that holds the whole call will do."""
    trace, span_id = events[0].span
    whole = next((event for event in events if event.name == genai.DETAILS), None)
    if whole is None:
        yield Unusable(
            "log_record_without_span",
            f"log records of the span {span_id}, which is not there; give the file of the spans as well",
        )
        return
    error = whole.attributes.get("error.type")
    yield genai.read_span(
        Span(
            name=whole.name,
            trace=trace,
            id=span_id,
            parent=None,
            start=whole.time,
            end=None,
            attributes=whole.attributes,
            events=[],
            error=error if isinstance(error, str) else None,
        )
    )


def _without_repeats(spans: list[Span], items: list[list[Item]]) -> Iterator[Item]:
    """The items, where two instrumentations wrapped one call, without the outer span's record of it."""
    inner: dict[_Key, list[Record]] = {}
    for span, found in zip(spans, items, strict=True):
        inner.setdefault((span.trace, span.parent), []).extend(item for item in found if isinstance(item, Record))
    for span, found in zip(spans, items, strict=True):
        repeated = [record.messages for record in inner.get(_key(span), [])]
        for item in found:
            is_repeat = isinstance(item, Record) and item.messages in repeated
            yield no_call("outer_span").unusable if is_repeat else item
