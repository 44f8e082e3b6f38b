"""What each group of a gate's inputs is worth: its heads fitted again on the same embeddings, without the group.

Knows a trained gate and labels; scores the calibration split alone, so that what is chosen by it leaves the test alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from gate_rivals import as_quality, targets
from numpy.typing import NDArray

from learned_router.answers.features import ANSWER_FEATURES
from learned_router.request_features import FEATURES
from learned_router.training.baselines import Floats
from learned_router.training.fit import EMBED_BATCH_ROWS, LabelRows
from learned_router.training.heads import fit_quality
from learned_router.training.model import RouterNet
from learned_router.training.reader import GATE_TIERS, Reader
from learned_router.training.records import Label

WHOLE = "everything"
EMBEDDINGS = "the embeddings"
REQUEST = "the request's features"
ANSWER = "the answer's features"
# The answer's features stand in groups, each from the name given here to where the next one begins
FIRSTS = {
    "its length": "tier",
    "its calls": "calls",
    "its JSON": "json_missing",
    "its text": "cut_off",
    "token probabilities": "logprobs_known",
}


def columns_of(width: int) -> dict[str, NDArray[np.intp]]:
    """Columns of what a gate's heads read, by group. width: of the embeddings, of both layers together."""
    starts = [ANSWER_FEATURES.index(name) for name in FIRSTS.values()]
    ends = [*starts[1:], len(ANSWER_FEATURES)]
    first = width + len(FEATURES)
    return {
        EMBEDDINGS: np.arange(width),
        REQUEST: np.arange(width, first),
        **{name: np.arange(first + start, first + end) for name, start, end in zip(FIRSTS, starts, ends, strict=True)},
    }


def list_variants(points: Floats, width: int) -> dict[str, NDArray[np.intp]]:
    """Columns kept by name of what is measured. A group that never varies in ``points`` is not left out for nothing."""
    groups = columns_of(width)
    varies = points.std(axis=0) > 0
    everything = np.flatnonzero(varies)
    answer = np.concatenate([columns for name, columns in groups.items() if name in FIRSTS])
    out = {f"without {name}": columns for name, columns in groups.items() if varies[columns].any()}
    out[f"without {ANSWER}"] = answer
    kept = {name: np.setdiff1d(everything, columns) for name, columns in out.items()}
    kept[f"{ANSWER} alone"] = np.intersect1d(everything, answer)
    kept[f"{EMBEDDINGS} alone"] = np.intersect1d(everything, groups[EMBEDDINGS])
    return {WHOLE: everything, **{name: columns for name, columns in kept.items() if len(columns)}}


def ablate(
    net: RouterNet, train: Sequence[Label], asked: Sequence[Label], reader: Reader
) -> dict[str, tuple[Floats, int]]:
    """By variant, need of the frontier of the rows asked, (n,), and how many inputs its heads have."""
    seen, points = (embed_points(net, labels, reader) for labels in (train, asked))
    quality, weight = targets(train)
    width = 2 * net.step.in_features
    found = {}
    for name, columns in list_variants(seen, width).items():
        heads = fit_quality(seen[:, columns], quality, weight, net.knobs.head_strengths)
        said = as_quality(points[:, columns] @ heads.weight.T + heads.bias)
        found[name] = (said[:, 1] - said[:, 0], len(columns))
    return found


@torch.inference_mode()  # type: ignore[untyped-decorator]  # torch is skipped
def embed_points(net: RouterNet, labels: Sequence[Label], reader: Reader) -> Floats:
    """What the heads read of labels, (n, inputs), in their order."""
    rows = LabelRows(labels, reader, tiers=GATE_TIERS)
    found = np.zeros((len(labels), net.quality.in_features), dtype=np.float32)
    order = sorted(range(len(rows)), key=lambda place: len(rows.ids[place]))
    for start in range(0, len(order), EMBED_BATCH_ROWS):
        some = order[start : start + EMBED_BATCH_ROWS]
        ids, mask = reader.packer.batch([rows.ids[place] for place in some], multiple_of=16)
        middle, last = (part.float() for part in net.embed(torch.from_numpy(ids), torch.from_numpy(mask)))
        found[some] = net.points(middle, last, torch.from_numpy(rows.features[some])).numpy()
    return np.asarray(found, dtype=np.float64)
