"""Plain ways of judging an answer, which a gate must beat: a regression on its features, its length; and what looks wrong.

Knows labels that hold one answer each; knows nothing of networks.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from learned_router.answers.features import ANSWER_FEATURES
from learned_router.training import metrics
from learned_router.training.baselines import Floats
from learned_router.training.heads import fit_quality
from learned_router.training.reader import GATE_TIERS, Reader
from learned_router.training.records import Label

LEAST_SCALE = 1e-6
# Above 0, each of these says that something can be seen to be wrong with an answer
SIGNS = (
    "no_call_though_offered",
    "call_though_none_offered",
    "unknown_tools",
    "unreadable_arguments",
    "missing_arguments",
    "unknown_arguments",
    "wrong_types",
    "wrong_enums",
    "off_format",
    "empty_values",
    "ungrounded_required",
    "ungrounded_optional",
    "duplicate_calls",
    "json_missing",
    "json_wrong",
    "cut_off",
    "refusal",
    "wrong_equations",
)


def read_answers(labels: Sequence[Label], reader: Reader) -> Floats:
    """The features of the answers alone, (n, n_answer_features)."""
    rows = [reader.see(label).features[-len(ANSWER_FEATURES) :] for label in labels]
    return np.array(rows, dtype=np.float64).reshape(len(labels), len(ANSWER_FEATURES))


def suspicious(labels: Sequence[Label], reader: Reader) -> NDArray[np.bool_]:
    """Whether anything of SIGNS is seen in each answer, bool (n,)."""
    columns = [ANSWER_FEATURES.index(name) for name in SIGNS]
    return np.asarray((read_answers(labels, reader)[:, columns] > 0).any(axis=1))


def score_logistic(
    train: Sequence[Label], asked: Sequence[Label], reader: Reader, strengths: Sequence[float]
) -> Floats:
    """Qualities of the answer and of the top tier's, (n, 2), by a logistic regression each on the answer's features."""
    seen, points = read_answers(train, reader), read_answers(asked, reader)
    mean, scale = seen.mean(axis=0), np.maximum(seen.std(axis=0), LEAST_SCALE)
    seen, points = (np.clip((rows - mean) / scale, -4, 4) for rows in (seen, points))
    quality, weight = targets(train)
    heads = fit_quality(seen, quality, weight, strengths)
    return as_quality(points @ heads.weight.T + heads.bias)


def score_length(train: Sequence[Label], asked: Sequence[Label]) -> Floats:
    """Need of the frontier by the answer's length, (n,): the longer or the shorter first, as was better in training."""
    quality, weight = targets(train)
    curve = metrics.trace_curve(_lengths(train), quality[:, 0], quality[:, 1], weight)
    return _lengths(asked) * (1.0 if metrics.apgr(curve) >= 0.5 else -1.0)


def targets(labels: Sequence[Label]) -> tuple[Floats, Floats]:
    """Qualities of the answer and the top tier's, (n, 2), and weights, (n,), of labels of a gate."""
    quality = np.array([[label.quality[tier] for tier in GATE_TIERS] for label in labels])
    return quality, np.array([label.weight for label in labels])


def as_quality(logits: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.asarray(logits, dtype=np.float64))))


def _lengths(labels: Sequence[Label]) -> Floats:
    found = []
    for label in labels:
        [output] = label.outputs.values()
        calls = msgspec.json.encode(output.tool_calls) if output.tool_calls else b""
        found.append(float(len(output.text or "") + len(calls)))
    return np.array(found)
