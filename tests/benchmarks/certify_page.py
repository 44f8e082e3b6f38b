"""Fill the marked regions of training/certify.md from measured results.

Run: python tests/benchmarks/certify_page.py [--check]. Knows the sections of the page; measures nothing.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import certify_pairs_page
import certify_validity_page
import monitor_page
import ood_page
from page_regions import check_page, fill_regions

PAGE = Path(__file__).resolve().parents[2] / "training" / "certify.md"
COMMAND = "python tests/benchmarks/certify_page.py"
# each gives the texts of its regions by name
SECTIONS = (certify_validity_page, certify_pairs_page, ood_page, monitor_page)


def fill(text: str) -> str:
    """``text`` with its regions written anew. Raises InputError as ``fill_regions`` does."""
    return fill_regions(text, {name: body for section in SECTIONS for name, body in section.regions().items()})


def fill_page(page: Path = PAGE) -> None:
    """Fill the page and draw its picture beside it."""
    page.write_text(fill(page.read_text(encoding="utf-8")), encoding="utf-8")
    certify_validity_page.draw_pictures(page.parent)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the page would change")
    if parser.parse_args().check:
        check_page(PAGE, fill(PAGE.read_text(encoding="utf-8")), COMMAND)
    else:
        fill_page()


if __name__ == "__main__":
    main()
