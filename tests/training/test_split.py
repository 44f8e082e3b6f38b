"""No session and no question stands on two sides of the split, in whatever wrapper or file it comes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learned_router.errors import InputError
from learned_router.request import Message
from learned_router.training.records import Label, Skipped, read_records
from learned_router.training.split import SIDES, question_stem, split, stem_key

CORPORA = Path(__file__).resolve().parents[2].parent / "shared" / "corpora"
JANET = "Janet's ducks lay 16 eggs per day. How much does she make?"


def label(*turns: str | tuple[str, str], session: str | None = None, tools: Any = None) -> Label:
    """A label whose messages are ``turns``: a text of the user, or (role, text)."""
    messages = [Message(*turn) if isinstance(turn, tuple) else Message("user", turn) for turn in turns]
    quality, models = {"small": 1.0, "frontier": 1.0}, {"small": "s", "frontier": "f"}
    return Label("id", messages, quality, models, "gold", session=session, tools=tools)


questions = st.sampled_from([f"please tell me now what the answer to question {i} may be" for i in range(12)])
labels = st.lists(st.builds(label, questions, session=st.none() | st.sampled_from("abcdef")), max_size=40)


@given(made=labels, seed=st.integers(0, 9))
def test_no_group_no_session_and_no_question_stands_on_two_sides(made: list[Label], seed: int) -> None:
    split(made, seed=seed)
    for key in (lambda item: item.group, lambda item: item.session, lambda item: item.messages[0].content):
        sides: dict[Any, set[str]] = {}
        for item in made:
            if key(item) is not None:
                sides.setdefault(key(item), set()).add(item.split)
        assert all(len(found) == 1 for found in sides.values())
    assert {item.split for item in made} <= set(SIDES)


@given(made=labels, data=st.data())
def test_the_split_does_not_depend_on_the_order_of_the_labels(made: list[Label], data: st.DataObject) -> None:
    first = [(item.group, item.split) for item in split(made, seed=3)]
    order = data.draw(st.permutations(range(len(made))))
    split([made[i] for i in order], seed=3)
    assert [(item.group, item.split) for item in made] == first


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    made = [label(f"a question with enough words in it, number {i}") for i in range(200)]
    first = [item.split for item in split(made, seed=1)]
    assert [item.split for item in split(made, seed=1)] == first
    assert [item.split for item in split(made, seed=2)] != first


def test_a_question_keeps_its_side_in_another_file_beside_other_questions() -> None:
    ours = [label(f"a question with enough words in it, number {i}") for i in range(100)]
    theirs = [label(f"a question with enough words in it, number {i}") for i in range(50, 150)]
    split(ours, seed=5)
    split(theirs, seed=5)
    assert [item.split for item in ours[50:]] == [item.split for item in theirs[:50]]


@pytest.mark.parametrize("fractions", [(0.6, 0.2, 0.2), (0.8, 0.1, 0.1), (0.0, 0.5, 0.5)])
def test_the_sides_hold_about_their_fractions(fractions: tuple[float, ...]) -> None:
    made = split([label(f"a question with enough words in it, number {i}") for i in range(3000)], fractions=fractions)
    counts = Counter(item.split for item in made)
    # three standard deviations of 3,000 independent draws are below 0.03
    assert [counts[side] / 3000 for side in SIDES] == pytest.approx(list(fractions), abs=0.03)


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.6, 0.2, 0.1), (1.2, -0.1, -0.1), (float("nan"), 0.5, 0.5)])
def test_fractions_that_do_not_sum_to_1_are_refused(fractions: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="sum to 1"):
        split([], fractions=fractions)


@pytest.mark.parametrize(
    "wrapped",
    [
        JANET.upper(),
        f"  {JANET.replace(' ', '   ')}  ",
        f"Question: {JANET}",
        f"\n## Question: \n\n{JANET}\n\n\n## Instruction \n\nPlease answer in JSON.\n\n```json\n{{}}\n```\n",
        f"# Problem\n{JANET}\n# Output format\nA number.",
        f"{JANET}\nA. 18\nB. 20\nAnswer:",
        f"Question:\n{JANET}\nOptions:\nA. 18\nB. 20",
        JANET.replace("'", "’"),
    ],
)
def test_a_question_has_one_stem_whatever_wrapper_and_options_it_comes_in(wrapped: str) -> None:
    assert question_stem(wrapped) == question_stem(JANET)
    assert stem_key(label(wrapped)) == stem_key(label(JANET))


@pytest.mark.parametrize("other", [JANET.replace("16", "17"), JANET + " And why?", "What is 2 + 3?", "What is 2 - 3?"])
def test_another_question_has_another_stem(other: str) -> None:
    others = {JANET, "What is 2 + 3?", "What is 2 - 3?"} - {other}
    assert all(stem_key(label(other)) != stem_key(label(one)) for one in others)


def test_short_answers_do_not_glue_conversations_together() -> None:
    here = label("Book me a flight to Rome", ("assistant", "Shall I pay?"), "yes", session="a")
    there = label("Cancel my gym contract", ("assistant", "Are you sure?"), "yes", session="b")
    again = label("Cancel my gym contract", ("assistant", "Are you sure?"), "Yes!", session="c")
    split([here, there, again])
    assert here.group != there.group
    assert there.group == again.group


def test_steps_of_an_agent_differ_by_what_the_tool_returned() -> None:
    task = "Find the cheapest direct flight from Paris to Rome next week"
    steps = [label(task, ("tool", f"result {i}"), tools=[{"name": "search"}]) for i in range(3)]
    assert len({stem_key(step) for step in steps}) == 3
    split(steps)
    assert len({step.group for step in steps}) == 3
    for step in steps:
        step.session = "one"
    split(steps)
    assert len({step.group for step in steps}) == 1


def test_a_chain_of_shared_questions_and_sessions_is_one_group() -> None:
    first, second = "the first question of several words here", "the second question of several words here"
    chain = [label(first, session="a"), label(first, session="b"), label(second, session="b"), label(second)]
    split(chain)
    assert len({item.group for item in chain}) == 1


def test_a_message_of_content_parts_has_the_stem_of_its_text() -> None:
    parts = label(JANET)
    parts.messages = [Message("user", [{"type": "text", "text": JANET}, {"type": "image_url", "image_url": {}}])]
    assert stem_key(parts) == stem_key(label(JANET))


@pytest.mark.skipif(not CORPORA.is_dir(), reason="the corpora folder is not beside this checkout")
def test_the_questions_two_corpora_share_have_one_stem_in_both() -> None:
    skipped = Skipped()
    routed = list(read_records([CORPORA / "routellm_gsm8k.jsonl.gz"], skipped))
    wrapped = [item for item in read_records([CORPORA / "zeroeval.jsonl.gz"], skipped) if item.category == "gsm"]
    plain = {stem_key(label(item.messages[-1].content)) for item in routed}
    shared = plain & {stem_key(label(item.messages[-1].content)) for item in wrapped}
    assert len(shared) >= 0.99 * len(plain)
