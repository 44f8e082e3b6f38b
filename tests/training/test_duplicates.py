"""The same request counts once, however it is written; another request that looks like it counts as another."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learned_router.request import Message
from learned_router.training.label import label
from learned_router.training.labelling.duplicates import TEMPLATE, Duplicates, Fingerprints
from learned_router.training.records import Output, Record, Skipped, read_records
from learned_router.training.split import Keys

WORDS = """
river garden letter window silver market winter paper engine planet forest bridge candle mirror basket summer
island thunder pocket ribbon copper saddle valley meadow lantern harbour cabinet library station journey
kitchen village
"""
VOCABULARY = WORDS.split()
TOOL = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}


def prose(seed: int, words: int = 80) -> str:
    """Words in lower case without a decisive one among them; another seed gives another text."""
    return " ".join(random.Random(seed).choices(VOCABULARY, k=words))


def find(*requests: Any) -> Duplicates:
    """requests: a text of the user, messages, or the arguments of ``Fingerprints.add``."""
    prints = Fingerprints()
    for request in requests:
        if isinstance(request, str):
            request = [Message("user", request)]
        prints.add(*(request if isinstance(request, tuple) else (request, None, None)))
    found = prints.find()
    prints.close()
    return found


def record(identity: str, text: str) -> Record:
    outputs = {"tiny": Output(text="no"), "big": Output(text="yes")}
    return Record(identity, [Message("user", text)], outputs, reference={"answer": "yes"})


@pytest.mark.parametrize("other", ["WHAT  is\n the capital of france? ", "What is the capital of France?"])
def test_case_and_white_space_make_no_other_request(other: str) -> None:
    found = find("what is the capital of France?", other, "what is the capital of Spain?")
    assert found.first.tolist() == [0, 0, 2]
    assert found.sizes.tolist() == [2, 2, 1]
    assert (found.exact, found.near, found.groups, found.largest) == (1, 0, 1, 2)


@pytest.mark.parametrize(
    "other",
    [
        ([Message("user", "q")], [TOOL], None),
        ([Message("user", "q")], None, {"type": "json_object"}),
        ([Message("system", "s"), Message("user", "q")], None, None),
        ([Message("assistant", "q")], None, None),
        ([Message("user", "q", tool_calls=[{"id": "1"}])], None, None),
    ],
)
def test_tools_format_roles_and_earlier_messages_belong_to_the_request(other: Any) -> None:
    assert find("q", other).groups == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(" ", ", ", 3),
        lambda text: text + " please",
        lambda text: text.replace("river", "rivr", 1),
        lambda text: f"({text})...",
    ],
)
def test_punctuation_a_slip_or_a_word_more_make_a_near_duplicate(change: Any) -> None:
    text = prose(1, 120) + " river"
    found = find(text, change(text), prose(2, 120))
    assert found.first.tolist() == [0, 0, 2]
    assert (found.exact, found.near) == (0, 1)


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("order 4711", "order 4712"),
        ("ticket ab-12f", "ticket ab-12e"),
        ("x = -5", "x = 5"),
        ("the flight to Rome", "the flight to Oslo"),
        ("this is true", "this is not true"),
        ("pick the greater", "pick the smaller"),
        ("costs 3.5", "costs 35"),
    ],
)
def test_an_id_a_number_a_name_or_a_negation_makes_another_request_however_long_the_text(here: str, there: str) -> None:
    text = prose(3, 400)
    assert find(f"{text} {here} {text}", f"{text} {there} {text}").groups == 0


def test_another_question_to_the_same_document_is_another_request() -> None:
    document = prose(4, 2000)
    questions = [
        "what does the writer think of the people there",
        "how long did they stay in that cold and empty house",
    ]
    assert find(*(f"{document}\n{question}" for question in questions)).groups == 0
    assert find(*(f"{question}\n{document}" for question in questions)).groups == 0


def test_a_template_whose_slots_differ_in_a_plain_word_is_no_giant_group() -> None:
    head, tail = prose(5, 150), prose(6, 150)
    slots = [f"{a}{b}" for a in VOCABULARY[:12] for b in VOCABULARY[:12]]
    assert len(slots) > 5 * TEMPLATE
    found = find(*(f"{head} {slot} {tail}" for slot in slots))
    assert found.largest <= 2
    assert found.near <= 0.05 * len(slots)


def test_a_date_in_the_system_prompt_does_not_hide_a_near_duplicate_but_another_task_does() -> None:
    text = prose(7, 120)

    def ask(system: str, end: str) -> list[Message]:
        return [Message("system", system), Message("user", f"{text} {end}")]

    found = find(ask("today is 2026-01-02", "kindly"), ask("today is 2026-03-04", ""), ask("summarise in a line", ""))
    assert found.first.tolist() == [0, 0, 2]


def test_a_chain_of_small_changes_does_not_drift_into_one_group() -> None:
    words = prose(8, 100).split()
    chain = []
    for i in range(0, 60, 2):
        words[i] = "zebra"
        chain.append(" ".join(words))
    found = find(*chain)
    assert found.first[-1] != 0
    assert found.largest < len(chain) / 2


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a b", "A  b", "c", prose(9), prose(9) + " and", prose(10), ""]), max_size=12))
def test_the_first_of_a_group_is_its_own_first_and_sizes_add_up(texts: list[str]) -> None:
    found = find(*texts)
    first, sizes = found.first.tolist(), found.sizes.tolist()
    assert all(first[leader] == leader <= i for i, leader in enumerate(first))
    assert sizes == [first.count(leader) for leader in first]
    assert found.exact + found.near == len(texts) - len(set(first))


def test_duplicates_share_a_group_and_weigh_as_one_label() -> None:
    text = prose(11, 120)
    records = [record("a", text), record("b", text.upper()), record("c", text + " please"), record("d", prose(12))]
    run = label(records, {"small": "tiny", "frontier": "big"})
    groups = [item.group for item in run.labels]
    assert groups[0] == groups[1] == groups[2] != groups[3]
    shares = [item.weight / item.certainty for item in run.labels]
    assert shares == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1])
    assert sum(item.weight for item in run.labels[:3]) == pytest.approx(run.labels[0].certainty)
    assert run.duplicates == {"exact": 1, "near": 1, "groups": 1, "largest": 3}


def test_a_group_keeps_its_name_beside_other_labels() -> None:
    alone, beside = Keys(), Keys()
    alone.add(record("a", "the very question that was asked"))
    for item in (record("x", "another question of some words here"), record("a", "the very question that was asked")):
        beside.add(item)
    assert beside.groups()[1] == alone.groups()[0]


def test_lone_surrogates_and_empty_content_are_requests_like_others() -> None:
    assert find("\ud800 q", [Message("user")], [Message("user", [])]).groups == 1


@pytest.mark.parametrize(("name", "most"), [("bfcl", 2), ("mmlu_pro", 2), ("tau_bench", 2)])
def test_real_logs_of_distinct_questions_hold_no_large_group(corpora: Path, name: str, most: int) -> None:
    prints = Fingerprints()
    for item in read_records([corpora / f"{name}.jsonl.gz"], Skipped()):
        prints.add(item.messages, item.tools, item.response_format)
    found = prints.find()
    assert found.largest <= most
    assert found.exact + found.near <= 0.002 * len(prints)
