"""README.md says what the committed results say, and the script that fills it refuses what it cannot fill."""

from __future__ import annotations

import importlib
import re
import shutil
import sys
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from learned_router.errors import InputError
from learned_router.training.evaluation import (
    Comparison,
    Estimate,
    Evaluation,
    MethodResult,
    ModeResult,
    TierResult,
)

ROOT = Path(__file__).resolve().parent.parent
MACHINE = {"cpu": "a cpu", "cores": 2, "load_before": 0.5, "load_after": 1.5, "busy_elsewhere": 0.0}


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    """The script, imported as it imports its neighbours: by name, from its own folder."""
    sys.path.insert(0, str(ROOT / "tests" / "benchmarks"))
    try:
        return importlib.import_module("pages")
    finally:
        sys.path.pop(0)


def evaluation() -> Evaluation:
    def method(name: str, apgr: float) -> MethodResult:
        return MethodResult(name, *[Estimate(apgr, apgr - 0.05, apgr + 0.05)] * 4)

    kept = Estimate(0.96, 0.94, 0.98)
    return Evaluation(
        split="test",
        rows=321,
        groups=300,
        left_out=0,
        resamples=100,
        seed=0,
        tiers=[TierResult("small", "mini|1b", 0.5, kept, 0.1), TierResult("frontier", "maxi", 0.8, kept, 0.1)],
        methods=[method("router", 0.71), method("length", 0.52), method("knn", 0.63), method("oracle", 1.11)],
        modes=[ModeResult("balanced", 0.95, 0.1, False, 0.7, kept, {"small": 0.3, "frontier": 0.7}, kept)],
        tasks=[],
        out_of_distribution=0.01,
        versus_best=Comparison("knn", Estimate(0.08)),
        saved_of="top-tier calls",
        curves=[],
        notes=[],
    )


def benchmark() -> dict[str, object]:
    """The file of the benchmark, with one pair."""

    def method(name: str, kind: str, apgr: float) -> dict[str, object]:
        figure = {"value": apgr, "low": apgr - 0.03, "high": apgr + 0.03}
        figures = dict.fromkeys(("apgr", "cpt50", "cpt80", "aiq"), figure)
        return {"name": name, "shown": name, "kind": kind, "seeds": [0], "seconds": 1.0, **figures} | {
            "by_seed": [apgr],
            "curve": [],
        }

    pair = {
        "name": "mini",
        "small": "mini|1b",
        "frontier": "maxi",
        "reach": 0.75,
        "rows": {"train": 600, "calibration": 200, "test": 200},
        "groups": 190,
        "quality": {"small": 0.5, "frontier": 0.8},
        "resamples": 100,
        "methods": [method("ours_fast", "ours", 0.71), method("kNN", "baseline", 0.63), method("oracle", "bound", 1.2)],
    }
    return {"measured": "2026-01-01", "main": "ours_fast", "pairs": [pair]}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    folder = tmp_path / "results"
    folder.mkdir()
    times = {"p50_ms": 2.0, "p99_ms": 3.0, "repeats": 7}
    length = {"tokens": 64, "view_tokens": 64, "times": times, "arithmetic": {"int8": 1, "other": 1}}
    speed = {
        "contexts": {"decisions": {"measured": "2026-01-01", "router": "r@1", "machine": MACHINE}},
        "decisions": {
            "lengths": [length],
            "transcript": {"tokens": 100_000, "tools": 60, "view_tokens": 64, "times": times},
            "peak": {"int8": 1e9, "float32": 1e9},
        },
    }
    share = {"graded": 1200, "agreement": 0.875}
    graders = {"logs_a": {"reference": share, "agreement": {"graded": 0, "agreement": None}}}
    for name, found in (
        ("speed", speed),
        ("graders", graders),
        ("sample", evaluation()),
        ("bench", benchmark()),
    ):
        (folder / f"{name}.json").write_bytes(msgspec.json.encode(found))
    shutil.copy(folder / "sample.json", folder / "metrics.json")
    return folder


def region(name: str, body: str = "") -> str:
    return f"before\n<!-- figures:{name} -->\n{body}<!-- /figures:{name} -->\nafter\n"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("shipped", "| **this router** | **0.710 [0.660, 0.760]** |"),
        ("sample", "| balanced | 95 % | 96.0 % [94.0 %, 98.0 %] |"),
        ("corpora", "mini\\|1b → maxi | 600 | 200 | kNN | 0.630 [0.600, 0.660] | **0.710 [0.680, 0.740]** | 0.75"),
        ("speed", "| one decision, 64 tokens, p50 | ≤ 1 ms | 2.00 ms | **missed** |"),
        ("graders", "| logs_a | 1,200 | 87.5 % | 0 | – |"),
        ("help", "Usage: learned-router evaluate [OPTIONS]"),
    ],
)
def test_a_region_is_filled_between_its_marks_and_filling_again_changes_nothing(
    pages: ModuleType, results: Path, name: str, expected: str
) -> None:
    filled = pages.fill(region(name, "stale\n"), results, lambda: results)
    assert expected in filled
    assert "stale" not in filled
    assert filled.startswith(f"before\n<!-- figures:{name} -->\n")
    assert filled.endswith(f"<!-- /figures:{name} -->\nafter\n")
    assert pages.fill(filled, results, lambda: results) == filled


def test_text_without_marks_is_left_as_it_is(pages: ModuleType, tmp_path: Path) -> None:
    assert pages.fill("# A page\n", tmp_path) == "# A page\n"


@pytest.mark.parametrize(
    ("name", "missing", "command"),
    [
        ("sample", "sample.json", "evaluate --json"),
        ("corpora", "bench.json", "make bench"),
        ("speed", "speed.json", "make bench-speed"),
        ("graders", "graders.json", "grader_agreement.py"),
        ("shipped", "metrics.json", "shipped artifact"),
    ],
)
def test_a_missing_results_file_is_named_with_what_writes_it(
    pages: ModuleType, tmp_path: Path, name: str, missing: str, command: str
) -> None:
    with pytest.raises(InputError, match=f"{missing}.*{command}"):
        pages.fill(region(name), tmp_path, lambda: tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", "{}"])
def test_a_results_file_that_is_no_evaluation_is_refused(pages: ModuleType, tmp_path: Path, content: str) -> None:
    (tmp_path / "sample.json").write_text(content)
    with pytest.raises(InputError, match=r"sample\.json.*write it again"):
        pages.fill(region("sample"), tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (region("nonsense"), "no such region"),
        ("<!-- figures:speed -->\n", "no other half"),
        ("<!-- /figures:speed -->\n", "no other half"),
        ("<!-- figures:speed -->\n<!-- /figures:help -->\n", "no other half"),
    ],
)
def test_marks_that_cannot_be_filled_are_refused(pages: ModuleType, results: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        pages.fill(text, results)


def test_help_is_plain_fits_its_columns_and_shows_every_command_whatever_the_terminal(
    pages: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = pages.help_texts()
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    text = pages.help_texts()
    assert text == before
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= pages.HELP_COLUMNS
    commands = {name.strip() for name in re.findall(r"^Usage: learned-router ([a-z]+) ", text, re.MULTILINE)}
    assert commands == set(pages.typer.main.get_command(pages.app).commands)


@pytest.mark.parametrize(("stale", "code"), [(False, 0), (True, 1)])
def test_check_writes_nothing_and_tells_whether_the_page_is_stale(
    pages: ModuleType,
    results: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    stale: bool,
    code: int,
) -> None:
    readme = tmp_path / "README.md"
    text = region("graders") if stale else pages.fill(region("graders"), results)
    readme.write_text(text, encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["pages.py", "--check", "--readme", str(readme), "--results", str(results)])
    if code:
        with pytest.raises(SystemExit) as ended:
            pages.main()
        assert ended.value.code == code
        assert "not what the results say" in capsys.readouterr().err
    else:
        pages.main()
    assert readme.read_text(encoding="utf-8") == text


def test_the_readme_says_what_the_committed_results_say(pages: ModuleType) -> None:
    text = pages.README.read_text(encoding="utf-8")
    assert pages.fill(text) == text, "README.md is stale; run 'python tests/benchmarks/pages.py'"
