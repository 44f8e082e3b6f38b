"""The benchmark's pairs of models on the corpora, and their gold labels with one split by question across all files."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
from corpora import CORPORA, MODELS

from learned_router.training.pretrain import read_outcomes
from learned_router.training.records import Label, Skipped

LOGS = (
    "bfcl",
    "bfcl_live",
    "mmlu_pro",
    "zeroeval",
    "routellm_mmlu",
    "routellm_gsm8k",
    "routellm_mtbench",
    "arena_bench",
)


class Pair(NamedTuple):
    """A small and a frontier model on one log. reach: the APGR that was aimed at.

    train_labels: how many labels of the training split may be learned from; 0 for all. draw: which of the random draws
    of so many. least_calibration: calibration labels drawn with them at least, as far as there are so many.
    """

    name: str
    log: str
    small: str
    frontier: str
    reach: float
    train_labels: int = 0
    draw: int = 0
    least_calibration: int = 0


PAIRS = (
    Pair("routellm_mmlu", "routellm_mmlu", *MODELS["routellm_mmlu"], 0.77),
    Pair("routellm_mmlu, 1,500 labels", "routellm_mmlu", *MODELS["routellm_mmlu"], 0.69, train_labels=1500),
    Pair("routellm_gsm8k", "routellm_gsm8k", *MODELS["routellm_gsm8k"], 0.71),
    Pair("mmlu_pro", "mmlu_pro", *MODELS["mmlu_pro"], 0.65),
    Pair("zeroeval", "zeroeval", *MODELS["zeroeval"], 0.71),
    Pair("bfcl xLAM-1b", "bfcl", *MODELS["bfcl"], 0.71),
    Pair("bfcl Llama-3-8B", "bfcl", "Meta-Llama-3-8B-Instruct", MODELS["bfcl"][1], 0.60),
    Pair("bfcl_live", "bfcl_live", *MODELS["bfcl_live"], 0.71),
)


def read_corpora(logs: Sequence[str] = LOGS) -> list[Label]:
    """All requests with every model's gold score, split by question across the files."""
    return read_outcomes([CORPORA / f"{log}.jsonl.gz" for log in logs], Skipped())


def labels_of(pair: Pair, outcomes: Sequence[Label]) -> list[Label]:
    """The pair's labels, tiers ``small`` and ``frontier``."""
    return label_tiers(pair.log, {"small": pair.small, "frontier": pair.frontier}, outcomes)


def label_tiers(log: str, models: Mapping[str, str], outcomes: Sequence[Label]) -> list[Label]:
    """The requests of a log that all of ``models`` answered, labelled with their tiers. models: by tier, cheapest first."""
    found = []
    for label in outcomes:
        quality = {
            tier: label.quality[f"{model} @ {log}"]
            for tier, model in models.items()
            if f"{model} @ {log}" in label.quality
        }
        if len(quality) == len(models):
            found.append(msgspec.structs.replace(label, quality=quality, models=dict(models)))
    return found


def outcomes_of_others(pair: Pair, outcomes: Sequence[Label]) -> dict[str, list[float]]:
    """By label's id, how the log's other models did on the request; of models that answered nearly all of them.

    An output without a score counts as half right. Empty where there is no other model.
    """
    of_log = [label for label in outcomes if f"{pair.small} @ {pair.log}" in label.quality]
    counts = Counter(model for label in of_log for model in label.quality)
    ours = {f"{model} @ {pair.log}" for model in (pair.small, pair.frontier)}
    others = sorted(model for model, count in counts.items() if model not in ours and count > 0.8 * len(of_log))
    return {label.id: [label.quality.get(model, 0.5) for model in others] for label in of_log} if others else {}


def draw_labels(
    labels: Sequence[Label], train_labels: int, *, draw: int = 0, least_calibration: int = 0
) -> list[Label]:
    """A fixed draw of ``train_labels`` labels of the training split, the same share of calibration, and all of test.

    Of the same draw, fewer labels are among more. draw: another number gives another draw. least_calibration: so many
    labels of the calibration split at least, or all of them.
    """
    sides: dict[str, list[Label]] = {"train": [], "calibration": [], "test": []}
    for label in labels:
        sides[label.split].append(label)
    share = min(1.0, train_labels / max(1, len(sides["train"])))
    # a hash of its own: in the order of the one that splits, the draw would not be one at random
    salt = f"draw:{draw}:" if draw else "draw:"
    kept: set[int] = set()
    for side, least in (("train", 0), ("calibration", least_calibration)):
        drawn = sorted(sides[side], key=lambda label: hashlib.sha256(f"{salt}{label.id}".encode()).digest())
        kept.update(id(label) for label in drawn[: max(least, round(share * len(drawn)))])
    return [label for label in labels if label.split == "test" or id(label) in kept]
