"""What is looked up in place of a search, or remembered, changes no count: each shortcut beside the plain way."""

from __future__ import annotations

import copy
import math
import re
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_request import almost_tools

from learned_router import request_features
from learned_router.answers import said, text
from learned_router.answers.said import read_said
from learned_router.answers.text import read_text
from learned_router.bounded import Bounded
from learned_router.request import Message
from learned_router.request_features import FEATURES, history_features, read_tool, read_tools, text_features

# words that the expressions look for, whole and in pieces, and what stands between words
PARTS = (
    *text._REFUSAL_PARTS,
    *text._HEDGING_WORDS,
    *text._CORRECTION_WORDS,
    *said._THING_WORDS,
    *("I'm sorry", "I am not able", "I can't", "I cannot", "I don't have", "I do not have", "I apologise", "as an AI"),
    *("unable to help", "cannot be determined", "not enough information", "about equal", "assumed", "not sure"),
    *(
        "none of the",
        "let's re",
        "let me check",
        "let us try again",
        "re-evaluate",
        "Re",
        "ſeems",
        "K",
        "İ",
        "Anna",
        "A-b",
    ),
    *(" ", " ", " ", "_", "-", ".", ". ", ", ", ",", ";", "?", "\n", "\n1.", "\n2)", "'", "7", "x", "é", "(a) "),
)
TEXTS = st.one_of(st.lists(st.sampled_from(PARTS), max_size=25).map("".join), st.text(max_size=60))


@settings(max_examples=500)
@given(TEXTS)
@example("I can't, however, be sure: let's re-evaluate")
@example("_maybe_ and_or")
def test_what_an_answer_says_is_counted_as_by_searching_for_it(given_text: str) -> None:
    found = dict(zip(("refusal", "hedging", "correction", "repetition"), read_text(given_text), strict=False))
    always = _read_text_without_shortcuts(given_text)
    assert found == always


def _read_text_without_shortcuts(given_text: str) -> dict[str, float]:
    patch = pytest.MonkeyPatch()
    with patch.context() as patched:
        # "" stands in every text, and so does its word
        patched.setattr(text, "_REFUSAL_PARTS", ("",))
        patched.setattr(text, "_HEDGING_WORDS", _Everything())
        patched.setattr(text, "_CORRECTION_WORDS", _Everything())
        found = read_text(given_text)
    words = said.WORD.findall(given_text.lower())
    runs = [tuple(words[at : at + 4]) for at in range(len(words) - 3)]
    repeated = 1.0 - len(set(runs)) / len(runs) if runs else 0.0
    return {"refusal": found[0], "hedging": found[1], "correction": found[2], "repetition": repeated}


class _Everything:
    def isdisjoint(self, others: Any) -> bool:
        return False


@settings(max_examples=500)
@given(TEXTS)
@example("First. Anna and B-c met Don'T")
@example("A_nd band_and and\n1. or")
def test_names_and_things_are_those_of_the_plain_expressions(given_text: str) -> None:
    things = re.compile(
        r"\b(?:and|also|then|next|lastly|finally|additionally|plus|versus|vs|or)\b|[;?]|,(?= )|\n\d[.)]"
    )
    names = re.compile(r"(?<![.!?] )(?<!^)\b[A-Z][\w'-]+")
    found = read_said(given_text)
    assert found.things == len(things.findall(given_text.lower()))
    assert found.names == {name.lower() for name in names.findall(given_text)}


@given(TEXTS)
def test_digits_capitals_and_options_are_counted_one_by_one(given_text: str) -> None:
    found = dict(zip(FEATURES, text_features(given_text, len(given_text)), strict=False))
    size = max(len(given_text), 1)
    assert found["digit_share"] == sum(map(str.isdigit, given_text)) / size
    assert found["upper_share"] == sum(map(str.isupper, given_text)) / size
    option = re.compile(r"^[^\S\n]*\(?[A-Ja-j1-9][.)]\s", re.MULTILINE)
    assert (found["options"] > 0) == (option.search(given_text) is not None)


@given(st.lists(st.sampled_from(("all well", "Error: no", "timed", "out", "not found", "denied")), max_size=6))
def test_errors_are_told_by_each_result_alone(results: list[str]) -> None:
    messages = [Message(role="tool", content=result) for result in results] or [Message(role="user", content="error")]
    found = dict(zip(FEATURES[14:], history_features(messages, messages[-1], 0), strict=False))
    errors = sum(
        message.role == "tool" and message.content in ("Error: no", "not found", "denied") for message in messages
    )
    assert found["tool_errors"] == pytest.approx(math.log1p(errors))


@given(almost_tools.map(lambda tools: [tool for tool in tools or () if isinstance(tool, dict)]))
def test_remembered_tools_are_those_that_are_read(tools: list[Any]) -> None:
    wanted = [read_tool(tool) for tool in tools]
    assert read_tools(tools) == wanted
    assert read_tools(copy.deepcopy(tools)) == wanted


def test_a_tool_changed_in_place_is_read_anew() -> None:
    tool = {"name": "find", "description": "Find orders."}
    assert read_tools([tool])[0].shape == "find() Find orders."
    tool["description"] = "Find customers."
    assert read_tools([tool])[0].shape == "find() Find customers."


def test_so_many_tools_are_remembered_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_features, "_met", Bounded(3))
    for number in range(20):
        assert read_tools([{"name": f"f{number}"}])[0].name == f"f{number}"
        assert len(request_features._met) <= 3
    read_tools([{"name": "large", "description": "x" * request_features.TOOL_BYTES_KEPT}])
    assert all(len(key) <= request_features.TOOL_BYTES_KEPT for key in request_features._met)
