"""One command from a log of each format to labels: ``learned-router label`` takes every fixture as it is."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from learned_router.cli import app
from learned_router.training.importers.logs import read_logs
from learned_router.training.records import Record, Skipped, read_labels, write_jsonl

FIXTURES = Path(__file__).resolve().parents[1] / "training" / "fixtures"
# what belongs together is given together: scores beside observations, batch outputs beside their inputs
LOGS = {
    "openai": ["openai/calls.jsonl"],
    "openai batch": ["openai/batch_input.jsonl", "openai/batch_output.jsonl"],
    "litellm payloads": ["litellm/standard_logging_payload.jsonl"],
    "litellm spend logs": ["litellm/spend_logs.jsonl"],
    "langfuse": ["langfuse/observations.jsonl", "langfuse/scores.jsonl"],
    "langsmith": ["langsmith/runs.jsonl"],
    "langsmith parquet": ["langsmith/runs.parquet"],
    "opentelemetry": ["otel/genai.jsonl"],
    "opentelemetry events": ["otel/events.jsonl"],
    "vercel": ["vercel/spans.jsonl"],
    "helicone": ["helicone/requests.csv"],
}


def answered_by_another(records: list[Record]) -> list[Record]:
    """The same requests as our own paired log holds them, answered in the same words by the model ``tiny``."""
    return [
        Record(
            id=f"tiny-{index}",
            messages=record.messages,
            outputs={"tiny": msgspec.structs.replace(output, feedback=None)},
            tools=record.tools,
            response_format=record.response_format,
        )
        for index, record in enumerate(records)
        for output in record.outputs.values()
        if not output.error
    ]


@pytest.mark.parametrize("name", LOGS)
def test_a_log_of_each_format_becomes_labels_by_one_command(name: str, tmp_path: Path) -> None:
    paths = [FIXTURES / file for file in LOGS[name]]
    if any(path.suffix == ".parquet" for path in paths):
        pytest.importorskip("pyarrow", reason="pyarrow is not installed; it reads Parquet")
    assert all(path.is_file() for path in paths)
    records = list(read_logs(paths, Skipped()))
    frontier = Counter(model for record in records for model in record.outputs).most_common(1)[0][0]
    write_jsonl(tmp_path / "tiny.jsonl", answered_by_another([r for r in records if frontier in r.outputs]))

    out = tmp_path / "labels.jsonl.gz"
    command = ["label", *map(str, paths), str(tmp_path / "tiny.jsonl"), "--tier", "small=tiny"]
    command += ["--tier", f"frontier={frontier}", "--out", str(out), "--json"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    labels = list(read_labels([out], Skipped()))
    assert len(labels) >= 1
    # the very same answer; what people said of one of them is carried over, and counts for the other a little less
    assert all(label.quality["small"] == pytest.approx(label.quality["frontier"], abs=0.1) for label in labels)
    assert all(label.step for label in labels)
    assert json.loads(done.stdout)["labels"] == len(labels)
