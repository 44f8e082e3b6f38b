"""From paired logs to labels: who is graded how, what is left out and why, and what is said about it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from learned_router.errors import InputError
from learned_router.request import Message
from learned_router.training.label import label, label_files
from learned_router.training.labelling.label_report import render_label_run, summarize
from learned_router.training.labelling.tally import FourCells, four_cells
from learned_router.training.records import Label, Output, Record, Skipped, ToolCall, label_request, read_labels

TIERS = {"small": "tiny", "frontier": "big"}


def record(identity: str, tiny: Output | None, big: Output | None, **changes: Any) -> Record:
    outputs = {name: output for name, output in (("tiny", tiny), ("big", big)) if output is not None}
    question = f"a question with enough words in it, number {identity}"
    return Record(id=identity, messages=[Message("user", question)], outputs=outputs, **changes)


def says(text: str | None, score: float | None = None) -> Output:
    return Output(text=text, score=score)


def many(count: int, tiny: str = "no") -> list[Record]:
    return [record(str(i), says(tiny), says("yes"), reference={"answer": "yes"}, task="t") for i in range(count)]


def test_a_reference_grades_every_tier_and_the_frontier_may_be_wrong() -> None:
    run = label([record("a", says("yes"), says("no"), reference={"answer": "yes"}, step="extract", session="s")], TIERS)
    made = run.labels[0]
    assert made.quality == {"small": 1.0, "frontier": 0.0}
    assert list(made.quality) == ["small", "frontier"]
    assert made.models == TIERS
    assert (made.grader, made.step, made.session) == ("reference:label", "extract", "s")
    assert made.weight == made.certainty > 0.5
    assert made.split in run.sides
    assert made.group


def test_without_a_reference_the_frontier_is_right_by_definition() -> None:
    run = label([record("a", says("no"), says("yes")), record("b", says("Yes."), says("yes"))], TIERS)
    assert [made.quality for made in run.labels] == [{"small": 0.0, "frontier": 1.0}, {"small": 1.0, "frontier": 1.0}]
    assert run.graders == {"agreement:label": 2}


def test_a_missing_step_is_inferred_and_kept_out_of_what_the_router_sees() -> None:
    made = label(many(1), TIERS).labels[0]
    assert (made.step, made.step_inferred, label_request(made).step) == ("respond", True, None)


def test_a_given_step_is_seen_by_the_router() -> None:
    made = label([msgspec.structs.replace(many(1)[0], step="plan")], TIERS).labels[0]
    assert (made.step, made.step_inferred, label_request(made).step) == ("plan", False, "plan")


def test_labels_hold_the_outputs_of_lower_tiers_only_and_never_their_score() -> None:
    tiers = {"small": "tiny", "mid": "mid", "frontier": "big"}
    item = record("a", says("yes", score=0.0), says("yes", score=1.0), reference={"answer": "yes"})
    item.outputs["mid"] = says("no", score=1.0)
    made = label([item], tiers).labels[0]
    assert list(made.outputs) == ["small", "mid"]
    assert all(output.score is None for output in made.outputs.values())
    assert item.outputs["tiny"].score == 0.0


def test_gold_is_read_only_when_asked_for() -> None:
    contrary = record("a", says("yes", score=0.0), says("no", score=1.0), reference={"answer": "yes"})
    assert label([contrary], TIERS).labels[0].quality == {"small": 1.0, "frontier": 0.0}
    gold = label([contrary], TIERS, labels="gold").labels[0]
    assert gold.quality == {"small": 0.0, "frontier": 1.0}
    assert (gold.grader, gold.weight) == ("gold", 1.0)


class Unread(Output):
    """An output whose ``score`` nobody may read."""

    def __getattribute__(self, name: str) -> Any:
        assert name != "score", "the labeller read score"
        return super().__getattribute__(name)


@pytest.mark.parametrize("reference", [None, {"answer": "yes"}, {"no_call": True}, {"json": {"a": 1}}])
def test_the_frontiers_score_is_never_touched_by_automatic_labels(reference: dict[str, Any] | None) -> None:
    item = record("a", says("yes"), says("no"), reference=reference)
    item.outputs["big"] = Unread(text="no")
    assert len(label([item], TIERS).labels) == 1


@pytest.mark.parametrize(
    ("reason", "method", "item"),
    [
        ("missing_tier", "auto", record("x", None, says("yes"))),
        ("missing_tier", "gold", record("x", says("a", 1.0), None)),
        ("no_output_to_grade", "auto", record("x", says(None, 1.0), says(None, 0.0))),
        ("no_frontier_output", "auto", record("x", says("a"), says(None))),
        ("no_frontier_output", "auto", record("x", says("a"), Output(text="b", error="timeout"))),
        ("no_gold_score", "gold", record("x", says("a"), says("b", 1.0))),
        ("gold_score_out_of_range", "gold", record("x", says("a", 7.0), says("b", 1.0))),
    ],
)
def test_a_record_that_cannot_be_labelled_is_counted_by_reason_and_the_others_are_kept(
    reason: str, method: Any, item: Record
) -> None:
    good = record("good", says("yes", 1.0), says("yes", 1.0), reference={"answer": "yes"})
    run = label([good, item], TIERS, labels=method)
    assert [made.id for made in run.labels] == ["good"]
    assert dict(run.skipped.counts) == {reason: 1}
    assert run.skipped.places[reason][0].startswith("record x: ")
    assert run.read == 2


def test_a_record_nested_too_deeply_to_compare_is_counted_and_the_others_are_kept() -> None:
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    called = Output(tool_calls=[ToolCall("f", {"x": deep})])
    run = label([record("deep", called, called), *many(1)], TIERS)
    assert len(run.labels) == 1
    assert dict(run.skipped.counts) == {"too_deep": 1}


def test_scores_without_outputs_point_to_gold() -> None:
    run = label([record("x", says(None, 1.0), says(None, 0.0)), *many(1)], TIERS)
    assert any("--labels gold" in warning for warning in run.warnings)


def test_a_tier_that_said_nothing_is_worth_nothing_where_there_is_a_reference() -> None:
    run = label([record("a", says(None), says("yes"), reference={"answer": "yes"})], TIERS)
    assert run.labels[0].quality == {"small": 0.0, "frontier": 1.0}


def test_a_model_in_no_record_is_refused_and_those_that_are_there_are_named() -> None:
    with pytest.raises(
        InputError, match=r"small=tinny: in none of 3 records; the models that are there: tiny \(3\), big"
    ):
        label(many(3), {"small": "tinny", "frontier": "big"})


@pytest.mark.parametrize(
    ("tiers", "method", "message"),
    [
        ({"frontier": "big"}, "auto", "two tiers or more"),
        ({"small": "big", "frontier": "big"}, "auto", "one model stands for two tiers"),
        (TIERS, "silver", "give auto or gold"),
    ],
)
def test_options_that_make_no_sense_are_refused(tiers: dict[str, str], method: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        label(many(1), tiers, labels=method)


def test_no_record_at_all_is_refused() -> None:
    with pytest.raises(InputError, match="no usable record"):
        label([], TIERS)


def row(task: str | None, small: float, frontier: float) -> Label:
    return Label("i", [Message("user", "q")], {"small": small, "mid": 1.0, "frontier": frontier}, TIERS, "g", task=task)


def test_the_four_cells_count_right_from_a_half_up_by_task_and_in_total() -> None:
    rows = [row("a", 0.5, 1.0), row("a", 0.49, 0.5), row("a", 1.0, 0.0), row("b", 0.0, 0.4), row(None, 1.0, 1.0)]
    cells, total = four_cells(rows)
    assert cells[0] == FourCells("a", both=1, only_frontier=1, only_small=1, neither=0)
    assert [cell.name for cell in cells] == ["a", "(no task)", "b"]
    assert total == FourCells("all", both=2, only_frontier=1, only_small=1, neither=1)
    assert total.total == 5
    assert four_cells([]) == ([], FourCells("all", 0, 0, 0, 0))


@pytest.mark.parametrize(("count", "warned"), [(49, True), (50, False), (51, False)])
def test_fewer_than_50_labels_are_warned_of_but_made(count: int, warned: bool) -> None:
    run = label(many(count), TIERS)
    assert len(run.labels) == count
    assert any("training needs 50" in warning for warning in run.warnings) is warned


def test_labels_of_one_class_are_warned_of_but_made() -> None:
    assert any("no difference to learn" in warning for warning in label(many(60, tiny="yes"), TIERS).warnings)
    assert not label(many(300), TIERS).warnings


def test_one_long_session_is_warned_of_because_it_fills_one_side() -> None:
    records = many(100)
    for item in records:
        item.session = "one"
    assert any("sessions or questions are few or large" in warning for warning in label(records, TIERS).warnings)


def test_the_share_of_uncertain_labels_counts_agreement_in_free_text() -> None:
    long = "a free text of quite a few words that no label could ever be compared with"
    run = label([record("a", says(long), says(long)), *many(3)], TIERS)
    assert run.uncertain == 0.25


def test_label_files_writes_what_training_reads_and_counts_bad_lines(tmp_path: Path) -> None:
    good = {"id": "a", "messages": [{"role": "user", "content": "q"}], "reference": {"answer": "yes"}}
    good["outputs"] = {"tiny": {"text": "yes"}, "big": {"text": "yes"}}
    log, out = tmp_path / "log.jsonl", tmp_path / "deep" / "labels.jsonl.gz"
    log.write_text(json.dumps(good) + "\nrubbish\n" + json.dumps(good | {"id": "b", "outputs": {}}) + "\n")
    run = label_files([log], TIERS, out)
    assert dict(run.skipped.counts) == {"not_json": 1, "no_outputs": 1}
    assert [made.id for made in read_labels([out], Skipped())] == ["a"]
    assert (run.made, run.labels) == (1, [])
    assert run.records_per_second > 0


def test_label_files_leaves_no_file_behind_when_nothing_could_be_labelled(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    outputs = {"tiny": {"text": None, "score": 1}, "big": {"text": None, "score": 1}}
    log.write_text(json.dumps({"id": "a", "messages": [{"role": "user", "content": "q"}], "outputs": outputs}))
    with pytest.raises(InputError, match=r"no_output_to_grade.*--labels gold"):
        label_files([log], TIERS, tmp_path / "labels.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]


def test_the_rendering_shows_cells_skipped_records_warnings_and_rate() -> None:
    run = label([*many(3), record("[bold]x", None, says("yes"))], TIERS)
    console = Console(width=160)
    with console.capture() as capture:
        render_label_run(run, console)
    shown = capture.get()
    for part in (
        "only frontier",
        "3 (100%)",
        "missing_tier",
        "[bold]x",
        "training needs 50",
        "records/s",
        "reference:label",
    ):
        assert part in shown


def test_the_rendering_fits_80_columns_with_every_task_and_count_whole() -> None:
    records = [
        *many(3),
        record("x", says("no"), says("yes"), reference={"answer": "yes"}, task="function_calling_multi"),
    ]
    console = Console(width=80)
    with console.capture() as capture:
        render_label_run(label(records, TIERS), console)
    shown = capture.get()
    assert "function_calling_multi" in shown
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_the_summary_is_json_and_holds_what_the_rendering_shows_but_no_label() -> None:
    run = label([*many(3), record("x", None, says("yes"))], TIERS)
    found = json.loads(json.dumps(summarize(run)))
    assert (found["read"], found["labels"], found["tiers"]) == (4, 3, TIERS)
    assert found["skipped"]["missing_tier"]["count"] == 1
    assert found["skipped"]["missing_tier"]["first"][0].startswith("record x: ")
    cells = {"both": 0, "only_frontier": 3, "only_small": 0, "neither": 0, "labels": 3}
    assert found["tasks"] == [{"task": "t", **cells}]
    assert found["total"] == {"task": "all", **cells}
    assert found["graders"] == {"reference:label": 3}
    assert sum(found["sides"].values()) == 3
    assert found["uncertain"] == 0.0
    assert "training needs 50" in found["warnings"][0]
    assert found["records_per_second"] == pytest.approx(found["read"] / found["seconds"])
