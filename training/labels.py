"""Labels from disk, found fit to train on or refused with what is missing. Knows records; trains nothing."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from learned_router.errors import LabelError
from learned_router.training.labelling.audit import position
from learned_router.training.records import Label, Skipped, read_labels

LEAST_LABELS = 50
LEAST_BY_SPLIT = {"train": 30, "calibration": 10}
# A model may say nothing at times; a log in which nearly all answers are empty has lost them
MOST_EMPTY = 0.9
SPLITS = ("train", "calibration", "test")


class LabelSet(msgspec.Struct, frozen=True):
    """Labels that agree on their tiers. tiers: names, cheapest first; models: by tier; sha256: of content and order.

    A label may leave out tiers below the top one, which nobody asked when it was made.
    """

    labels: list[Label]
    tiers: tuple[str, ...]
    models: dict[str, str]
    sha256: str
    skipped: Skipped

    def of(self, split: str) -> list[Label]:
        """The labels of one split, in order."""
        return [label for label in self.labels if label.split == split]

    def complete(self, split: str) -> list[Label]:
        """The labels of one split that know the quality of every tier, in order."""
        return [label for label in self.of(split) if len(label.quality) == len(self.tiers)]

    def counts(self) -> dict[str, int]:
        found = Counter(label.split for label in self.labels)
        return {split: found[split] for split in SPLITS}

    def sources(self) -> tuple[dict[str, int], dict[str, str]]:
        """Labels by source, and licence by source where a label states one."""
        counts = Counter(label.source or "unnamed" for label in self.labels)
        licences = {label.source or "unnamed": label.licence for label in self.labels if label.licence}
        return dict(counts.most_common()), licences


def load_labels(paths: Sequence[Path]) -> LabelSet:
    """All usable labels of the files. Models may differ from file to file; tiers may be missing, but for the top one.

    A request that was labelled for some tiers, and later for others, is one label with the quality of all of them.
    Raises LabelError when none is usable or the tiers contradict each other, InputError when a file cannot be read.
    """
    skipped = Skipped()
    by_id: dict[str, Label] = {}
    models: dict[str, Counter[str]] = {}
    for label in read_labels(paths, skipped):
        for tier, model in label.models.items():
            models.setdefault(tier, Counter())[model] += 1
        by_id[label.id] = _join(by_id[label.id], label) if label.id in by_id else label
    labels = list(by_id.values())
    names = ", ".join(str(path) for path in paths)
    if not labels:
        reasons = "; ".join(
            f"{n} {reason} (first: {skipped.places[reason][0]})" for reason, n in skipped.counts.items()
        )
        raise LabelError(f"{names}: no usable label ({reasons or 'empty'}); make labels with 'learned-router label'")
    tiers = _all_tiers(labels)
    return LabelSet(
        labels=labels,
        tiers=tiers,
        models={
            tier: " / ".join(model for model, _ in models.get(tier, Counter()).most_common()) or tier for tier in tiers
        },
        sha256=sha256_of(labels),
        skipped=skipped,
    )


def _join(first: Label, again: Label) -> Label:
    """One label of a request that was labelled twice, for other tiers: what was found of more tiers wins.

    It stays on the side of the split on which it first stood.
    """
    less, more = sorted((first, again), key=lambda label: len(label.quality))
    audit = more.audit or less.audit
    if audit is not None:  # of a tier that a person was not asked about, the grade is all there is
        audit = msgspec.structs.replace(audit, graded=less.quality | more.quality | audit.graded)
    return msgspec.structs.replace(
        more,
        audit=audit,
        quality=more.quality | {tier: value for tier, value in less.quality.items() if tier not in more.quality},
        models=less.models | more.models,
        outputs=less.outputs | more.outputs,
        split=first.split,
        group=first.group,
    )


def _all_tiers(labels: Sequence[Label]) -> tuple[str, ...]:
    """The tiers in the order that every label has them in. Raises LabelError for a label that has another order or top."""
    longest = max(labels, key=lambda label: len(label.quality))
    tiers = tuple(longest.quality)
    for label in labels:
        own = tuple(label.quality)
        if own[-1] != tiers[-1] or own != tuple(tier for tier in tiers if tier in label.quality):
            raise LabelError(
                f"label {label.id!r} has the tiers {', '.join(own)}; label {longest.id!r} has {', '.join(tiers)}. "
                "A label may leave out tiers, but not the top one, nor change their order. Label every file with the "
                "same --tier names, in the same order"
            )
    return tiers


def cap_sources(labels: LabelSet, most: int, seed: int) -> LabelSet:
    """At most about ``most`` labels of each source, so that a large log does not drown a small one.

    Whole groups are kept, drawn by a hash of the seed and their name: the same labels give the same choice.
    The last group taken may pass the limit. Raises LabelError when ``most`` is below 1.
    """
    if most < 1:
        raise LabelError(f"--most-per-source is {most}; it must be at least 1")
    by_source: dict[str | None, list[Label]] = {}
    for label in labels.labels:
        by_source.setdefault(label.source, []).append(label)
    kept: set[int] = set()
    for found in by_source.values():
        groups: dict[str, list[Label]] = {}
        for label in found:
            groups.setdefault(label.group or label.id, []).append(label)
        count = 0
        # a hash of its own: in the order of the one that splits, all that is kept would stand in the training split
        for name in sorted(groups, key=lambda name: hashlib.sha256(f"cap:{seed}:{name}".encode()).digest()):
            if count >= most:
                break
            kept.update(map(id, groups[name]))
            count += len(groups[name])
    chosen = [label for label in labels.labels if id(label) in kept]
    return msgspec.structs.replace(labels, labels=chosen, sha256=sha256_of(chosen))


def weigh_sources(labels: LabelSet, factors: Mapping[str, float]) -> LabelSet:
    """The labels of the named sources count ``factors`` times what they did, in training, thresholds and figures.

    Raises LabelError for a source that no label has, and for a factor that is not positive and finite.
    """
    there = labels.sources()[0]
    for source, factor in factors.items():
        if source not in there:
            raise LabelError(f"--weigh {source}={factor:g}: no label has this source; there are {', '.join(there)}")
        if not 0 < factor < math.inf:
            raise LabelError(f"--weigh {source}={factor:g}: give a factor above 0, as in {source}=2")
    weighed = [
        msgspec.structs.replace(label, weight=label.weight * factors.get(label.source or "unnamed", 1.0))
        for label in labels.labels
    ]
    return msgspec.structs.replace(labels, labels=weighed, sha256=sha256_of(weighed))


def sha256_of(labels: Sequence[Label]) -> str:
    """Hash of the labels' content and order."""
    digest, encoder = hashlib.sha256(), msgspec.json.Encoder()
    for label in labels:
        digest.update(encoder.encode(label))
    return digest.hexdigest()


def check_trainable(labels: LabelSet) -> None:
    """Raises LabelError saying what is missing when a router cannot be trained on these labels."""
    total = len(labels.labels)
    if total < LEAST_LABELS:
        raise LabelError(f"{total} labels; training needs at least {LEAST_LABELS}. Label more of your logs")
    counts = labels.counts()
    if not any(counts.values()):
        raise LabelError("labels without a split; they come from elsewhere. Make them with 'learned-router label'")
    for split, least in LEAST_BY_SPLIT.items():
        if counts[split] < least:
            raise LabelError(
                f"{counts[split]} labels in the {split} split; at least {least} are needed. "
                "Label more of your logs, or logs with more distinct sessions"
            )
        if not any(label.weight for label in labels.of(split)):
            raise LabelError(
                f"every label of the {split} split has weight 0, so none of them counts. "
                "Make labels with 'learned-router label', or give them weights"
            )
    cheapest, top = labels.tiers[0], labels.tiers[-1]
    for split, least in LEAST_BY_SPLIT.items():
        if len(labels.complete(split)) < least:
            raise LabelError(
                f"{len(labels.complete(split))} of {counts[split]} labels in the {split} split know the quality of all "
                f"tiers ({', '.join(labels.tiers)}); at least {least} are needed. Ask the new tier more requests, with "
                "'learned-router collect', and label them with all tiers"
            )
        gains = {label.quality[top] - label.quality[cheapest] for label in labels.complete(split)}
        if len(gains) == 1:
            gain = gains.pop()
            meaning = f"{cheapest} does as well as {top}" if gain == 0 else f"{top} gains {gain:+.2f} over {cheapest}"
            raise LabelError(
                f"one class only: {meaning} on every label of the {split} split, so there is nothing to tell apart. "
                "Bring logs on which the tiers differ, or check the grader with 'learned-router label'"
            )
    _check_audit(labels.of("calibration"))


def _check_audit(calibration: Sequence[Label]) -> None:
    """Where some labels were audited, every uncertain one that the draw meets must have been.

    Else a log that nobody audited would pass for one in which nobody was drawn, and its graders for as good as a person.
    """
    chances = [label.audit.chance for label in calibration if label.audit]
    missed = [
        label.id
        for label in calibration
        if chances and not label.audit and label.certainty < 1.0 and position(label.id) < min(chances)
    ]
    if missed:
        raise LabelError(
            f"{len(missed)} uncertain labels of the calibration split were drawn for an audit and have none (first: "
            f"{', '.join(missed[:3])}), while others have: audit every file of labels with 'learned-router label --audit', "
            "or none"
        )


def find_why_no_gate(answers: Mapping[str, Sequence[Label]]) -> str:
    """Why the answers that labels hold cannot train a gate; empty when they can. answers: by split."""
    for split, least in LEAST_BY_SPLIT.items():
        found = answers[split]
        if not found:
            return (
                f"no label of the {split} split holds the answer of a lower tier, as 'learned-router label' writes them"
            )
        if len(found) < least or not any(label.weight for label in found):
            return f"{len(found)} answers of lower tiers in the {split} split; at least {least} that count are needed"
        empty = sum(not output.text and not output.tool_calls for label in found for output in label.outputs.values())
        if empty > MOST_EMPTY * len(found):
            return (
                f"{empty} of {len(found)} answers of the {split} split hold neither text nor calls: the log tells how they "
                "were graded, not what they said"
            )
        if len({tuple(label.quality.values()) for label in found}) == 1:
            return f"all answers of the {split} split are of one quality, so there is nothing to tell apart"
    return ""
