"""What a router costs where it runs: bytes of its files, and milliseconds of one decision on this machine's processor.

Knows the router by its public face and files; knows nothing of quality or training.
"""

from __future__ import annotations

import platform
import random
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from learned_router.answer import parse_output
from learned_router.encoder import Packer
from learned_router.request import parse_request
from learned_router.router import Router
from learned_router.view import make_answer_view, make_view

# Tokens of a view, special ones included; what is beyond a router's own limit is measured at that limit
LENGTHS: Final = (16, 64, 256)
REPEATS: Final = 100
WARM_UP: Final = 5
TEXT: Final = (
    "please find every late order of our two largest clients and tell which of them paid for it already before we send "
    "the next letter then change the date in the report add a short table with one line for each month and keep names"
)


class Latency(msgspec.Struct, frozen=True):
    """One call of ``what`` (route or accept). tokens: of the view. p50_ms: median over the repeats, milliseconds."""

    what: str
    tokens: int
    p50_ms: float


class Footprint(msgspec.Struct, frozen=True):
    """cpu: as the kernel names it. repeats: calls behind each median. bytes: by file."""

    cpu: str
    threads: int
    repeats: int
    latency: list[Latency]
    bytes: dict[str, int]


def measure_footprint(artifact: Path, *, repeats: int = REPEATS) -> Footprint:
    """Load an artifact on one thread and time it, each call on texts that it has not met.

    Graphs and tokenizer are weighed; the other files tell of them and weigh next to nothing. Raises ArtifactError when the
    artifact cannot be loaded.
    """
    router = Router.load(artifact, threads=1, strict=True)
    spec, gate = router.config.view, router.config.gate
    packer = Packer.load(artifact / "tokenizer.json", spec)
    draw = random.Random(0)
    latency = []
    for length in sorted({min(length, spec.max_tokens) for length in LENGTHS}):
        prompts = [_text(length, draw) for _ in range(WARM_UP + repeats)]
        ids, _ = packer.pack(make_view(parse_request(prompts[0]), spec))
        latency.append(Latency("route", len(ids), _median_ms(router.route, [(prompt,) for prompt in prompts])))
    if gate:
        accept = partial(router.accept, tier=router.tiers[0])
        length = gate.view.max_tokens
        pairs = [(_text(length, draw), _text(length, draw)) for _ in range(WARM_UP + repeats)]
        view = make_answer_view(parse_request(pairs[0][0]), parse_output(pairs[0][1]), 0.0, gate.view)
        ids, _ = packer.with_spec(gate.view).pack(view)
        latency.append(Latency("accept", len(ids), _median_ms(accept, pairs)))
    weighed = [path for path in sorted(artifact.iterdir()) if path.suffix == ".onnx" or path.name == "tokenizer.json"]
    return Footprint(cpu_name(), 1, repeats, latency, {path.name: path.stat().st_size for path in weighed})


def _text(tokens: int, draw: random.Random) -> str:
    """Words of one token each that fill a view of ``tokens`` tokens, two of which are the start and the separator."""
    return " ".join(draw.choices(TEXT.split(), k=tokens - 2))


def _median_ms(call: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> float:
    times = []
    for given in arguments:
        began = time.perf_counter()
        call(*given)
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times[WARM_UP:])


def cpu_name() -> str:
    """The model name that the kernel gives, else what Python knows of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
