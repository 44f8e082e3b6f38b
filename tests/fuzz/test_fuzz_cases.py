"""What the fuzzer once found, replayed: every kept input keeps the promises about any input. Needs no fuzzer."""

from __future__ import annotations

import random
from pathlib import Path

import fuzz_page
import pytest
from fuzz_targets import TARGETS, seeds_of

CASES = Path(__file__).resolve().parent / "cases"
KEPT = [(name, path) for name in TARGETS for path in sorted((CASES / name).glob("*"))]


def test_every_target_has_kept_cases_and_no_case_is_without_target() -> None:
    assert {path.name for path in CASES.iterdir()} == set(TARGETS)
    assert {name for name, _ in KEPT} == set(TARGETS)


@pytest.mark.parametrize(("name", "path"), KEPT, ids=[f"{name}-{path.name}" for name, path in KEPT])
def test_what_was_found_once_is_not_found_again(name: str, path: Path) -> None:
    TARGETS[name](path.read_bytes(), whole=True)


def test_the_page_says_what_was_run_and_which_cases_are_kept() -> None:
    text = fuzz_page.PAGE.read_text(encoding="utf-8")
    assert fuzz_page.fill(text) == text


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_random_bytes_keep_the_promises(name: str) -> None:
    rng = random.Random(0)
    for data in (*seeds_of(name), *(rng.randbytes(rng.randint(1, 300)) for _ in range(300))):
        TARGETS[name](data, whole=True)
