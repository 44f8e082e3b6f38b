"""Make one record's label: grade it, redact it, let a person's verdict win. Knows nothing of other records or the split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

from learned_router.training.graders import Grade, GradeOptions, grade_record
from learned_router.training.graders.grade import CERTAINTY
from learned_router.training.labelling.audit import REVIEW
from learned_router.training.labelling.redact import Redactor
from learned_router.training.labelling.steps import infer_step
from learned_router.training.records import Label, Output, Record, Skipped

Verdicts = Mapping[str, Mapping[str, float]]  # by record's id, what a person found each tier's output to be worth


class MadeLabel(NamedTuple):
    """A label, without its place in the split. outputs: of every tier, as they may be shown.

    graded: the label as it was graded: itself, or where a verdict stands in its place, another one, or None.
    """

    label: Label
    outputs: dict[str, Output]
    graded: Label | None


class LabelMaker:
    """Makes labels. tiers: model by tier name, cheapest first. skipped: what cannot be labelled is added.

    unmet: ids of verdicts that no record has had yet.
    """

    def __init__(
        self, tiers: Mapping[str, str], options: GradeOptions, verdicts: Verdicts, skipped: Skipped, *, redact: bool
    ) -> None:
        self._tiers, self._options, self._verdicts, self._skipped = tiers, options, verdicts, skipped
        self._redactor = Redactor() if redact else None
        self.unmet = set(verdicts)

    def make(self, record: Record) -> MadeLabel | None:
        """Its label; None, and a reason counted, when there can be none."""
        tiers, skipped = self._tiers, self._skipped
        place = f"record {record.id}"
        missing = [model for model in tiers.values() if model not in record.outputs]
        if missing:
            skipped.add("missing_tier", f"{place}: no output of {', '.join(missing)}")
            return None
        outputs = {tier: record.outputs[model] for tier, model in tiers.items()}
        try:
            grades = grade_record(record, outputs, self._options)
            if self._redactor:  # after grading, which compares what the models really wrote
                compared = {model: record.outputs[model] for model in tiers.values()}
                record = msgspec.structs.replace(record, outputs=compared, reference=None, metadata=None)
                record = self._redactor.redact(record)
                outputs = {tier: record.outputs[model] for tier, model in tiers.items()}
        except RecursionError:
            skipped.add("too_deep", f"{place}: nested too deeply to be compared")
            return None
        graded = None if isinstance(grades, tuple) else _label(record, outputs, grades, tiers)
        verdict = self._verdicts.get(record.id)
        if verdict is not None:
            self.unmet.discard(record.id)
            reviewed = {tier: Grade(verdict[tier], CERTAINTY[REVIEW], REVIEW) for tier in tiers}
            return MadeLabel(_label(record, outputs, reviewed, tiers), outputs, graded)
        if isinstance(grades, tuple):
            skipped.add(grades[0], f"{place}: {grades[1]}")
        return None if graded is None else MadeLabel(graded, outputs, graded)


def _label(
    record: Record, outputs: Mapping[str, Output], grades: Mapping[str, Grade], tiers: Mapping[str, str]
) -> Label:
    names = dict.fromkeys(grade.grader for grade in grades.values())
    # the frontier is right by definition: the name that tells how the label came about is the other one
    names.pop("agreement:frontier", None)
    return Label(
        id=record.id,
        messages=record.messages,
        quality={tier: grade.quality for tier, grade in grades.items()},
        models=dict(tiers),
        grader="+".join(names),
        certainty=min(grade.certainty for grade in grades.values()),
        tools=record.tools,
        response_format=record.response_format,
        step=record.step or infer_step(record),
        step_inferred=record.step is None,
        session=record.session,
        task=record.task,
        category=record.category,
        source=record.source,
        licence=record.licence,
        # without what may have graded them: what learns from outputs must not see it
        outputs={tier: msgspec.structs.replace(outputs[tier], score=None, feedback=None) for tier in list(tiers)[:-1]},
    )
