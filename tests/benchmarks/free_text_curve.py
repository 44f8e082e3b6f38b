"""Fit the curve that turns the likeness of two free texts into a probability, on one half of the judged chat logs.

Run: python tests/benchmarks/free_text_curve.py [--cache FOLDER]. Needs the corpora folder beside the checkout, writes
training/graders/free_text.json. The other half, by question, is left for grader_agreement.py to measure on.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from corpora import CORPORA
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from learned_router.training.graders.encoder import SentenceEncoder
from learned_router.training.graders.free_text import CURVES, MEASURES, Curve, Curves, Embed, measure
from learned_router.training.graders.reference import question_of, reference_text
from learned_router.training.records import Record, Skipped, read_records
from learned_router.training.split import question_stem

CACHE = Path(__file__).resolve().parents[2] / "runs" / "cache"
FRONTIER = "gpt-4-1106-preview"
CHATS = ("arena_bench", "routellm_mtbench")
METHODS = ("reference", "agreement")
UNRELATED = "unrelated"  # in place of a model's name: an answer to another question
UNRELATED_WEIGHT = 0.5
COMMAND = "python tests/benchmarks/free_text_curve.py"


class Row(NamedTuple):
    """One answer. score: gold, in [0, 1]. target: what the curve is to predict. fitted: whether on the fitting half."""

    corpus: str
    record: str
    model: str
    measures: dict[str, float]
    score: float
    target: float
    fitted: bool


class CachedEncoder:
    """A sentence encoder that keeps its vectors in one file of a folder, by hash of the text."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "free-text.npz"
        self._vectors: dict[str, Any] = dict(np.load(self._path)) if self._path.is_file() else {}
        self._encode = SentenceEncoder()

    def __call__(self, texts: Sequence[str]) -> Any:
        keys = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
        for key, text in zip(keys, texts, strict=True):
            if key not in self._vectors:
                self._vectors[key] = self._encode([text])[0]
        return np.array([self._vectors[key] for key in keys])

    def save(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(self._path, **self._vectors)


def is_fitted(record: Record) -> bool:
    """Whether the record's question is on the half that the curve is fitted on: by hash of its stem."""
    return hashlib.sha256(question_stem(question_of(record)).encode()).digest()[0] % 2 == 0


def judged_rows(corpus: str, method: str, embed: Embed) -> Iterator[Row]:
    """The judged answers of ``corpus``, beside the record's reference or the frontier's answer."""
    for record in read_records([CORPORA / f"{corpus}.jsonl.gz"], Skipped()):
        top = record.outputs.get(FRONTIER)
        wanted = reference_text(record) if method == "reference" else top.text if top else None
        for model, output in record.outputs.items():
            if output.score is None or not output.text or not wanted:
                continue
            target = output.score
            if method == "agreement":
                if model == FRONTIER or top is None or top.score is None:
                    continue
                # as the label has it: the frontier's quality is 1, and what the other one lacks is its regret
                target = 1.0 - max(0.0, top.score - output.score)
            measures = measure(output.text, wanted, question_of(record), embed)
            yield Row(corpus, record.id, model, measures, output.score, target, is_fitted(record))


def unrelated_rows(corpus: str, method: str, embed: Embed) -> Iterator[Row]:
    """Each reference, or frontier's answer, beside the answer to the next question, which is worth nothing.

    Every judged answer is about its question: from them alone the curve would not learn that others are not.
    """
    records = list(read_records([CORPORA / f"{corpus}.jsonl.gz"], Skipped()))
    for record, other in zip(records, records[1:] + records[:1], strict=True):
        top, found = record.outputs.get(FRONTIER), next(iter(other.outputs.values())).text
        wanted = reference_text(record) if method == "reference" else top.text if top else None
        if wanted and found:
            measures = measure(found, wanted, question_of(record), embed)
            yield Row(corpus, record.id, UNRELATED, measures, 0.0, 0.0, is_fitted(record) and is_fitted(other))


def fit(rows: Sequence[Row]) -> Curve:
    """A logistic curve to soft targets: each row counts as good by its target and as bad by the rest."""
    scaler = StandardScaler()
    points = scaler.fit_transform([[row.measures[name] for name in MEASURES] for row in rows])
    targets = np.array([row.target for row in rows])
    sides = np.repeat([1, 0], len(rows))
    counts = np.array([UNRELATED_WEIGHT if row.model == UNRELATED else 1.0 for row in rows])
    weight = np.r_[counts * targets, counts * (1 - targets)]
    model = LogisticRegression().fit(np.vstack([points, points]), sides, sample_weight=weight)
    weights = model.coef_[0] / scaler.scale_
    bias = float(model.intercept_[0] - weights @ scaler.mean_)
    return Curve(round(bias, 4), {name: round(float(w), 4) for name, w in zip(MEASURES, weights, strict=True)})


def main(say: Callable[[str], None] = print) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder that keeps embeddings between runs")
    parser.add_argument("--out", type=Path, default=CURVES, help="file to write")
    arguments = parser.parse_args()
    if not CORPORA.is_dir():
        say(f"nothing fitted: {CORPORA} is not there")
        return
    embed = CachedEncoder(arguments.cache)
    rows = {
        method: [
            row for corpus in CHATS for read in (judged_rows, unrelated_rows) for row in read(corpus, method, embed)
        ]
        for method in METHODS
    }
    embed.save()
    chosen = {method: [row for row in found if row.fitted] for method, found in rows.items()}
    curves = Curves(
        command=COMMAND,
        rows={method: len(found) for method, found in chosen.items()},
        curves={method: fit(found) for method, found in chosen.items()},
    )
    arguments.out.write_bytes(msgspec.json.format(msgspec.json.encode(curves), indent=2) + b"\n")
    say(f"wrote {arguments.out}: fitted on {', '.join(f'{n} rows ({m})' for m, n in curves.rows.items())}")


if __name__ == "__main__":
    main()
