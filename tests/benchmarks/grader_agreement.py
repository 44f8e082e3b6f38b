"""Measure the graders against gold: how often each finds an output as right or wrong as the benchmark's checker did.

Run: python tests/benchmarks/grader_agreement.py [--json FILE]. Needs the corpora folder beside the checkout.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from learned_router.training.graders import Grade, grade_by_agreement, grade_by_reference, grade_frontier
from learned_router.training.label import label
from learned_router.training.records import Output, Record, Skipped, read_records
from learned_router.training.tally import RIGHT

CORPORA = Path(__file__).resolve().parents[2].parent / "shared" / "corpora"
PAIRS = {
    "bfcl": ("xLAM-1b-fc-r", "claude-3-5-sonnet-20240620"),
    "bfcl_live": ("AIREV-Agent-0.8B", "gpt-oss-120b"),
    "bfcl_multi_turn": ("gpt-oss-20b", "gpt-oss-120b"),
    "tau2_airline": ("qwen2.5-7b", "claude-sonnet-4-5"),
    "mmlu_pro": ("Meta-Llama-3.1-8B-Instruct", "gpt-4o-2024-05-13"),
    "zeroeval": ("Meta-Llama-3.1-8B-Instruct", "claude-3-5-sonnet-20241022"),
    "routellm_gsm8k": ("Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"),
    "routellm_mtbench": ("Mixtral-8x7B-Instruct-v0.1", "gpt-4-1106-preview"),
    "arena_bench": ("Starling-LM-7B-alpha", "gpt-4-1106-preview"),
}

Case = tuple[Record, Output]


def measure(cases: Iterable[Case], grade: Callable[[Case], Grade | None]) -> dict[str, Any]:
    """Share of ``cases`` whose quality and gold score fall on one side of 0.5, and the errors of either kind."""
    counts = {"graded": 0, "agreeing": 0, "wrongly_right": 0, "wrongly_wrong": 0, "not_graded": 0}
    for case in cases:
        found, score = grade(case), case[1].score
        if found is None or score is None:
            counts["not_graded"] += 1
            continue
        counts["graded"] += 1
        ours, gold = found.quality >= RIGHT, score >= RIGHT
        counts["agreeing" if ours == gold else "wrongly_right" if ours else "wrongly_wrong"] += 1
    return counts | {"agreement": counts["agreeing"] / counts["graded"] if counts["graded"] else None}


def all_outputs(records: Iterable[Record]) -> Iterator[Case]:
    for record in records:
        yield from ((record, output) for output in record.outputs.values() if output.score is not None)


def beside_a_right_frontier(records: Iterable[Record], small: str, frontier: str) -> Iterator[Case]:
    """The small model's outputs where the frontier's is right: only there does agreement claim to mean quality."""
    for record in records:
        best, output = record.outputs.get(frontier), record.outputs.get(small)
        if best and output and output.score is not None and best.score is not None and best.score >= RIGHT:
            yield record, output


def agreement_grader(frontier: str) -> Callable[[Case], Grade | None]:
    def grade(case: Case) -> Grade | None:
        best = case[0].outputs[frontier]
        return grade_by_agreement(*case, best) if grade_frontier(best) else None

    return grade


def measure_corpus(name: str) -> dict[str, Any]:
    """Both agreements of one corpus, and how many records a second of CPU its pair is labelled at."""
    path = CORPORA / f"{name}.jsonl.gz"
    records = list(read_records([path], Skipped()))
    small, frontier = PAIRS[name]
    began = time.process_time()
    run = label(read_records([path], Skipped()), {"small": small, "frontier": frontier})
    rate = run.read / (time.process_time() - began)
    return {
        "reference": measure(all_outputs(records), lambda case: grade_by_reference(*case)),
        "agreement": measure(beside_a_right_frontier(records, small, frontier), agreement_grader(frontier)),
        "records_per_cpu_second": rate,
    }


def show(results: dict[str, dict[str, Any]], console: Console) -> None:
    for method, title in (
        ("reference", "Graded by reference: outputs of all models"),
        ("agreement", "Graded by agreement: the small model where the frontier is right"),
    ):
        table = Table(title=title)
        table.add_column("corpus")
        for heading in ("outputs", "agrees with gold", "right, gold wrong", "wrong, gold right", "no grade"):
            table.add_column(heading, justify="right")
        for name, result in results.items():
            row = result[method]
            share = "—" if row["agreement"] is None else f"{row['agreement']:.2%}"
            counts = (str(row[key]) for key in ("wrongly_right", "wrongly_wrong", "not_graded"))
            table.add_row(name, str(row["graded"]), share, *counts)
        console.print(table)
    rates = ", ".join(f"{name} {result['records_per_cpu_second']:,.0f}" for name, result in results.items())
    console.print(f"labelling, reading included, records a second of one core: {rates}", highlight=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    console = Console()
    if not CORPORA.is_dir():
        console.print(f"nothing measured: {CORPORA} is not there")
        return
    results = {name: measure_corpus(name) for name in PAIRS if (CORPORA / f"{name}.jsonl.gz").is_file()}
    show(results, console)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
