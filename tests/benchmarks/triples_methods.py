"""The methods of the benchmark of triples: each predicts the quality of every tier on every request it is asked.

Knows what to train and how; knows nothing of costs, of what is stored, of figures or of pages.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from bench_methods import MAIN, Method, Scored, Trial, method_name, of_quality, our_method
from triples_models import TIERS

from learned_router.training import baselines
from learned_router.training.baselines import Floats, Rows
from learned_router.training.recipe import load_recipe

# Scores of the trial's test requests, learned from the rows given
Score = Callable[[Rows, Trial], Floats | None]


def all_methods(recipe: str = MAIN) -> dict[str, Method]:
    """Every method by its name, in the order they are run. recipe: of ours, a name or a path.

    Raises InputError as ``load_recipe``.
    """
    neighbours, strengths = str(baselines.NEIGHBOURS), str(baselines.STRENGTHS)
    return {
        "random": _by_tier("random mix of single tiers", lambda rows, trial: None, seeded=False),
        "category": Method("mean of the category", "baseline", predict_category, str, seeded=False),
        "knn": _by_tier("kNN on embeddings", partial(_on_embeddings, baselines.score_knn), neighbours),
        # of a tier beside one that is always wrong, the gain is being right: one regression
        "logistic": _by_tier(
            "logistic: will the tier be right?", partial(_on_embeddings, baselines.score_logistic_gain), strengths
        ),
        method_name(recipe): our_method("ours, three tiers", load_recipe(recipe)),
        "oracle": Method("oracle", "bound", lambda trial: of_quality(quality_of(trial.test)), str, seeded=False),
    }


def quality_of(rows: Rows) -> Floats:
    """The quality found, (n, 3), cheapest tier first."""
    return np.array([[label.quality[tier] for tier in TIERS] for label in rows.labels], dtype=np.float64)


def as_gain(rows: Rows, tier: str) -> Rows:
    """The rows with the tier beside one that is always wrong, so that what predicts the gain predicts its quality."""
    quality = np.array([label.quality[tier] for label in rows.labels], dtype=np.float64)
    return rows._replace(small=np.zeros_like(quality), top=quality)


def predict_category(trial: Trial) -> Scored | None:
    """The mean quality of each tier in the request's category; None without categories."""
    means = [baselines.score_category(as_gain(trial.train, tier), trial.test) for tier in TIERS]
    known = [mean for mean in means if mean is not None]
    return of_quality(np.stack(known, axis=1)) if len(known) == len(means) else None


def _by_tier(shown: str, score: Score, knobs: str = "", seeded: bool = True) -> Method:
    return Method(shown, "baseline", partial(predict_tiers, score), partial(str, knobs), seeded)


def predict_tiers(score: Score, trial: Trial) -> Scored:
    """Each tier's quality by a score of its own; its mean in training where there is nothing to score by."""
    predicted = []
    for tier in TIERS:
        rows = as_gain(trial.train, tier)
        found = score(rows, trial)
        mean = np.full(len(trial.test.labels), np.average(rows.gain, weights=rows.weight))
        predicted.append(mean if found is None else found)
    return of_quality(np.stack(predicted, axis=1))


def _on_embeddings(score: Callable[..., Floats | None], rows: Rows, trial: Trial) -> Floats | None:
    return score(rows, trial.known, trial.asked, seed=trial.seed)
