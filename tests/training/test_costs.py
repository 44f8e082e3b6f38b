"""What an average call costs follows prices and lengths, and what is assumed for want of prices is said to be."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from learned_router.errors import InputError
from learned_router.policy import Tier
from learned_router.pricing import Price
from learned_router.request import Message
from learned_router.training.costs import ASSUMED_RATIO, cost_calls
from learned_router.training.records import Label, Output, ToolCall

UNKNOWN = (Tier("small", "our-own-8b"), Tier("frontier", "our-own-70b"))


def label(**output: int) -> Label:
    return Label(
        id="a",
        messages=[Message(role="user", content="x" * 400)],
        quality={"small": 1.0, "frontier": 1.0},
        models={},
        grader="test",
        outputs={"small": Output(text="y" * 40, **output)},
    )


def test_prices_given_make_the_cost_of_a_call_of_counted_tokens() -> None:
    given = {"small": Price(1.0, 4.0), "frontier": Price(10.0, 40.0)}
    found = cost_calls([label(input_tokens=1000, output_tokens=500)], UNKNOWN, given)
    assert not found.assumed
    assert (found.input_tokens, found.output_tokens) == (1000, 500)
    assert found.calls == {"small": pytest.approx(0.1), "frontier": 1.0}


def test_tokens_that_nobody_counted_are_four_characters_each() -> None:
    found = cost_calls([label()], UNKNOWN, {"small": Price(1, 1), "frontier": Price(2, 2)})
    assert found.output_tokens == 10
    assert 100 <= found.input_tokens <= 120  # the text, and the braces around it


def test_a_failed_call_has_no_length() -> None:
    failed = msgspec.structs.replace(
        label(), outputs={"small": Output(error="timeout", input_tokens=0, output_tokens=0)}
    )
    found = cost_calls([label(input_tokens=1000, output_tokens=500), failed], UNKNOWN, {})
    assert found.output_tokens == 500
    assert found.input_tokens == pytest.approx(
        (1000 + 110) / 2, abs=10
    )  # the request, nobody having counted it, is read


def test_an_answer_of_text_and_calls_is_as_long_as_both() -> None:
    def tokens(**answer: Any) -> float:
        both = msgspec.structs.replace(label(), outputs={"small": Output(**answer)})
        return cost_calls([both], UNKNOWN, {}).output_tokens

    calls = [ToolCall("count", {"what": "orders"})]
    both, text, alone = tokens(text="y" * 40, tool_calls=calls), tokens(text="y" * 40), tokens(tool_calls=calls)
    assert both == pytest.approx(text + alone, abs=1)
    assert min(text, alone) > 5


def test_labels_count_by_their_weight_and_without_any_there_is_no_length() -> None:
    long, short = label(input_tokens=3000, output_tokens=300), label(input_tokens=1000, output_tokens=100)
    light = msgspec.structs.replace(short, weight=0.25)
    found = cost_calls([long, light], UNKNOWN, {})
    assert (found.input_tokens, found.output_tokens) == (pytest.approx(2600), pytest.approx(260))
    nothing = cost_calls([msgspec.structs.replace(long, weight=0.0)], UNKNOWN, {})
    assert (nothing.input_tokens, nothing.output_tokens) == (0.0, 0.0)


def test_known_models_are_priced_without_being_told() -> None:
    found = cost_calls([label()], (Tier("small", "gpt-4o-mini"), Tier("frontier", "gpt-4o")), {})
    assert not found.assumed
    assert 0 < found.calls["small"] < 0.2


def test_prices_that_leave_a_tier_without_one_are_refused() -> None:
    with pytest.raises(InputError, match=r"^--price: none is given or known for frontier"):
        cost_calls([label()], UNKNOWN, {"small": Price(0.1, 0.1)})


def test_without_prices_a_ratio_is_assumed() -> None:
    found = cost_calls([label()], UNKNOWN, {})
    assert found.assumed
    assert found.calls == {"small": pytest.approx(1 / ASSUMED_RATIO), "frontier": 1.0}


def test_three_tiers_without_prices_lie_at_equal_ratios() -> None:
    found = cost_calls([label()], (UNKNOWN[0], Tier("mid", "our-own-30b"), UNKNOWN[1]), {})
    assert found.calls["mid"] == pytest.approx(ASSUMED_RATIO**-0.5)


def test_a_model_of_ones_own_may_cost_nothing_when_that_is_said() -> None:
    found = cost_calls([label()], UNKNOWN, {"small": Price(0, 0), "frontier": Price(2, 2)})
    assert found.calls == {"small": 0.0, "frontier": 1.0}


def test_a_price_of_no_tier_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"--price big=…: no tier of the labels has this name; they have small, frontier"
    ):
        cost_calls([label()], UNKNOWN, {"big": Price(1, 1)})
