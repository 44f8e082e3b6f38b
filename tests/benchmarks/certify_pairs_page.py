"""The region "pairs" of training/certify.md: what was promised on the calibration split, and what the test split says.

Knows the results of certify_pairs.py; measures nothing.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from bench_store import read_figures

from learned_router.training.evaluation import Estimate
from learned_router.training.report import markdown_table, percent

RESULTS = Path(__file__).resolve().parent / "results" / "certify_pairs.json"
NOT_MEASURED = "Not measured yet: run `make bench-certify-pairs`."


class PromiseKept(msgspec.Struct, frozen=True):
    """One mode of one pair, with the gate or without.

    units, promised_below (share of calls answered below the top tier), promised_kept, net_saving, more_labels: as the
    certificate says. kept, below, cost (over that of the top tier for everything): on the test split.
    """

    mode: str
    gated: bool
    target: float
    certified: bool
    units: int
    more_labels: int | None
    promised_below: float
    promised_kept: float
    net_saving: float
    kept: Estimate
    below: float
    cost: float | None


class CertifiedPair(msgspec.Struct, frozen=True):
    """test, calibration: labels."""

    name: str
    test: int
    calibration: int
    promises: list[PromiseKept]


class CertifyPairs(msgspec.Struct, frozen=True):
    """All that was certified."""

    measured: str
    recipe: str
    pairs: list[CertifiedPair]


def regions(results: Path = RESULTS) -> dict[str, str]:
    """The page's text by name of its region."""
    found = read_figures(results, CertifyPairs)
    return {"pairs": section(found) if found else NOT_MEASURED}


def section(found: CertifyPairs) -> str:
    header = [
        "pair",
        "mode",
        "decided by",
        "proof units",
        "certified",
        "answered below",
        "kept on test",
        "below on test",
        "target kept on test",
    ]
    rows = [
        [
            pair.name,
            f"{promise.mode}, {promise.target:.0%}",
            "router and gate" if promise.gated else "router",
            f"{promise.units:,}",
            "yes" if promise.certified else _not_yet(promise),
            percent(promise.promised_below) if promise.certified else "–",
            _estimate(promise.kept) if promise.certified else "–",
            percent(promise.below) if promise.certified else "–",
            _judge(promise) if promise.certified else "–",
        ]
        for pair in found.pairs
        for promise in pair.promises
    ]
    return f"{summarize(found)}\n\n{markdown_table(header, rows)}"


def summarize(found: CertifyPairs) -> str:
    """How many promises were made, and how many the test split does not bear out."""
    promises = [promise for pair in found.pairs for promise in pair.promises if promise.certified]
    broken = [promise for promise in promises if _judge(promise) == "**below**"]
    short = [promise for promise in promises if promise.kept.value is not None and promise.kept.value < promise.target]
    count = sum(len(pair.promises) for pair in found.pairs)
    return (
        f"Recipe `{found.recipe}`, {found.measured}. {len(promises)} of {count} promises were certified; of these, "
        f"{len(short)} kept less than the target on the test split by the estimate, and {len(broken)} with the whole 95 % "
        "interval below it. A promise may fail with probability 5 %, and those of one pair share their labels."
    )


def _not_yet(promise: PromiseKept) -> str:
    return "not yet" if promise.more_labels is None else f"not yet: about {promise.more_labels:,} labels more"


def _judge(promise: PromiseKept) -> str:
    kept = promise.kept
    if kept.value is None:
        return "–"
    if kept.value >= promise.target:
        return "yes"
    return "**below**" if kept.high is not None and kept.high < promise.target else "within its interval"


def _estimate(kept: Estimate) -> str:
    if kept.value is None or kept.low is None or kept.high is None:
        return "–"
    return f"{kept.value:.1%} [{kept.low:.1%}, {kept.high:.1%}]"
