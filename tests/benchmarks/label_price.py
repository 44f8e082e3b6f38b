"""Measure what labels by agreement alone cost: the APGR of a router trained on them, beside one trained on gold.

Run: python tests/benchmarks/label_price.py [--json FILE] [--page]. Needs the corpora folder beside the checkout.
Both routers are trained with the same recipe and seed on the same split, and both are measured on gold. By agreement, the
references and scores are taken away before the logs are labelled, as in most logs, and from the calibration labels too.
Killed, it goes on with the pair that was not finished.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from corpora import CORPORA, MODELS
from graders_page import PRICE, fill_page
from rich.console import Console

from learned_router.training.baselines import Floats, tabulate
from learned_router.training.evaluate import measure_methods
from learned_router.training.label import label_files
from learned_router.training.labels import load_labels
from learned_router.training.metrics import percentile_interval
from learned_router.training.pipeline import train
from learned_router.training.recipe import load_recipe
from learned_router.training.records import Label, Skipped, label_request, read_records, write_jsonl

MEASURED = ("bfcl", "zeroeval", "mmlu_pro")
TIERS = ("small", "frontier")
RANDOM = 0.5


def hide_gold(logs: Path, out: Path) -> None:
    """The records of ``logs`` without references and scores."""

    def bare() -> Any:
        for record in read_records([logs], Skipped()):
            outputs = {name: msgspec.structs.replace(found, score=None) for name, found in record.outputs.items()}
            yield msgspec.structs.replace(record, reference=None, outputs=outputs)

    write_jsonl(out, bare())


def make_labels(name: str, method: str, folder: Path) -> list[Label]:
    """Labels of one corpus's pair, by ``gold`` or by ``agreement``; all of them."""
    logs, out = CORPORA / f"{name}.jsonl.gz", folder / f"{name}-{method}.jsonl.gz"
    tiers = dict(zip(TIERS, MODELS[name], strict=True))
    if method == "gold":
        label_files([logs], tiers, out, labels="gold")
    else:
        hidden = folder / f"{name}-hidden.jsonl.gz"
        hide_gold(logs, hidden)
        label_files([hidden], tiers, out)
    return load_labels([out]).labels


def score_tests(name: str, method: str, folder: Path, tests: list[Label], recipe: str, console: Console) -> Floats:
    """Predicted regret, (n,), of the test requests, by a router trained on labels made by ``method``."""
    kept = folder / f"{name}-{method}-{recipe}.npy"
    if kept.is_file() and len(scores := np.load(kept)) == len(tests):
        return np.asarray(scores)
    labels = load_labels([folder / f"{name}-{method}.jsonl.gz"])
    out = folder / f"{name}-{method}-{recipe}"
    router = train(labels, out, load_recipe(recipe), baselines=False, console=console).router
    quality = router.predict([label_request(label) for label in tests]).quality.astype(np.float64)
    scores = quality[:, -1] - quality[:, 0]
    np.save(kept, scores)
    return scores


def compare(tests: list[Label], scores: Mapping[str, Floats]) -> dict[str, Any]:
    """Both routers' APGR, and their ratio, with 95 % intervals over the same resamples of whole groups."""
    methods, draws = measure_methods(scores, tabulate(tests, *TIERS))
    found = {method.name: msgspec.to_builtins(method.apgr) for method in methods}
    low, high = percentile_interval(draws["agreement"] / draws["gold"])
    ratio = found["agreement"]["value"] / found["gold"]["value"]
    return {"tests": len(tests), **found, "ratio": {"value": ratio, "low": low, "high": high}}


def measure_price(name: str, folder: Path, recipe: str, console: Console) -> dict[str, Any]:
    console.print(f"{name}: {' → '.join(MODELS[name])}", highlight=False)
    gold = make_labels(name, "gold", folder)
    make_labels(name, "agreement", folder)
    tests = [label for label in gold if label.split == "test"]
    scores = {method: score_tests(name, method, folder, tests, recipe, console) for method in ("gold", "agreement")}
    return {"models": MODELS[name], "recipe": recipe, **compare(tests, scores)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, default=PRICE, help="file of the figures")
    parser.add_argument("--page", action="store_true", help="also fill the tables of training/graders/README.md")
    parser.add_argument("--recipe", default="fast", help="of both trainings")
    parser.add_argument("--work", type=Path, default=Path("runs/label-price"), help="folder of labels and routers")
    arguments = parser.parse_args()
    console = Console()
    if not CORPORA.is_dir():
        console.print(f"nothing measured: {CORPORA} is not there")
        return
    arguments.work.mkdir(parents=True, exist_ok=True)
    results = {name: measure_price(name, arguments.work, arguments.recipe, console) for name in MEASURED}
    arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    if arguments.page:
        fill_page()


if __name__ == "__main__":
    main()
