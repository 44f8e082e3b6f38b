"""One router in a process of its own, that routes prompts and says how long each took: ours or a peer.

Run by the Python of the peer's environment (``make speed-peers``), which need not have anything of Learned Router:

    python peer_process.py NAME prepare GIVEN.json     fit it on the texts given, and save what it loads later
    python peer_process.py NAME serve GIVEN.json       JSON lines: prompts in, milliseconds out

GIVEN.json: ``router`` and ``arguments`` (folder of our artifact, what else Router.load is given); for the peers ``encoder``
(folder of MiniLM's weights), ``folder`` (where it saves), ``texts`` and ``classes`` (labelled traffic, 0 or 1). Times are
taken around the router's own call alone.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.append(sys.path.pop(0))  # this folder, last: its names must hide none of a peer's
# all of them on one core; and none may ask a hub for weights
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[variable] = "1"
os.environ |= {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1", "LLMROUTER_EMBEDDING_DEVICE": "cpu"}
os.environ.setdefault("OPENAI_API_KEY", "none")  # routellm makes a client when it is imported, and asks it nothing

Route = Callable[[str], Any]
CLASSES = ("small", "frontier")


class LearnedRouter:
    """Ours."""

    def __init__(self, given: dict[str, Any]) -> None:
        import learned_router

        self.given, self.package = given, learned_router

    def prepare(self) -> None:
        """The artifact is there."""

    def load(self) -> Route:
        return self.package.Router.load(self.given["router"], **self.given.get("arguments", {})).route


class SentenceTransformers:
    """MiniLM as the library runs it, and a logistic regression on its embeddings."""

    def __init__(self, given: dict[str, Any]) -> None:
        import sentence_transformers
        import sklearn.linear_model

        self.given, self.saved = given, Path(given["folder"]) / "regression.pkl"
        self.encoders, self.linear = sentence_transformers, sklearn.linear_model

    def prepare(self) -> None:
        encoder = self.encoders.SentenceTransformer(self.given["encoder"], device="cpu")
        fitted = self.linear.LogisticRegression().fit(encoder.encode(self.given["texts"]), self.given["classes"])
        self.saved.write_bytes(pickle.dumps(fitted))

    def load(self) -> Route:
        one_thread()
        encoder = self.encoders.SentenceTransformer(self.given["encoder"], device="cpu")
        fitted = pickle.loads(self.saved.read_bytes())
        return lambda prompt: fitted.predict_proba(encoder.encode([prompt], show_progress_bar=False))[0, 1]


class RouteLLM:
    """Its BERT router: xlm-roberta-base with random weights, for the trained ones are on a hub. Its time is the same.

    The tokenizer is MiniLM's, so that all see as many tokens; the embeddings are as many as the architecture's.
    """

    def __init__(self, given: dict[str, Any]) -> None:
        from routellm.routers import routers

        self.given, self.folder, self.routers = given, Path(given["folder"]) / "xlm-roberta", routers

    def prepare(self) -> None:
        from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaForSequenceClassification

        # xlm-roberta-base as published: the class's defaults but for these
        config = XLMRobertaConfig(
            vocab_size=250_002, max_position_embeddings=514, type_vocab_size=1, layer_norm_eps=1e-5, num_labels=3
        )
        XLMRobertaForSequenceClassification(config).save_pretrained(self.folder)
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_file=str(Path(self.given["encoder"]) / "tokenizer.json"),
            model_max_length=512,
            model_input_names=["input_ids", "attention_mask"],
            pad_token="[PAD]",
        )
        tokenizer.save_pretrained(self.folder)

    def load(self) -> Route:
        one_thread()
        router = self.routers.BERTRouter(str(self.folder))
        return lambda prompt: router.route(prompt, 0.5, Pair(*CLASSES))


class Pair:
    """What RouteLLM's controller hands to its routers: two names of models."""

    def __init__(self, weak: str, strong: str) -> None:
        self.weak, self.strong = weak, strong


class SemanticRouter:
    """Its own encoder of local models on MiniLM, two routes of twenty utterances in its local index."""

    def __init__(self, given: dict[str, Any]) -> None:
        import semantic_router
        from semantic_router import encoders

        self.given, self.package, self.encoders = given, semantic_router, encoders

    def prepare(self) -> None:
        """It has nothing to save: routes are embedded when it is made."""

    def load(self) -> Route:
        one_thread()
        rows = list(zip(self.given["texts"], self.given["classes"], strict=True))
        routes = [
            self.package.Route(name=name, utterances=[text for text, kind in rows if kind == index][:20])
            for index, name in enumerate(CLASSES)
        ]
        encoder = self.encoders.HuggingFaceEncoder(name=self.given["encoder"], device="cpu")
        return self.package.IndexedRouter(encoder=encoder, routes=routes)


class Tracer:
    """Its policy fitted on the labelled traffic, with its own embedder of sentence-transformers on MiniLM."""

    def __init__(self, given: dict[str, Any]) -> None:
        import tracer

        self.given, self.folder, self.package = given, Path(given["folder"]) / "policy", tracer

    def prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        traces = self.folder.parent / "traces.jsonl"
        rows = zip(self.given["texts"], self.given["classes"], strict=True)
        lines = [json.dumps({"input": text, "teacher": CLASSES[kind]}) for text, kind in rows]
        traces.write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.package.fit(str(traces), str(self.folder), embeddings=self.embedder().embed(self.given["texts"]))

    def load(self) -> Route:
        one_thread()
        return self.package.load_router(str(self.folder), embedder=self.embedder()).predict

    def embedder(self) -> Any:
        return self.package.Embedder.from_sentence_transformers(self.given["encoder"], device="cpu")


class LLMRouter:
    """Its KNNRouter, whose own encoder is on a hub: MiniLM is loaded in its place, by its own code."""

    def __init__(self, given: dict[str, Any]) -> None:
        from llmrouter import models
        from llmrouter.utils import embeddings

        self.given, self.models, self.embeddings = given, models, embeddings
        embeddings._MODEL_NAME = given["encoder"]

    def prepare(self) -> None:
        import numpy as np
        import yaml
        from peer_llmrouter import write_config

        known = np.stack([self.embeddings.get_longformer_embedding(text).numpy() for text in self.given["texts"]])
        top = np.array(self.given["classes"], dtype=float)
        config = write_config("knn", {"known": known, "small": 1 - top, "top": top}, Path(self.given["folder"]))
        # where route_single looks for what the trainer saves
        paths = yaml.safe_load(config.read_text(encoding="utf-8"))
        paths["model_path"]["load_model_path"] = paths["model_path"]["save_model_path"]
        config.write_text(yaml.safe_dump(paths), encoding="utf-8")
        self.models.KNNRouterTrainer(self.models.KNNRouter(str(config))).train()

    def load(self) -> Route:
        one_thread()
        router = self.models.KNNRouter(str(Path(self.given["folder"]) / "config.yaml"))
        self.embeddings._init_model()
        return lambda prompt: router.route_single({"query": prompt})["model_name"]


ROUTERS = {
    "learned_router": LearnedRouter,
    "sentence_transformers": SentenceTransformers,
    "semantic_router": SemanticRouter,
    "tracer": Tracer,
    "llmrouter": LLMRouter,
    "routellm": RouteLLM,
}


def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def serve(name: str, given: dict[str, Any], answer: Callable[[Any], None]) -> None:
    """Say what importing and loading took, then the times of each line's prompts."""
    began = time.perf_counter()
    router = ROUTERS[name](given)
    imported = time.perf_counter()
    route = router.load()
    loaded = time.perf_counter()
    answer({"import_ms": 1000 * (imported - began), "load_ms": 1000 * (loaded - imported)})
    for line in sys.stdin:
        times, said = [], None
        for prompt in json.loads(line):
            began = time.perf_counter()
            said = route(prompt)
            times.append(1000 * (time.perf_counter() - began))
        answer({"ms": times, "last": str(said)[:200]})


def main() -> None:
    name, action, path = sys.argv[1:]
    given = json.loads(Path(path).read_text(encoding="utf-8"))
    # what a router prints must not stand between the lines
    lines = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    if action == "prepare":
        ROUTERS[name](given).prepare()
    else:
        serve(name, given, lambda answer: print(json.dumps(answer), file=lines, flush=True))


if __name__ == "__main__":
    main()
