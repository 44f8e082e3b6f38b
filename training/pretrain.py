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
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console

from learned_router.errors import InputError, LearnedRouterError
from learned_router.training.card import write_encoder_card
from learned_router.training.fit import end_all_but_the_first, fit, forget_checkpoints
from learned_router.training.importers.logs import read_pairs
from learned_router.training.labelling.duplicates import Fingerprints
from learned_router.training.labelling.label_run import describe_skipped
from learned_router.training.model import load_encoder
from learned_router.training.pretrained import Pretrained, read_about, save_pretrained
from learned_router.training.reader import request_reader
from learned_router.training.recipe import Recipe, load_recipe
from learned_router.training.records import Label, Record, Skipped
from learned_router.training.split import split
from learned_router.training.unseen import measure_unseen

# beside this file, not among the recipes of routers: its heads are no tiers
RECIPE = Path(__file__).with_suffix(".toml")
# Answers of which a model must have given this many for its lengths to be ranked
LEAST_ANSWERS = 100
# Stands before a log's name for the head that learns how much its requests ask for, beside those of its models
EASE = "ease @ "
# 0 leaves every request its weight, 1 lets every log count the same
BALANCE = 0.5


def read_outcomes(paths: Iterable[Path], skipped: Skipped, *, ease: bool = False, scored: bool = True) -> list[Label]:
    """Every request with the score of each model, as a label whose tiers are the models, split by question.

    The same model in two logs is two tiers, for it was asked for other things. Requests that repeat each other, in one
    log or in two, stand on one side, as in ``learned-router label``. ease: beside the models, how little a request asks
    for, see ``measure_ease``. scored: skip requests that no model has a score for, of which nothing but the text is known.
    Raises InputError as ``read_pairs``.
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
        if not quality and scored:
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
        if len(of_model) >= LEAST_ANSWERS:
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


def pretrain(
    labels: Sequence[Label], taught: Sequence[Label], recipe: Recipe, out: Path, seed: int, console: Console
) -> None:
    """Teach an encoder all of ``taught`` and write it to ``out``. Killed, it goes on from its last checkpoint."""
    work = out.with_name(f".{out.name}.training")
    tiers = order_tiers(taught)
    console.print(f"pretraining on {len(taught):,} requests, {len(tiers)} heads")
    net = fit(balance(taught), request_reader(recipe), recipe, work, seed=seed, tiers=tiers, console=console)
    end_all_but_the_first()
    about = Pretrained(
        encoder=recipe.encoder.name,
        layers=recipe.encoder.layers,
        max_tokens=recipe.view.max_tokens,
        requests=count_sources(taught),
        licences={label.source or "unnamed": label.licence for label in taught if label.licence},
        models=len(tiers),
        recipe_sha256=recipe.sha256,
        seed=seed,
        created=datetime.datetime.now(datetime.UTC).date().isoformat(),
    )
    save_pretrained(net, load_encoder(recipe.encoder), out, about)
    forget_checkpoints(work)


def count_sources(labels: Sequence[Label]) -> dict[str, int]:
    """Labels by source, most first."""
    return dict(Counter(label.source or "unnamed" for label in labels).most_common())


def check_learned(out: Path, told: Mapping[str, int], taught: Sequence[Label], wanted: str) -> dict[str, int]:
    """How many of ``taught`` each source has; told: how many the encoder in ``out`` learned from.

    Raises InputError, which says what is wanted instead, where they are not the same: then nobody knows which requests
    the encoder has not seen.
    """
    learned = count_sources(taught)
    if learned != told:
        raise InputError(
            f"{out}: this encoder learned from {dict(told)}, and these logs teach {learned}; give {wanted}"
        )
    return learned


def write_measured_card(
    labels: Sequence[Label], taught: Sequence[Label], recipe: Recipe, out: Path, seed: int, console: Console
) -> None:
    """Measure the encoder that lies in ``out`` on what it has not seen, and write its card.

    Raises InputError when it learned from other requests than ``taught``: then nobody knows which it has not seen.
    """
    about = read_about(out)
    learned = check_learned(out, about.requests, taught, "the logs, and --leave-out, with which it was pretrained")
    models = [tier for tier in order_tiers(taught) if not tier.startswith(EASE)]
    fold = [label for label in labels if label.split == "calibration" and (label.source or "unnamed") in learned]
    found = measure_unseen(out, about.encoder, balance(taught), fold, models, recipe, seed=seed, console=console)
    for row in found:
        console.print(
            f"{row.source}: APGR {row.apgr.value:.3f}, with the plain encoder {row.plain.value:.3f}, "
            f"mean of {row.pairs} pairs, on unseen requests"
        )
    (out / "README.md").write_text(write_encoder_card(out, about, found), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m learned_router.training.pretrain", description=__doc__)
    parser.add_argument("logs", nargs="+", type=Path, help="paired logs whose outputs have scores")
    parser.add_argument("--out", type=Path, required=True, help="folder of the encoder")
    parser.add_argument("--recipe", default=str(RECIPE), help="name or TOML file")
    parser.add_argument(
        "--leave-out", action="append", default=[], help="a source to learn nothing from; may be given again"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--card", action="store_true", help="measure the encoder that is there, and write its card alone"
    )
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
        if not arguments.card:
            pretrain(labels, taught, recipe, arguments.out, arguments.seed, console)
        write_measured_card(labels, taught, recipe, arguments.out, arguments.seed, console)
    except LearnedRouterError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
