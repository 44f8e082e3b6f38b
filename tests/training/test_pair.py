"""What several models answered to one request, brought together: nothing lost silently, order and memory kept."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learned_router.errors import InputError
from learned_router.request import Message
from learned_router.training.importers import spill
from learned_router.training.importers.pair import pair
from learned_router.training.records import Output, Record, Skipped

TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {}}}


def record(identity: str, model: str, question: str = "when?", answer: str = "now", **changes: Any) -> Record:
    fields: dict[str, Any] = {"outputs": {model: Output(text=answer)}, **changes}
    return Record(id=identity, messages=[Message("user", question)], **fields)


def paired(*records: Record) -> tuple[list[Record], Skipped]:
    skipped = Skipped()
    return list(pair(records, skipped)), skipped


def test_one_request_answered_by_two_models_becomes_one_record_that_names_the_other_id() -> None:
    (found,), skipped = paired(record("a", "tiny"), record("b", "big", answer="at nine", session="s", task="t"))
    assert found.id == "a"
    assert found.outputs == {"tiny": Output(text="now"), "big": Output(text="at nine")}
    assert found.metadata == {"ids": ["b"]}
    assert (found.session, found.task) == ("s", "t")
    assert skipped.total == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"question": "where?"},
        {"tools": [TOOL]},
        {"response_format": {"type": "json_object"}},
    ],
)
def test_requests_that_differ_stay_apart(changes: dict[str, Any]) -> None:
    found, _ = paired(record("a", "tiny"), record("b", "big", **changes))
    assert [item.id for item in found] == ["a", "b"]


def test_no_tools_and_an_empty_list_of_tools_are_the_same_request() -> None:
    assert len(paired(record("a", "tiny"), record("b", "big", tools=[]))[0]) == 1


def test_the_order_of_keys_in_a_tool_makes_no_other_request() -> None:
    turned = {"function": {"parameters": {}, "name": "look_up"}, "type": "function"}
    assert len(paired(record("a", "tiny", tools=[TOOL]), record("b", "big", tools=[turned]))[0]) == 1


def test_the_same_question_with_another_reference_stays_apart() -> None:
    one, other = {"answer": "A"}, {"answer": "B"}
    found, _ = paired(
        record("a", "tiny", reference=one), record("b", "big", reference=other), record("c", "big", reference=one)
    )
    assert [(item.id, list(item.outputs)) for item in found] == [("a", ["tiny", "big"]), ("b", ["big"])]


def test_a_second_answer_of_a_model_stays_a_record_of_its_own() -> None:
    found, skipped = paired(record("a", "tiny"), record("b", "tiny", answer="later"), record("c", "big"))
    assert [(item.id, list(item.outputs)) for item in found] == [("a", ["tiny", "big"]), ("b", ["tiny"])]
    assert found[1].outputs["tiny"].text == "later"
    assert skipped.total == 0


def test_an_answer_takes_the_place_of_an_error_which_is_counted() -> None:
    (found,), skipped = paired(record("a", "tiny", outputs={"tiny": Output(error="HTTP 500")}), record("b", "tiny"))
    assert found.outputs["tiny"] == Output(text="now")
    assert skipped.places == {"second_answer": ["record b: tiny had failed on the same request in a"]}


@pytest.mark.parametrize("outputs", [{}, {"tiny": Output(text="now"), "big": Output(text="now")}])
def test_records_that_are_paired_already_or_wait_for_answers_go_through_in_their_place(
    outputs: dict[str, Output],
) -> None:
    given = [record("a", "", outputs=outputs), record("b", "mid"), record("c", "", outputs=outputs), record("d", "new")]
    found, _ = paired(*given)
    assert [item.id for item in found] == ["a", "b", "c"]
    assert [list(item.outputs) for item in found] == [list(outputs), ["mid", "new"], list(outputs)]


def test_one_id_for_two_requests_is_counted() -> None:
    found, skipped = paired(record("a", "tiny"), record("a", "big", question="where?"))
    assert len(found) == 1
    assert dict(skipped.counts) == {"duplicate_id": 1}


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from(["tiny", "mid", "big"])), max_size=30))
def test_every_answer_is_kept_and_requests_keep_their_first_order(rows: list[tuple[int, str]]) -> None:
    records = [record(str(index), model, question=str(number)) for index, (number, model) in enumerate(rows)]
    found, skipped = paired(*records)
    assert sum(len(item.outputs) for item in found) == len(rows)
    assert skipped.total == 0
    asked = [item.messages[0].content for item in found]
    assert list(dict.fromkeys(asked)) == list(dict.fromkeys(str(number) for number, _ in rows))


def test_a_temporary_file_without_room_is_an_error_that_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spill, "CACHE_KIB", 64)
    with (
        pytest.raises(InputError, match="SQLITE_TMPDIR"),
        spill.open_spill("CREATE TABLE kept (row BLOB)", "PRAGMA max_page_count = 4") as table,
    ):
        table.executemany("INSERT INTO kept VALUES (?)", [(bytes(4096),)] * 100)
