"""A recipe that is wrong is refused with its file and the knob; a recipe that is right is known by its hash."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from learned_router.errors import InputError
from learned_router.training.recipe import RECIPES, SIZES, EncoderKnobs, Recipe, load_recipe, with_size

NAMES = sorted(path.stem for path in RECIPES.glob("*.toml"))


def write(folder: Path, text: str, *, head: str = 'name = "mine"\n[modes]\nbalanced = 0.95\n') -> Path:
    path = folder / "mine.toml"
    path.write_text(head + text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_of_the_package_loads_by_its_name_and_by_its_path(name: str) -> None:
    assert load_recipe(name) == load_recipe(str(RECIPES / f"{name}.toml"))
    assert load_recipe(name).name == name


def test_the_recipes_of_the_design_exist_with_its_three_modes() -> None:
    assert {"fast", "standard"} <= set(NAMES)
    for name in NAMES:
        assert load_recipe(name).modes == {"quality": 0.98, "balanced": 0.95, "economy": 0.90}


def test_knobs_left_out_have_their_defaults_and_knobs_given_their_values(tmp_path: Path) -> None:
    recipe = load_recipe(str(write(tmp_path, "[fit]\nepochs = 9\n[export]\nquality_tolerance = [0.1, 0.2]\n")))
    assert recipe.fit.epochs == 9
    assert recipe.export.quality_tolerance == (0.1, 0.2)
    assert recipe.view == Recipe(name="", modes={}).view


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[fit]\nepoch = 3", "epoch"),
        ("[fitting]\nepochs = 3", "fitting"),
        ("[view]\nmax_token = 3", "max_token"),
        ("[encoder]\nlayer = 3", "layer"),
        ("[calibrate]\nood = 3", "ood"),
        ("[export]\nint4 = true", "int4"),
        ('[fit]\nepochs = "three"', "$.fit.epochs"),
        ("[fit]\nepochs = 1.5", "$.fit.epochs"),
        ("[encoder]\nname = 3", "$.encoder.name"),
        ("[export]\nint8 = 1", "$.export.int8"),
        ("[export]\nquality_tolerance = [0.1]", "$.export.quality_tolerance"),
        ("[fit]\nepochs = -1", "$.fit.epochs"),
        ("[fit]\nbatch_size = 0", "$.fit.batch_size"),
        ("[fit]\ndropout = 1.5", "$.fit.dropout"),
        ("[calibrate]\nood_quantile = 1.01", "$.calibrate.ood_quantile"),
        ("[calibrate]\nood_centres = 0", "$.calibrate.ood_centres"),
        ("[encoder]\nlayers = -1", "$.encoder.layers"),
        ("[view]\nhead_share = 1.6", "head_share"),
        ("[fit]\nepochs = three\n", "line 5"),
    ],
)
def test_a_wrong_knob_is_named_with_its_file(text: str, found: str, tmp_path: Path) -> None:
    path = write(tmp_path, text)
    with pytest.raises(InputError, match=r"[Ff]ix the recipe") as error:
        load_recipe(str(path))
    assert str(path) in str(error.value)
    assert found in str(error.value)


@pytest.mark.parametrize("head", ["[modes]\nbalanced = 0.95\n", 'name = "mine"\n'])
def test_a_recipe_without_name_or_modes_is_refused(head: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"mine\.toml.*missing required field"):
        load_recipe(str(write(tmp_path, "", head=head)))


@pytest.mark.parametrize("target", ["0.0", "-0.5", "1.0001", "95", "nan", "inf"])
def test_a_target_out_of_range_is_refused(target: str, tmp_path: Path) -> None:
    path = write(tmp_path, "", head=f'name = "mine"\n[modes]\nbalanced = {target}\n')
    with pytest.raises(InputError, match=r"mine\.toml: modes\.balanced is .*\(0, 1\]"):
        load_recipe(str(path))


@pytest.mark.parametrize("target", ["1.0", "1", "0.0001"])
def test_a_target_at_the_edge_of_the_range_is_taken(target: str, tmp_path: Path) -> None:
    path = write(tmp_path, "", head=f'name = "mine"\n[modes]\nbalanced = {target}\n')
    assert load_recipe(str(path)).modes == {"balanced": float(target)}


def test_a_default_mode_that_is_no_mode_is_refused_with_those_there_are(tmp_path: Path) -> None:
    head = 'name = "mine"\ndefault_mode = "turbo"\n[modes]\ncareful = 0.99\n'
    with pytest.raises(InputError, match=r"mine\.toml: default_mode 'turbo'.* careful"):
        load_recipe(str(write(tmp_path, "", head=head)))
    with pytest.raises(InputError, match=r"default_mode 'balanced'"):
        load_recipe(str(write(tmp_path, "", head='name = "mine"\n[modes]\ncareful = 0.99\n')))


def test_a_missing_recipe_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(InputError, match="fast, pretrained, standard") as error:
        load_recipe("no-such-recipe")
    assert "'no-such-recipe'" in str(error.value)


@pytest.mark.parametrize("name", ["", "folder"])
def test_a_folder_is_no_recipe(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="name a TOML file"):
        load_recipe(name)


def test_a_binary_file_is_no_recipe(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"\x08\x08\xff\xfe")
    with pytest.raises(InputError, match=r"model\.onnx.*fix the recipe"):
        load_recipe(str(path))


def test_a_name_too_long_for_a_file_is_refused() -> None:
    with pytest.raises(InputError, match="recipe"):
        load_recipe("x" * 5_000)


def knobs(value: msgspec.Struct, prefix: str = "") -> Iterator[str]:
    for field in msgspec.structs.fields(value):
        found = getattr(value, field.name)
        if isinstance(found, msgspec.Struct):
            yield from knobs(found, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name


def changed(value: Any, path: str) -> Any:
    """The value with one knob, named by its dotted path, set to something else of its type."""
    name, _, rest = path.partition(".")
    if name:
        return msgspec.structs.replace(value, **{name: changed(getattr(value, name), rest)})
    if isinstance(value, bool):
        return not value
    if isinstance(value, dict):
        return {**value, "another": 0.5}
    if isinstance(value, tuple) and isinstance(value[0], str):
        return value[1:]
    if isinstance(value, tuple):
        return tuple(item / 2 for item in value)
    if isinstance(value, float):
        return value / 2
    return value + "x" if isinstance(value, str) else value + 1


BASE = load_recipe("standard")


@pytest.mark.parametrize("path", list(knobs(BASE)))
def test_every_knob_is_in_the_hash(path: str) -> None:
    assert changed(BASE, path).sha256 != BASE.sha256


def test_the_hash_depends_on_the_values_alone(tmp_path: Path) -> None:
    explicit = write(tmp_path, "[fit]\nepochs = 3 # as by default\n")
    first = load_recipe(str(explicit)).sha256
    assert load_recipe(str(write(tmp_path, "[encoder]\n"))).sha256 == first


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", NAMES)
def test_a_size_changes_layers_and_view_alone_and_the_name_tells_it(name: str, size: str) -> None:
    recipe = load_recipe(name)
    sized = with_size(recipe, size)
    assert sized.name == f"{name}, size {size}"
    assert (sized.encoder.layers, sized.view.max_tokens) == (SIZES[size].layers, SIZES[size].view.max_tokens)
    back = {part: getattr(recipe, part) for part in ("name", "view", "encoder")}
    assert msgspec.structs.replace(sized, **back) == recipe
    assert sized.sha256 != recipe.sha256


def test_sizes_grow_from_the_first_to_the_last() -> None:
    assert list(SIZES) == ["nano", "small", "base"]
    grown = [(size.layers, size.view.max_tokens) for size in SIZES.values()]
    assert grown == sorted(set(grown))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("layers", "frozen", "share"), [(0, 0, 0.0), (0, 3, 0.5), (0, 6, 1.0), (6, 3, 0.5), (2, 1, 0.5), (3, 3, 1.0)]
)
def test_a_size_keeps_the_share_of_the_layers_that_learn_nothing(
    size: str, layers: int, frozen: int, share: float
) -> None:
    recipe = msgspec.structs.replace(BASE, encoder=EncoderKnobs(layers=layers, frozen_layers=frozen))
    assert with_size(recipe, size).encoder.frozen_layers == int(share * SIZES[size].layers)


def test_a_size_leaves_how_a_long_message_is_cut_to_the_recipe() -> None:
    recipe = msgspec.structs.replace(BASE, view=msgspec.structs.replace(BASE.view, head_share=0.9))
    assert with_size(recipe, "nano").view.head_share == 0.9


def test_a_size_that_there_is_not_is_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"size 'huge'.*nano, small, base"):
        with_size(BASE, "huge")
