"""``learned-router label``: what is said of graders on the command line reaches them, and mistakes are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from learned_router.cli import app
from learned_router.errors import InputError

TIERS = ("--tier", "small=tiny", "--tier", "frontier=big")


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.jsonl"
    lines = []
    for i in range(3):
        outputs = {"tiny": {"text": "no", "feedback": 1.0}, "big": {"text": "yes"}}
        messages = [{"role": "user", "content": f"is question number {i} one of them?"}]
        lines.append(
            json.dumps({"id": str(i), "messages": messages, "outputs": outputs, "reference": {"answer": "yes"}})
        )
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def label(pairs: Path, *options: str) -> Result:
    out = pairs.with_name("labels.jsonl")
    return CliRunner().invoke(app, ["label", str(pairs), *TIERS, "--out", str(out), "--json", *options])


@pytest.mark.parametrize(
    ("options", "grader"),
    [
        ((), "reference:label"),
        (("--grader", "agreement"), "agreement:label"),
        (("--grader", "feedback"), "feedback"),
        (("--grader", "text", "--similarity", "words"), "agreement:text"),
    ],
)
def test_the_named_grader_grades(pairs: Path, options: tuple[str, ...], grader: str) -> None:
    result = label(pairs, *options)
    assert result.exit_code == 0, result.output
    assert json.loads(pairs.with_name("labels.jsonl").read_text(encoding="utf-8").splitlines()[0])["grader"] == grader


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--grader", "vibes"), "--grader: found 'vibes'"),
        (("--grader", "judge"), "no judge is given"),
        (("--grader", "json"), "grader_does_not_fit"),
        (("--judge", "model"), "write MODEL@URL"),
        (("--judge-budget", "1"), "--judge-budget: no judge is given"),
        (("--similarity", "vibes"), "give embedding or words"),
    ],
)
def test_what_cannot_be_is_refused_by_name_and_writes_nothing(pairs: Path, options: tuple[str, ...], said: str) -> None:
    result = label(pairs, *options)
    assert result.exit_code != 0
    assert isinstance(result.exception, InputError) or said in result.output
    assert said in f"{result.exception} {result.output}"
    assert not pairs.with_name("labels.jsonl").exists()
