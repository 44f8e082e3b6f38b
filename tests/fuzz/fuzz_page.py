"""Fill the marked regions of docs/fuzz.md: executions by target, and the cases that are kept.

Run: python tests/fuzz/fuzz_page.py [--check]. Knows the results of fuzz.py and the names of kept cases; fuzzes nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
from page_regions import check_page, fill_regions

from learned_router.training.report import markdown_table

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs" / "fuzz.md"
RESULTS: Final = ROOT / "tests" / "benchmarks" / "results" / "fuzz.json"
CASES: Final = Path(__file__).resolve().parent / "cases"
COMMAND: Final = "python tests/fuzz/fuzz_page.py"


def regions(results: Path = RESULTS, cases: Path = CASES) -> dict[str, str]:
    """The texts of the page by name of their region."""
    figures: dict[str, Any] = json.loads(results.read_text(encoding="utf-8")) if results.is_file() else {}
    kept = {folder.name: sorted(path.name for path in folder.iterdir()) for folder in sorted(cases.iterdir())}
    return {"fuzz-targets": target_table(figures, kept), "fuzz-cases": case_list(kept)}


def target_table(figures: dict[str, Any], kept: dict[str, list[str]]) -> str:
    """One row a target; a dash where it was not run."""
    header = ["target", "executions", "a second", "edges reached", "found in this run", "kept cases", "code", "when"]
    rows = []
    for name, names in kept.items():
        found = figures.get(name)
        if found is None:
            rows.append([name, *["–"] * 4, str(len(names)), "–", "–"])
            continue
        speed = found["executions"] / max(found["seconds"], 1e-9)
        cells = [f"{found['executions']:,}", f"{speed:,.0f}", f"{found['edges']:,}", str(len(found["findings"]))]
        rows.append([name, *cells, str(len(names)), found["code"], f"{found['date']}, Python {found['python']}"])
    return markdown_table(header, rows)


def case_list(kept: dict[str, list[str]]) -> str:
    return "\n".join(
        f"- **{target}**: {'; '.join(name.replace('-', ' ') for name in names)}." for target, names in kept.items()
    )


def fill(text: str) -> str:
    """``text`` with its regions written anew. Raises InputError as ``fill_regions`` does."""
    return fill_regions(text, regions())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the page would change")
    filled = fill(PAGE.read_text(encoding="utf-8"))
    if parser.parse_args(arguments).check:
        check_page(PAGE, filled, COMMAND)
    else:
        PAGE.write_text(filled, encoding="utf-8")


if __name__ == "__main__":
    main()
