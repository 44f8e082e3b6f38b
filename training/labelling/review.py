"""Write labels to a table that a person fills in, and read the verdicts back. Knows CSV; grades and draws nothing."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from learned_router.errors import InputError
from learned_router.training.labelling.audit import AuditVerdicts, position
from learned_router.training.labelling.tally import RIGHT, Doubtful

VERDICT: Final = "verdict"
CHANCE: Final = "chance"  # the column that tells a table of drawn labels
ALL: Final = frozenset({"both", "all"})
NONE: Final = frozenset({"neither", "none"})
LONGEST_FIELD: Final = 1 << 24

Quality = dict[str, float]  # of each tier's output, in [0, 1]


class Reviews(msgspec.Struct, frozen=True):
    """What tables say. verdicts: by id, of labels that were chosen; audit: of labels that were drawn, None without any."""

    verdicts: dict[str, Quality]
    audit: AuditVerdicts | None


class _Row(NamedTuple):
    place: str
    identity: str
    verdict: str
    chance: str | None  # None where the table has no such column


def write_reviews(items: Iterable[Doubtful], tiers: Sequence[str], path: Path) -> int:
    """Write one row a label: id, request, what each tier answered, the grade proposed, and an empty ``verdict``.

    UTF-8 with a byte-order mark, which spreadsheets want; written aside, then renamed. A cell of text that a
    spreadsheet would compute gets a space in front. Returns the number of rows.
    """
    rows = ([item.id, "", propose(item), item.grader, f"{item.certainty:.2f}", *_texts(item, tiers)] for item in items)
    return _write([["id", VERDICT, "proposed", "grader", "certainty", "request", *tiers], *rows], path)


def write_audit(items: Iterable[Doubtful], tiers: Sequence[str], chance: float, path: Path) -> int:
    """Write drawn labels in the same form, with the ``chance`` they were drawn with.

    Without the grade proposed, nor grader and certainty: who sees a grade tends to agree with it, and the difference
    between the two is all that an audit is for. Which tier gave which answer is seen, since a verdict names tiers.
    """
    rows = ([item.id, "", repr(chance), *_texts(item, tiers)] for item in items)
    return _write([["id", VERDICT, CHANCE, "request", *tiers], *rows], path)


def check_free(path: Path) -> None:
    """Raises InputError where a table stands that somebody has written verdicts into: hours that must not be lost."""
    if path.exists() and any(row.verdict for row in _rows(path)):
        raise InputError(
            f"--audit {path}: it holds verdicts, which would be lost; give them with --reviews {path} and write what "
            "still lacks to another file"
        )


def _texts(item: Doubtful, tiers: Sequence[str]) -> list[str]:
    return [_inert(text) for text in (item.request, *(item.outputs[tier] for tier in tiers))]


def _write(rows: Sequence[Sequence[str]], path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".part")
    with aside.open("w", encoding="utf-8-sig", errors="replace", newline="") as file:
        csv.writer(file).writerows(rows)
    os.replace(aside, path)
    return len(rows) - 1


def propose(item: Doubtful) -> str:
    """The grader's own grade, written as a verdict would be."""
    right = [tier for tier, quality in item.quality.items() if quality >= RIGHT]
    if not right:
        return "neither"
    return "both" if len(right) == len(item.quality) else "+".join(right)


def read_reviews(paths: Iterable[Path], tiers: Sequence[str]) -> Reviews:
    """What each tier's output is worth, by id, where a verdict has been filled in; rows without one are passed over.

    A verdict is ``both`` or ``neither``, or the tiers that are right (``small``, ``frontier``; of more than two
    ``mid+frontier``), or, for two tiers, a number in [0, 1]: the quality of the cheaper one beside the frontier's 1.
    Columns may stand in any order, separated by commas, semicolons or tabs. A table with a column ``chance`` is one of
    drawn labels; all of them have one chance, and each is among those that it draws.
    Raises InputError with file, row, what was found and what is wanted for a file, a row or a verdict that cannot be read.
    """
    verdicts: dict[str, Quality] = {}
    drawn: dict[str, Quality] = {}
    chances: dict[float, str] = {}  # each with the first place that has it
    files: list[str] = []
    for path in paths:
        for row in _rows(path):
            if row.chance is not None:
                chance = _read_chance(row.chance, row.place)
                _check_drawn(row, chance, chances)
                if path.name not in files:
                    files.append(path.name)
            if not row.verdict:
                continue
            verdict = _read_verdict(row.verdict, tiers, row.place)
            if (verdicts if row.chance is None else drawn).setdefault(row.identity, verdict) != verdict:
                raise InputError(
                    f"{row.place}: id {row.identity!r} has another verdict in an earlier row; leave one of them"
                )
    audit = AuditVerdicts(next(iter(chances)), drawn, ", ".join(files)) if chances else None
    return Reviews(verdicts, audit)


def _read_chance(text: str, place: str) -> float:
    try:
        chance = float(text.replace(",", "."))
    except ValueError:
        chance = -1.0
    if not 0.0 < chance <= 1.0:
        raise InputError(
            f"{place}: chance is {text[:40]!r}; it must lie in (0, 1], as 'learned-router label --audit' wrote it. Labels "
            "that you chose yourself belong in a table without this column"
        )
    return chance


def _check_drawn(row: _Row, chance: float, chances: dict[float, str]) -> None:
    """Raises InputError for a row of another chance than those before, and for a verdict on a label that was not drawn."""
    chances.setdefault(chance, row.place)
    if len(chances) > 1:
        first, place = next(iter(chances.items()))
        raise InputError(
            f"{row.place}: chance is {chance}, but {first} in {place}; a proof needs one chance for all. Give the tables "
            "of one --audit-share, and those that add to them"
        )
    if row.verdict and position(row.identity) >= chance:
        raise InputError(
            f"{row.place}: id {row.identity!r} is not drawn with chance {chance}: somebody chose it, or a spreadsheet has "
            "changed the id. Mend the id, or move the row to a table without the column 'chance'"
        )


def _rows(path: Path) -> list[_Row]:
    """The rows of a table, but for those that say nothing."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file; write one with 'learned-router label --review {path}' (or --audit)"
        ) from None
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
                "keep the first row as 'learned-router label' wrote it"
            )
        rows = []
        for row in table:
            identity, verdict = row["id"] or "", (row[VERDICT] or "").strip()
            if identity or verdict:
                chance = (row[CHANCE] or "").strip() if CHANCE in names else None
                rows.append(_Row(f"{path.name}:{table.line_num}", identity, verdict, chance))
        if CHANCE in names and not rows:
            raise InputError(
                f"{path.name}: no row is left of this audit; write it anew with 'learned-router label --audit'"
            )
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
