"""Time one acceptance beside one decision, in turn: python tests/benchmarks/gate_speed.py ROUTER LABELS

Prints p50 and p99 in milliseconds of each, on one thread, and the ratio of the medians. Timings are noisy; the ratio is not.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from learned_router import Router
from learned_router.terminal import print_json
from learned_router.training.labels import load_labels
from learned_router.training.records import label_request

WARM_UP = 20


def time_in_turn(calls: dict[str, list[Callable[[], Any]]]) -> dict[str, dict[str, float]]:
    """p50 and p99 of each kind of call, in ms; the kinds take turns, so that a slow moment is shared."""
    found: dict[str, list[float]] = {kind: [] for kind in calls}
    for number, turn in enumerate(zip(*calls.values(), strict=True)):
        for kind, call in zip(calls, turn, strict=True):
            began = time.perf_counter()
            call()
            if number >= WARM_UP:
                found[kind].append((time.perf_counter() - began) * 1e3)
    return {
        kind: {"p50_ms": round(float(np.median(times)), 3), "p99_ms": round(float(np.quantile(times, 0.99)), 3)}
        for kind, times in found.items()
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("router", type=Path)
    parser.add_argument("labels", type=Path, nargs="+")
    parser.add_argument("--most", type=int, default=400, help="answers to time")
    arguments = parser.parse_args()
    router = Router.load(arguments.router)
    tier = router.tiers[0]
    some = [label for label in load_labels(arguments.labels).of("test") if tier in label.outputs][: arguments.most]
    pairs = [(label_request(label), label.outputs[tier]) for label in some]
    times = time_in_turn(
        {
            "route": [lambda request=request: router.route(request) for request, _ in pairs],
            "accept": [
                lambda request=request, output=output: router.accept(request, output) for request, output in pairs
            ],
        }
    )
    ratio = times["accept"]["p50_ms"] / times["route"]["p50_ms"]
    print_json({"router": router.name, "answers": len(pairs) - WARM_UP, **times, "accept_over_route": round(ratio, 3)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
