"""The commands of the pipeline from the shell: what is wrong with files and options is told in one line, exit code 2."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from learned_router.cli import main

TIERS = ("--tier", "small=tiny", "--tier", "frontier=big")


def record(identity: str, **changes: Any) -> dict[str, Any]:
    outputs = {"tiny": {"text": "no"}, "big": {"text": "yes"}}
    messages = [{"role": "user", "content": f"a question with enough words in it, number {identity}"}]
    return {"id": identity, "messages": messages, "outputs": outputs, "reference": {"answer": "yes"}} | changes


def write_lines(path: Path, *lines: Any) -> Path:
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines))
    return path


Told = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Told:
    """Runs the command in this process: exit code, stdout, stderr. An error it does not expect fails the test."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["learned-router", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        assert isinstance(caught.value.code, int)
        return caught.value.code, captured.out, captured.err

    return run


def refused(ran: tuple[int, str, str]) -> str:
    code, out, err = ran
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def bad_file(folder: Path, kind: str) -> Path:
    """A path that holds no JSON lines, by what is wrong with it."""
    path = folder / "input.jsonl.gz"
    if kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path)
    elif kind != "absent":
        packed = gzip.compress(json.dumps(record("a")).encode())
        path.write_bytes(
            {"empty": b"", "binary": b"\x7fELF\0\xff\n\0", "cut gzip": packed[:15], "text": b"hello\n"}[kind]
        )
    return path


@pytest.mark.parametrize("kind", ["absent", "folder", "loop", "empty", "binary", "cut gzip", "text"])
@pytest.mark.parametrize("name", ["label", "train", "evaluate"])
def test_a_file_that_cannot_be_used_is_told_by_its_name(
    tmp_path: Path, artifact: Path, command: Told, name: str, kind: str
) -> None:
    path, out = bad_file(tmp_path, kind), tmp_path / "out"
    options: dict[str, list[object]] = {
        "label": ["label", path, *TIERS, "--out", out],
        "train": ["train", path, "--out", out],
        "evaluate": ["evaluate", artifact, path],
    }
    told = refused(command(*options[name]))
    assert path.name in told or "nothing was read" in told
    assert not out.exists()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not_json"),
        (b"[]", "not_an_object"),
        ({"id": "x", "outputs": {}}, "missing_field"),
        (record("x", messages="hi"), "wrong_type"),
        (record("x", outputs={"tiny": {"text": "no"}}), "missing_tier"),
    ],
)
def test_bad_records_are_counted_and_the_good_ones_labelled(
    tmp_path: Path, command: Told, line: Any, reason: str
) -> None:
    log, out = write_lines(tmp_path / "log.jsonl", record("a"), line, record("b")), tmp_path / "labels.jsonl"
    code, printed, _ = command("label", log, *TIERS, "--out", out, "--json")
    assert code == 0
    assert json.loads(printed)["skipped"][reason]["count"] == 1
    assert [json.loads(made)["id"] for made in out.read_text().splitlines()] == ["a", "b"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--tier", "small=tinny", "--tier", "frontier=big"], "the models that are there: tiny (2), big (2)"),
        (["--tier", "frontier=big"], "give two tiers or more"),
        (["--tier", "small=big", "--tier", "frontier=big"], "one model stands for two tiers"),
        (["--tier", "tiny", "--tier", "frontier=big"], "--tier 'tiny': write NAME=VALUE"),
        (["--tier", "=tiny", "--tier", "frontier=big"], "write NAME=VALUE"),
        (["--tier", "small=tiny", "--tier", "small=big"], "'small' is given twice"),
        (["--tier", "small\udcff=tiny", "--tier", "frontier=big"], "not UTF-8"),
        ([*TIERS, "--labels", "silver"], "give auto or gold"),
    ],
)
def test_options_of_label_that_make_no_sense_are_told(
    tmp_path: Path, command: Told, options: list[str], told: str
) -> None:
    log, out = write_lines(tmp_path / "log.jsonl", record("a"), record("b")), tmp_path / "labels.jsonl"
    assert told in refused(command("label", log, "--out", out, *options))
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--recipe", "nope"], "recipe 'nope'"),
        (["--recipe", "."], "recipe '.'"),
        (["--size", "huge"], "size 'huge': no such size; give one of nano, small, base"),
        (["--size", ""], "size ''"),
        (["--target", "1.5"], "--target is 1.5"),
        (["--target", "nan"], "--target is nan"),
        (["--delta", "0"], "--delta is 0.0"),
        (["--delta", "1"], "--delta is 1.0"),
        (["--model", "mid=x"], "tier 'mid' is not in the labels; they have small, frontier"),
        (["--context", "small=many"], "give a number of tokens"),
        (["--context", "small=0"], "give a number of tokens"),
        (["--context", "small=²"], "give a number of tokens"),
        (["--context", "small=" + "9" * 5000], "give a number of tokens"),
        (["--lacks", "small=legs"], "give some of json, tools, vision"),
        (["--reference", "absent.jsonl"], "absent.jsonl: no such file"),
        (["--note", "\udcff"], "not UTF-8"),
    ],
)
def test_options_of_train_that_make_no_sense_are_told_before_anything_is_trained(
    tmp_path: Path, label_file: Path, command: Told, options: list[str], told: str
) -> None:
    out = tmp_path / "out"
    assert told in refused(command("train", label_file, "--out", out, *options))
    assert not out.exists()


@pytest.fixture
def labels(label_file: Path) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in gzip.decompress(label_file.read_bytes()).splitlines()]


def alike(labels: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [label | {"quality": {"small": 1.0, "frontier": 1.0}} for label in labels]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda labels: labels[:49], "49 labels; training needs at least 50"),
        (alike, "one class only"),
        (lambda labels: [label | {"split": ""} for label in labels], "labels without a split"),
        (lambda labels: [label | {"split": "train"} for label in labels], "0 labels in the calibration split"),
        (lambda labels: [*labels, labels[0] | {"id": "x", "quality": {"a": 1.0, "b": 0.0}}], "has the tiers a, b"),
        (lambda labels: [label | {"quality": {"small": 2.0, "frontier": 1.0}} for label in labels], "quality.small is"),
    ],
    ids=["49", "one class", "no split", "one split", "other tiers", "out of range"],
)
def test_labels_that_cannot_train_a_router_are_told_with_what_is_missing(
    tmp_path: Path, labels: list[dict[str, Any]], command: Told, change: Callable[..., Any], told: str
) -> None:
    path, out = write_lines(tmp_path / "labels.jsonl", *change(labels)), tmp_path / "out"
    assert told in refused(command("train", path, "--out", out, "--quiet", "--recipe", "fast"))
    assert not out.exists()


def test_a_place_for_the_artifact_that_is_taken_is_told_before_training(
    tmp_path: Path, label_file: Path, command: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_lines(tmp_path / "mine.txt", b"mine")
    for out, told in (("mine.txt", "a file stands there"), (".", "a folder that is no artifact stands there")):
        assert told in refused(command("train", label_file, "--out", out, "--recipe", "fast", "--quiet"))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_evaluation_is_written_and_names_the_split_that_is_not_there(
    tmp_path: Path, artifact: Path, label_file: Path, command: Told
) -> None:
    path = tmp_path / "new" / "evaluation.json"
    code, _, _ = command("evaluate", artifact, label_file, "--no-baselines", "--json", path)
    assert code == 0
    assert json.loads(path.read_bytes())["rows"] == 48
    assert "no label has split 'nope'" in command("evaluate", artifact, label_file, "--split", "nope")[2]


def test_a_size_is_what_the_artifact_says_it_is_and_without_one_the_recipe_holds(
    tmp_path: Path, tiny_encoder: Path, label_file: Path, command: Told
) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(
        f'name = "tiny"\n[modes]\nbalanced = 0.95\n[encoder]\nname = {json.dumps(str(tiny_encoder))}\n'
        "[view]\nmax_tokens = 150\n[fit]\nepochs = 0\n",
        encoding="utf-8",
    )
    for options, name, tokens in (([], "tiny", 150), (["--size", "nano"], "tiny, size nano", 128)):
        out = tmp_path / f"router-{tokens}"
        train = ["train", label_file, "--recipe", recipe, "--out", out, "--no-baselines", "--quiet"]
        assert command(*train, *options)[0] == 0
        config = json.loads((out / "config.json").read_bytes())
        assert config["view"]["max_tokens"] == tokens
        assert config["provenance"]["recipe"] == name
        assert f"Recipe `{name}` (sha256" in (out / "README.md").read_text(encoding="utf-8")
        assert f"recipe {name} (" in command("info", out)[1]
