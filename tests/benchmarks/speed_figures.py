"""What the speed benchmark found, and what it was meant to reach. Knows figures; measures nothing and writes no page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
from graph_arithmetic import Arithmetic, Peak
from speed_peers import Peers
from timing import Machine, Percentiles

LENGTHS = (16, 64, 256)  # tokens of a view, special ones included
OUTPUT_TOKENS = 128
TRANSCRIPT_TOKENS, TRANSCRIPT_TOOLS = 100_000, 60
BATCH_TOKENS = 64
MEMORY_DECISIONS = 1000
LONG_DECISIONS = 1_000_000
# of the resident memory, from the first sample after the start to the last: more than this has grown
FLAT_SHARE = 0.02


class LengthFigures(msgspec.Struct, frozen=True):
    """Decisions on prompts that make a view of ``tokens`` tokens, were there no limit.

    view_tokens: median of what the view really held. arithmetic: multiply–adds of one run of the graph, mean over a few of
    the prompts.
    """

    tokens: int
    view_tokens: int
    times: Percentiles
    arithmetic: Arithmetic


class TranscriptFigures(msgspec.Struct, frozen=True):
    """Decisions on an agent's transcript. tokens: of all its messages. Timed in turn with the prompts."""

    tokens: int
    tools: int
    view_tokens: int
    times: Percentiles


class Decisions(msgspec.Struct, frozen=True):
    """peak: of this machine, in the same run."""

    lengths: list[LengthFigures]
    transcript: TranscriptFigures
    peak: Peak


class RepeatedFigures(msgspec.Struct, frozen=True):
    """The same request again and again. by_request: a prompt of so many tokens, or the transcript, by name."""

    by_request: dict[str, Percentiles]


class GateFigures(msgspec.Struct, frozen=True):
    """One acceptance. router: whose gate. prompt_tokens, output_tokens: of the request's prompt and of the answer."""

    router: str
    prompt_tokens: int
    output_tokens: int
    times: Percentiles


class BatchFigures(msgspec.Struct, frozen=True):
    """Requests a second of ``route_batch``, median of a few runs, by the way it was called."""

    requests: int
    tokens: int
    per_second: dict[str, float]


class StartFigures(msgspec.Struct, frozen=True):
    """Medians over fresh processes of what is installed; bytes resident in one that loads a router and decides."""

    processes: int
    import_ms: float
    load_ms: float
    loaded_bytes: int
    after_bytes: int
    decisions: int


class InstallFigures(msgspec.Struct, frozen=True):
    """wheel_bytes: of the file. environment_bytes: on disk, all that the wheel brings without extras, pip left out.

    largest: the packages that take most of it, by name.
    """

    wheel_bytes: int
    environment_bytes: int
    model_bytes: int
    largest: dict[str, int] = {}


class LabellingFigures(msgspec.Struct, frozen=True):
    """Records that ``label`` grades in a second of one core, reading included."""

    records: str
    per_second: float


class LongFigures(msgspec.Struct, frozen=True):
    """One process that decided on short prompts, no two alike. samples: resident bytes by number of decisions."""

    samples: dict[int, int]

    @property
    def decisions(self) -> int:
        return max(self.samples)

    @property
    def growth(self) -> float | None:
        """Of the resident memory, between the first sample after the start and the last; None before there are two."""
        counts = sorted(count for count in self.samples if count)
        return self.samples[counts[-1]] / self.samples[counts[0]] - 1 if len(counts) > 1 else None


class Context(msgspec.Struct, frozen=True):
    """Where and when a part was measured. quick: with a few repeats only, to see that it runs."""

    measured: str
    router: str
    machine: Machine
    quick: bool = False


class Speed(msgspec.Struct, frozen=True):
    """All parts; None what was not measured. contexts: by part. long: by what was said of the cache."""

    contexts: dict[str, Context] = {}
    decisions: Decisions | None = None
    repeated: RepeatedFigures | None = None
    gate: GateFigures | None = None
    batch: BatchFigures | None = None
    start: StartFigures | None = None
    install: InstallFigures | None = None
    labelling: LabellingFigures | None = None
    peers: Peers | None = None
    long: dict[str, LongFigures] | None = None


class Reach(NamedTuple):
    """One line of what was to be reached. limit: the most that ``measured`` may be, or the least where ``least``.

    measured: None where it was not. unit: of both. note: what to know of the figure.
    """

    what: str
    limit: float
    measured: float | None
    unit: str
    least: bool = False
    note: str = ""

    @property
    def met(self) -> bool | None:
        if self.measured is None:
            return None
        return self.measured >= self.limit if self.least else self.measured <= self.limit


def reaches(speed: Speed) -> Iterator[Reach]:
    """Every line of the goal, with what was measured for it."""
    yield from decision_reaches(speed.decisions)
    gate, repeated, batch = speed.gate, speed.repeated, speed.batch
    yield Reach(
        f"one acceptance by the gate, output of {OUTPUT_TOKENS} tokens, p50", 1.5, gate and gate.times.p50_ms, "ms"
    )
    prompt = repeated and repeated.by_request.get(f"{BATCH_TOKENS} tokens")
    yield Reach("repeated request, p50", 30, prompt and 1000 * prompt.p50_ms, "µs")
    best = max(batch.per_second.items(), key=lambda item: item[1]) if batch else None
    yield Reach(
        f"batch throughput at {BATCH_TOKENS} tokens, 2 cores",
        1500,
        best and best[1],
        "requests/s",
        least=True,
        note=best[0] if best else "",
    )
    start, install = speed.start, speed.install
    yield Reach("`import learned_router`", 120, start and start.import_ms, "ms")
    yield Reach("`Router.load`", 120, start and start.load_ms, "ms")
    yield Reach(
        f"resident memory after load and {MEMORY_DECISIONS:,} decisions", 120, start and start.after_bytes / 1e6, "MB"
    )
    for cache, long in (speed.long or {}).items():
        yield Reach(
            f"memory grown over {long.decisions:,} decisions, cache {cache}",
            100 * FLAT_SHARE,
            None if long.growth is None else 100 * long.growth,
            "%",
        )
    if not speed.long:
        yield Reach(f"memory grown over {LONG_DECISIONS:,} decisions", 100 * FLAT_SHARE, None, "%")
    yield Reach("wheel", 30, install and install.wheel_bytes / 1e6, "MB")
    yield Reach("base install without extras, on disk", 130, install and install.environment_bytes / 1e6, "MB")


def decision_reaches(found: Decisions | None) -> Iterator[Reach]:
    """One decision by length, the transcript, and how far the slow ones are from the usual."""
    limits = dict(zip(LENGTHS, (0.5, 1.0, 3.0), strict=True))
    by_length = {row.tokens: row for row in found.lengths} if found else {}
    for tokens, limit in limits.items():
        row = by_length.get(tokens)
        cut = f"the view holds {row.view_tokens}" if row and row.view_tokens < tokens - 2 else ""
        yield Reach(f"one decision, {tokens} tokens, p50", limit, row and row.times.p50_ms, "ms", note=cut)
    longest = by_length.get(LENGTHS[-1])
    ratio = found.transcript.times.p50_ms / longest.times.p50_ms if found and longest else None
    name = f"a transcript of {TRANSCRIPT_TOKENS:,} tokens and {TRANSCRIPT_TOOLS} tools, of the time at {LENGTHS[-1]} tokens"
    yield Reach(name, 1.3, ratio, "×")
    spread = [row.times.p99_ms / row.times.p50_ms for row in by_length.values()]
    yield Reach("p99 / p50, the worst of the three lengths", 2, max(spread, default=None), "×")
