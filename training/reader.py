"""What a network is shown of a label: the view of its request, or of its request and of what a lower tier answered.

Knows labels and views; knows nothing of networks, quality or training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec

from learned_router.encoder import Packer
from learned_router.training.model import find_tokenizer
from learned_router.training.recipe import Recipe
from learned_router.training.records import Label, label_request
from learned_router.view import View, make_answer_view, make_view, place_of

# The two tiers of a gate's labels, whatever the router's are called.
ANSWERED: Final = "answered"
TOP: Final = "top"
GATE_TIERS: Final = (ANSWERED, TOP)


class Reader(NamedTuple):
    """How one network reads labels. see: the view of a label. packer: views to token ids."""

    see: Callable[[Label], View]
    packer: Packer


def request_reader(recipe: Recipe) -> Reader:
    """How the router reads: the request alone. Raises InputError when the recipe's encoder has no tokenizer."""
    return Reader(
        lambda label: make_view(label_request(label), recipe.view),
        Packer.load(find_tokenizer(recipe.encoder.name), recipe.view),
    )


def answer_reader(recipe: Recipe, tiers: Sequence[str]) -> Reader:
    """How the gate reads: the request, and the one output that each of ``answered_labels`` holds.

    tiers: all of the router's, cheapest first. Raises InputError when the recipe's encoder has no tokenizer.
    """
    spec = recipe.gate.view

    def see(label: Label) -> View:
        [(tier, output)] = label.outputs.items()
        return make_answer_view(label_request(label), output, place_of(tier, tiers), spec)

    return Reader(see, Packer.load(find_tokenizer(recipe.encoder.name), spec))


def answered_labels(labels: Sequence[Label], tiers: Sequence[str]) -> list[Label]:
    """A label for each output of a lower tier: of that output's quality and of the top tier's, as ANSWERED and TOP.

    An output that is an error is none.
    """
    return [
        msgspec.structs.replace(
            label,
            quality={ANSWERED: label.quality[tier], TOP: label.quality[tiers[-1]]},
            outputs={tier: output},
        )
        for label in labels
        for tier, output in label.outputs.items()
        if tier in tiers[:-1] and tier in label.quality and output.error is None
    ]


def bare_label(label: Label) -> Label | None:
    """The label as if its caller had sent the last user message alone; None where that is all there is, or not the last."""
    last = label.messages[-1]
    if last.role != "user" or (len(label.messages) == 1 and not label.tools and not label_request(label).step):
        return None
    return msgspec.structs.replace(label, messages=[last], tools=None, step=None, response_format=None)
