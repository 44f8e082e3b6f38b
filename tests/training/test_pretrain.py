"""Pretraining learns from all models of all logs and from nobody's test split; training begins where it ended."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from learned_router.errors import InputError
from learned_router.request import Message
from learned_router.request_features import FEATURES
from learned_router.router import Router
from learned_router.training import pretrain, unseen
from learned_router.training.fit import fit
from learned_router.training.labels import load_labels
from learned_router.training.model import RouterNet, build_net, find_encoder, load_encoder
from learned_router.training.pipeline import train
from learned_router.training.pretrained import ABOUT, WEIGHTS, find_pretrained, read_about
from learned_router.training.reader import request_reader
from learned_router.training.recipe import EncoderKnobs, Recipe, load_recipe
from learned_router.training.records import Label, Output, Record, Skipped, read_labels, write_jsonl
from learned_router.training.split import split

MODELS = ("model-a", "model-b", "model-c")
FEW = 10  # requests that both models of a pair must have answered, of so small a log


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory, label_file: Path) -> Path:
    """The synthetic labels as a log of three models, of which the last answered every other request."""
    path = tmp_path_factory.mktemp("logs") / "log.jsonl.gz"
    records = []
    for index, label in enumerate(read_labels([label_file], Skipped())):
        small, top = label.quality.values()
        scores = dict(zip(MODELS, (small, top, top), strict=True))
        asked = MODELS if index % 2 else MODELS[:2]
        text = f"{label.messages[0].content} of customer number {index}"  # a question of its own
        outputs = {model: Output(text="x", score=scores[model]) for model in asked}
        # the first sessions hold several questions, which labels made without sessions would put on several sides
        session = f"s{index // 4}" if index < 80 else None
        records.append(
            Record(label.id, [Message("user", text)], outputs, session=session, step=label.step, source="own")
        )
    write_jsonl(path, records)
    return path


@pytest.fixture(scope="module")
def recipe_file(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "pre.toml"
    path.write_text(
        f'name = "pre"\n[modes]\nbalanced = 0.95\n[encoder]\nname = "{tiny_encoder}"\n'
        "[fit]\nepochs = 2\nlearning_rate = 5e-3\nhead_learning_rate = 5e-3\nbatch_size = 16\n",
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module")
def pretrained(logs: Path, recipe_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command writes."""
    out = tmp_path_factory.mktemp("pretrained") / "encoder"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["pretrain", str(logs), "--out", str(out), "--recipe", str(recipe_file)])
        patch.setattr(unseen, "LEAST_ROWS", FEW)
        assert pretrain.main() == 0
    return out


def on(recipe: Recipe, encoder: Path, **knobs: object) -> Recipe:
    return msgspec.structs.replace(
        recipe, encoder=EncoderKnobs(name=str(encoder)), fit=msgspec.structs.replace(recipe.fit, **knobs)
    )


def test_every_model_of_a_log_is_a_tier_of_its_own(logs: Path) -> None:
    labels = pretrain.read_outcomes([logs], Skipped())
    assert [len(label.quality) for label in labels[:4]] == [2, 3, 2, 3]
    assert set(labels[1].quality) == {f"{model} @ own" for model in MODELS}


def test_requests_without_scores_are_counted_and_left_out(tmp_path: Path) -> None:
    path, skipped = tmp_path / "log.jsonl", Skipped()
    write_jsonl(path, [Record("a", [Message("user", "list the orders")], {"m": Output(text="x")})])
    assert pretrain.read_outcomes([path], skipped) == []
    assert skipped.counts["no_scores"] == 1


def test_nothing_is_learned_that_stands_in_a_test_split_of_labels_made_alone() -> None:
    # one session holds them all together; alone, each of these questions has a side of its own
    labels = [
        Label(
            f"{i}", [Message("user", f"how many parcels left depot number {i} on Monday?")], {"m @ a": 1.0}, {}, "gold"
        )
        for i in range(60)
    ]
    for label in labels:
        label.session = "one" if int(label.id) < 3 else None
    together = split([msgspec.structs.replace(label) for label in labels])
    taught = pretrain.choose_taught(together)
    alone = {label.id: label.split for label in split([msgspec.structs.replace(x, session=None) for x in labels])}
    assert 0 < len(taught) < len(labels)
    assert all(label.split == "train" and alone[label.id] == "train" for label in taught)
    in_session = {label.id for label in labels if label.session}
    if any(alone[name] != "train" for name in in_session):
        assert not in_session & {label.id for label in taught}


def test_the_command_learns_from_what_may_be_taught_alone(pretrained: Path, logs: Path) -> None:
    labels = pretrain.read_outcomes([logs], Skipped())
    taught = pretrain.choose_taught(labels)
    assert read_about(pretrained).requests == {"own": len(taught)}
    assert len(taught) < len([label for label in labels if label.split == "train"])


def test_a_source_can_be_left_out(logs: Path) -> None:
    labels = pretrain.read_outcomes([logs], Skipped())
    assert pretrain.choose_taught(labels, ["own"]) == []
    assert pretrain.choose_taught(labels, ["another"])


def test_a_question_of_a_source_left_out_is_not_learned_from_another_log() -> None:
    labels = [
        Label(f"{source}-{i}", [Message("user", f"{lead}how many parcels left depot {i} on Monday?")], {}, {}, "gold")
        for source, lead in (("left", ""), ("other", "Question: "))
        for i in range(40)
    ]
    for label in labels:
        label.source = label.id.partition("-")[0]
    asked_once = Label("alone", [Message("user", "which of the trains to the north are late today?")], {}, {}, "gold")
    asked_once.source = "other"
    taught = pretrain.choose_taught(split([*labels, asked_once]), ["left"])
    assert {label.id for label in taught} <= {"alone"}
    assert {label.source for label in pretrain.choose_taught(labels)} == {"left", "other"}


def test_several_sources_can_be_left_out(
    logs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ["pretrain", str(logs), "--out", str(tmp_path / "out"), "--leave-out", "another", "--leave-out", "own"]
    monkeypatch.setattr(sys, "argv", arguments)
    assert pretrain.main() == 2
    assert "no request with scores is left" in capsys.readouterr().err


def test_a_small_log_is_not_drowned_by_a_large_one() -> None:
    labels = [
        Label(f"{i}", [Message("user", "x")], {"m": 1.0}, {}, "gold", source="large" if i < 90 else "small")
        for i in range(100)
    ]
    weights = {label.source: label.weight for label in pretrain.balance(labels)}
    assert weights["large"] == 1.0
    assert weights["small"] == pytest.approx(3.0)


def test_only_what_changed_is_kept_and_in_half_the_bytes(pretrained: Path, tiny_encoder: Path) -> None:
    kept = load_file(pretrained / WEIGHTS)
    assert {tensor.dtype for tensor in kept.values()} == {torch.float16}
    assert not any("word_embeddings" in name for name in kept)  # the recipe does not train them
    assert not any(name.startswith(("quality.", "step.")) for name in kept)
    assert any(name.startswith("encoder.encoder.layer.0") for name in kept)
    assert find_encoder(str(pretrained)) == tiny_encoder


def test_training_begins_where_pretraining_ended(
    pretrained: Path, tiny_recipe: Recipe, label_file: Path, tmp_path: Path
) -> None:
    labels = [label for label in read_labels([label_file], Skipped()) if label.split == "train"]
    reader = request_reader(on(tiny_recipe, pretrained))
    net = fit(labels, reader, on(tiny_recipe, pretrained, epochs=0), tmp_path / "checkpoints")
    learned = load_file(pretrained / WEIGHTS)
    now = net.state_dict()
    assert all(torch.equal(now[name], tensor.float()) for name, tensor in learned.items())


def test_a_router_trained_on_it_loads_and_routes(
    pretrained: Path, tiny_recipe: Recipe, label_file: Path, tmp_path: Path
) -> None:
    train(load_labels([label_file]), tmp_path / "router", on(tiny_recipe, pretrained, epochs=1), baselines=False)
    router = Router.load(tmp_path / "router")
    easy, hard = router.route_batch(
        ["count the orders of today", "plan the migration of every order to another region"]
    )
    assert easy.regret <= hard.quality["frontier"] - hard.quality["small"]


def test_an_encoder_that_is_torn_is_refused_with_what_to_do(
    pretrained: Path, tiny_recipe: Recipe, label_file: Path, tmp_path: Path
) -> None:
    labels = [label for label in read_labels([label_file], Skipped()) if label.split == "train"]
    reader = request_reader(on(tiny_recipe, pretrained))

    def fitted() -> RouterNet:
        return fit(labels, reader, on(tiny_recipe, torn, epochs=0), tmp_path / "checkpoints")

    torn = tmp_path / "torn"
    torn.mkdir()
    about = (pretrained / ABOUT).read_bytes()
    (torn / ABOUT).write_bytes(about)
    with pytest.raises(InputError, match=r"pretrained\.safetensors.*pretrain it again"):
        fitted()
    (torn / WEIGHTS).write_bytes((pretrained / WEIGHTS).read_bytes()[:1000])
    with pytest.raises(InputError, match=r"pretrained\.safetensors.*pretrain it again"):
        fitted()
    (torn / ABOUT).write_bytes(about[:40])
    with pytest.raises(InputError, match=r"pretrained\.json"):
        fitted()
    assert find_pretrained(torn) == torn


@pytest.mark.parametrize(("asked", "refused"), [(0, False), (2, False), (3, True)])
def test_no_more_layers_are_asked_of_an_encoder_than_it_was_pretrained_with(
    pretrained: Path, tiny_recipe: Recipe, tmp_path: Path, asked: int, refused: bool
) -> None:
    short = tmp_path / "short"
    shutil.copytree(pretrained, short)
    about = msgspec.structs.replace(read_about(pretrained), layers=2)
    (short / ABOUT).write_bytes(msgspec.json.encode(about))
    recipe = msgspec.structs.replace(tiny_recipe, encoder=EncoderKnobs(name=str(short), layers=asked))
    features = np.zeros((3, len(FEATURES)), dtype=np.float32)
    if refused:
        with pytest.raises(InputError, match="pretrained with 2 layers, and 3 are asked for"):
            build_net(recipe, features, 2)
    else:
        net = build_net(recipe, features, 2).state_dict()
        assert all(torch.equal(net[name], tensor.float()) for name, tensor in load_file(short / WEIGHTS).items())


def test_a_quality_that_is_not_known_teaches_nothing(tiny_recipe: Recipe) -> None:
    net = RouterNet(load_encoder(tiny_recipe.encoder), n_tiers=3, n_steps=2, n_features=4, knobs=tiny_recipe.fit)
    logits = torch.tensor([[0.5, -1.0, 2.0], [0.1, 0.2, 0.3]])
    step, steps = torch.zeros(2, 2), torch.tensor([-1, -1])

    def loss(quality: list[list[float]], columns: slice = slice(None)) -> float:
        truth = torch.tensor(quality, dtype=torch.float32)[:, columns]
        return float(net.loss(logits[:, columns], step, truth, torch.ones(2), steps))

    nan = float("nan")
    assert loss([[1, 0, nan], [0, 1, nan]]) == pytest.approx(loss([[1, 0, nan], [0, 1, nan]], slice(2)))
    assert np.isfinite(loss([[nan, nan, nan], [0, 1, 1]]))
    assert loss([[1, 0, 1], [0, 1, 0]]) != pytest.approx(loss([[1, 0, nan], [0, 1, nan]]))


def test_logs_that_teach_nothing_end_with_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log.jsonl"
    write_jsonl(path, [Record("a", [Message("user", "list the orders")], {"m": Output(text="x")})])
    monkeypatch.setattr(sys, "argv", ["pretrain", str(path), "--out", str(tmp_path / "out")])
    assert pretrain.main() == 2
    assert "score" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_recipe_of_pretraining_is_one() -> None:
    assert load_recipe(str(pretrain.RECIPE)).name == "pretrain"


def test_ease_is_the_mean_rank_of_how_short_the_answers_were() -> None:
    long_first = {place: 1_000 - place for place in range(200)}
    all_alike = {place: 5 + place % 2 for place in range(200)}
    few = dict.fromkeys(range(20), 3)
    found = pretrain.measure_ease({"a": long_first, "few": few})
    assert found[0] == 0.0
    assert found[199] == 1.0
    by_place = [found[place] for place in range(200)]
    assert by_place == sorted(by_place)
    both = pretrain.measure_ease({"a": long_first, "b": all_alike})
    assert both[0] == pytest.approx((0.0 + 1.0) / 2)
    assert pretrain.measure_ease({"few": few}) == {}


def test_ease_is_learned_beside_the_models_and_is_none_of_them(logs: Path) -> None:
    plain = pretrain.read_outcomes([logs], Skipped())
    eased = pretrain.read_outcomes([logs], Skipped(), ease=True)
    assert {name for label in eased for name in label.quality} - {
        name for label in plain for name in label.quality
    } == {"ease @ own"}
    assert all(0.0 <= label.quality["ease @ own"] <= 1.0 for label in eased)


def test_the_command_leaves_a_card_with_sources_size_and_what_was_measured(pretrained: Path) -> None:
    card = (pretrained / "README.md").read_text(encoding="utf-8")
    about = read_about(pretrained)
    assert f"| own | {about.requests['own']:,} |" in card
    assert about.recipe_sha256[:12] in card
    assert f"pretrained.safetensors {(pretrained / WEIGHTS).stat().st_size / 1e6:.1f} MB" in card
    [measured] = [line for line in card.splitlines() if line.startswith("| own | ") and line.count("[") == 3]
    assert measured.split(" | ")[2] == "2"  # b and c are always as good as each other, and better than a


def test_the_card_can_be_measured_again_without_the_encoder(
    pretrained: Path, logs: Path, recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = tmp_path / pretrained.name
    shutil.copytree(pretrained, again)
    (again / "README.md").unlink()
    weights = (again / WEIGHTS).stat().st_mtime_ns
    monkeypatch.setattr(unseen, "LEAST_ROWS", FEW)
    monkeypatch.setattr(
        sys, "argv", ["pretrain", str(logs), "--out", str(again), "--recipe", str(recipe_file), "--card"]
    )
    assert pretrain.main() == 0
    assert (again / "README.md").read_bytes() == (pretrained / "README.md").read_bytes()
    assert (again / WEIGHTS).stat().st_mtime_ns == weights


def test_an_encoder_that_learned_from_other_logs_is_not_measured(
    pretrained: Path,
    logs: Path,
    recipe_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    strange = tmp_path / "strange"
    shutil.copytree(pretrained, strange)
    about = msgspec.structs.replace(read_about(pretrained), requests={"own": 7})
    (strange / ABOUT).write_bytes(msgspec.json.encode(about))
    card = (strange / "README.md").read_bytes()
    command = ["pretrain", str(logs), "--out", str(strange), "--recipe", str(recipe_file), "--card"]
    monkeypatch.setattr(sys, "argv", command)
    assert pretrain.main() == 2
    assert "learned from {'own': 7}" in capsys.readouterr().err
    assert (strange / "README.md").read_bytes() == card


def test_the_encoder_that_ships_is_found_by_its_name_and_its_weights_fit() -> None:
    recipe = load_recipe("pretrained")
    folder = find_pretrained(recipe.encoder.name)
    assert folder is not None
    learned = load_file(folder / WEIGHTS)
    net = build_net(recipe, np.zeros((2, len(FEATURES)), dtype=np.float32), 2)
    state = net.state_dict()
    assert all(torch.equal(state[name], tensor.float()) for name, tensor in learned.items())


def test_the_encoder_that_the_wheel_lacks_is_asked_for_by_where_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("learned_router.training.pretrained.exported_folders", lambda: ())
    with pytest.raises(InputError, match=r"routing-minilm-l6.*repository's exported/"):
        find_encoder("routing-minilm-l6")
