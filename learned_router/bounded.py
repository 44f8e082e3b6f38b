"""What is kept or read stays within bounds: a dictionary that never grows beyond its own, a look at how large a value is."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any, Final, TypeVar

Key = TypeVar("Key")
Found = TypeVar("Found")

# nearly all there is in a request; to look a type up takes a third of asking what it descends from
_HOLDING: Final = frozenset((dict, list, tuple))
_SINGLE: Final = frozenset((str, int, float, bool, type(None)))


class Bounded(dict[Key, Found]):
    """At most ``most`` entries: before one more would come in, all go, and the frequent ones are back soon.

    Threads share it. To look up is what a plain dictionary takes; where each look-up should count, and the oldest go first,
    ``RequestCache`` is meant.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def keep(self, found: Mapping[Key, Found]) -> None:
        """Hold these too, or as many of them as there is room for."""
        if len(self) + len(found) > self.most:
            self.clear()
        self.update(islice(found.items(), self.most))


def is_bounded(value: dict[Any, Any] | list[Any] | tuple[Any, ...], values: int, depth: int) -> bool:
    """Whether no more than so many values stand in it, nested in no more than so many others, when all that stands there
    twice is counted twice, as it is when it is written out.

    A schema whose references were resolved may hold itself, which is endless, or hold one part twice that holds another
    twice: written out, it is 2^n of them.
    """
    waiting: list[Any] = [value]
    for _ in range(depth):
        deeper: list[Any] = []
        for item in waiting:
            inner = item.values() if isinstance(item, dict) else item
            values -= len(inner)
            if values < 0:
                return False
            for part in inner:
                kind = type(part)
                if kind in _HOLDING or (kind not in _SINGLE and isinstance(part, dict | list | tuple)):
                    deeper.append(part)
        if not deeper:
            return True
        waiting = deeper
    return False
