"""Bring log records to the spans they belong to, wherever in a log each of them stands. Knows OTLP's rows and ids; knows no
attribute and no file.

In the older event form a call's messages are log records, exported in batches of their own: before its span, after it, or
to another file.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from learned_router.training.importers.importer import Row
from learned_router.training.importers.otlp import is_otlp, raw_logs, raw_spans, span_ids
from learned_router.training.importers.spill import open_spill
from learned_router.training.records import Skipped

TABLE: Final = "CREATE TABLE said (place INTEGER PRIMARY KEY, span TEXT, record BLOB, row TEXT, used INTEGER DEFAULT 0)"


def joined(
    paths: Sequence[Path], skipped: Skipped, read_rows: Callable[[Path, Skipped], Iterator[Row]]
) -> Iterator[Row]:
    """The rows of OpenTelemetry files, each span's log records in the row of the span; those of no span come last.

    read_rows: the rows of a file with their places, counting in ``Skipped`` what cannot be read. Files are read twice; log
    records wait in a temporary file, so memory does not grow with their number.
    Raises InputError when there is no room on disk for that file, and as ``read_rows`` does.
    """
    with open_spill(TABLE) as spill:
        for path in paths:
            for row, place in read_rows(path, Skipped()):  # what is wrong with it is counted the second time
                values = [(span_ids(raw), _packed(raw), place) for raw in raw_logs(row)]
                spill.executemany("INSERT INTO said (span, record, row) VALUES (?, ?, ?)", values)
        (any_logs,) = spill.execute("SELECT EXISTS (SELECT 1 FROM said)").fetchone()
        spill.execute("CREATE INDEX by_span ON said (span)")
        for path in paths:
            for row, place in read_rows(path, skipped):
                spans = list(raw_spans(row)) if any_logs else []
                if spans:
                    yield _document(spans, _logs_of(spill, spans)), place
                elif not any_logs or not is_otlp(row) or not any(True for _ in raw_logs(row)):
                    yield row, place
        for key, place in spill.execute(
            "SELECT span, MIN(row) FROM said WHERE NOT used GROUP BY span ORDER BY MIN(place)"
        ):
            yield _document([], _logs_with(spill, key)), place


def _document(spans: list[dict[str, Any]], logs: list[dict[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}
    return document | ({"resourceLogs": [{"scopeLogs": [{"logRecords": logs}]}]} if logs else {})


def _logs_of(spill: sqlite3.Connection, spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for key in dict.fromkeys(map(span_ids, spans)):
        logs = _logs_with(spill, key)
        if logs:
            spill.execute("UPDATE said SET used = 1 WHERE span = ?", (key,))
            found += logs
    return found


def _logs_with(spill: sqlite3.Connection, key: str) -> list[dict[str, Any]]:
    rows = spill.execute("SELECT record FROM said WHERE span = ? ORDER BY place", (key,))
    return [msgspec.msgpack.decode(packed) for (packed,) in rows.fetchall()]


def _packed(raw: dict[str, Any]) -> bytes:
    try:
        return msgspec.msgpack.encode(raw)
    except (TypeError, ValueError, OverflowError, RecursionError):
        # what cannot be kept is counted as a log record that says nothing
        return msgspec.msgpack.encode({"eventName": "unreadable"})
