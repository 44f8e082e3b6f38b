"""An encoder of ours on disk: what it learned over an encoder of BERT's kind, and what it learned it from.

Either pretrained, on what models got right, or distilled, on what the encoder itself makes of texts.

Holds the weights that differ from those of the encoder it began with, in float16. Knows files and tensors; knows nothing
of labels or of how it was trained.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from learned_router.artifact import exported_folders
from learned_router.errors import InputError

ABOUT = "pretrained.json"
WEIGHTS = "pretrained.safetensors"
# of the network's parts, those that do not belong to one pair of models
TRUNK = "encoder."


class LayerShape(msgspec.Struct, frozen=True):
    """width: of the vectors that go through the layers; ffn, activation: of their feed-forward part."""

    width: int
    ffn: int
    activation: str


class Pretrained(msgspec.Struct, frozen=True, kw_only=True):
    """encoder: name of the encoder it began with; layers: how many of its layers it keeps, 0 for all.

    shape: of its layers, where those of a distilled one are others than the encoder's. max_tokens: of the views it learned
    from. requests: by source; licences: by source. models: heads it learned with, 0 of a distilled one. missed: the shares
    of the variance of held-out texts that a distilled one does not repeat, of the encoder's middle and last layer.
    """

    encoder: str
    layers: int
    max_tokens: int
    requests: dict[str, int]
    licences: dict[str, str]
    models: int
    recipe_sha256: str
    seed: int
    created: str
    shape: LayerShape | None = None
    missed: tuple[float, float] | None = None


def find_pretrained(name: Path | str) -> Path | None:
    """The folder of a routing-pretrained encoder, given its path, or its name where it ships with the package.

    None where it is another kind of encoder.
    """
    for folder in (Path(name), *(place / name for place in exported_folders())):
        if (folder / ABOUT).is_file():
            return folder
    return None


def read_about(folder: Path) -> Pretrained:
    """Raises InputError when the file is not what ``save_pretrained`` writes."""
    path = folder / ABOUT
    try:
        return msgspec.json.decode(path.read_bytes(), type=Pretrained)
    except (OSError, msgspec.MsgspecError) as error:
        raise InputError(f"{path}: no description of a pretrained encoder ({error}); pretrain it again") from None


def save_pretrained(net: nn.Module, began: nn.Module, folder: Path, about: Pretrained) -> None:
    """Write the trunk of ``net``; began: the encoder it began with, whose unchanged weights are left out."""
    before = began.state_dict()
    kept = {
        name: tensor.half().contiguous()
        for name, tensor in net.state_dict().items()
        if name.startswith(TRUNK) and not _same(tensor, before.get(name.removeprefix(TRUNK)))
    }
    folder.mkdir(parents=True, exist_ok=True)
    # save_file would leave a file that its owner alone can read
    (folder / WEIGHTS).write_bytes(save(kept))
    (folder / ABOUT).write_bytes(msgspec.json.format(msgspec.json.encode(about)) + b"\n")


def _same(tensor: torch.Tensor, before: torch.Tensor | None) -> bool:
    return before is not None and torch.equal(tensor, before)


def restore(net: nn.Module, folder: Path) -> None:
    """Put what was learned into ``net``, whose encoder is the one it began with.

    Raises InputError when the weights are not there or do not fit.
    """
    path = folder / WEIGHTS
    try:
        weights = {name: tensor.float() for name, tensor in load_file(path).items()}
        strange = net.load_state_dict(weights, strict=False).unexpected_keys
        # layers above those that the network keeps are left out on purpose
        strange = [name for name in strange if not name.startswith("encoder.encoder.layer.")]
    except (OSError, SafetensorError, RuntimeError) as error:
        raise InputError(f"{path}: cannot be loaded ({str(error).splitlines()[0]}); pretrain it again") from None
    if strange:
        raise InputError(f"{path}: holds {strange[0]!r}, which this network does not have; pretrain it again")
