"""Count labels while they stream by: who was right where, graded by what, at what cost, and which are most doubtful.

Knows labels and outputs; keeps counts and a few short extracts, never the labels.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from learned_router.request import message_text
from learned_router.training.records import Label, Output

RIGHT: Final = 0.5  # the quality from which an output counts as right in the four cells
UNCERTAIN: Final = 0.5  # labels of less certainty are reported as uncertain
REQUEST_CHARS: Final = 600
OUTPUT_CHARS: Final = 1_000


class FourCells(msgspec.Struct, frozen=True):
    """How many labels of one task or step have the smallest and the top tier right, only one of them, or neither."""

    name: str
    both: int
    only_frontier: int
    only_small: int
    neither: int

    @property
    def total(self) -> int:
        return self.both + self.only_frontier + self.only_small + self.neither


class TierCost(msgspec.Struct):
    """What a tier's outputs have cost, in USD and tokens. priced, counted: outputs whose log gives that, of ``outputs``."""

    model: str
    outputs: int = 0
    priced: int = 0
    cost_usd: float = 0.0
    counted: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def add(self, output: Output) -> None:
        self.outputs += 1
        if output.cost_usd is not None:
            self.priced += 1
            self.cost_usd += output.cost_usd
        if output.input_tokens is not None or output.output_tokens is not None:
            self.counted += 1
            self.input_tokens += output.input_tokens or 0
            self.output_tokens += output.output_tokens or 0


class Doubtful(msgspec.Struct, frozen=True):
    """A label to look at: its extract, and each tier's output (short) with the quality that the grader proposes."""

    id: str
    grader: str
    certainty: float
    request: str
    outputs: dict[str, str]
    quality: dict[str, float]

    @property
    def doubt(self) -> tuple[float, float, str]:
        """Sorts the most doubtful first: least certainty, then a quality between right and wrong."""
        return self.certainty, _distance(self.quality), self.id


class Tally:
    """Counts of labels. per_grader: doubtful labels kept of each grader."""

    def __init__(self, tiers: Mapping[str, str], *, per_grader: int = 10) -> None:
        self.made = 0
        self.uncertain = 0
        self.graders: Counter[str] = Counter()
        self.costs = {tier: TierCost(model) for tier, model in tiers.items()}
        self._by_task: dict[str, list[int]] = {}
        self._by_step: dict[str, list[int]] = {}
        self._per_grader = per_grader
        self._doubtful: dict[str, list[tuple[float, float, int, Doubtful]]] = {}
        self._kept: dict[str, set[int]] = {}

    def add(self, label: Label, outputs: Mapping[str, Output], fingerprint: int) -> None:
        """Count one label. outputs: of every tier, the top one included. fingerprint: the same for the same request."""
        self.made += 1
        self.graders[label.grader] += 1
        self.uncertain += label.certainty < UNCERTAIN
        count_cell(self._by_task, label.task or "(no task)", label.quality)
        count_cell(self._by_step, label.step or "other", label.quality)
        for tier, cost in self.costs.items():
            cost.add(outputs[tier])
        if label.certainty < 1.0:
            self._keep_if_doubtful(label, outputs, fingerprint)

    def regrade(self, before: Label, after: Label) -> None:
        """Count a label that has been counted as ``before`` as ``after``: the same request and outputs, graded anew."""
        for label, by in ((before, -1), (after, 1)):
            self.graders[label.grader] += by
            self.uncertain += by * (label.certainty < UNCERTAIN)
            count_cell(self._by_task, label.task or "(no task)", label.quality, by)
            count_cell(self._by_step, label.step or "other", label.quality, by)
        self.graders = +self.graders  # without graders that no label is left of

    def tasks(self) -> list[FourCells]:
        return _cells(self._by_task)

    def steps(self) -> list[FourCells]:
        return _cells(self._by_step)

    def total(self) -> FourCells:
        return add_cells(self.tasks())

    def doubtful(self, count: int) -> list[Doubtful]:
        """The most doubtful labels of all, at most ``count`` (and ``per_grader`` of one grader)."""
        kept = (entry[-1] for heap in self._doubtful.values() for entry in heap)
        return heapq.nsmallest(count, kept, key=lambda item: item.doubt)

    def doubtful_by_grader(self, count: int) -> list[Doubtful]:
        """The most doubtful labels in turn of each grader, least trusted grader first, at most ``count``."""
        rows = [sorted((e[-1] for e in heap), key=lambda item: item.doubt) for heap in self._doubtful.values()]
        rows.sort(key=lambda row: row[0].doubt)
        turns = max(map(len, rows), default=0)
        return [row[turn] for turn in range(turns) for row in rows if turn < len(row)][:count]

    def _keep_if_doubtful(self, label: Label, outputs: Mapping[str, Output], fingerprint: int) -> None:
        # a heap's first entry is the least doubtful one kept; the fingerprint breaks ties, so that not simply the
        # first lines of a log are looked at
        heap, kept = self._doubtful.setdefault(label.grader, []), self._kept.setdefault(label.grader, set())
        rank = (-label.certainty, -_distance(label.quality), fingerprint)
        if fingerprint in kept or (len(heap) >= self._per_grader and rank <= heap[0][:3]):
            return
        item = show_label(label, outputs, REQUEST_CHARS, OUTPUT_CHARS)
        kept.add(fingerprint)
        if len(heap) < self._per_grader:
            heapq.heappush(heap, (*rank, item))
        else:
            kept.discard(heapq.heappushpop(heap, (*rank, item))[2])


def show_label(label: Label, outputs: Mapping[str, Output], request_chars: int, output_chars: int) -> Doubtful:
    """The label's extract for a person: its last message and each output, in one line of at most so many characters."""
    return Doubtful(
        id=label.id,
        grader=label.grader,
        certainty=label.certainty,
        request=shorten(message_text(label.messages[-1]), request_chars),
        outputs={tier: _extract(outputs[tier], output_chars) for tier in label.quality},
        quality=label.quality,
    )


def four_cells(labels: Iterable[Label]) -> tuple[list[FourCells], FourCells]:
    """Four cells of each task, most labels first, and of all labels; smallest against top tier, right from 0.5 up."""
    counts: dict[str, list[int]] = {}
    for item in labels:
        count_cell(counts, item.task or "(no task)", item.quality)
    cells = _cells(counts)
    return cells, add_cells(cells)


def count_cell(counts: dict[str, list[int]], name: str, quality: Mapping[str, float], by: int = 1) -> None:
    """Count one label, ``by`` times, under ``name``: both right, only the top tier, only the smallest, neither."""
    values = list(quality.values())
    small, frontier = values[0] >= RIGHT, values[-1] >= RIGHT
    cell = 0 if small and frontier else 1 if frontier else 2 if small else 3
    counts.setdefault(name, [0, 0, 0, 0])[cell] += by


def add_cells(cells: Iterable[FourCells]) -> FourCells:
    """The sum of rows, under the name ``all``."""
    rows = [(row.both, row.only_frontier, row.only_small, row.neither) for row in cells]
    return (
        FourCells("all", *(sum(column) for column in zip(*rows, strict=True))) if rows else FourCells("all", 0, 0, 0, 0)
    )


def shorten(text: str, limit: int) -> str:
    """``text`` in one line of at most ``limit`` characters, its middle left out where it is longer."""
    line = " ".join(
        text[: 4 * limit].split() if len(text) <= 4 * limit else f"{text[:limit]} … {text[-limit:]}".split()
    )
    return line if len(line) <= limit else f"{line[: limit // 2]} … {line[len(line) - limit // 2 + 3 :]}"


def _cells(counts: Mapping[str, list[int]]) -> list[FourCells]:
    return sorted((FourCells(name, *row) for name, row in counts.items()), key=lambda row: (-row.total, row.name))


def _distance(quality: Mapping[str, float]) -> float:
    """How far the smallest tier's quality is from the middle between right and wrong."""
    return abs(next(iter(quality.values())) - RIGHT)


def _extract(output: Output, limit: int) -> str:
    parts = [output.text] if output.text else []
    parts += [msgspec.json.encode(output.tool_calls).decode()] if output.tool_calls is not None else []
    parts += [f"error: {output.error}"] if output.error else []
    return shorten("\n".join(parts), limit)
