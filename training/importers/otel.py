"""Read OpenTelemetry traces: each span by the dialect it is written in. Knows which dialects there are, and what joins
log records to spans; knows no attribute."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from learned_router.training.importers import genai, vercel
from learned_router.training.importers.importer import Unusable
from learned_router.training.importers.otlp import (
    Event,
    Span,
    decode_event,
    decode_span,
    is_otlp,
    raw_logs,
    raw_spans,
)
from learned_router.training.importers.traced import Item, attempt, no_call
from learned_router.training.records import Record

# Calls whose log records came, and whose span has not: batches are exported every few seconds, so few are under way.
CALLS_WAITING: Final = 10_000
_Key = tuple[str | None, str | None]


class Otel:
    """OTLP JSON, whole files or a line a batch, and single spans as the SDK's console exporter prints them.

    The older event form keeps what was said in log records, which the SDK exports before the span of the call: they wait
    for it here. ``finish`` says which waited in vain.
    """

    name = "OpenTelemetry traces (OTLP JSON)"

    def __init__(self) -> None:
        self._waiting: OrderedDict[_Key, list[Event]] = OrderedDict()

    def recognises(self, row: dict[str, Any]) -> bool:
        return is_otlp(row)

    def read(self, row: dict[str, Any]) -> Iterator[Item]:
        yield from attempt(self._read, row)

    def finish(self) -> Iterator[Unusable]:
        """To be called at the end of a file: log records whose span was not in it."""
        waiting, self._waiting = self._waiting, OrderedDict()
        for key in waiting:
            yield _without_span(key)

    def _read(self, row: dict[str, Any]) -> Iterator[Item]:
        alone: list[Event] = []
        for raw in raw_logs(row):
            yield from attempt(self._keep, raw, alone)
        spans: list[Span] = []
        for raw in raw_spans(row):
            yield from attempt(partial(_decode, raw, spans))
        by_key = {_key(span): span for span in spans}
        for event in alone:
            if event.span in by_key:
                self._waiting.setdefault(event.span, []).append(event)
            else:
                yield from attempt(_read_alone, event)
        items = [list(attempt(_read_span, span, self._waiting.pop(_key(span), []), by_key)) for span in spans]
        yield from _without_repeats(spans, items)
        while len(self._waiting) > CALLS_WAITING:
            key, _ = self._waiting.popitem(last=False)
            yield _without_span(key)

    def _keep(self, raw: dict[str, Any], alone: list[Event]) -> Iterator[Item]:
        """Keep a log record for its span. One that holds a whole call goes to ``alone``."""
        event = decode_event(raw)
        if event.name == genai.DETAILS:
            alone.append(event)
        elif genai.is_content(event) and event.span[1]:
            self._waiting.setdefault(event.span, []).append(event)
        else:
            yield Unusable("other_log_record", f"a log record named {event.name[:60]!r}; only what calls said is read")


def _key(span: Span) -> _Key:
    return span.trace, span.id


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


def _decode(raw: dict[str, Any], spans: list[Span]) -> Iterator[Item]:
    spans.append(decode_span(raw))
    yield from ()


def _read_span(span: Span, events: list[Event], spans: dict[_Key, Span]) -> Iterator[Item]:
    yield vercel.read_span(span, spans) if vercel.is_vercel(span) else genai.read_span(span, events)


def _read_alone(event: Event) -> Iterator[Item]:
    """A log record that holds a whole call, whose span is not beside it."""
    trace, span_id = event.span
    error = event.attributes.get("error.type")
    span = Span(
        name=event.name,
        trace=trace,
        id=span_id,
        parent=None,
        start=event.time,
        end=None,
        attributes=event.attributes,
        events=[],
        error=str(error) if isinstance(error, str) else None,
    )
    yield genai.read_span(span)


def _without_span(key: _Key) -> Unusable:
    return Unusable(
        "log_record_without_span",
        f"log records of span {key[1]}, which does not follow them; keep spans and log records in one file, by time",
    )
