"""An artifact folder is trusted whole or refused, by a message that names the file and says what to do."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from learned_router import ArtifactError, Router
from learned_router import artifact as room
from learned_router.artifact import CONFIG, FILES, GATE, SCHEMA_VERSION, read_artifact, shipped_artifact

WHAT_TO_DO = re.compile(r"[Ee]xport (it|the artifact) again|pip install -U|give the folder")
Change = Callable[[dict[str, Any]], object]


def refusal(folder: Path) -> str:
    """The message under which a folder is refused, which always says what to do."""
    with pytest.raises(ArtifactError) as caught:
        Router.load(folder)
    message = str(caught.value)
    assert WHAT_TO_DO.search(message), message
    return message


def flip(content: bytes, position: int, bit: int = 0) -> bytes:
    return content[:position] + bytes([content[position] ^ 1 << bit]) + content[position + 1 :]


@pytest.fixture
def copied(artifact: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(artifact, tmp_path / "copied"))


def test_a_whole_artifact_is_read_with_its_graph_and_hash(artifact: Path) -> None:
    found = read_artifact(artifact)
    assert found.graph == (artifact / "model.onnx").read_bytes()
    assert found.gate == (artifact / GATE).read_bytes()
    assert set(found.config.files) == {*FILES, GATE}
    assert Router.load(artifact).name == f"tiny@{found.hash[:12]}"


def test_a_missing_folder_and_a_file_in_its_place_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("{}")
    for name in ("missing", "file"):
        assert f"{tmp_path / name}: no such folder" in refusal(tmp_path / name)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    assert f"{tmp_path / CONFIG}: missing" in refusal(tmp_path)


@pytest.mark.parametrize("name", [CONFIG, *FILES])
def test_a_missing_file_is_named(copied: Path, name: str) -> None:
    (copied / name).unlink()
    assert f"{copied / name}: missing" in refusal(copied)


@pytest.mark.parametrize("name", [CONFIG, *FILES])
def test_a_folder_in_place_of_a_file_is_named(copied: Path, name: str) -> None:
    (copied / name).unlink()
    (copied / name).mkdir()
    assert f"{copied / name}: cannot be read" in refusal(copied)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", [CONFIG, *FILES])
def test_a_truncated_file_is_named(copied: Path, name: str, share: float) -> None:
    content = (copied / name).read_bytes().rstrip()
    (copied / name).write_bytes(content[: int((len(content) - 1) * share)])
    assert f"{copied / name}: " in refusal(copied)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", FILES)
def test_one_flipped_byte_is_found_and_its_file_named(copied: Path, name: str, share: float) -> None:
    content = (copied / name).read_bytes()
    (copied / name).write_bytes(flip(content, int((len(content) - 1) * share)))
    assert f"{copied / name}: sha256 is" in refusal(copied)


@given(st.data())
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
def test_a_flipped_bit_of_the_config_is_refused_or_shows_in_the_routers_hash(copied: Path, data: st.DataObject) -> None:
    whole = (copied / CONFIG).read_bytes()
    try:
        position = data.draw(st.integers(0, len(whole) - 1))
        (copied / CONFIG).write_bytes(flip(whole, position, data.draw(st.integers(0, 7))))
        try:
            changed = read_artifact(copied)
        except ArtifactError:
            assert str(copied) in refusal(copied)
        else:
            assert changed.hash != hashlib.sha256(whole).hexdigest()
    finally:
        (copied / CONFIG).write_bytes(whole)


@pytest.mark.parametrize("name", FILES)
def test_an_artifact_mixed_from_two_is_refused_by_the_file_that_differs(
    artifact: Path, edited: Callable[..., Path], name: str
) -> None:
    other = edited(files={name: (artifact / name).read_bytes() + b"\n"})
    shutil.copy(artifact / name, other / name)
    assert f"{other / name}: sha256 is" in refusal(other)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"not json",
        b"{}",
        b'{"a":' * 5_000,
        b'{"name":"\xff"}',
        b"\xff\xfe",
    ],
    ids=lambda content: repr(content[:12]),
)
def test_a_config_that_is_no_config_is_refused(copied: Path, content: bytes) -> None:
    (copied / CONFIG).write_bytes(content)
    assert f"{copied / CONFIG}: " in refusal(copied)


def test_a_config_nested_too_deeply_is_refused(copied: Path) -> None:
    whole = (copied / CONFIG).read_bytes().rstrip()
    (copied / CONFIG).write_bytes(whole[:-1] + b',"prices":' + b'{"a":' * 50_000 + b"1" + b"}" * 50_001)
    assert f"{copied / CONFIG}: " in refusal(copied)


def test_an_artifact_of_a_newer_version_asks_for_an_upgrade(edited: Callable[..., Path]) -> None:
    message = refusal(edited(lambda config: config.update(schema_version=SCHEMA_VERSION + 1, tiers="of a new shape")))
    assert f"schema version {SCHEMA_VERSION + 1}; this learned-router reads up to {SCHEMA_VERSION}" in message
    assert "pip install -U learned-router" in message


@pytest.mark.parametrize("version", ["1", None, 1.5, True, [1], {}, 10**40])
def test_a_schema_version_of_the_wrong_type_is_refused(edited: Callable[..., Path], version: Any) -> None:
    folder = edited(lambda config: config.update(schema_version=version))
    assert f"{folder / CONFIG}: " in refusal(folder)


@pytest.mark.parametrize(
    "name", ["../outside", "/etc/hostname", "a/b", "", ".", "..", "model.onnx/", "a\0b", "a" * 5_000, "\ud800"]
)
def test_a_file_name_that_leaves_the_folder_is_refused(edited: Callable[..., Path], name: str) -> None:
    folder = edited(lambda config: config["files"].update({name: "0" * 64}))
    (folder.parent / "outside").write_text("outside")
    assert str(folder) in refusal(folder)


@pytest.mark.parametrize("name", FILES)
def test_a_file_without_a_hash_is_refused(edited: Callable[..., Path], name: str) -> None:
    folder = edited(lambda config: config["files"].pop(name))
    assert f"{folder / CONFIG}: 'files' has no hash of {name}" in refusal(folder)


def drop(*path: str) -> Change:
    def change(config: dict[str, Any]) -> None:
        for key in path[:-1]:
            config = config[key]
        del config[path[-1]]

    return change


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda config: config.update(tiers=config["tiers"][:1]), "1 tier;"),
        (lambda config: config.update(tiers=[]), "0 tier;"),
        (lambda config: config.update(tiers=[config["tiers"][0]] * 2), "same name"),
        (lambda config: config.update(tiers=["small", "frontier"]), "$.tiers[0]"),
        (lambda config: config.update(tiers=[*config["tiers"], {"name": "top", "model": "t"}]), "frontier"),
        (lambda config: config.update(default_mode="turbo"), "default mode 'turbo'"),
        (lambda config: config.update(modes={}), "default mode 'balanced'"),
        (lambda config: config["modes"].update(balanced={"target": "95 %"}), "$.modes[...]"),
        (lambda config: config["features"].pop(), "features"),
        (lambda config: config["features"].reverse(), "features"),
        (lambda config: config["view"].update(max_tokens=10), "max_tokens"),
        (lambda config: config["view"].update(head_share=2.0), "head_share"),
        (lambda config: config.update(ood_threshold=0.0), "ood_threshold is 0.0"),
        (lambda config: config.update(ood_threshold=-1), "ood_threshold is -1.0"),
        (lambda config: config.update(ood_threshold=float("nan")), ""),
        (lambda config: config.update(confidence={}), "no weights for small"),
        (lambda config: config.update(confidence={"small": [1.0, 2.0]}), "$.confidence[...]"),
        (drop("modes"), "`modes`"),
        (drop("provenance", "seed"), "`seed`"),
    ],
)
def test_a_config_that_contradicts_itself_is_refused(edited: Callable[..., Path], change: Change, named: str) -> None:
    folder = edited(change)
    message = refusal(folder)
    assert f"{folder / CONFIG}: " in message
    assert named in message


def test_a_config_of_other_tiers_or_steps_than_the_graphs_is_refused(edited: Callable[..., Path]) -> None:
    def add_tier(config: dict[str, Any]) -> None:
        config["tiers"].append({"name": "top", "model": "t"})
        config["confidence"]["frontier"] = [0.0, 1.0, -1.0]

    for change in (add_tier, lambda config: config["steps"].pop()):
        message = refusal(edited(change))
        assert "model.onnx predicts 2 tiers and 10 steps, config.json names" in message


@pytest.mark.parametrize(("spare", "refused"), [(-1, True), (0, False), (1, False)])
def test_a_file_above_the_limit_is_not_read_into_memory(
    artifact: Path, monkeypatch: pytest.MonkeyPatch, spare: int, refused: bool
) -> None:
    largest = max(artifact.iterdir(), key=lambda path: path.stat().st_size)
    monkeypatch.setattr(room, "LARGEST_FILE_BYTES", largest.stat().st_size + spare)
    if refused:
        assert f"{largest}: larger than" in refusal(artifact)
    else:
        assert read_artifact(artifact).graph


def test_fields_of_later_versions_are_ignored(edited: Callable[..., Path]) -> None:
    router = Router.load(edited(lambda config: config.update(added_later={"a": 1})))
    assert router.route("count the orders").tier in router.tiers


def test_a_shipped_artifact_that_does_not_exist_is_refused_by_name() -> None:
    with pytest.raises(ArtifactError, match=r"no shipped artifact 'nosuch' .*Router\.load\(path\)"):
        shipped_artifact("nosuch")


def test_the_config_of_the_pipeline_survives_a_round_trip(edited: Callable[..., Path], artifact: Path) -> None:
    again = read_artifact(edited()).config
    assert again == read_artifact(artifact).config
    assert json.loads((artifact / CONFIG).read_bytes())["schema_version"] == SCHEMA_VERSION
