"""Turn paired logs into labels: grade every tier's output, split, and count who was right where.

Knows records, graders and the split; knows nothing of models' insides, training or the command line. What stands in
memory is a few dozen bytes a record, whatever the log's size; the labels wait in a file until their group is known.
"""

from __future__ import annotations

import tempfile
import time
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Final, Literal

import msgspec

from learned_router.errors import InputError
from learned_router.training.graders import GradeOptions
from learned_router.training.importers.logs import read_pairs
from learned_router.training.labelling.audit import REVIEW, Auditing, AuditPlan
from learned_router.training.labelling.duplicates import Duplicates, Fingerprints
from learned_router.training.labelling.label_run import LabelRun, describe_skipped, find_warnings
from learned_router.training.labelling.make_label import LabelMaker, Verdicts
from learned_router.training.labelling.tally import Tally
from learned_router.training.records import Label, Record, Skipped, write_jsonl
from learned_router.training.split import FRACTIONS, SIDES, Keys, group_name, side_limits, side_of

Method = Literal["auto", "gold"]

SHOWN_DOUBTFUL: Final = 10


class Place(msgspec.Struct, frozen=True):
    """Where a label stands and what it counts, known once all labels are: the last fields of a label's line.

    The labels of one request, however often it was asked, count as one: each weighs its certainty by their number.
    """

    weight: float
    split: str
    group: str


def label_files(
    paths: Iterable[Path],
    tiers: Mapping[str, str],
    out: Path,
    *,
    labels: Method = "auto",
    options: GradeOptions | None = None,
    seed: int = 0,
    fractions: Sequence[float] = FRACTIONS,
    redact: bool = False,
    verdicts: Verdicts | None = None,
    to_review: int = 0,
    audit: AuditPlan | None = None,
) -> LabelRun:
    """Label the logs in ``paths``, of any known format, and write the labels to ``out``.

    Raises as ``label`` and ``read_pairs`` do. Memory does not grow with the length of the records. Nothing is written when
    no record can be labelled.
    """
    skipped = Skipped()
    # beside the labels, where there is room for them; with redaction, what waits here is redacted already
    folder = next(parent for parent in out.absolute().parents if parent.is_dir())
    wanted = _Wanted(dict(tiers), _grading(options, labels), seed, fractions, redact, verdicts or {}, to_review, audit)
    with tempfile.TemporaryFile(dir=folder, buffering=1 << 20) as waiting, _Labelling(wanted, skipped, folder) as work:
        encoder = msgspec.json.Encoder()
        for item in work.make(read_pairs(paths, skipped)):
            waiting.write(encoder.encode(item) + b"\n")
        if not work.tally.made:
            raise InputError(f"no record could be labelled: {describe_skipped(skipped)}")
        work.settle()
        waiting.seek(0)
        write_jsonl(out, _placed_lines(waiting, work))
        return work.finish([])


def label(
    records: Iterable[Record],
    tiers: Mapping[str, str],
    *,
    labels: Method = "auto",
    options: GradeOptions | None = None,
    seed: int = 0,
    fractions: Sequence[float] = FRACTIONS,
    redact: bool = False,
    verdicts: Verdicts | None = None,
    to_review: int = 0,
    audit: AuditPlan | None = None,
    skipped: Skipped | None = None,
) -> LabelRun:
    """Grade each record's outputs of ``tiers`` and split the labels, which are kept in memory.

    records: read once, one at a time. tiers: model by tier name, cheapest first, the last being the frontier.
    labels: ``"auto"`` grades by the reference, else by agreement with the frontier's output; ``"gold"`` takes the
    records' ``score``, which is read in no other case. options: what else decides how an output is graded.
    redact: keys, e-mails and card numbers do not reach the labels.
    verdicts: win over every grade. to_review: how many doubtful labels to pick for a person. audit: which labels a person
    grades because they were drawn, see ``Auditing``. skipped: what reading has left out so far; more is added.
    Raises InputError for fewer than two tiers, for a model that no record holds, naming those that are there, and for an
    audit with gaps;
    MissingExtraError when redaction is asked for and its library is not installed.
    """
    wanted = _Wanted(dict(tiers), _grading(options, labels), seed, fractions, redact, verdicts or {}, to_review, audit)
    with _Labelling(wanted, Skipped() if skipped is None else skipped) as work:
        made = list(work.make(records))
        work.settle()
        for number, place in enumerate(work.places()):
            item = made[number] = work.regrade(number, made[number]) or made[number]
            item.weight, item.split, item.group = place.weight, place.split, place.group
        return work.finish(made)


class _Wanted(msgspec.Struct, frozen=True):
    tiers: dict[str, str]
    options: GradeOptions
    seed: int
    fractions: Sequence[float]
    redact: bool
    verdicts: Verdicts
    to_review: int
    audit: AuditPlan | None


class _Labelling:
    """One run: ``make`` the labels, ``settle`` their groups, then ``places`` and ``regrade``, then ``finish``.

    folder: for a file of what does not stay in memory. Raises InputError for options that make no sense.
    """

    def __init__(self, wanted: _Wanted, skipped: Skipped, folder: Path | None = None) -> None:
        _check_tiers(wanted.tiers)
        wanted.options.check()
        self._wanted, self._skipped, self._began = wanted, skipped, time.perf_counter()
        self._limits = side_limits(wanted.fractions)
        self._maker = LabelMaker(wanted.tiers, wanted.options, wanted.verdicts, skipped, redact=wanted.redact)
        self._certainties, self._keys, self._prints = array("d"), Keys(), Fingerprints(folder)
        self._read = 0
        self._sides = dict.fromkeys(SIDES, 0)
        self._duplicates, self._groups = Duplicates.none(), self._keys.groups()
        self._auditing = None if wanted.audit is None else Auditing(wanted.audit, folder)
        self.tally = Tally(wanted.tiers, per_grader=max(SHOWN_DOUBTFUL, wanted.to_review))

    def __enter__(self) -> _Labelling:
        return self

    def __exit__(self, *_: object) -> None:
        self._prints.close()
        if self._auditing:
            self._auditing.close()

    def make(self, records: Iterable[Record]) -> Iterator[Label]:
        """The labels, without their places. Raises InputError at the end when a tier's model was never met."""
        seen: Counter[str] = Counter()
        for record in records:
            self._read += 1
            seen.update(record.outputs.keys())
            made = self._maker.make(record)
            if made is None:
                continue
            item, outputs, graded = made
            try:
                # of the request as it was: two customers' questions are not one because their e-mails were removed
                fingerprint = self._prints.add(record.messages, record.tools, record.response_format)
            except RecursionError:
                self._skipped.add("too_deep", f"record {item.id}: a message or tool is nested too deeply")
                continue
            self._keys.add(record)
            if self._auditing and graded:
                self._auditing.add(self.tally.made, graded, outputs, reviewed=graded is not item)
            self._certainties.append(item.certainty)
            self.tally.add(item, outputs, fingerprint)
            yield item
        _check_models(self._wanted.tiers, seen, self._read, self._skipped)

    def settle(self) -> None:
        """Group the labels, and find out what an audit changes. Raises InputError as ``Auditing.settle`` does."""
        self._duplicates = self._prints.find()
        self._groups = self._keys.groups(self._duplicates.first)
        if self._auditing:
            self._auditing.settle(lambda number: self._side(group_name(int(self._groups[number]))))
            for number, change in self._auditing.regrades.items():
                self._certainties[number] = change.certainty

    def places(self) -> Iterator[Place]:
        """Each label's place, in the order they were made."""
        for certainty, size, group in zip(self._certainties, self._duplicates.sizes, self._groups, strict=True):
            name = group_name(int(group))
            side = self._side(name)
            self._sides[side] += 1
            yield Place(certainty / int(size), side, name)

    def regrade(self, number: int, item: Label | bytes) -> Label | None:
        """What has become of the label that was made as ``number``, as it is or as its line; None where nothing has."""
        change = self._auditing.regrades.get(number) if self._auditing else None
        if change is None:
            return None
        before = item if isinstance(item, Label) else msgspec.json.decode(item, type=Label)
        after = change.of(before)
        self.tally.regrade(before, after)
        return after

    def finish(self, labels: list[Label]) -> LabelRun:
        tally, found = self.tally, self._duplicates
        total = tally.total()
        findings = self._auditing.findings if self._auditing else None
        return LabelRun(
            made=tally.made,
            labels=labels,
            tiers=self._wanted.tiers,
            skipped=self._skipped,
            read=self._read,
            seconds=time.perf_counter() - self._began,
            tasks=tally.tasks(),
            steps=tally.steps(),
            total=total,
            graders=dict(tally.graders.most_common()),
            sides=self._sides,
            uncertain=tally.uncertain / tally.made if tally.made else 0.0,
            duplicates={"exact": found.exact, "near": found.near, "groups": found.groups, "largest": found.largest},
            costs=tally.costs,
            doubtful=tally.doubtful(SHOWN_DOUBTFUL),
            to_review=tally.doubtful_by_grader(self._wanted.to_review),
            reviewed=tally.graders[REVIEW] - (findings.total.drawn if findings and findings.total else 0),
            unknown_reviews=sorted(self._maker.unmet),
            to_audit=self._auditing.lacking if self._auditing else [],
            audit=findings,
            warnings=list(find_warnings(total, self._sides, self._wanted.fractions, self._skipped)),
        )

    def _side(self, group: str) -> str:
        return side_of(group, self._limits, self._wanted.seed)


def _placed_lines(waiting: IO[bytes], work: _Labelling) -> Iterator[msgspec.Raw]:
    """The waiting labels' lines, which lack the fields of ``Place`` (absent while at their defaults), with them."""
    encoder = msgspec.json.Encoder()
    for number, (line, place) in enumerate(zip(waiting, work.places(), strict=True)):
        changed = work.regrade(number, line)
        whole = line.rstrip(b"\n") if changed is None else encoder.encode(changed)
        yield msgspec.Raw(whole.removesuffix(b"}") + b"," + encoder.encode(place)[1:])


def _grading(options: GradeOptions | None, labels: Method) -> GradeOptions:
    return msgspec.structs.replace(options or GradeOptions(), labels=labels)


def _check_tiers(tiers: Mapping[str, str]) -> None:
    if len(tiers) < 2:
        raise InputError(f"--tier: found {len(tiers)}; give two tiers or more, cheapest first, as NAME=MODEL")
    if len(set(tiers.values())) < len(tiers):
        raise InputError(f"--tier: one model stands for two tiers ({dict(tiers)}); give each tier its own model")


def _check_models(tiers: Mapping[str, str], seen: Counter[str], read: int, skipped: Skipped) -> None:
    if not read:
        raise InputError(f"no usable record: {describe_skipped(skipped)}; each line must be one paired-log record")
    absent = {tier: model for tier, model in tiers.items() if model not in seen}
    if absent:
        wanted = ", ".join(f"{tier}={model}" for tier, model in absent.items())
        there = ", ".join(f"{model} ({count})" for model, count in seen.most_common())
        raise InputError(f"--tier {wanted}: in none of {read} records; the models that are there: {there or 'none'}")
