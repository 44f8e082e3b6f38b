"""What a pretrained encoder is worth: heads fitted on it and on the encoder it began with, on requests neither has seen.

Knows labels and networks; knows nothing of how an encoder is pretrained or of its card.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import permutations
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console

from learned_router.training.evaluation import Estimate, to_estimate
from learned_router.training.fit import fit, predict
from learned_router.training.metrics import bootstrap, mean_gain, trace_curve
from learned_router.training.reader import request_reader
from learned_router.training.recipe import FitKnobs, Recipe
from learned_router.training.records import Label

# A pair of models counts when this many requests of a source were answered by both
LEAST_ROWS = 100
# of mean scores, below which a pair has nothing to recover
LEAST_GAP = 0.02
RESAMPLES = 200
# of the heads, for so many models one alone: what served the public logs best (LOG, 2026-11-28)
HEAD_STRENGTH = 0.3


class UnseenFigures(msgspec.Struct, frozen=True):
    """Of one source's requests: APGR over the ordered pairs of its models with a gap between them, taken together.

    apgr: of heads on the pretrained encoder. plain: on the encoder that it began with. gain: the first minus the second, on
    the same resamples of whole groups.
    """

    source: str
    requests: int
    pairs: int
    apgr: Estimate
    plain: Estimate
    gain: Estimate


def measure_unseen(
    pretrained: Path,
    plain: str,
    taught: Sequence[Label],
    fold: Sequence[Label],
    models: Sequence[str],
    recipe: Recipe,
    *,
    seed: int,
    console: Console | None = None,
) -> list[UnseenFigures]:
    """Figures of every source of ``fold`` that has a pair of models to tell apart.

    The heads that pretraining leaves behind are not what a router gets, so a head for each of ``models`` is fitted anew on
    either encoder, as it is: of one strength, and on whole requests, since for so many heads more of both takes hours.
    taught: labels to fit them on. fold: labels to measure on. models: names of tiers that end in "@ source". recipe: of
    pretraining; its view is used.
    """
    encoders = (str(pretrained), plain)
    # of heads alone there are no checkpoints; whatever lies at this place is not read as some
    nowhere = pretrained.with_name(f".{pretrained.name}.heads")
    both = [_predict(encoder, taught, fold, models, recipe, nowhere, seed, console) for encoder in encoders]
    truth = np.array([[label.quality.get(model, np.nan) for model in models] for label in fold])
    found = []
    for source in sorted({label.source or "unnamed" for label in fold}):
        mine = [i for i, model in enumerate(models) if model.endswith(f"@ {source}")]
        rows = np.array([(label.source or "unnamed") == source for label in fold])
        pairs = [pair for pair in permutations(mine, 2) if _has_gap(truth[rows][:, pair])]
        if not pairs:
            continue
        groups = [label.group or label.id for label, here in zip(fold, rows, strict=True) if here]
        means = [partial(joint_apgr, predicted[rows], truth[rows], pairs) for predicted in both]
        # the same seed, so the same resamples: their differences are those of the encoders
        draws = [bootstrap(mean, groups, resamples=RESAMPLES) for mean in means]
        values = [float(mean(np.ones(rows.sum()))) for mean in means]
        ours, theirs = (to_estimate(value, drawn) for value, drawn in zip(values, draws, strict=True))
        gain = to_estimate(values[0] - values[1], draws[0] - draws[1])
        found.append(UnseenFigures(source, int(rows.sum()), len(pairs), ours, theirs, gain))
    return found


def _predict(
    encoder: str,
    taught: Sequence[Label],
    fold: Sequence[Label],
    models: Sequence[str],
    recipe: Recipe,
    checkpoints: Path,
    seed: int,
    console: Console | None,
) -> np.ndarray:
    """Predicted quality, (n, models), by heads alone."""
    alone = msgspec.structs.replace(
        recipe,
        encoder=msgspec.structs.replace(recipe.encoder, name=encoder),
        fit=FitKnobs(epochs=0, head_strengths=(HEAD_STRENGTH,), bare_share=0.0, step_dropout=0.0),
    )
    reader = request_reader(alone)
    net = fit(taught, reader, alone, checkpoints, seed=seed, tiers=models, console=console)
    logits, _, _ = predict(net, fold, reader)
    quality: np.ndarray = 1 / (1 + np.exp(-logits))
    return quality


def _has_gap(truth: np.ndarray) -> bool:
    """Whether enough requests were answered by both models, (n, 2), and the second is the better one."""
    both = ~np.isnan(truth).any(axis=1)
    return bool(both.sum() >= LEAST_ROWS and (truth[both, 1] - truth[both, 0]).mean() > LEAST_GAP)


def joint_apgr(
    predicted: np.ndarray, truth: np.ndarray, pairs: Sequence[tuple[int, int]], weight: np.ndarray
) -> np.ndarray:
    """APGR of the pairs of models taken together, each weighed by its gap: weight (…, n) → (…).

    A mean of their APGRs would have none where a resample leaves one pair no gap, and be ruled by the pairs with hardly any.
    """
    recovered, gaps = [], []
    for low, high in pairs:
        both = ~np.isnan(truth[:, low]) & ~np.isnan(truth[:, high])
        score = predicted[both, high] - predicted[both, low]
        curve = trace_curve(score, truth[both, low], truth[both, high], weight[..., both])
        recovered.append(mean_gain(curve))
        gaps.append(curve.gain[..., -1])
    return np.asarray(np.sum(recovered, axis=0) / np.sum(gaps, axis=0))
