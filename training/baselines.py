"""Score requests by need of the top tier with everything simpler than a trained router, so that it has rivals to beat.

Each baseline learns from training labels and scores test requests, higher = needs the top tier more. Knows labels and
frozen embeddings; knows nothing of the router, its thresholds or how the scores are judged on the test rows.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learned_router.request import message_text
from learned_router.training.metrics import apgr, trace_curve
from learned_router.training.records import Label, unit_of

Floats = NDArray[np.float64]
Vectors = NDArray[np.float32]
Progress = Callable[[str], None]
Embedder = Callable[[Sequence[str]], Vectors]

# The first of each is taken when the training labels cannot tell them apart (one group, or no gap on the fold).
NEIGHBOURS: Final = (60, 15, 30, 120, 240)
STRENGTHS: Final = (1.0, 0.1, 10.0, 100.0)
FOLD_SHARE: Final = 0.25

MAX_TOKENS: Final = 256
BATCH: Final = 32
# 256 tokens never reach beyond this many characters of ordinary text; tokenizing the rest of a huge prompt is waste.
CHARS_READ: Final = MAX_TOKENS * 32


class Rows(NamedTuple):
    """Labels as columns. small, top: (n,), quality of the cheapest and the top tier. weight, group: (n,)."""

    labels: Sequence[Label]
    small: Floats
    top: Floats
    weight: Floats
    group: NDArray[np.str_]

    @property
    def gain(self) -> Floats:
        """What the top tier adds, (n,), in [-1, 1]."""
        return self.top - self.small

    def take(self, index: NDArray[np.intp]) -> Rows:
        labels = [self.labels[i] for i in index]
        return Rows(labels, self.small[index], self.top[index], self.weight[index], self.group[index])


def tabulate(labels: Sequence[Label], small: str, top: str) -> Rows:
    """Columns of ``labels`` for the tiers named; a label without a group stands alone, or with its session."""
    return Rows(
        labels,
        np.array([label.quality[small] for label in labels], dtype=np.float64),
        np.array([label.quality[top] for label in labels], dtype=np.float64),
        np.array([label.weight for label in labels], dtype=np.float64),
        np.array([unit_of(label) for label in labels], dtype=np.str_),
    )


def prompt_text(label: Label) -> str:
    """What a baseline reads of a request: its last user or tool message, then the names of its tools."""
    last = next((m for m in reversed(label.messages) if m.role in ("user", "tool", "function")), label.messages[-1])
    names = [str((tool.get("function") or tool).get("name", "")) for tool in label.tools or []]
    text = "\n".join([message_text(last), *([" ".join(names)] if names else [])])
    return text.encode("utf-8", "replace").decode("utf-8")


def score_baselines(
    train: Rows,
    test: Rows,
    *,
    seed: int = 0,
    cache: Path | None = None,
    embedder: Embedder | None = None,
    progress: Progress | None = None,
) -> dict[str, Floats]:
    """Scores (n_test,) by baseline's name: random, length, category, knn, logistic_fail, logistic_gain, oracle.

    A baseline that has nothing to learn from is left out: all that learn when ``train`` has no weight, ``category``
    without two categories, a logistic regression whose target has one value only. embedder: texts → (n, d), MiniLM by
    default (``embed``, with ``cache`` as its folder). Choices (k, C) are made on a fold of ``train``, by group.
    """
    # one score for all rows: the expectation over random orders, without the luck of one of them
    scores: dict[str, Floats | None] = {"random": np.zeros(len(test.labels))}
    scores["length"] = np.array([len(prompt_text(label)) for label in test.labels], dtype=np.float64)
    train = train.take(np.flatnonzero(train.weight > 0))
    if train.labels and test.labels:
        scores["category"] = score_category(train, test)
        texts = [prompt_text(label) for label in (*train.labels, *test.labels)]
        vectors = embedder(texts) if embedder else embed(texts, cache, progress=progress)
        known, asked = vectors[: len(train.labels)], vectors[len(train.labels) :]
        if progress:
            progress("fitting baselines")
        scores["knn"] = score_knn(train, known, asked, seed=seed)
        scores["logistic_fail"] = score_logistic_fail(train, known, asked, seed=seed)
        scores["logistic_gain"] = score_logistic_gain(train, known, asked, seed=seed)
    scores["oracle"] = test.gain
    return {name: score for name, score in scores.items() if score is not None}


def score_category(train: Rows, test: Rows) -> Floats | None:
    """Training mean of the gain per ``category``, else ``task``, else ``step``; the global mean for unseen values.

    A field with one value in ``train`` tells nothing and is passed over; None when that leaves no field.
    """
    means: list[tuple[str, dict[str, float]]] = []
    for field in ("category", "task", "step"):
        values = np.array([getattr(label, field) or "" for label in train.labels])
        names = [str(name) for name in np.unique(values) if name]
        if len(names) > 1:
            means.append((field, {name: _mean(train, values == name) for name in names}))
    if not means:
        return None
    overall = _mean(train, np.ones(len(train.labels), dtype=bool))
    return np.array(
        [
            next((by[value] for field, by in means if (value := getattr(label, field)) in by), overall)
            for label in test.labels
        ]
    )


def _mean(rows: Rows, chosen: NDArray[np.bool_]) -> float:
    return float(np.average(rows.gain[chosen], weights=rows.weight[chosen]))


def score_knn(train: Rows, known: Vectors, asked: Vectors, *, seed: int = 0) -> Floats:
    """Weighted mean gain of the k nearest training requests by cosine. known, asked: (n_train, d), (n_test, d)."""

    def neighbour_means(rows: Rows, vectors: Vectors, queries: Vectors, counts: Sequence[int]) -> dict[int, Floats]:
        from sklearn.neighbors import NearestNeighbors

        most = min(max(counts), len(vectors))
        near = NearestNeighbors(n_neighbors=most, metric="cosine", algorithm="brute").fit(vectors)
        index = near.kneighbors(queries, return_distance=False)
        mass = np.cumsum(rows.weight[index], axis=1)
        gain = np.cumsum(rows.weight[index] * rows.gain[index], axis=1) / mass
        return {count: gain[:, min(count, most) - 1] for count in counts}

    fold = hold_out(train, seed)
    best = NEIGHBOURS[0]
    if fold:
        fit, held = fold
        means = neighbour_means(train.take(fit), known[fit], known[held], NEIGHBOURS)
        best = choose(NEIGHBOURS, train.take(held), means.__getitem__)
    return neighbour_means(train, known, asked, [best])[best]


def score_logistic_fail(train: Rows, known: Vectors, asked: Vectors, *, seed: int = 0) -> Floats | None:
    """Logistic regression's probability that the cheapest tier fails; None when it always or never does."""

    def predict(rows: Rows, vectors: Vectors, queries: Vectors, strength: float) -> Floats | None:
        return _probability(vectors, 1 - rows.small, rows.weight, queries, strength)

    return _score_logistic(predict, train, known, asked, seed)


def score_logistic_gain(train: Rows, known: Vectors, asked: Vectors, *, seed: int = 0) -> Floats | None:
    """P(only the top tier right) - P(only the cheapest right), two logistic regressions; None when there is neither.

    Soft qualities count as the part of the gain that is positive, and the part that is negative, so that the
    difference of the two targets is the gain itself.
    """

    def predict(rows: Rows, vectors: Vectors, queries: Vectors, strength: float) -> Floats | None:
        ups = _probability(vectors, np.maximum(rows.gain, 0), rows.weight, queries, strength)
        downs = _probability(vectors, np.maximum(-rows.gain, 0), rows.weight, queries, strength)
        if ups is None and downs is None:
            return None
        return (0.0 if ups is None else ups) - (np.zeros(len(queries)) if downs is None else downs)

    return _score_logistic(predict, train, known, asked, seed)


def _score_logistic(
    predict: Callable[[Rows, Vectors, Vectors, float], Floats | None],
    train: Rows,
    known: Vectors,
    asked: Vectors,
    seed: int,
) -> Floats | None:
    fold = hold_out(train, seed)
    best = STRENGTHS[0]
    if fold:
        fit, held = fold
        best = choose(STRENGTHS, train.take(held), lambda c: predict(train.take(fit), known[fit], known[held], c))
    return predict(train, known, asked, best)


def _probability(vectors: Vectors, share: Floats, weight: Floats, queries: Vectors, strength: float) -> Floats | None:
    """P(yes) by logistic regression on soft targets: each row is a yes of weight ``share`` and a no of the rest.

    None when all weight lies on one side.
    """
    from sklearn.linear_model import LogisticRegression

    yes, no = weight * share, weight * (1 - share)
    if yes.sum() <= 0 or no.sum() <= 0:
        return None
    is_yes, is_no = yes > 0, no > 0
    model = LogisticRegression(C=strength, max_iter=1000)
    model.fit(
        np.concatenate((vectors[is_yes], vectors[is_no])),
        np.repeat([1, 0], [is_yes.sum(), is_no.sum()]),
        sample_weight=np.concatenate((yes[is_yes], no[is_no])),
    )
    return np.asarray(model.predict_proba(queries)[:, 1], dtype=np.float64)


def hold_out(rows: Rows, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]] | None:
    """Rows to fit on and rows held out, no group on both sides; None when there is one group only."""
    groups = np.unique(rows.group)
    if len(groups) < 2:
        return None
    held_groups = np.random.default_rng(seed).permutation(groups)[: max(1, round(FOLD_SHARE * len(groups)))]
    held = np.isin(rows.group, held_groups)
    return np.flatnonzero(~held), np.flatnonzero(held)


def choose(candidates: Sequence[Any], held: Rows, score: Callable[[Any], Floats | None]) -> Any:
    """The candidate of highest APGR on the held rows, the first when none can be told apart."""

    def value(candidate: Any) -> float:
        scores = score(candidate)
        found = np.nan if scores is None else apgr(trace_curve(scores, held.small, held.top, held.weight))
        return -np.inf if np.isnan(found) else found

    return max(candidates, key=value)


def embed(
    texts: Sequence[str], cache: Path | None = None, *, encoder: str | None = None, progress: Progress | None = None
) -> Vectors:
    """Frozen sentence embeddings: mean of the token states, unit length, float32 (n, 384) with MiniLM.

    encoder: a Hugging Face name or folder, the default MiniLM when None. cache: folder of ``.npy`` files, named by the
    sha256 of texts and model; one that cannot be read is made again.
    """
    from learned_router.training.model import find_encoder

    folder = find_encoder(encoder)
    stored = cache / f"embeddings-{_key(texts, folder)}.npy" if cache else None
    if stored and stored.exists():
        try:
            vectors = np.load(stored)
            if vectors.ndim == 2 and len(vectors) == len(texts):
                return np.asarray(vectors, dtype=np.float32)
        except (OSError, ValueError, EOFError):
            pass  # cut short by a full disk or a kill: only the time to make it is lost
    vectors = _encode(texts, folder, progress)
    if stored:
        stored.parent.mkdir(parents=True, exist_ok=True)
        aside = stored.with_suffix(f".{os.getpid()}.part")
        with aside.open("wb") as file:
            np.save(file, vectors)
        aside.replace(stored)
    return vectors


def _key(texts: Sequence[str], folder: Path | str) -> str:
    digest = hashlib.sha256(f"{folder} {MAX_TOKENS}".encode())
    weights = Path(folder) / "model.safetensors"
    if weights.exists():  # a folder keeps its name when its weights are trained again
        digest.update(f" {weights.stat().st_size} {weights.stat().st_mtime_ns}".encode())
    for text in texts:
        data = text.encode("utf-8", "replace")
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()


def _encode(texts: Sequence[str], folder: Path | str, progress: Progress | None) -> Vectors:
    import torch
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    tokenizer = AutoTokenizer.from_pretrained(folder)
    logging.disable_progress_bar()  # a bar for 100 tensors, in the middle of the caller's own
    try:
        model = AutoModel.from_pretrained(folder).eval()
    finally:
        logging.enable_progress_bar()
    vectors = np.zeros((len(texts), model.config.hidden_size), dtype=np.float32)
    # neighbours in length share a batch, so that hardly any padding is computed
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    for start in range(0, len(order), BATCH):
        rows = order[start : start + BATCH]
        batch = tokenizer(
            [texts[index][:CHARS_READ] for index in rows],
            padding=True,
            truncation=True,
            max_length=MAX_TOKENS,
            return_tensors="pt",
        )
        with torch.inference_mode():
            states = model(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1).to(states.dtype)
        mean = (states * mask).sum(1) / mask.sum(1)
        vectors[rows] = torch.nn.functional.normalize(mean, dim=1).float().numpy()
        if progress and (start // BATCH) % 10 == 0:
            progress(f"embedding {start + len(rows):,} of {len(texts):,} texts")
    return vectors
