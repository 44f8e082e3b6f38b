"""Every file of an artifact, tampered with in every way: refused by its name, with what to do, and without waiting."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from learned_router import ArtifactError, Router
from learned_router import artifact as room
from learned_router.artifact import CONFIG, FILES, GATE, parse_config, read_artifact
from learned_router.policy import CAPABILITIES, GatedPoint, Mode, Tier
from learned_router.pricing import Price

ALL = (CONFIG, *FILES, GATE)
WHAT_TO_DO = re.compile(r"[Ee]xport (it|the artifact) again|[Rr]estore (it|the artifact)")


def empty(path: Path, other: Path) -> None:
    path.write_bytes(b"")


def cut_in_half(path: Path, other: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def lose_the_last_byte(path: Path, other: Path) -> None:
    path.write_bytes(path.read_bytes().rstrip()[:-1])


def flip_a_byte(path: Path, other: Path) -> None:
    content = bytearray(path.read_bytes())
    content[0] ^= 1  # of config.json the brace; any flip elsewhere in it is covered in test_artifact.py
    path.write_bytes(content)


def lengthen(path: Path, other: Path) -> None:
    path.write_bytes(path.read_bytes() + b"x")


def remove(path: Path, other: Path) -> None:
    path.unlink()


def take_anothers(path: Path, other: Path) -> None:
    shutil.copy(other / path.name, path)


def make_it_a_folder(path: Path, other: Path) -> None:
    path.unlink()
    path.mkdir()


def make_it_a_pipe(path: Path, other: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def link_to_nothing(path: Path, other: Path) -> None:
    path.unlink()
    path.symlink_to(path.parent / "nosuch")


def link_to_itself(path: Path, other: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def link_to_a_device(path: Path, other: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def link_to_anothers(path: Path, other: Path) -> None:
    path.unlink()
    path.symlink_to(other / path.name)


TAMPERINGS = (
    empty,
    cut_in_half,
    lose_the_last_byte,
    flip_a_byte,
    lengthen,
    remove,
    take_anothers,
    make_it_a_folder,
    make_it_a_pipe,
    link_to_nothing,
    link_to_itself,
    link_to_a_device,
    link_to_anothers,
)
POSIX = {make_it_a_pipe, link_to_a_device}


@pytest.fixture
def copied(artifact: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(artifact, tmp_path / "copied"))


@pytest.fixture(scope="module")
def other(artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another artifact, whole, none of whose files is the first one's."""
    import hashlib

    folder = tmp_path_factory.mktemp("other") / artifact.name
    shutil.copytree(artifact, folder)
    config = json.loads((folder / CONFIG).read_bytes())
    for name in config["files"]:
        content = (folder / name).read_bytes() + (b"\x72\x01x" if name.endswith(".onnx") else b"\n")
        (folder / name).write_bytes(content)
        config["files"][name] = hashlib.sha256(content).hexdigest()
    (folder / CONFIG).write_text(json.dumps(config), encoding="utf-8")
    assert read_artifact(folder).hash != read_artifact(artifact).hash
    return folder


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda tamper: tamper.__name__)
def test_a_file_that_was_tampered_with_is_refused_by_its_name(
    copied: Path, other: Path, name: str, tamper: Callable[[Path, Path], None]
) -> None:
    if tamper in POSIX and os.name != "posix":
        pytest.skip("there are no pipes and devices in folders here")
    tamper(copied / name, other)
    with pytest.raises(ArtifactError) as caught:
        Router.load(copied)
    message = str(caught.value)
    assert WHAT_TO_DO.search(message), message
    if name == CONFIG and tamper in (take_anothers, link_to_anothers):
        name = next(iter(json.loads((other / CONFIG).read_bytes())["files"]))  # the first file that is not what it says
    assert f"{copied / name}: " in message


def test_links_are_followed_to_files_of_the_right_content(copied: Path, tmp_path: Path) -> None:
    """Caches and mounts keep an artifact's files elsewhere; the hash says that they are the ones."""
    store = tmp_path / "store"
    store.mkdir()
    for name in ALL:
        shutil.move(copied / name, store / name)
        (copied / name).symlink_to(store / name)
    assert Router.load(copied).route("count the orders").tier


def test_files_that_the_config_does_not_name_are_not_read(copied: Path) -> None:
    if os.name == "posix":
        os.mkfifo(copied / "extra.onnx")
    (copied / "model.onnx.data").write_bytes(b"x")
    assert Router.load(copied).name == Router.load(copied).name


def test_a_file_that_the_config_names_beside_the_known_ones_is_checked_too(edited: Callable[..., Path]) -> None:
    folder = edited(files={"later.json": b"{}"})
    assert Router.load(folder).route("count the orders").tier
    (folder / "later.json").write_bytes(b"{ }")
    with pytest.raises(ArtifactError, match=r"later\.json: sha256 is"):
        Router.load(folder)


@pytest.mark.parametrize("name", ALL)
def test_a_file_that_claims_to_be_huge_is_not_read(copied: Path, name: str) -> None:
    os.truncate(copied / name, room.LARGEST_FILE_BYTES + 1)  # a hole: it takes no space
    with pytest.raises(ArtifactError, match=rf"{re.escape(name)}: larger than"):
        Router.load(copied)


def test_a_config_above_its_own_limit_is_not_parsed(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = (copied / CONFIG).stat().st_size
    monkeypatch.setattr(room, "LARGEST_CONFIG_BYTES", size)
    assert read_artifact(copied).config
    monkeypatch.setattr(room, "LARGEST_CONFIG_BYTES", size - 1)
    with pytest.raises(ArtifactError, match=rf"config\.json: larger than {size - 1} bytes"):
        read_artifact(copied)


def test_what_was_checked_is_what_is_used(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder overwritten while it is loaded: the tokenizer is not read a second time."""
    expected = Router.load(copied).route("count the orders")
    artifact = read_artifact(copied)
    for name in ALL:
        (copied / name).write_bytes(b"")
    assert Router(artifact).route("count the orders") == expected


@pytest.mark.parametrize("version", [0, -1])
def test_a_schema_version_that_never_was_is_refused(edited: Callable[..., Path], version: int) -> None:
    with pytest.raises(ArtifactError, match=rf"config\.json: schema version {version}; there never was one"):
        Router.load(edited(lambda config: config.update(schema_version=version)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"ood_threshold"', b'"ood_threshold": 9e9, "ood_threshold"'),
        (b'"target"', b'"target": 0.5, "target"'),
        (b'"schema_version"', b'"schema_version": 1, "schema_version"'),
    ],
)
def test_a_key_that_is_there_twice_is_refused(copied: Path, old: bytes, new: bytes) -> None:
    (copied / CONFIG).write_bytes((copied / CONFIG).read_bytes().replace(old, new, 1))
    with pytest.raises(ArtifactError, match=rf"config\.json: '{old.decode()[1:-1]}' is there twice"):
        Router.load(copied)


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b'"0.1"', b"null", b"true"])
@pytest.mark.parametrize("field", [b"ood_threshold", b"target", b"threshold"])
def test_a_number_that_is_none_is_refused(copied: Path, field: bytes, number: bytes) -> None:
    content, count = re.subn(rb'("%s": ?)[-0-9.e]+' % field, rb"\g<1>" + number, (copied / CONFIG).read_bytes())
    assert count
    (copied / CONFIG).write_bytes(content)
    with pytest.raises(ArtifactError, match=r"config\.json: .*xport"):
        Router.load(copied)


def put(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(config: Any) -> None:
        for key in path[:-1]:
            config = config[key]
        config[path[-1]] = value

    return change


PRICE = {"input_per_million": 1.0, "output_per_million": 2.0}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (put("modes", "balanced", "target", value=1.01), "target is 1.01"),
        (put("modes", "balanced", "target", value=-0.01), "target is -0.01"),
        (put("modes", "balanced", "threshold", value=2.01), "threshold is 2.01"),
        (put("modes", "balanced", "threshold", value=-2.01), "threshold is -2.01"),
        (put("modes", "balanced", "steps", value={"plan": 1e300}), "steps.plan is 1e+300"),
        (put("modes", "balanced", "gated", value={"route": 9, "accept": 0}), "route is 9"),
        (put("modes", "balanced", "gated", value={"route": 0, "accept": -9}), "accept is -9"),
        (
            put("modes", "balanced", "gated", value={"route": 0, "accept": 0, "steps": {"plan": [0, 9]}}),
            "steps.plan after",
        ),
        (put("prices", value={"small": {**PRICE, "input_per_million": -1}}), "input_per_million is -1"),
        (put("prices", value={"small": {**PRICE, "output_above": -0.5}}), "output_above is -0.5"),
        (put("call_costs", value={"small": -0.1}), "call_costs.small is -0.1"),
        (put("tiers", 0, "context_tokens", value=0), "context_tokens is 0"),
        (put("tiers", 0, "lacks", value=["soul"]), "lacks holds 'soul'"),
        (put("tiers", 0, "name", value=""), "a tier has no name"),
        (put("steps", value=[]), "steps are none"),
        (put("steps", value=["plan"] * 10), "each once"),
        (put("name", value="a\nb"), "it must be printable"),
        (put("name", value=""), "it must be printable"),
    ],
)
def test_a_value_that_cannot_be_is_refused(edited: Callable[..., Path], change: Any, told: str) -> None:
    with pytest.raises(ArtifactError) as caught:
        Router.load(edited(change))
    assert told in str(caught.value)
    assert "config.json: " in str(caught.value)
    assert WHAT_TO_DO.search(str(caught.value))


def test_values_at_the_ends_of_what_may_be_are_taken(artifact: Path) -> None:
    for threshold in (-2.0, 2.0):
        point = GatedPoint(threshold, threshold, {"plan": (threshold, threshold)})
        Mode(target=0.0, threshold=threshold, steps={"plan": threshold}, gated=point)
    Mode(target=1.0, threshold=0.0)
    Tier("small", "m", context_tokens=1, lacks=CAPABILITIES)
    Price(0.0, 0.0)
    config = read_artifact(artifact).config
    assert parse_config(msgspec.json.encode(config), artifact) == config


@pytest.mark.parametrize("change", ["[CLS]", "[SEP]"])
def test_a_tokenizer_with_ids_beyond_the_graphs_is_refused_or_its_requests_go_up(
    artifact: Path, edited: Callable[..., Path], change: str
) -> None:
    """A hole in the vocabulary hides such an id from the check at loading; the graph then fails, and the call goes up."""
    content = json.loads((artifact / "tokenizer.json").read_bytes())
    content["model"]["vocab"][change] = 10**6
    for token in content["added_tokens"]:
        if token["content"] == change:
            token["id"] = 10**6
    try:
        router = Router.load(edited(files={"tokenizer.json": json.dumps(content).encode()}))
    except ArtifactError as error:
        assert WHAT_TO_DO.search(str(error))  # noqa: PT017
    else:
        assert router.route("count the orders").reason == "router_error"
