"""All importers together: each row of each fixture has one, and traces come through ``read_logs`` with their feedback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from parcel_records import EXPECTED, FIXTURES, rows_of, what_was_said

from learned_router.training.importers import IMPORTERS
from learned_router.training.importers.logs import read_logs
from learned_router.training.records import Record, Skipped

LINES = sorted(path.relative_to(FIXTURES).parts for path in FIXTURES.glob("*/*.jsonl"))


@pytest.mark.parametrize("parts", LINES, ids="/".join)
def test_each_row_of_each_fixture_is_recognised_by_one_importer(parts: tuple[str, ...]) -> None:
    for row in rows_of(*parts):
        assert len([importer.name for importer in IMPORTERS if importer.recognises(row)]) == 1


def records_of(*paths: Path) -> tuple[list[Record], Skipped]:
    skipped = Skipped()
    return list(read_logs(paths, skipped)), skipped


@pytest.mark.parametrize("name", ["genai", "console", "events", "traceloop"])
def test_traces_come_through_with_their_log_records(name: str) -> None:
    records, skipped = records_of(FIXTURES / "otel" / f"{name}.jsonl")
    assert what_was_said(sorted(records, key=lambda record: float(record.timestamp or 0))) == EXPECTED
    assert skipped.counts == {"plain_span": 1, "embedding_call": 1}


def test_spans_and_log_records_in_two_files_are_one_log(tmp_path: Path) -> None:
    logs, spans = rows_of("otel", "events.jsonl")
    for name, row in (("a-spans.json", spans), ("b-logs.json", logs)):
        (tmp_path / name).write_text(json.dumps(row, indent=1), encoding="utf-8")
    records, _ = records_of(tmp_path)
    assert what_was_said(sorted(records, key=lambda record: float(record.timestamp or 0))) == EXPECTED


def test_scores_on_a_call_a_trace_and_a_session_find_their_calls(tmp_path: Path) -> None:
    """The narrowest counts: a call's own score, else its trace's, else its session's."""

    def call(name: str, trace: str) -> dict[str, Any]:
        asked = [{"role": "user", "content": name}]
        row = {"id": name, "traceId": trace, "sessionId": "c", "type": "GENERATION", "model": "m", "input": asked}
        return row | {"startTime": "2026-01-01T00:00:00Z", "output": "x"}

    def score(value: float, **target: str) -> dict[str, Any]:
        return {"id": str(value), "name": "n", "source": "API", "dataType": "NUMERIC", "value": value, **target}

    rows = [call("a", "t1"), call("b", "t1"), call("c", "t2"), score(1.0, traceId="t1", observationId="a")]
    rows += [score(0.5, traceId="t1"), score(0.25, sessionId="c")]
    path = tmp_path / "langfuse.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    records, skipped = records_of(path)
    assert [record.outputs["m"].feedback for record in records] == [1.0, 0.5, 0.25]
    assert skipped.total == 0
