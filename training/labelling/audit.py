"""Draw labels at random for a person to grade again, and set what was said beside the graders' grades.

Knows labels, sides of the split and verdicts; knows no table, no log and no proof.

What a proof needs of it (``certify.unit_margins``): every uncertain calibration label has the same chance of being drawn,
whatever its grade, its outcome and the other labels; every one that is drawn has a verdict; and what stands in the place
of a grade is the same whether or not the label was drawn. So the draw is a hash of the label's id, which any run repeats.
Each label is drawn by itself, a request that was asked twice is two: its answers differ, and so may its grades. Labels of
certainty 1 (gold, exact references) are taken for exact, here as in the certificate, and are never drawn.
"""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from learned_router.errors import InputError
from learned_router.training.labelling.tally import RIGHT, Doubtful, show_label
from learned_router.training.records import Audit, Label, Output

SHARE: Final = 0.1
DRAWN_SIDE: Final = "calibration"
REVIEW: Final = "review"
# A person is to see what the grader saw; a spreadsheet's cell holds 32,767 characters
TEXT_CHARS: Final = 8_000
FIRST_NAMED: Final = 3
QUANTILE: Final = 1.96  # 95 %


class AuditVerdicts(msgspec.Struct, frozen=True):
    """What a person said of drawn labels. chance: of each, in (0, 1]. quality: by id, then by tier. files: their names."""

    chance: float
    quality: Mapping[str, Mapping[str, float]]
    files: str


class AuditPlan(msgspec.Struct, frozen=True):
    """chance: of being drawn. verdicts: None before there are any. write: whether labels that lack one are asked for."""

    chance: float
    verdicts: AuditVerdicts | None = None
    write: bool = False


class Regrade(msgspec.Struct, frozen=True):
    """What a label says in the end, where that is not what it said when it was made."""

    quality: dict[str, float]
    certainty: float
    grader: str
    audit: Audit | None = None

    def of(self, label: Label) -> Label:
        return msgspec.structs.replace(
            label, quality=self.quality, certainty=self.certainty, grader=self.grader, audit=self.audit
        )


class GraderCheck(msgspec.Struct, frozen=True):
    """How one grader did. drawn: labels a person graded again; agree: on which tiers are right.

    error: mean over them of what the grader gave the cheapest tier beside the top one, less what the person gave it:
    above 0, the grader is kind to the cheapest tier. low, high: its 95 % interval.
    """

    grader: str
    drawn: int
    agree: int
    error: float
    low: float
    high: float


class AuditFindings(msgspec.Struct, frozen=True):
    """What came of an audit. drawn: calibration labels; lacking: of them, without a verdict.

    unused: verdicts of labels that are gone, that stand in another split now, or whose grade is exact now. set_aside:
    verdicts of ``--reviews`` in the calibration split, see ``Auditing.settle``. graders, total: once nothing
    lacks, else empty and None.
    """

    chance: float
    drawn: int
    lacking: int
    unused: int
    set_aside: int
    graders: list[GraderCheck]
    total: GraderCheck | None


class _Candidate(msgspec.Struct, frozen=True):
    place: int
    label: Doubtful


def position(identity: str) -> float:
    """Where an id stands in [0, 1): drawn are those below the chance, so that a larger share holds the smaller one."""
    digest = hashlib.sha256(f"audit:{identity}".encode("utf-8", "replace")).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53  # 53 bits, so that rounding cannot make it 1


def plan_audit(write: bool, share: float | None, verdicts: AuditVerdicts | None) -> AuditPlan | None:
    """What options ask for; None where no audit is wanted. share: the option's, None where it was not given.

    Raises InputError for a share that is none, that nothing needs, or that differs from that of the verdicts: who draws
    more after having seen what came of it chooses by the outcome.
    """
    if share is not None and not 0.0 < share <= 1.0:
        raise InputError(f"--audit-share is {share}; it must lie in (0, 1], as 0.1 for one label in ten")
    if share is not None and not write:
        raise InputError("--audit-share: nothing is drawn without --audit FILE; add it, or leave the share out")
    if verdicts is None:
        return AuditPlan(SHARE if share is None else share, write=True) if write else None
    if share is not None and share != verdicts.chance:
        raise InputError(
            f"--audit-share is {share}, but {verdicts.files} was drawn with chance {verdicts.chance}; "
            "leave --audit-share out, and the same chance is taken"
        )
    return AuditPlan(verdicts.chance, verdicts, write)


class Auditing:
    """One run: ``add`` every label as it was graded, then ``settle`` once sides are known.

    What is drawn waits in a file. lacking: labels that a person is still to grade, in the order of their positions,
    which says nothing. regrades: by the label's place, what changes. findings: see there. All three after ``settle``.
    """

    def __init__(self, plan: AuditPlan, folder: Path | None = None) -> None:
        self._plan = plan
        self._waiting = tempfile.TemporaryFile(dir=folder, buffering=1 << 20)  # noqa: SIM115  (closed by close)
        self._reviewed: dict[int, Regrade] = {}
        self.lacking: list[Doubtful] = []
        self.regrades: dict[int, Regrade] = {}
        self.findings = AuditFindings(plan.chance, 0, 0, 0, 0, [], None)

    def close(self) -> None:
        self._waiting.close()

    def add(self, place: int, label: Label, outputs: Mapping[str, Output], *, reviewed: bool) -> None:
        """Take in a label as its grader graded it. reviewed: a verdict that was not drawn stands in the grade's place."""
        if label.certainty >= 1.0:
            return
        if reviewed:
            self._reviewed[place] = Regrade(label.quality, label.certainty, label.grader)
        if position(label.id) < self._plan.chance:
            item = show_label(label, outputs, TEXT_CHARS, TEXT_CHARS)
            self._waiting.write(msgspec.json.encode(_Candidate(place, item)) + b"\n")

    def settle(self, side: Callable[[int], str]) -> None:
        """Find what is drawn, and what changes. side: of the split, by a label's place.

        Verdicts count only once all that are drawn have one. Rows that a person leaves out are not left out at random:
        they are the hard ones, where graders err most. So a gap is refused, also one that comes of logs added since.
        Verdicts of ``--reviews`` that were not drawn do not count in the calibration split beside an audit, since a
        person may have passed over those that the audit asked for too, and then they depend on the draw.
        Raises InputError for a gap, unless the plan is to ask for what lacks; then no verdict of the audit counts yet.
        """
        drawn = [found for found in self._read() if side(found.place) == DRAWN_SIDE]
        verdicts = self._plan.verdicts
        said = verdicts.quality if verdicts else {}
        self.lacking = sorted(
            (found.label for found in drawn if found.label.id not in said), key=lambda item: position(item.id)
        )
        if verdicts and self.lacking and not self._plan.write:
            raise InputError(_describe_gap(verdicts, self.lacking, len(drawn)))
        checks: list[GraderCheck] = []
        set_aside: list[int] = []
        if drawn and not self.lacking:
            set_aside = [place for place in self._reviewed if side(place) == DRAWN_SIDE]
            self.regrades = {place: self._reviewed[place] for place in set_aside}
            for found in drawn:
                item = found.label
                audit = Audit(item.quality, item.certainty, self._plan.chance)
                self.regrades[found.place] = Regrade(dict(said[item.id]), 1.0, REVIEW, audit)
            checks = _check_graders([found.label for found in drawn], said)
        self.findings = AuditFindings(
            chance=self._plan.chance,
            drawn=len(drawn),
            lacking=len(self.lacking),
            unused=len(said.keys() - {found.label.id for found in drawn}),
            set_aside=len(set_aside),
            graders=checks[1:],
            total=checks[0] if checks else None,
        )

    def _read(self) -> Iterator[_Candidate]:
        decoder = msgspec.json.Decoder(_Candidate)
        self._waiting.seek(0)
        yield from map(decoder.decode, self._waiting)


def _describe_gap(verdicts: AuditVerdicts, lacking: Sequence[Doubtful], drawn: int) -> str:
    named = ", ".join(item.id for item in lacking[:FIRST_NAMED])
    return (
        f"{verdicts.files}: {len(lacking)} of {drawn} labels drawn for the audit have no verdict (first: {named}); "
        "what is left out is not left out at random, so nothing could be proved. Fill them in; rows that are gone, or "
        "that logs added since have brought, are written by adding --audit FILE"
    )


def _check_graders(drawn: Sequence[Doubtful], said: Mapping[str, Mapping[str, float]]) -> list[GraderCheck]:
    """Of all graders together, under the name ``all``, then of each, that with the most labels first."""
    by_grader: dict[str, list[Doubtful]] = {}
    for item in drawn:
        by_grader.setdefault(item.grader, []).append(item)
    rows = sorted(by_grader.items(), key=lambda row: (-len(row[1]), row[0]))
    return [_check(name, items, said) for name, items in [("all", drawn), *rows]]


def _check(name: str, items: Sequence[Doubtful], said: Mapping[str, Mapping[str, float]]) -> GraderCheck:
    errors = np.array([_gain(item.quality) - _gain(said[item.id]) for item in items])
    agree = sum(
        all((value >= RIGHT) == (said[item.id][tier] >= RIGHT) for tier, value in item.quality.items())
        for item in items
    )
    # spread as if one more label had erred by 1 each way: a handful that all agree prove no grader exact. With 40 of 40
    # the interval is ± 0.07, where three in 40 is what could have been missed
    spread = math.sqrt((np.sum((errors - errors.mean()) ** 2) + 2.0) / (len(errors) + 1))
    half = QUANTILE * spread / math.sqrt(len(errors))
    mean = float(errors.mean())
    return GraderCheck(name, len(items), agree, mean, mean - half, mean + half)


def _gain(quality: Mapping[str, float]) -> float:
    values = list(quality.values())
    return values[0] - values[-1]
