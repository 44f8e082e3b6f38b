"""A peer to time the router against: torch MiniLM embeddings and a logistic regression, as embedding routers work.

Knows texts and models; measures nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_TOKENS = 256  # where sentence-transformers cuts this encoder's input


@contextlib.contextmanager
def one_torch_thread() -> Iterator[None]:
    """torch on one thread, as the router; afterwards as before: the setting is the whole process's, and sums of another
    number of threads differ in their last digits, which another training in the same process would show."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class EmbeddingPeer:
    """The encoder of ``find_encoder()`` in torch, mean pooling, logistic regression on two classes."""

    def __init__(self, texts: Sequence[str]) -> None:
        """texts: anything to fit the regression on, half of it one class; what it learns does not change its speed."""
        import torch
        from sklearn.linear_model import LogisticRegression
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        from learned_router.training.model import find_encoder

        logging.disable_progress_bar()
        self._torch = torch
        self._tokenizer: Any = AutoTokenizer.from_pretrained(find_encoder())
        self._model = AutoModel.from_pretrained(find_encoder()).eval()
        self._classifier = LogisticRegression()
        self._classifier.fit(self.embed(texts), np.arange(len(texts)) % 2)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Mean of the token vectors, of length 1: float32 (n, width)."""
        batch = self._tokenizer(list(texts), padding=True, truncation=True, max_length=MAX_TOKENS, return_tensors="pt")
        with self._torch.inference_mode():
            tokens = self._model(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1)
        mean = (tokens * mask).sum(dim=1) / mask.sum(dim=1)
        vectors: NDArray[np.float32] = self._torch.nn.functional.normalize(mean, dim=-1).numpy()
        return vectors

    def decide(self, text: str) -> float:
        """Probability of the second class."""
        return float(self._classifier.predict_proba(self.embed([text]))[0, 1])
