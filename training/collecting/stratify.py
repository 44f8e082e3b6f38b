"""Draw a seeded sample, each stratum with its share. Knows ids and the strata they are in; knows no records."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from learned_router.errors import InputError


def draw(strata: Mapping[str, Sequence[str]], count: int, seed: int = 0) -> set[str]:
    """``count`` of the ids in ``strata``, or all when there are fewer.

    Each stratum gets its share, rounded by largest remainder, and at least one where ``count`` allows that. Which ids
    are drawn depends on the seed and the ids alone, not on their order. Raises InputError for a count below 1.
    """
    if count < 1:
        raise InputError(f"--sample is {count}; it must be at least 1")
    drawn: set[str] = set()
    for name, share in shares({name: len(ids) for name, ids in strata.items()}, count).items():
        drawn |= set(sorted(strata[name], key=lambda identity: _rank(identity, seed))[:share])
    return drawn


def shares(sizes: Mapping[str, int], count: int) -> dict[str, int]:
    """How many of ``count`` each stratum gets; never more than it holds."""
    total = sum(sizes.values())
    if count >= total:
        return dict(sizes)
    exact = {name: count * size / total for name, size in sizes.items()}
    given = {name: int(share) for name, share in exact.items()}
    # the rest goes first to strata with nothing, then by largest remainder; by name where that is equal
    order = sorted((name for name in sizes if sizes[name]), key=lambda n: (given[n] > 0, given[n] - exact[n], n))
    for name in order[: count - sum(given.values())]:
        given[name] += 1
    for name in order:
        if given[name] == 0 and count >= len(order):
            richest = max(given, key=lambda other: (given[other], other))
            given[richest] -= 1
            given[name] = 1
    return given


def _rank(identity: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}:{identity}".encode("utf-8", "replace")).digest()
