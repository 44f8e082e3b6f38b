"""A person's verdicts go out as a table, come back as the best grade, and are refused where they say nothing."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from learned_router.cli import app
from learned_router.errors import InputError
from learned_router.request import Message
from learned_router.training.label import label
from learned_router.training.labelling.review import read_reviews, write_reviews
from learned_router.training.records import Output, Record, Skipped, read_labels, write_jsonl

TIERS = {"small": "tiny", "frontier": "big"}
NAMES = ("small", "frontier")


def record(identity: str, tiny: str, big: str, **changes: Any) -> Record:
    outputs = {"tiny": Output(text=tiny), "big": Output(text=big)}
    return Record(identity, [Message("user", f"a question with enough words in it, {identity}")], outputs, **changes)


def log() -> list[Record]:
    chats = [
        record(
            f"chat-{i}",
            "one long answer of rather many words",
            "a reply that is longer than any label could be, and says nothing",
        )
        for i in range(20)
    ]
    return chats + [record(f"label-{i}", "no", "yes") for i in range(5)] + [record("=id", "=1+1", "yes")]


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def fill_in(path: Path, verdicts: dict[str, str], separator: str = ",") -> None:
    rows = table(path)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=separator)
        writer.writeheader()
        writer.writerows(row | {"verdict": verdicts.get(row["id"], "")} for row in rows)


def write(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(["id,verdict", *rows]) + "\n", encoding="utf-8")
    return path


def test_the_table_takes_doubtful_labels_of_each_grader_in_turn(tmp_path: Path) -> None:
    run = label(log(), TIERS, to_review=8)
    assert write_reviews(run.to_review, NAMES, tmp_path / "r.csv") == 8
    rows = table(tmp_path / "r.csv")
    assert [row["grader"] for row in rows[:4]] == ["agreement:text", "agreement:label"] * 2
    assert list(rows[0])[:6] == ["id", "verdict", "proposed", "grader", "certainty", "request"]
    assert all(row["verdict"] == "" for row in rows)
    assert rows[1]["proposed"] == "frontier"
    assert (rows[1]["small"].strip(), rows[1]["frontier"]) in {("no", "yes"), ("=1+1", "yes")}


def test_cells_that_a_spreadsheet_would_compute_are_made_harmless(tmp_path: Path) -> None:
    run = label([record("a", "=HYPERLINK(1)", "yes")], TIERS, to_review=5)
    write_reviews(run.to_review, NAMES, tmp_path / "r.csv")
    assert table(tmp_path / "r.csv")[0]["small"] == " =HYPERLINK(1)"


def test_the_same_request_is_reviewed_once() -> None:
    items = [record("a", "no", "yes"), record("b", "no", "yes")]
    items[1].messages = items[0].messages
    assert len(label(items, TIERS, to_review=5).to_review) == 1


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_verdicts_come_back_whatever_separator_the_spreadsheet_writes(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "r.csv"
    write_reviews(label(log(), TIERS, to_review=50).to_review, NAMES, path)
    fill_in(path, {"chat-1": "both", "chat-2": "Neither", "label-0": " small ", "=id": "0.25"}, separator)
    assert read_reviews([path], NAMES).verdicts == {
        "chat-1": {"small": 1.0, "frontier": 1.0},
        "chat-2": {"small": 0.0, "frontier": 0.0},
        "label-0": {"small": 1.0, "frontier": 0.0},
        "=id": {"small": 0.25, "frontier": 1.0},
    }


def test_a_verdict_wins_over_every_grade_and_unknown_ids_are_counted() -> None:
    items = [record("a", "yes", "no", reference={"answer": "yes"}), record("b", "no", "yes")]
    items.append(Record("c", items[1].messages, {"tiny": Output(), "big": Output()}))
    verdicts = {name: {"small": 0.0, "frontier": 1.0} for name in ("a", "c", "gone")}
    run = label(items, TIERS, verdicts=verdicts)
    made = {item.id: item for item in run.labels}
    assert (made["a"].grader, made["a"].certainty, made["a"].quality) == ("review", 1.0, verdicts["a"])
    assert made["c"].grader == "review"
    assert made["b"].grader == "agreement:label"
    assert (run.reviewed, run.unknown_reviews) == (2, ["gone"])
    assert not run.skipped.total


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,maybe", r"r\.csv:2: verdict is 'maybe'; write small, frontier, both, neither, or a number from 0 to 1"),
        ("a,1.5", r"r\.csv:2: verdict is '1\.5'"),
        ("a,nan", r"r\.csv:2: verdict is 'nan'"),
        ("a,small\na,both", r"r\.csv:3: id 'a' has another verdict in an earlier row"),
    ],
)
def test_a_verdict_that_cannot_be_read_is_refused_with_its_line(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_reviews([write(tmp_path / "r.csv", row)], NAMES)


def test_of_three_tiers_a_verdict_names_those_that_are_right(tmp_path: Path) -> None:
    tiers = ("small", "mid", "frontier")
    path = write(tmp_path / "r.csv", "a,mid+frontier", "b,all")
    assert read_reviews([path], tiers).verdicts["a"] == {"small": 0.0, "mid": 1.0, "frontier": 1.0}
    with pytest.raises(InputError, match=r"verdict is '0\.5'.*or several as in mid\+frontier"):
        read_reviews([write(path, "a,0.5")], tiers)


@pytest.mark.parametrize("content", [b"", b"id;text\n1;2\n", b"\xff\xfe\x00", b"verdict,x\nboth,1\n"])
def test_a_file_that_is_no_review_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "r.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"r\.csv"):
        read_reviews([path], NAMES)
    with pytest.raises(InputError, match="no such file"):
        read_reviews([tmp_path / "none.csv"], NAMES)


def test_the_command_writes_the_table_and_takes_it_back(tmp_path: Path) -> None:
    pairs, out, table_path = tmp_path / "pairs.jsonl", tmp_path / "labels.jsonl", tmp_path / "review.csv"
    write_jsonl(pairs, log())
    command = ["label", str(pairs), "--tier", "small=tiny", "--tier", "frontier=big", "--out", str(out)]
    first = CliRunner().invoke(app, [*command, "--review", str(table_path), "--review-count", "7"])
    assert first.exit_code == 0, first.output
    assert len(table(table_path)) == 7
    fill_in(table_path, {table(table_path)[0]["id"]: "both"})
    assert CliRunner().invoke(app, [*command, "--reviews", str(table_path)]).exit_code == 0
    reviewed = [item for item in read_labels([out], Skipped()) if item.grader == "review"]
    assert [item.id for item in reviewed] == [table(table_path)[0]["id"]]
    assert (reviewed[0].quality, reviewed[0].weight) == ({"small": 1.0, "frontier": 1.0}, 1.0)
