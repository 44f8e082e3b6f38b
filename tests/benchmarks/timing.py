"""Time calls that take turns, and tell how busy the machine was meanwhile. Knows calls and clocks; no routers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import psutil

from learned_router.training.footprint import cpu_name

PROMPTS_KEPT = 20  # distinct prompts a length, taken in turn
WARM_UP = 5
BLOCK = 20
QUIET_CORES = 0.1


class Percentiles(msgspec.Struct, frozen=True):
    """Milliseconds of one call. repeats: calls timed."""

    p50_ms: float
    p99_ms: float
    repeats: int


class Machine(msgspec.Struct, frozen=True):
    """What was measured on. load: of the last minute. busy_elsewhere: cores that other work took meanwhile, mean."""

    cpu: str
    cores: int
    load_before: float
    load_after: float
    busy_elsewhere: float

    @property
    def quiet(self) -> bool:
        return self.busy_elsewhere <= QUIET_CORES


class Watch:
    """Started when made; ``machine()`` tells what the machine was and did since then."""

    def __init__(self) -> None:
        self._load, self._began = os.getloadavg()[0], time.perf_counter()
        self._all, self._own = _busy_seconds(), _own_seconds()

    def machine(self) -> Machine:
        """Processes that this one started count as its own once they have ended, so call it after that."""
        seconds = time.perf_counter() - self._began
        elsewhere = (_busy_seconds() - self._all) - (_own_seconds() - self._own)
        return Machine(
            cpu_name(),
            os.cpu_count() or 1,
            round(self._load, 2),
            round(os.getloadavg()[0], 2),
            round(max(0.0, elsewhere / seconds), 2),
        )


def _busy_seconds() -> float:
    """Processor seconds since the start that were not idle, stolen ones included: a guest does not get those."""
    times = psutil.cpu_times()
    # what guests take is within user and nice
    not_busy = ("idle", "iowait", "guest", "guest_nice")
    return float(sum(times) - sum(getattr(times, name, 0.0) for name in not_busy))


def _own_seconds() -> float:
    return sum(os.times()[:4])


def machine_of(load_before: float) -> dict[str, Any]:
    """What was measured on, and how busy it was: load_before, as it was then, and the load now."""
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "load_before": load_before,
        "load_after": os.getloadavg()[0],
    }


def one_by_one(decide: Callable[[str], Any], prompts: Sequence[str]) -> Callable[[int], Any]:
    return lambda index: decide(prompts[index % len(prompts)])


def time_in_turn(calls: Sequence[Callable[[int], Any]], repeats: int) -> list[list[float]]:
    """Milliseconds of each call, ``repeats`` times each after a warm-up, taking turns so that load falls on all alike."""
    for call in calls:
        for index in range(min(repeats, WARM_UP)):
            call(index)
    times: list[list[float]] = [[] for _ in calls]
    for index in range(repeats):
        for call, taken in zip(calls, times, strict=True):
            taken.append(time_once(call, index))
    return times


def time_in_blocks(
    calls: Mapping[str, Callable[[int], Any]], repeats: Mapping[str, int], block: int = BLOCK
) -> dict[str, list[float]]:
    """Milliseconds of each call by name, in turn by blocks: a service that is asked again has its weights in the caches.

    The first call of a block is not counted. Each call has its own number of ``repeats``, and is given a number that it has
    not been given before, counted or not.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    given = dict.fromkeys(calls, 0)
    while any(len(times[name]) < repeats[name] for name in calls):
        for name, call in calls.items():
            left = repeats[name] - len(times[name])
            for place in range(min(block, left) + 1 if left else 0):
                taken = time_once(call, given[name])
                given[name] += 1
                if place:
                    times[name].append(taken)
    return times


def calls_in_blocks(repeats: int, block: int = BLOCK) -> int:
    """How often ``time_in_blocks`` calls what it times ``repeats`` times."""
    return repeats + -(-repeats // block)


def time_once(call: Callable[[int], Any], index: int) -> float:
    """Milliseconds of one call."""
    began = time.perf_counter()
    call(index)
    return 1000 * (time.perf_counter() - began)


def summarize(times_ms: Sequence[float]) -> Percentiles:
    return Percentiles(**percentiles(times_ms), repeats=len(times_ms))


def percentiles(times_ms: Sequence[float]) -> dict[str, float]:
    return {"p50_ms": float(np.percentile(times_ms, 50)), "p99_ms": float(np.percentile(times_ms, 99))}
