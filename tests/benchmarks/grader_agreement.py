"""Measure the graders against gold: how often each finds an output as right or wrong as the benchmark's checker did.

Run: python tests/benchmarks/grader_agreement.py [--json FILE] [--page]. Needs the corpora folder beside the checkout.
The gold scores are read here and nowhere else; by agreement, the references are hidden from the graders too.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from corpora import CORPORA, MODELS
from free_text_curve import CACHE, CHATS, CachedEncoder
from free_text_ranks import measure_ranks
from graders_page import fill_page, tables
from rich.console import Console

from learned_router.training.graders import Grade, GradeOptions, grade_record
from learned_router.training.graders.free_text import Embed
from learned_router.training.graders.grade import CERTAINTY
from learned_router.training.label import label
from learned_router.training.labelling.tally import RIGHT
from learned_router.training.records import Record, Skipped, read_records

# routellm_mmlu holds scores and no outputs
PAIRS = {log: models for log, models in MODELS.items() if log != "routellm_mmlu"}

# what a grader said of one output, and whether gold has it so; the frontier's gold score where it took part
Verdict = tuple[Grade | None, bool, bool]


def measure(verdicts: Iterable[Verdict]) -> dict[str, Any]:
    """Share of verdicts that agree with gold, the errors of either kind, and the same by grader.

    frontier_wrong: disagreements where gold has the frontier wrong, whose output was all there was to go by.
    """
    counts = Counter(dict.fromkeys(("graded", "agreeing", "wrongly_right", "wrongly_wrong", "not_graded"), 0))
    frontier_wrong, graders = 0, {}
    for grade, gold, frontier_is_right in verdicts:
        if grade is None:
            counts["not_graded"] += 1
            continue
        ours = grade.quality >= RIGHT
        kind = "agreeing" if ours == gold else "wrongly_right" if ours else "wrongly_wrong"
        counts[kind] += 1
        counts["graded"] += 1
        frontier_wrong += ours != gold and not frontier_is_right
        graders.setdefault(grade.grader, Counter())[kind] += 1
    return {
        **counts,
        "agreement": counts["agreeing"] / counts["graded"] if counts["graded"] else None,
        "frontier_wrong": frontier_wrong,
        "graders": {name: dict(found) for name, found in graders.items()},
    }


def by_reference(records: Iterable[Record], options: GradeOptions) -> Iterator[Verdict]:
    """Every model's output alone, right where gold is at least ``RIGHT``."""
    for record in records:
        for model, output in record.outputs.items():
            if output.score is not None:
                graded = grade_record(record, {model: output}, options)
                yield None if isinstance(graded, tuple) else graded[model], output.score >= RIGHT, True


def by_agreement(
    records: Iterable[Record], small: str, frontier: str, options: GradeOptions, *, as_good: bool
) -> Iterator[Verdict]:
    """The small model's output beside the frontier's, without the reference.

    as_good: gold is whether the small model's score is at least the frontier's, on all requests. Otherwise gold is
    whether the small model is right, and only requests that the frontier has right count.
    """
    for record in records:
        output, best = record.outputs.get(small), record.outputs.get(frontier)
        if output is None or best is None or output.score is None or best.score is None:
            continue
        right = best.score >= RIGHT
        if not as_good and not right:
            continue
        hidden = msgspec.structs.replace(record, reference=None)
        graded = grade_record(hidden, {"small": output, "frontier": best}, options)
        gold = output.score >= (best.score if as_good else RIGHT)
        yield None if isinstance(graded, tuple) else graded["small"], gold, right


def measure_corpus(name: str, embed: Embed | None = None) -> dict[str, Any]:
    """All agreements of one corpus, and how many records a second of CPU its pair is labelled at.

    embed: for free text; without it, free text is compared by words and its ranks are not measured.
    """
    path = CORPORA / f"{name}.jsonl.gz"
    records = list(read_records([path], Skipped()))
    small, frontier = PAIRS[name]
    began = time.process_time()
    run = label(read_records([path], Skipped()), {"small": small, "frontier": frontier})
    rate = run.read / (time.process_time() - began)
    reference, agreement = (GradeOptions(grader=method, embed=embed) for method in ("reference", "agreement"))
    return {
        "reference": measure(by_reference(records, reference)),
        "agreement": measure(by_agreement(records, small, frontier, agreement, as_good=False)),
        "as_good": measure(by_agreement(records, small, frontier, agreement, as_good=True)),
        "free_text": measure_ranks(name, small, embed) if embed and name in CHATS else [],
        "certainty": CERTAINTY,
        "records_per_cpu_second": round(rate),
    }


def show(results: dict[str, dict[str, Any]], console: Console) -> None:
    for table in tables(results).values():
        console.print(table, highlight=False, markup=False, soft_wrap=True)
        console.print()
    rates = ", ".join(f"{name} {result['records_per_cpu_second']:,}" for name, result in results.items())
    console.print(f"labelling, reading included, records a second of one core: {rates}", highlight=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--page", action="store_true", help="also fill the tables of training/graders/README.md")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder that keeps embeddings between runs")
    arguments = parser.parse_args()
    console = Console()
    if not CORPORA.is_dir():
        console.print(f"nothing measured: {CORPORA} is not there")
        return
    embed = CachedEncoder(arguments.cache)
    results = {name: measure_corpus(name, embed) for name in PAIRS if (CORPORA / f"{name}.jsonl.gz").is_file()}
    embed.save()
    show(results, console)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    if arguments.page:
        fill_page(results)


if __name__ == "__main__":
    main()
