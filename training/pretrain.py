"""``python -m learned_router.training.pretrain LOGS… --out DIR``: teach an encoder what makes requests hard for models.

Every model of every log is a head of its own on one trunk, so a request that five models answered teaches five things.
What the trunk has learned is where ``learned-router train`` begins. Needs logs that hold each output's ``score``.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import partial
from itertools import permutations
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console

from learned_router.errors import InputError, LearnedRouterError
from learned_router.training.card import UnseenFigures, write_encoder_card
from learned_router.training.fit import end_all_but_the_first, fit, forget_checkpoints, predict
from learned_router.training.importers.logs import read_pairs
from learned_router.training.labelling.duplicates import Fingerprints
from learned_router.training.labelling.label_run import describe_skipped
from learned_router.training.metrics import apgr, bootstrap, percentile_interval, trace_curve
from learned_router.training.model import RouterNet, load_encoder
from learned_router.training.pretrained import Pretrained, save_pretrained
from learned_router.training.reader import Reader, request_reader
from learned_router.training.recipe import load_recipe
from learned_router.training.records import Label, Record, Skipped
from learned_router.training.split import split

# beside this file, not among the recipes of routers: its heads are no tiers
RECIPE = Path(__file__).with_suffix(".toml")
# A pair of models is shown in the report when a corpus's fold holds this many requests that both answered
REPORT_ROWS = 100
# of mean scores, below which a pair has nothing to recover
LEAST_GAP = 0.02
RESAMPLES = 200
# Stands before a log's name for the head that learns how much its requests ask for, beside those of its models
EASE = "ease @ "
# 0 leaves every request its weight, 1 lets every log count the same
BALANCE = 0.5


def read_outcomes(paths: Iterable[Path], skipped: Skipped, *, ease: bool = False) -> list[Label]:
    """Every request with the score of each model, as a label whose tiers are the models, split by question.

    The same model in two logs is two tiers, for it was asked for other things. Requests that repeat each other, in one
    log or in two, stand on one side, as in ``learned-router label``. ease: beside the models, how little a request asks
    for, see ``measure_ease``. Raises InputError as ``read_pairs``.
    """
    labels: list[Label] = []
    lengths: dict[str, dict[int, int]] = {}
    prints = Fingerprints()
    for record in read_pairs(paths, skipped):
        quality = {
            tier_name(record, model): float(output.score)
            for model, output in record.outputs.items()
            if output.score is not None
        }
        if not quality:
            skipped.add("no_scores", f"record {record.id}: no output has a score")
            continue
        try:
            prints.add(record.messages, record.tools, record.response_format)
        except RecursionError:
            skipped.add("too_deep", f"record {record.id}: a message or tool is nested too deeply")
            continue
        for model, output in record.outputs.items():
            if output.text:
                lengths.setdefault(tier_name(record, model), {})[len(labels)] = len(output.text)
        labels.append(
            Label(
                id=record.id,
                messages=record.messages,
                quality=quality,
                models={},
                grader="gold",
                tools=record.tools,
                response_format=record.response_format,
                step=record.step,
                session=record.session,
                category=record.category,
                source=record.source,
                licence=record.licence,
            )
        )
    same = prints.find().first
    prints.close()
    for place, found in measure_ease(lengths).items() if ease else ():
        labels[place].quality[EASE + (labels[place].source or "unnamed")] = found
    return split(labels, same=same)


def measure_ease(lengths: Mapping[str, Mapping[int, int]]) -> dict[int, float]:
    """How short the answers to a request were, by its place: 1 for the shortest of each model's, 0 for the longest.

    lengths: characters of each model's answers, by place. Means over the models; models of few answers are left out.
    Right or wrong is one bit a model; how much it took is a number, and easy requests take little.
    """
    ranks: dict[int, list[float]] = {}
    for of_model in lengths.values():
        if len(of_model) >= REPORT_ROWS:
            places = sorted(of_model, key=lambda place: (of_model[place], place))
            for rank, place in enumerate(places):
                ranks.setdefault(place, []).append(1 - rank / (len(places) - 1))
    return {place: float(np.mean(found)) for place, found in ranks.items()}


def choose_taught(labels: Sequence[Label], left_out: Collection[str] = ()) -> list[Label]:
    """The labels to learn from: none that could stand in the calibration or test split of anybody's labels.

    Labels made from one log alone know nothing of a question's repetitions in another, and may name its group
    otherwise: a question is learned from when its whole group, and each member by itself, stands in the training split.
    left_out: sources to learn nothing from, nor from their questions where another log asks them too.
    """
    alone = split([msgspec.structs.replace(label, session=None) for label in labels])
    barred = {label.group for label, by_itself in zip(labels, alone, strict=True) if by_itself.split != "train"}
    barred |= {label.group for label in labels if label.source in left_out}
    return [label for label in labels if label.split == "train" and label.group not in barred]


def tier_name(record: Record, model: str) -> str:
    return f"{model} @ {record.source or 'unnamed'}"


def order_tiers(labels: Sequence[Label]) -> list[str]:
    """All models, from the one with the lowest mean score to the one with the highest."""
    scores: dict[str, list[float]] = {}
    for label in labels:
        for tier, score in label.quality.items():
            scores.setdefault(tier, []).append(score)
    return sorted(scores, key=lambda tier: (np.mean(scores[tier]), tier))


def balance(labels: Sequence[Label]) -> list[Label]:
    """The labels with weights by which a small log is not drowned: (largest log / this log) ** BALANCE."""
    sizes = Counter(label.source for label in labels)
    most = max(sizes.values())
    return [
        msgspec.structs.replace(label, weight=label.weight * (most / sizes[label.source]) ** BALANCE)
        for label in labels
    ]


def report(net: RouterNet, tiers: Sequence[str], fold: Sequence[Label], reader: Reader) -> list[UnseenFigures]:
    """What the heads make of labels that were not trained on, by source."""
    logits, _, _ = predict(net, fold, reader)
    predicted = 1 / (1 + np.exp(-logits))
    truth = np.array([[label.quality.get(tier, np.nan) for tier in tiers] for label in fold])
    found = []
    for source in sorted({label.source or "unnamed" for label in fold}):
        mine = [i for i, tier in enumerate(tiers) if tier.endswith(f"@ {source}") and not tier.startswith(EASE)]
        rows = np.array([(label.source or "unnamed") == source for label in fold])
        pairs = [pair for pair in permutations(mine, 2) if _has_gap(truth[:, pair])]
        if not pairs:
            continue
        groups = [label.group or label.id for label, here in zip(fold, rows, strict=True) if here]
        mean = partial(_mean_apgr, predicted[rows], truth[rows], pairs)
        low, high = percentile_interval(bootstrap(mean, groups, resamples=RESAMPLES))
        found.append(UnseenFigures(source, int(rows.sum()), len(pairs), float(mean(np.ones(rows.sum()))), low, high))
    return found


def _has_gap(truth: np.ndarray) -> bool:
    """Whether enough requests were answered by both models, (n, 2), and the second is the better one."""
    both = ~np.isnan(truth).any(axis=1)
    return bool(both.sum() >= REPORT_ROWS and (truth[both, 1] - truth[both, 0]).mean() > LEAST_GAP)


def _mean_apgr(
    predicted: np.ndarray, truth: np.ndarray, pairs: Sequence[tuple[int, int]], weight: np.ndarray
) -> np.ndarray:
    """Mean over pairs of models: weight (…, n) → (…)."""
    values = []
    for low, high in pairs:
        both = ~np.isnan(truth[:, low]) & ~np.isnan(truth[:, high])
        score = predicted[both, high] - predicted[both, low]
        values.append(apgr(trace_curve(score, truth[both, low], truth[both, high], weight[..., both])))
    return np.asarray(np.mean(values, axis=0))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m learned_router.training.pretrain", description=__doc__)
    parser.add_argument("logs", nargs="+", type=Path, help="paired logs whose outputs have scores")
    parser.add_argument("--out", type=Path, required=True, help="folder of the encoder")
    parser.add_argument("--recipe", default=str(RECIPE), help="name or TOML file")
    parser.add_argument(
        "--leave-out", action="append", default=[], help="a source to learn nothing from; may be given again"
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    console = Console()
    try:
        recipe = load_recipe(arguments.recipe)
        skipped = Skipped()
        labels = read_outcomes(arguments.logs, skipped, ease=True)
        taught = choose_taught(labels, arguments.leave_out)
        if skipped.total:
            console.print(f"skipped: {describe_skipped(skipped)}", highlight=False, markup=False)
        if not taught:
            raise InputError("no request with scores is left to learn from; give logs that hold each output's 'score'")
        work = arguments.out.with_name(f".{arguments.out.name}.training")
        reader = request_reader(recipe)
        tiers = order_tiers(taught)
        console.print(f"pretraining on {len(taught):,} requests, {len(tiers)} heads")
        net = fit(balance(taught), reader, recipe, work, seed=arguments.seed, tiers=tiers, console=console)
        end_all_but_the_first()
        sources = Counter(label.source or "unnamed" for label in taught)
        about = Pretrained(
            encoder=recipe.encoder.name,
            layers=recipe.encoder.layers,
            max_tokens=recipe.view.max_tokens,
            requests=dict(sources.most_common()),
            licences={label.source or "unnamed": label.licence for label in taught if label.licence},
            models=len(tiers),
            recipe_sha256=recipe.sha256,
            seed=arguments.seed,
            created=datetime.datetime.now(datetime.UTC).date().isoformat(),
        )
        save_pretrained(net, load_encoder(recipe.encoder), arguments.out, about)
        forget_checkpoints(work)
        fold = [label for label in labels if label.split == "calibration" and label.source in sources]
        found = report(net, tiers, fold, reader)
        for row in found:
            console.print(f"{row.source}: APGR {row.apgr:.3f}, mean of {row.pairs} pairs, on unseen requests")
        (arguments.out / "README.md").write_text(write_encoder_card(arguments.out.name, about, found), encoding="utf-8")
    except LearnedRouterError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
