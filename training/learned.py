"""From a trained network to a graph that says what it means: calibrated, exported, compared. Router and gate alike.

Knows what the graph says of the calibration labels; knows nothing of thresholds or artifacts.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence

import msgspec
import numpy as np

from learned_router.answers.features import find_failures
from learned_router.encoder import Encoder
from learned_router.policy import Reason
from learned_router.request import STEPS
from learned_router.training import export
from learned_router.training.calibrate import apply_scaling, fit_confidence, fit_known, known_limit, scale_quality
from learned_router.training.fit import predict
from learned_router.training.graph import make_graph
from learned_router.training.model import CalibratedNet, RouterNet, Scaling
from learned_router.training.reader import LOGPROBS_HIDDEN, Reader, silent_label
from learned_router.training.recipe import Recipe
from learned_router.training.records import Label, label_request
from learned_router.training.thresholds import Answers

# Training rows that the out-of-distribution score is fitted on: enough for its covariance, seconds to embed
KNOWN_ROWS = 2_000
# Where fewer of the calibration answers than this are without token probabilities, its thresholds are of the others
SILENT_SHARE = 0.1


class Learned(msgspec.Struct, frozen=True):
    """What a network has become. All but the graph is of the calibration labels, in their order.

    graph: of ONNX. quality: predicted by the graph, float32 (n, tiers); expected: by the trained model itself. truth:
    graded, (n, tiers), NaN where not known. weight: (n,). step: given or predicted, (n,). in_range: bool (n,), whether
    like the training labels.
    ood_threshold: score up to which a row is. confidence: for each tier below the top, weights of
    ``policy.as_good_probability``. difference: between graph and model.
    """

    graph: bytes
    quality: np.ndarray
    expected: np.ndarray
    truth: np.ndarray
    weight: np.ndarray
    step: np.ndarray
    in_range: np.ndarray
    ood_threshold: float
    confidence: list[tuple[float, float, float]]
    difference: export.Difference

    @property
    def complete(self) -> np.ndarray:
        """Rows that know the quality of every tier, bool (n,)."""
        known: np.ndarray = ~np.isnan(self.truth).any(axis=1)
        return known


def calibrate_and_export(
    net: RouterNet,
    train: Sequence[Label],
    calibration: Sequence[Label],
    reader: Reader,
    recipe: Recipe,
    tiers: Sequence[str],
    *,
    seed: int,
    tuning: np.ndarray | None = None,
) -> Learned:
    """Calibrate a network that has a head for each of ``tiers``, export it, and hear what the graph says.

    train: the labels it learned from. tuning: bool (n,), which of the calibration labels to calibrate on, so that the
    others can prove what comes of it; all if not given.
    Raises ExportError when graph and model disagree by more than the recipe tolerates.
    """
    truth = np.array([[label.quality.get(tier, np.nan) for tier in tiers] for label in calibration])
    weight = np.array([label.weight for label in calibration])
    tuning = np.ones(len(calibration), dtype=bool) if tuning is None else tuning
    logits, _, _ = predict(net, calibration, reader)
    scaling = _scale(net, calibration, logits, truth, np.where(tuning, weight, 0.0), reader)
    seen = random.Random(seed).sample(list(train), min(len(train), KNOWN_ROWS))
    # known is what callers send, those who leave something out included
    seen += [shown for label in seen for leave_out in (reader.bare, reader.silent) if (shown := leave_out(label))]
    known = fit_known(predict(net, seen, reader)[2], recipe.calibrate.ood_centres, seed)

    taught = sorted({STEPS.index(label.step) for label in train if label.step})
    graph = make_graph(CalibratedNet(net, scaling, known, taught), int8=recipe.export.int8)
    encoder = Encoder(graph, reader.packer, n_features=net.feature_mean.shape[0])
    found, _ = encoder.predict([reader.see(label) for label in calibration])
    expected = apply_scaling(logits, scaling)
    tuned = [label for label, chosen in zip(calibration, tuning, strict=True) if chosen]
    partly = [
        [reader.see(shown) for label in tuned if (shown := leave_out(label))]
        for leave_out in (reader.bare, reader.silent)
    ]
    ood_threshold = max(
        known_limit(ood, recipe.calibrate.ood_quantile)
        for ood in (found.ood[tuning], *(encoder.predict(views)[0].ood for views in partly if views))
    )
    return Learned(
        graph=graph,
        quality=found.quality,
        expected=expected,
        truth=truth,
        weight=weight,
        step=np.array(
            [
                label_request(label).step or STEPS[place]
                for label, place in zip(calibration, found.step.argmax(axis=1), strict=True)
            ]
        ),
        in_range=found.ood <= ood_threshold,
        ood_threshold=ood_threshold,
        confidence=fit_confidence(found.quality[tuning], truth[tuning], weight[tuning]),
        difference=export.compare(found.quality, expected, recipe.export),
    )


def _scale(
    net: RouterNet,
    calibration: Sequence[Label],
    logits: np.ndarray,
    truth: np.ndarray,
    weight: np.ndarray,
    reader: Reader,
) -> Scaling:
    """The scaling of quality, also on the rows without their token probabilities, in the share in which training hid them.

    Fitted on the others alone, it would say of both how sure the probabilities make: on answers that read alike, two in
    three of them right, it said 0.94 of one that told none.
    """
    shown = [(row, silent) for row, label in enumerate(calibration) if (silent := reader.silent(label))]
    if not shown:
        return scale_quality(logits, truth, weight)
    rows = np.array([row for row, _ in shown])
    hidden, _, _ = predict(net, [silent for _, silent in shown], reader)
    told = np.array(weight)
    told[rows] *= 1.0 - LOGPROBS_HIDDEN
    return scale_quality(
        np.concatenate((logits, hidden)),
        np.concatenate((truth, truth[rows])),
        np.concatenate((told, weight[rows] * LOGPROBS_HIDDEN)),
    )


def expects_logprobs(answers: Sequence[Label]) -> bool:
    """Whether thresholds chosen on these answers say nothing of one without token probabilities: too few are without."""
    silent = sum(silent_label(label) is None for label in answers)
    return silent < SILENT_SHARE * len(answers)


def judge_answers(
    labels: Sequence[Label],
    answers: Sequence[Label],
    gate: Learned,
    tiers: Sequence[str],
    rules: Collection[Reason],
    *,
    telling: bool,
) -> Answers:
    """What the gate makes of every lower tier's answer to the labels, in their order. answers: those of ``gate``'s rows.

    The same that the runtime's gate makes of them, but for the threshold. telling: what ``expects_logprobs`` says.
    """
    place = {label.id: row for row, label in enumerate(labels)}
    regret = np.full((len(labels), len(tiers) - 1), np.nan)
    refused = np.zeros(regret.shape, dtype=bool)
    doubted = np.full(regret.shape, -np.inf)
    for label, quality, in_range in zip(answers, gate.quality, gate.in_range, strict=True):
        [(tier, output)] = label.outputs.items()
        at = place[label.id], tiers.index(tier)
        regret[at] = quality[1] - quality[0]
        failed = any(reason in rules for reason in find_failures(label_request(label), output))
        refused[at] = failed or not in_range
        if telling and output.logprobs is None:
            doubted[at] = (quality[1] - quality[0]) / max(float(quality[1]), 1e-9)
    return Answers(regret, refused, doubted if telling else None)
