"""Train a router class of LLMRouter on embeddings it is given, and write what it says of the test requests.

Run by the Python of its own environment (``make bench-peers``), never by ours: it imports ``llmrouter`` and what that
needs, and nothing of Learned Router.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

VERSION = "0.4.0"
SMALL, FRONTIER = "small", "frontier"

# The values of LLMRouter's own example configs, configs/model_config_train/{knn,svm,mlp}router.yaml in its repository
# (the wheel ships none). n_jobs is 1 there only for us: it changes no result.
HPARAM: dict[str, dict[str, Any]] = {
    "knn": {
        "n_neighbors": 5,
        "weights": "uniform",
        "algorithm": "auto",
        "leaf_size": 30,
        "p": 2,
        "metric": "minkowski",
        "n_jobs": 1,
    },
    "svm": {"kernel": "rbf", "C": 1.0, "gamma": "scale", "probability": True},
    "mlp": {
        "hidden_layer_sizes": [128, 64],
        "activation": "relu",
        "lr": 0.001,
        "epochs": 100,
        "batch_size": 32,
        "alpha": 0.0001,
    },
}


def write_config(router: str, given: Any, folder: Path) -> Path:
    """The YAML config of LLMRouter and the files it names. given: ``known`` (n, d), ``small`` and ``top`` (n,)."""
    import torch
    import yaml

    lines = []
    for row, scores in enumerate(zip(given["small"], given["top"], strict=True)):
        # its classes keep the first best model of a query: of equals, the small one. Rows are told apart by number,
        # for the same text may be asked with other tools
        for model, score in zip((SMALL, FRONTIER), scores, strict=True):
            entry = {"query": str(row), "model_name": model, "performance": float(score), "embedding_id": row}
            lines.append(json.dumps(entry))
    paths = {
        "routing_data_train": folder / "routing.jsonl",
        "query_embedding_data": folder / "embeddings.pt",
        "llm_data": folder / "llm.json",
    }
    paths["routing_data_train"].write_text("\n".join(lines) + "\n", encoding="utf-8")
    torch.save(torch.from_numpy(given["known"]), paths["query_embedding_data"])
    paths["llm_data"].write_text(json.dumps({SMALL: {}, FRONTIER: {}}), encoding="utf-8")
    config = {
        "data_path": {name: str(path.resolve()) for name, path in paths.items()},
        "model_path": {"ini_model_path": "", "save_model_path": str((folder / "model.pkl").resolve())},
        "metric": {"weights": {"performance": 1, "cost": 0, "llm_judge": 0}},
        "hparam": HPARAM[router],
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


def score(router: str, config: Path, asked: Any) -> Any:
    """Train by the class's own constructor and trainer; probability (n,) that the frontier is the best model."""
    import torch
    from llmrouter import models

    if router == "mlp":
        made = models.MLPRouter(str(config))
        trainer = models.MLPTrainer(made, device="cpu")
        trainer.train()
        with torch.inference_mode():
            odds = torch.softmax(trainer.model(torch.from_numpy(asked).float()), dim=1).numpy()
        classes = [made.idx_to_model[index] for index in range(made.num_classes)]
    else:
        kinds = {
            "knn": (models.KNNRouter, models.KNNRouterTrainer),
            "svm": (models.SVMRouter, models.SVMRouterTrainer),
        }
        of_router, of_trainer = kinds[router]
        trainer = of_trainer(of_router(str(config)))
        trainer.train()
        odds, classes = trainer.model.predict_proba(asked), list(trainer.model.classes_)
    return odds[:, classes.index(FRONTIER)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("router", choices=HPARAM)
    parser.add_argument("given", type=Path, help=".npz with known, asked (n, d) and the train rows' small and top (n,)")
    parser.add_argument("out", type=Path, help=".npy of scores to write; what the class asks for is written beside it")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    import numpy as np
    import torch

    np.random.seed(arguments.seed)  # what its SVC draws from
    torch.manual_seed(arguments.seed)
    given = np.load(arguments.given)
    config = write_config(arguments.router, given, arguments.out.parent)
    np.save(arguments.out, np.asarray(score(arguments.router, config, given["asked"]), dtype=np.float64))


if __name__ == "__main__":
    main()
