"""The pairs whose small answers the corpora hold: their labels with those answers, for the benchmark of the gate.

Knows corpora and labels; knows nothing of networks or figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from bench_pairs import PAIRS, Pair, labels_of
from corpora import CORPORA, MODELS

from learned_router.training.reader import answered_labels
from learned_router.training.records import Label, Output, Skipped, read_records

SMALL, FRONTIER = "small", "frontier"
TIERS = (SMALL, FRONTIER)

# Pairs with answers that are too few for the benchmark of the router
SMALL_PAIRS = tuple(Pair(log, log, *MODELS[log], 0.0) for log in ("arena_bench", "routellm_mtbench"))
# The APGR that was aimed at for prompt and answer together, where any was
REACH: Mapping[str, float | None] = {
    "bfcl Llama-3-8B": 0.80,
    "bfcl xLAM-1b": 0.85,
    "bfcl_live": 0.78,
    "zeroeval": 0.70,
    "mmlu_pro": 0.63,
    "routellm_gsm8k": None,
    "arena_bench": None,
    "routellm_mtbench": None,
}


def gate_pairs() -> list[Pair]:
    """The pairs of the benchmark that have answers, in the order of REACH."""
    by_name = {pair.name: pair for pair in (*PAIRS, *SMALL_PAIRS)}
    return [by_name[name] for name in REACH]


def read_answers(log: str, model: str) -> dict[str, Output]:
    """The model's answers in a log, by the request's id."""
    records = read_records([CORPORA / f"{log}.jsonl.gz"], Skipped())
    return {record.id: record.outputs[model] for record in records if model in record.outputs}


def answered(pair: Pair, outcomes: Sequence[Label], answers: Mapping[str, Output]) -> list[Label]:
    """The pair's labels, each with the small tier's answer where there is one."""
    return [
        msgspec.structs.replace(label, outputs={SMALL: answers[label.id]}) if label.id in answers else label
        for label in labels_of(pair, outcomes)
    ]


def has_answer(label: Label) -> bool:
    """Whether the gate can be shown an answer; one that is an error is none."""
    return bool(answered_labels([label], TIERS))
