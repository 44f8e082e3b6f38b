"""Train and certify a router, and a gate where there are answers, on every pair, and read the test split once.

Run: python tests/benchmarks/certify_pairs.py [--only PAIR] [--page]. Stopped, it goes on where it was: a pair's artifact
stays under --work, and is made again only with --again. What each mode promised stands beside what it kept.
"""

from __future__ import annotations

import argparse
import datetime
import time
from collections.abc import Sequence
from pathlib import Path

from bench_command import add_recipe, new_parser, run_command
from bench_pairs import PAIRS, Pair, draw_labels, labels_of, read_corpora
from bench_store import read_figures, slug, write_figures
from certify_page import fill_page
from certify_pairs_page import RESULTS, CertifiedPair, CertifyPairs, PromiseKept
from gate_pairs import REACH, answered, read_answers
from rich.console import Console
from rich.markup import escape

from learned_router.certificate import Statement, find_certificate
from learned_router.errors import ArtifactError, LearnedRouterError
from learned_router.router import Router
from learned_router.training.evaluate import evaluate
from learned_router.training.evaluation import Estimate, Evaluation
from learned_router.training.labels import LabelSet
from learned_router.training.pipeline import train
from learned_router.training.recipe import Recipe, load_recipe
from learned_router.training.records import Label, Skipped


def label_pair(pair: Pair, outcomes: Sequence[Label]) -> LabelSet:
    """The pair's labels of all splits, with the small tier's answers where the log holds them."""
    told = pair.name in REACH  # other logs hold how answers were graded, not what they said
    labels = answered(pair, outcomes, read_answers(pair.log, pair.small)) if told else labels_of(pair, outcomes)
    if pair.train_labels:
        labels = draw_labels(labels, pair.train_labels)
    return LabelSet(labels, ("small", "frontier"), dict(labels[0].models), pair.name, Skipped())


def certify_pair(pair: Pair, labels: LabelSet, recipe: Recipe, out: Path, *, again: bool) -> CertifiedPair:
    """Train where the folder holds no artifact yet, then ask the test split."""
    try:
        if again:
            raise ArtifactError("made again")
        router = Router.load(out)
    except ArtifactError:
        known = [label for label in labels.labels if label.split != "test"]
        router = train(
            LabelSet(known, labels.tiers, labels.models, labels.sha256, labels.skipped), out, recipe, baselines=False
        ).router
    certificate = find_certificate(out)
    assert certificate is not None
    evaluation = evaluate(router, labels.labels, baselines=False, call_costs=router.config.call_costs)
    promises = [
        _compare(mode, statement, way == "gated", evaluation)
        for mode, found in certificate.modes.items()
        for way, statement in (("router", found.router), ("gated", found.gated))
        if statement is not None and (way == "router" or evaluation.gate is not None)
    ]
    calibration = sum(label.split == "calibration" for label in labels.labels)
    return CertifiedPair(pair.name, evaluation.rows, calibration, promises)


def _compare(mode: str, statement: Statement, gated: bool, evaluation: Evaluation) -> PromiseKept:
    kept: Estimate
    if gated:
        assert evaluation.gate is not None
        found = next(one for one in evaluation.gate.modes if one.name == mode)
        kept, below, cost = found.kept, found.tried - found.escalated, found.cost.value
    else:
        alone = next(one for one in evaluation.modes if one.name == mode)
        kept, below = alone.kept, 1.0 - alone.shares["frontier"]
        cost = None if alone.saved.value is None else 1.0 - alone.saved.value
    return PromiseKept(
        mode=mode,
        gated=gated,
        target=statement.target,
        certified=statement.certified,
        units=sum(part.units for part in statement.slices),
        more_labels=next((part.more_labels for part in statement.slices), None),
        promised_below=1.0 - statement.shares["frontier"],
        promised_kept=statement.kept,
        net_saving=statement.saving.net,
        kept=kept,
        below=below,
        cost=cost,
    )


def measure(chosen: argparse.Namespace, console: Console) -> list[str]:
    """Certify what was chosen, pair by pair; what failed."""
    recipe, began = load_recipe(chosen.recipe), time.perf_counter()
    outcomes = read_corpora()
    failed = []
    for pair in PAIRS:
        if chosen.only and pair.name not in chosen.only:
            continue
        try:
            labels = label_pair(pair, outcomes)
            found = certify_pair(pair, labels, recipe, chosen.work / slug(pair.name), again=chosen.again)
        except LearnedRouterError as error:
            failed.append(f"{pair.name}: {error}")
            console.print(escape(failed[-1]), highlight=False, soft_wrap=True)
            continue
        before = read_figures(chosen.out, CertifyPairs)
        pairs = {old.name: old for old in (before.pairs if before else [])} | {found.name: found}
        listed = [pairs[known.name] for known in PAIRS if known.name in pairs]
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        write_figures(CertifyPairs(today, recipe.name, listed), chosen.out)
        if chosen.page:
            fill_page()
        console.print(f"{pair.name}: {(time.perf_counter() - began) / 60:,.1f} min so far", highlight=False)
    return failed


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = new_parser(__doc__, [pair.name for pair in PAIRS], work=Path("runs/bench-certify"), out=RESULTS)
    add_recipe(parser)
    return parser.parse_args(arguments)


def main() -> None:
    run_command(parse, measure)


if __name__ == "__main__":
    main()
