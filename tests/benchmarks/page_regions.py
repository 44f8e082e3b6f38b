"""The marked regions of a generated page: filled with what was measured, or checked against it. Knows text; no figures.

A region stands between <!-- figures:NAME --> and <!-- /figures:NAME -->.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from learned_router.errors import InputError

REGION = re.compile(r"(<!-- figures:(?P<name>[\w-]+) -->\n).*?(<!-- /figures:(?P=name) -->)", re.DOTALL)
MARK = re.compile(r"<!-- /?figures:[\w-]* -->")


def fill_regions(text: str, regions: Mapping[str, str | Callable[[], str]]) -> str:
    """``text`` with every region written anew; the rest is left as it is.

    regions: what stands in each, or what makes it when the page has it.
    Raises InputError for an unknown region and for a mark without its other half.
    """
    rest = REGION.sub("", text)
    if MARK.search(rest):
        raise InputError("a figures mark has no other half; write <!-- figures:NAME --> and <!-- /figures:NAME -->")

    def write(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in regions:
            raise InputError(f"figures:{name}: no such region; there are {', '.join(regions)}")
        found = regions[name]
        return f"{match[1]}\n{found if isinstance(found, str) else found()}\n\n{match[3]}"

    return REGION.sub(write, text)


def check_page(page: Path, filled: str, command: str) -> None:
    """Exit with 1 when the page is not ``filled``, naming the command that fills it."""
    if filled != page.read_text(encoding="utf-8"):
        print(f"{page} is not what the results say; run '{command}'", file=sys.stderr)
        sys.exit(1)
