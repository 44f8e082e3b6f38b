"""How many spans, runs and observations a second each importer of traces reads, on one core, from the test fixtures.

``python tests/benchmarks/trace_speed.py [--seconds 2] [--json FILE]``; decoding the JSON lines is counted.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Final

import msgspec

from learned_router.training.importers.importer import Importer
from learned_router.training.importers.langfuse import Langfuse
from learned_router.training.importers.langsmith import Langsmith
from learned_router.training.importers.otel import Otel

FIXTURES: Final = Path(__file__).resolve().parents[1] / "training" / "fixtures"
LOGS: Final[tuple[tuple[str, Importer], ...]] = (
    ("otel/genai.jsonl", Otel()),
    ("otel/console.jsonl", Otel()),
    ("otel/indexed.jsonl", Otel()),
    ("vercel/spans.jsonl", Otel()),
    ("langfuse/observations.jsonl", Langfuse()),
    ("langfuse/exported.jsonl", Langfuse()),
    ("langsmith/runs.jsonl", Langsmith()),
)


def measure(name: str, importer: Importer, seconds: float) -> dict[str, float]:
    """items: records and what else was told of, per second of processor time. megabytes: read, likewise."""
    lines = (FIXTURES / name).read_bytes().splitlines()
    items = size = 0
    began = time.process_time()
    while (elapsed := time.process_time() - began) < seconds or not items:
        for line in lines:
            items += sum(1 for _ in importer.read(msgspec.json.decode(line)))
            size += len(line)
    return {"items_per_s": items / elapsed, "megabytes_per_s": size / elapsed / 1e6}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = {name: measure(name, importer, arguments.seconds) for name, importer in LOGS}
    for name, figures in found.items():
        print(f"{name:<28} {figures['items_per_s']:>9,.0f} items/s {figures['megabytes_per_s']:>6.0f} MB/s")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
