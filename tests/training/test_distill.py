"""A small encoder is taught by a big one, on texts alone and on nobody's test split; a router can begin with it."""

from __future__ import annotations

import random
import shutil
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from transformers import BertConfig, BertModel

from learned_router.errors import InputError
from learned_router.request import Message
from learned_router.request_features import FEATURES
from learned_router.training import distill, unseen
from learned_router.training.distill_texts import (
    LIBRARIES,
    excerpt_answers,
    make_tool_calls,
    read_functions,
    read_texts,
)
from learned_router.training.model import build_net, find_encoder
from learned_router.training.pretrain import choose_taught, read_outcomes
from learned_router.training.pretrained import LayerShape, read_about
from learned_router.training.reader import request_reader
from learned_router.training.recipe import DISTILLED, SIZES, EncoderKnobs, Recipe, load_recipe, with_size
from learned_router.training.records import Output, Record, Skipped, write_jsonl

# narrower than the tokens' embeddings of the encoder that is repeated, and heads as wide as its own
SMALL = LayerShape(width=16, ffn=48, activation="relu")
ANSWER = "The answer is long enough to take a piece of it, since it has more than forty characters."


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Requests of which two models answered every other one, and none has a score where the number is odd."""
    path = tmp_path_factory.mktemp("log") / "log.jsonl.gz"
    records = []
    for number in range(160):
        score = float(number % 3 == 0) if number % 2 == 0 else None
        text = f"Compare order {number} with invoice {number * 7} of {['Ada', 'Bo', 'Cy'][number % 3]}, and say what differs"
        outputs = {"a": Output(text=ANSWER, score=score), "b": Output(text="short", score=score)}
        records.append(Record(f"r{number}", [Message("user", text)], outputs, source="own", licence="CC0-1.0"))
    write_jsonl(path, records)
    return path


@pytest.fixture(scope="module")
def deep_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A narrow BERT of four layers with random weights: what it says cannot be had from its first layer as it is."""
    folder = tmp_path_factory.mktemp("deep-encoder")
    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=32, num_hidden_layers=4, num_attention_heads=2, intermediate_size=64, initializer_range=0.2
    )
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    shutil.copy(Path(find_encoder()) / "tokenizer.json", folder / "tokenizer.json")
    return folder


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory: pytest.TempPathFactory, deep_encoder: Path) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "distill.toml"
    path.write_text(
        f'name = "few"\n[modes]\nbalanced = 0.95\n[encoder]\nname = "{deep_encoder}"\nlayers = 1\n'
        "[fit]\nepochs = 8\nlearning_rate = 3e-3\nhead_learning_rate = 3e-3\nbatch_size = 16\n",
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module")
def distilled(log: Path, recipe_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command writes."""
    out = tmp_path_factory.mktemp("distilled") / "encoder"
    arguments = ["distill", str(log), "--out", str(out), "--recipe", str(recipe_file), "--excerpts", "20"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distill, "SHAPE", SMALL)
        patch.setattr(unseen, "LEAST_ROWS", 5)
        patch.setattr("learned_router.training.distill_texts.LIBRARIES", {"numpy": "BSD-3-Clause"})
        patch.setattr(sys, "argv", [*arguments, "--tool-calls", "10"])
        assert distill.main() == 0
    return out


def on(encoder: str | Path, recipe: Recipe) -> Recipe:
    return msgspec.structs.replace(recipe, encoder=EncoderKnobs(name=str(encoder)))


def test_a_router_begins_with_the_narrower_layer_and_what_it_learned(
    distilled: Path, deep_encoder: Path, tiny_recipe: Recipe
) -> None:
    net = build_net(on(distilled, tiny_recipe), np.zeros((4, len(FEATURES)), np.float32), 2)
    layer = net.encoder.encoder.layer[0].intermediate
    assert (layer.dense.in_features, layer.dense.out_features) == (SMALL.width, SMALL.ffn)
    assert type(layer.intermediate_act_fn).__name__ == "ReLU"
    plain = build_net(on(deep_encoder, tiny_recipe), np.zeros((4, len(FEATURES)), np.float32), 2)
    assert torch.equal(net.encoder.embeddings.word_embeddings.weight, plain.encoder.embeddings.word_embeddings.weight)
    learned = load_file(distilled / "pretrained.safetensors")
    query = net.encoder.encoder.layer[0].attention.self.query.weight.detach()
    assert torch.equal(query.half(), learned["encoder.encoder.layer.0.attention.self.query.weight"])


def test_what_it_learned_from_is_told_with_licences(distilled: Path) -> None:
    about = read_about(distilled)
    assert about.requests["made-up calls of libraries' functions"] == 10
    assert 0 < about.requests["excerpts of those requests' answers"] <= 20
    assert about.licences["own"] == "CC0-1.0"
    assert (about.models, about.shape) == (0, SMALL)
    card = (distilled / "README.md").read_text()
    assert "CC0-1.0" in card
    assert "BSD-3-Clause" in card


def test_the_card_shows_what_heads_make_of_it_where_scores_are_known(distilled: Path) -> None:
    assert "does not repeat" in (distilled / "README.md").read_text()


def test_the_card_can_be_written_again_from_the_same_logs_alone(
    distilled: Path, log: Path, recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    out = tmp_path / "encoder"
    shutil.copytree(distilled, out)
    (out / "README.md").unlink()
    monkeypatch.setattr(unseen, "LEAST_ROWS", 5)
    arguments = ["distill", str(log), "--out", str(out), "--recipe", str(recipe_file), "--card"]
    monkeypatch.setattr(sys, "argv", arguments)
    assert distill.main() == 0
    assert (out / "README.md").read_text() == (distilled / "README.md").read_text()
    other = tmp_path / "other.jsonl.gz"
    answers = {"a": Output(text=ANSWER, score=1.0)}
    write_jsonl(other, [Record(f"r{n}", [Message("user", f"hello {n}")], answers, source="own") for n in range(40)])
    monkeypatch.setattr(sys, "argv", ["distill", str(other), *arguments[2:]])
    assert distill.main() == 2
    assert "give the logs with which it was distilled" in " ".join(capsys.readouterr().err.split())


def test_requests_without_scores_teach_too(log: Path) -> None:
    assert len(read_outcomes([log], Skipped(), scored=False)) == 160
    assert len(read_outcomes([log], Skipped())) == 80


def test_training_repeats_more_of_the_big_encoder_than_it_began_with(
    log: Path, recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distill, "SHAPE", SMALL)
    recipe, console = load_recipe(str(recipe_file)), Console(quiet=True)
    packer = request_reader(recipe).packer
    taught = choose_taught(read_outcomes([log], Skipped(), scored=False))
    texts = read_texts(taught, [log], packer, recipe.view, excerpts=0, tools=0, seed=0)
    assert set(texts.sources) == {"own"}
    taught_none = msgspec.structs.replace(
        recipe, fit=msgspec.structs.replace(recipe.fit, learning_rate=0.0, head_learning_rate=0.0)
    )
    distill.distill(texts, taught_none, packer, tmp_path / "before", 0, console)
    distill.distill(texts, recipe, packer, tmp_path / "after", 0, console)
    before, after = (sum(read_about(tmp_path / name).missed or ()) for name in ("before", "after"))
    assert after < 0.8 * before


def test_a_killed_run_does_not_ask_the_big_encoder_twice(
    log: Path, recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distill, "SHAPE", SMALL)
    recipe, console = load_recipe(str(recipe_file)), Console(quiet=True)
    packer = request_reader(recipe).packer
    texts = read_texts(
        choose_taught(read_outcomes([log], Skipped(), scored=False)),
        [log],
        packer,
        recipe.view,
        excerpts=0,
        tools=0,
        seed=0,
    )
    with monkeypatch.context() as patch:
        patch.setattr(distill, "run_trainer", lambda *args, **kwargs: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            distill.distill(texts, recipe, packer, tmp_path / "out", 0, console)
    monkeypatch.setattr(distill, "ask_teacher", lambda *args: pytest.fail("asked again"))
    distill.distill(texts, recipe, packer, tmp_path / "out", 0, console)
    assert read_about(tmp_path / "out").requests == texts.sources


def test_pieces_are_of_answers_to_known_requests_alone(log: Path) -> None:
    pieces = list(excerpt_answers([log], {("own", "r1"), ("own", "r2"), ("other", "r3")}, random.Random(0)))
    assert len(pieces) == 2  # of the two answers of each, one is too short
    assert all(piece in ANSWER for piece in pieces)


def test_tool_calls_are_made_up_from_documented_functions() -> None:
    functions = {"numpy": list(read_functions("numpy"))}
    assert len(functions["numpy"]) > 500
    for request in make_tool_calls(functions, ["a result"], 30, random.Random(0)):
        assert request.tools
        for tool in request.tools:
            function = tool["function"]
            assert set(function["parameters"]["required"]) <= set(function["parameters"]["properties"])
            assert len(function["description"]) >= 20
        assert request.messages[-1].content


def test_libraries_that_are_not_there_give_no_tool_calls() -> None:
    assert list(read_functions("no_such_library_at_all")) == []
    assert list(make_tool_calls({"none": []}, [], 5, random.Random(0))) == []


def test_every_library_is_one_that_set_up_installs() -> None:
    assert all(next(read_functions(name), None) for name in LIBRARIES)


def test_logs_without_requests_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], recipe_file: Path
) -> None:
    empty = tmp_path / "log.jsonl"
    empty.write_text("")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            sys, "argv", ["distill", str(empty), "--out", str(tmp_path / "out"), "--recipe", str(recipe_file)]
        )
        assert distill.main() == 2
    assert "no request is left to learn from" in capsys.readouterr().err


def test_size_nano_begins_with_the_distilled_encoder_unless_the_recipe_names_its_own() -> None:
    fast = load_recipe("fast")
    assert with_size(fast, "nano").encoder.name == DISTILLED
    own = msgspec.structs.replace(fast, encoder=EncoderKnobs(name="my/encoder"))
    assert with_size(own, "nano").encoder.name == "my/encoder"
    assert with_size(with_size(fast, "nano"), "base").encoder.name == SIZES["base"].encoder


def test_more_layers_than_were_distilled_are_refused(distilled: Path, tiny_recipe: Recipe) -> None:
    recipe = msgspec.structs.replace(tiny_recipe, encoder=EncoderKnobs(name=str(distilled), layers=2))
    with pytest.raises(InputError, match="with 1 layers, and 2 are asked for"):
        build_net(recipe, np.zeros((4, len(FEATURES)), np.float32), 2)
