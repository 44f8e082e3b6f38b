"""What a network is shown of a label: the view of its request, or of its request and of what a lower tier answered.

Knows labels and views; knows nothing of networks, quality or training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec

from learned_router.encoder import Packer
from learned_router.training.model import find_tokenizer
from learned_router.training.recipe import FitKnobs, Recipe
from learned_router.training.records import Label, label_request
from learned_router.view import View, make_answer_view, make_view, place_of

# The two tiers of a gate's labels, whatever the router's are called.
ANSWERED: Final = "answered"
TOP: Final = "top"
GATE_TIERS: Final = (ANSWERED, TOP)


# A gate whose training answers all told their token probabilities would take the zeros of one that tells none for certainty.
# This share of the times such an answer is shown without them, so that the gate learns to judge by the rest.
LOGPROBS_HIDDEN: Final = 0.25


class Reader(NamedTuple):
    """How one network reads labels. see: the view of a label. packer: views to token ids.

    bare: the label as of a caller who sends the last message alone, so that it is not unlike what is known; None where that
    is all there is, or where nobody does so.
    silent: the label as if the server had not told its answer's token probabilities; None where it told none, or where they
    are not looked at.
    """

    see: Callable[[Label], View]
    packer: Packer
    bare: Callable[[Label], Label | None]
    silent: Callable[[Label], Label | None]

    def ways(self, label: Label, knobs: FitKnobs) -> list[tuple[Label, float]]:
        """The label as callers send it who leave something out, and in which shares of the times; these sum to 1.

        As its last message alone, without its step, and whole, which is the label itself.
        """
        stepless = msgspec.structs.replace(label, step=None) if label_request(label).step else label
        found = [
            (bare_label(label) or label, knobs.bare_share),
            (stepless, knobs.step_dropout),
            (label, 1.0 - knobs.bare_share - knobs.step_dropout),
        ]
        if self.silent(label) is None:
            return found
        hidden = [(self.silent(shown) or shown, share * LOGPROBS_HIDDEN) for shown, share in found]
        return [*hidden, *((shown, share * (1.0 - LOGPROBS_HIDDEN)) for shown, share in found)]


def request_reader(recipe: Recipe) -> Reader:
    """How the router reads: the request alone. Raises InputError when the recipe's encoder has no tokenizer."""
    return Reader(
        lambda label: make_view(label_request(label), recipe.view),
        Packer.load(find_tokenizer(recipe.encoder.name), recipe.view),
        bare=bare_label,
        silent=lambda label: None,
    )


def answer_reader(recipe: Recipe, tiers: Sequence[str]) -> Reader:
    """How the gate reads: the request, and the one output that each of ``answered_labels`` holds.

    tiers: all of the router's, cheapest first. Raises InputError when the recipe's encoder has no tokenizer.
    """
    spec = recipe.gate.view

    def see(label: Label) -> View:
        [(tier, output)] = label.outputs.items()
        return make_answer_view(label_request(label), output, place_of(tier, tiers), spec)

    return Reader(see, Packer.load(find_tokenizer(recipe.encoder.name), spec), bare=bare_answer, silent=silent_label)


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


def bare_answer(label: Label) -> Label | None:
    """``bare_label`` of a label that holds one answer; None where it calls tools, since whoever judges it offered them."""
    [output] = label.outputs.values()
    return None if output.tool_calls else bare_label(label)


def silent_label(label: Label) -> Label | None:
    """The label without its answers' token probabilities; None where there are none."""
    if all(output.logprobs is None for output in label.outputs.values()):
        return None
    outputs = {tier: msgspec.structs.replace(output, logprobs=None) for tier, output in label.outputs.items()}
    return msgspec.structs.replace(label, outputs=outputs)
