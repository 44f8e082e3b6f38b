"""Time our router in this process: decisions by length, a repeated request, the gate, batches.

Knows the router by its public face. What newer versions of it offer is looked up here, and nowhere else in the benchmark.
"""

from __future__ import annotations

import inspect
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from graph_arithmetic import Arithmetic, best_peak, count_run, measure_peak
from requests_of_length import SPECIAL_TOKENS, RequestMaker
from speed_figures import (
    BATCH_TOKENS,
    LENGTHS,
    OUTPUT_TOKENS,
    TRANSCRIPT_TOKENS,
    TRANSCRIPT_TOOLS,
    BatchFigures,
    Decisions,
    GateFigures,
    LabellingFigures,
    LengthFigures,
    RepeatedFigures,
    TranscriptFigures,
)
from timing import calls_in_blocks, summarize, time_in_blocks

from learned_router.encoder import Packer
from learned_router.errors import LearnedRouterError
from learned_router.request import parse_request
from learned_router.router import Router
from learned_router.training.demo import TIERS, sample_path
from learned_router.training.label import label
from learned_router.training.records import Skipped, read_records
from learned_router.view import View, make_view

# the argument of Router.load that says how many decisions are kept, 0 for none; absent, there is no cache
CACHE_ARGUMENT = "cache"
COUNTED_PROMPTS = 5  # whose graph runs are counted, a length
BATCH_RUNS = 5
LABELLING_RUNS = 3


def has_cache() -> bool:
    return CACHE_ARGUMENT in inspect.signature(Router.load).parameters


def without_cache() -> dict[str, int]:
    """What Router.load is given so that nothing is answered from its cache."""
    return {CACHE_ARGUMENT: 0} if has_cache() else {}


def load(path: Path, *, threads: int = 1) -> Router:
    """A router that decides every request anew."""
    arguments: dict[str, Any] = without_cache()
    return Router.load(path, threads=threads, **arguments)


class Viewer:
    """What of a request a router sees: views as it makes them, and their tokens."""

    def __init__(self, router: Router) -> None:
        self._spec = router.config.view
        self._packer = Packer.load(router.path / "tokenizer.json", self._spec)
        self._graph = router.path / "model.onnx"

    def pack(self, request: Any) -> tuple[list[int], View]:
        view = make_view(parse_request(request), self._spec)
        return self._packer.pack(view)[0], view

    def tokens(self, requests: Sequence[Any]) -> int:
        """Median tokens of the views."""
        return int(statistics.median(len(self.pack(request)[0]) for request in requests))

    def arithmetic(self, requests: Sequence[Any]) -> Arithmetic:
        """Multiply–adds of one run of the graph, mean over the requests."""
        counts = []
        for request in requests:
            ids, view = self.pack(request)
            tokens = np.array([ids], dtype=np.int64)
            features = np.array([view.features], dtype=np.float32)
            feed = {"input_ids": tokens, "attention_mask": np.ones_like(tokens), "features": features}
            counts.append(count_run(self._graph, feed))
        return Arithmetic(
            round(statistics.mean(count.int8 for count in counts)),
            round(statistics.mean(count.other for count in counts)),
        )


def measure_decisions(path: Path, repeats: int, transcript_repeats: int) -> Decisions:
    """One core, no request like another. The lengths and the transcript take turns by blocks."""
    router, before = load(path), measure_peak()
    maker, viewer = RequestMaker(path / "tokenizer.json"), Viewer(router)
    requests: dict[str, list[Any]] = {
        f"{tokens}": [maker.prompt(tokens - SPECIAL_TOKENS) for _ in range(calls_in_blocks(repeats))]
        for tokens in LENGTHS
    }
    transcripts = maker.transcripts(TRANSCRIPT_TOKENS, TRANSCRIPT_TOOLS, calls_in_blocks(transcript_repeats))
    requests["transcript"] = transcripts
    calls = {name: routing(router, asked) for name, asked in requests.items()}
    times = time_in_blocks(calls, dict.fromkeys(map(str, LENGTHS), repeats) | {"transcript": transcript_repeats})
    peak = best_peak(before, measure_peak())  # a neighbour may have had the core at one of the two moments
    lengths = [
        LengthFigures(
            tokens,
            viewer.tokens(requests[f"{tokens}"][:COUNTED_PROMPTS]),
            summarize(times[f"{tokens}"]),
            viewer.arithmetic(requests[f"{tokens}"][:COUNTED_PROMPTS]),
        )
        for tokens in LENGTHS
    ]
    count = sum(maker.count(message["content"] or "") for message in transcripts[0]["messages"])
    seen = viewer.tokens(transcripts[:1])
    found = TranscriptFigures(count, TRANSCRIPT_TOOLS, seen, summarize(times["transcript"]))
    return Decisions(lengths, found, peak)


def routing(router: Router, requests: Sequence[Any]) -> Callable[[int], Any]:
    return lambda index: router.route(requests[index])


def measure_repeated(path: Path, repeats: int) -> RepeatedFigures | None:
    """The same request again, by a router as it is loaded; None where routers have no cache."""
    if not has_cache():
        return None
    router, maker = Router.load(path), RequestMaker(path / "tokenizer.json")
    requests: dict[str, Any] = {f"{tokens} tokens": maker.prompt(tokens - SPECIAL_TOKENS) for tokens in LENGTHS}
    requests["transcript"] = maker.transcript(TRANSCRIPT_TOKENS, TRANSCRIPT_TOOLS)
    calls = {name: routing_again(router, asked) for name, asked in requests.items()}
    times = time_in_blocks(calls, dict.fromkeys(calls, repeats))
    return RepeatedFigures({name: summarize(taken) for name, taken in times.items()})


def routing_again(router: Router, request: Any) -> Callable[[int], Any]:
    return lambda _: router.route(request)


def measure_gate(path: Path, repeats: int) -> GateFigures | None:
    """One acceptance of a text; None where the router has no gate."""
    router = load(path)
    if not router.has_gate:
        return None
    maker, tier = RequestMaker(path / "tokenizer.json"), router.tiers[0]
    count = calls_in_blocks(repeats)
    pairs = [(maker.prompt(BATCH_TOKENS - SPECIAL_TOKENS), maker.prompt(OUTPUT_TOKENS)) for _ in range(count)]
    call = {"accept": lambda index: router.accept(*pairs[index], tier=tier)}
    times = time_in_blocks(call, {"accept": repeats})
    return GateFigures(router.name, BATCH_TOKENS - SPECIAL_TOKENS, OUTPUT_TOKENS, summarize(times["accept"]))


def measure_batch(path: Path, requests: int) -> BatchFigures:
    """All ways to decide many requests on two cores, and on one, in turn; each time on prompts that are new."""
    maker = RequestMaker(path / "tokenizer.json")
    one, two = load(path), load(path, threads=2)

    def halves(prompts: Sequence[str]) -> None:
        middle = len(prompts) // 2
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(one.route_batch, (prompts[:middle], prompts[middle:])))

    ways: dict[str, Callable[[Sequence[str]], Any]] = {
        "`route_batch`, `threads=1`": one.route_batch,
        "`route_batch`, `threads=2`": two.route_batch,
        "two Python threads, half of the batch each, `threads=1`": halves,
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for run in range(BATCH_RUNS + 1):
        for name, decide in ways.items():
            prompts = [maker.prompt(BATCH_TOKENS - SPECIAL_TOKENS) for _ in range(requests)]
            began = time.perf_counter()
            decide(prompts)
            if run:  # the first is to warm up
                rates[name].append(requests / (time.perf_counter() - began))
    return BatchFigures(requests, BATCH_TOKENS, {name: statistics.median(found) for name, found in rates.items()})


def measure_labelling() -> LabellingFigures | None:
    """On the embedded sample; None where it is not."""
    try:
        path = sample_path()
    except LearnedRouterError:
        return None
    rates = []
    for _ in range(LABELLING_RUNS):
        began = time.process_time()
        rates.append(label(read_records([path], Skipped()), TIERS).read / (time.process_time() - began))
    return LabellingFigures(path.name, statistics.median(rates))
