"""Parts that many tests share: a tiny encoder, synthetic labels, and an artifact really trained on them."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest

from learned_router.request import Message
from learned_router.router import Router

CORPORA = Path(__file__).resolve().parents[2] / "shared" / "corpora"

EASY = ("list the open {}", "show me the last {}", "what is the status of the {}?", "count the {} of today")
HARD = (
    "plan the migration of every {} to another region",
    "prove that no {} can ever be lost",
    "redesign the whole {}",
)
THINGS = ("tickets", "orders", "builds", "commits", "invoices", "alerts", "branches", "servers", "reports", "users")


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of real paired logs beside the checkout; tests that need it are skipped where it is absent."""
    if not CORPORA.is_dir():
        pytest.skip("the corpora of real paired logs are not beside this checkout")
    return CORPORA


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of one narrow layer with random weights and MiniLM's tokenizer: trains and exports in seconds."""
    import shutil

    import torch
    from transformers import BertConfig, BertModel

    from learned_router.training.model import find_encoder

    folder = tmp_path_factory.mktemp("tiny-encoder")
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, max_position_embeddings=512
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    shutil.copy(Path(find_encoder()) / "tokenizer.json", folder / "tokenizer.json")
    return folder


def make_labels(count: int = 240, seed: int = 0):  # type: ignore[no-untyped-def]
    """Labels on which the small tier fails on the hard prompts, mostly, and then hedges, mostly; split 60/20/20."""
    from learned_router.training.records import Label, Output

    rng = random.Random(seed)
    labels = []
    for index in range(count):
        hard = rng.random() < 0.5
        text = rng.choice(HARD if hard else EASY).format(rng.choice(THINGS))
        small = float(rng.random() < (0.1 if hard else 0.9))
        sure = rng.random() < (0.95 if small else 0.05)
        answer = f"Done: {text} gave {rng.randint(2, 90)} results." if sure else "I am not sure, perhaps none of them"
        labels.append(
            Label(
                id=f"synthetic-{index}",
                messages=[Message(role="user", content=text)],
                quality={"small": small, "frontier": 1.0 if rng.random() < 0.95 else 0.0},
                models={"small": "model-s", "frontier": "model-f"},
                outputs={"small": Output(text=answer)},
                grader="synthetic",
                split=("train", "train", "train", "calibration", "test")[index % 5],
                group=f"g{index}",
                step="plan" if hard else "tool_call",
                source="synthetic",
            )
        )
    return labels


@pytest.fixture(scope="session")
def label_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from learned_router.training.records import write_jsonl

    path = tmp_path_factory.mktemp("labels") / "labels.jsonl.gz"
    write_jsonl(path, make_labels())
    return path


@pytest.fixture(scope="session")
def tiny_recipe(tiny_encoder: Path):  # type: ignore[no-untyped-def]
    from learned_router.training.recipe import EncoderKnobs, FitKnobs, load_recipe

    return msgspec.structs.replace(
        load_recipe("fast"),
        name="tiny",
        encoder=EncoderKnobs(name=str(tiny_encoder), train_embeddings=True),
        fit=FitKnobs(epochs=6, batch_size=16, learning_rate=5e-3, head_learning_rate=5e-3),
    )


@pytest.fixture(scope="session")
def artifact(tmp_path_factory: pytest.TempPathFactory, label_file: Path, tiny_recipe) -> Path:  # type: ignore[no-untyped-def]
    """An artifact trained on the synthetic labels by the real pipeline. Tests copy it before they change it."""
    from learned_router.training.labels import load_labels
    from learned_router.training.pipeline import train

    out = tmp_path_factory.mktemp("artifact") / "tiny"
    train(load_labels([label_file]), out, tiny_recipe, baselines=False, allow_uncertified=True)
    return out


@pytest.fixture(scope="session")
def router(artifact: Path) -> Router:
    return Router.load(artifact)
