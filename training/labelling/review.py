"""Write doubtful labels to a table that a person fills in, and read the verdicts back. Knows CSV; grades nothing."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from learned_router.errors import InputError
from learned_router.training.labelling.tally import RIGHT, Doubtful

VERDICT: Final = "verdict"
ALL: Final = frozenset({"both", "all"})
NONE: Final = frozenset({"neither", "none"})
LONGEST_FIELD: Final = 1 << 24


def write_reviews(items: Iterable[Doubtful], tiers: Sequence[str], path: Path) -> int:
    """Write one row a label: id, request, what each tier answered, the grade proposed, and an empty ``verdict``.

    UTF-8 with a byte-order mark, which spreadsheets want; written aside, then renamed. A cell of text that a
    spreadsheet would compute gets a space in front. Returns the number of rows.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".part")
    count = 0
    with aside.open("w", encoding="utf-8-sig", errors="replace", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", VERDICT, "proposed", "grader", "certainty", "request", *tiers])
        for item in items:
            texts = (_inert(text) for text in (item.request, *(item.outputs[tier] for tier in tiers)))
            table.writerow([item.id, "", propose(item), item.grader, f"{item.certainty:.2f}", *texts])
            count += 1
    os.replace(aside, path)
    return count


def propose(item: Doubtful) -> str:
    """The grader's own grade, written as a verdict would be."""
    right = [tier for tier, quality in item.quality.items() if quality >= RIGHT]
    if not right:
        return "neither"
    return "both" if len(right) == len(item.quality) else "+".join(right)


def read_reviews(paths: Iterable[Path], tiers: Sequence[str]) -> dict[str, dict[str, float]]:
    """What each tier's output is worth, by id, where a verdict has been filled in; rows without one are passed over.

    A verdict is ``both`` or ``neither``, or the tiers that are right (``small``, ``frontier``; of more than two
    ``mid+frontier``), or, for two tiers, a number in [0, 1]: the quality of the cheaper one beside the frontier's 1.
    Columns may stand in any order, separated by commas, semicolons or tabs. Raises InputError with file, row, what was
    found and what is wanted for a file, a row or a verdict that cannot be read.
    """
    verdicts: dict[str, dict[str, float]] = {}
    for path in paths:
        for place, identity, text in _rows(path):
            verdict = _read_verdict(text, tiers, place)
            if verdicts.get(identity, verdict) != verdict:
                raise InputError(f"{place}: id {identity!r} has another verdict in an earlier row; leave one of them")
            verdicts[identity] = verdict
    return verdicts


def _rows(path: Path) -> list[tuple[str, str, str]]:
    """Place, id and verdict of each row that has a verdict."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; write one with 'learned-router label --review {path}'") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); save it as CSV in UTF-8") from None
    first = text.split("\n", 1)[0]
    separator = max(",;\t", key=first.count)  # spreadsheets of some countries write semicolons
    csv.field_size_limit(LONGEST_FIELD)
    table = csv.DictReader(text.splitlines(keepends=True), delimiter=separator)
    try:
        names = table.fieldnames or []
        missing = [name for name in ("id", VERDICT) if name not in names]
        if missing:
            raise InputError(
                f"{path.name}:1: no column {' and '.join(missing)} (found {', '.join(names) or 'nothing'}); "
                "keep the first row as 'learned-router label --review' wrote it"
            )
        rows = []
        for row in table:
            verdict = (row[VERDICT] or "").strip()
            if verdict:
                rows.append((f"{path.name}:{table.line_num}", row["id"] or "", verdict))
    except csv.Error as error:
        raise InputError(f"{path.name}:{table.line_num}: not CSV ({error}); save it as CSV in UTF-8") from None
    return rows


def _read_verdict(text: str, tiers: Sequence[str], place: str) -> dict[str, float]:
    word = text.casefold()
    if word in ALL:
        return dict.fromkeys(tiers, 1.0)
    if word in NONE:
        return dict.fromkeys(tiers, 0.0)
    named = {part.strip() for part in word.split("+")}
    if named <= {tier.casefold() for tier in tiers}:
        return {tier: float(tier.casefold() in named) for tier in tiers}
    try:
        quality = float(word.replace(",", "."))
    except ValueError:
        quality = -1.0
    if len(tiers) == 2 and 0.0 <= quality <= 1.0:
        return {tiers[0]: quality, tiers[1]: 1.0}
    number = ", or a number from 0 to 1" if len(tiers) == 2 else f", or several as in {tiers[-2]}+{tiers[-1]}"
    raise InputError(f"{place}: verdict is {text[:40]!r}; write {', '.join(tiers)}, both, neither{number}")


def _inert(text: str) -> str:
    return f" {text}" if text.startswith(("=", "+", "-", "@")) else text
