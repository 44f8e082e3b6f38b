"""What labelling tells: who was right by task and step, what is doubtful, what it cost, and that it fits a terminal."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console
from typer.testing import CliRunner

from learned_router.cli import app
from learned_router.request import Message
from learned_router.training.label import label, label_files
from learned_router.training.labelling.label_report import describe_cost, render_label_run, summarize
from learned_router.training.labelling.label_run import LabelRun
from learned_router.training.labelling.tally import TierCost, shorten
from learned_router.training.records import Output, Record, Skipped, read_labels, write_jsonl

TIERS = {"small": "tiny", "frontier": "big"}
LONG = "a reply that is longer than any label could be, and that says nothing in particular"


def record(identity: str, tiny: Output, big: Output, **changes: Any) -> Record:
    question = f"a question with enough words in it, number {identity}"
    return Record(identity, [Message("user", question)], {"tiny": tiny, "big": big}, **changes)


def log(count: int = 60) -> list[Record]:
    rng = random.Random(0)
    records = []
    for i in range(count):
        tiny = Output(text=rng.choice(["yes", "no", LONG]), cost_usd=0.001, input_tokens=10, output_tokens=2)
        big = Output(text=rng.choice(["yes", f"{LONG} {i}"]), input_tokens=10 if i % 2 else None)
        step = rng.choice(["intent", "plan", None])
        item = record(f"{i}", tiny, big, step=step, task=rng.choice(["a", "b"]), session=f"s{i // 3}")
        records.append(item)
    for i in range(5):
        records.append(msgspec.structs.replace(records[i], id=f"again-{i}", session=None))
    return records


def show(run: LabelRun, width: int = 80) -> str:
    console = Console(width=width)
    with console.capture() as capture:
        render_label_run(run, console)
    return capture.get()


@pytest.mark.parametrize("name", ["labels.jsonl", "labels.jsonl.gz"])
def test_labels_written_by_way_of_a_file_are_those_made_in_memory(tmp_path: Path, name: str) -> None:
    pairs = tmp_path / "pairs.jsonl"
    write_jsonl(pairs, log())
    written = label_files([pairs], TIERS, tmp_path / name, seed=3)
    kept = label(log(), TIERS, seed=3)
    assert list(read_labels([tmp_path / name], Skipped())) == kept.labels
    assert written.labels == []
    differing = {"seconds", "records_per_second"}
    shown, expected = ({k: v for k, v in summarize(run).items() if k not in differing} for run in (written, kept))
    assert shown == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["pairs.jsonl", name])


def test_labels_into_a_folder_that_is_not_there_yet_are_written(tmp_path: Path) -> None:
    pairs, out = tmp_path / "pairs.jsonl", tmp_path / "deep" / "deeper" / "labels.jsonl"
    write_jsonl(pairs, log())
    assert label_files([pairs], TIERS, out).made == len(list(read_labels([out], Skipped())))


def test_cells_by_step_and_by_task_add_up_to_the_same_total() -> None:
    run = label(log(), TIERS)
    assert {row.name for row in run.steps} == {"intent", "plan", "respond"}
    assert {row.name for row in run.tasks} == {"a", "b"}
    for rows in (run.steps, run.tasks):
        sums = Counter[str]()
        for row in rows:
            sums.update({key: value for key, value in msgspec.structs.asdict(row).items() if key != "name"})
        assert dict(sums) == {key: value for key, value in msgspec.structs.asdict(run.total).items() if key != "name"}


def test_costs_are_sums_of_what_the_log_gives_and_say_of_how_many() -> None:
    items = [
        record("a", Output(text="yes", cost_usd=0.5, input_tokens=7), Output(text="yes")),
        record("b", Output(text="yes", output_tokens=3), Output(text="yes")),
        record("c", Output(text="yes"), Output(text="yes")),
    ]
    costs = label(items, TIERS).costs
    assert costs["small"] == TierCost("tiny", 3, priced=1, cost_usd=0.5, counted=2, input_tokens=7, output_tokens=3)
    assert describe_cost(costs["small"]) == "$0.5000 (of 1 of 3 outputs); 7 tokens in and 3 out (of 2 of 3 outputs)"
    assert describe_cost(costs["frontier"]) == "unknown: the log gives neither cost nor tokens"


def test_the_most_doubtful_come_first_and_certain_labels_never() -> None:
    sure = [record(f"s{i}", Output(text="yes"), Output(text="yes"), reference={"answer": "18"}) for i in range(3)]
    chats = [record(f"c{i}", Output(text=f"{LONG} {i}"), Output(text=LONG)) for i in range(15)]
    labels = [record(f"l{i}", Output(text="no"), Output(text="yes")) for i in range(15)]
    run = label([*sure, *labels, *chats], TIERS)
    assert len(run.doubtful) == 10
    assert {item.id[0] for item in run.doubtful} == {"c"}
    run = label([*sure, *labels[:4], *chats[:3]], TIERS)
    assert [item.id[0] for item in run.doubtful] == ["c"] * 3 + ["l"] * 4
    assert [item.certainty for item in run.doubtful] == sorted(item.certainty for item in run.doubtful)
    assert label(sure, TIERS).doubtful == []


def test_the_doubtful_do_not_depend_on_the_order_of_the_records() -> None:
    forward, back = (label(items, TIERS, to_review=7) for items in (log(60)[:60], log(60)[59::-1]))
    assert forward.doubtful == back.doubtful
    assert forward.to_review == back.to_review


def test_the_rendering_holds_every_part_and_fits_80_columns() -> None:
    items = log()
    items[0].messages = [Message("user", "[bold]a request\nof many lines " + "and words " * 100)]
    items.append(record("lost", Output(text="yes"), Output(error="timeout")))
    verdicts = {"3": {"small": 1.0, "frontier": 1.0}, "gone": {"small": 1.0, "frontier": 1.0}}
    shown = show(label(items, TIERS, verdicts=verdicts))
    assert max(map(len, shown.splitlines())) <= 80
    assert "…" not in shown.replace(" … ", "")
    for part in (
        "task",
        "step",
        "respond",
        "uncertain",
        "duplicates ",
        "small cost $0.0650; 650 tokens in and 130 out",
        "most doubtful",
        "reviewed 1; 1 verdicts of ids that no record has (first: gone)",
        "no_frontier_output",
        "records/s",
    ):
        assert part in shown.replace("\n", " ")


def test_json_holds_all_that_the_text_says(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    write_jsonl(pairs, log())
    command = ["label", str(pairs), "--tier", "small=tiny", "--tier", "frontier=big", "--json"]
    result = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "labels.jsonl")])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["labels"] == found["read"] == 65
    assert found["duplicates"]["exact"] == 5
    assert {row["step"] for row in found["steps"]} == {"intent", "plan", "respond"}
    assert sum(row["labels"] for row in found["tasks"]) == 65
    assert found["costs"]["small"]["cost_usd"] == pytest.approx(0.065)
    assert len(found["doubtful"]) == 10
    assert set(found["doubtful"][0]) == {"id", "grader", "certainty", "request", "outputs", "quality"}


@pytest.mark.parametrize("length", [9, 10, 11, 39, 40, 41, 1000])
def test_shortened_text_is_one_line_and_never_longer_than_asked(length: int) -> None:
    text = "".join(random.Random(length).choices("ab \n", k=length))
    short = shorten(text, 10)
    assert len(short) <= 10
    assert "\n" not in short
    assert shorten("abc", 10) == "abc"
