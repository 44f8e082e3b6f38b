"""What every importer is and returns. Knows records; knows no format and no file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from learned_router.training.records import Record


class Unusable(NamedTuple):
    """A row, or a part of one, that holds no call that could be routed. reason: a name that is counted, such as
    ``not_a_chat_call``. detail: what was found, what is wanted, what to do.
    """

    reason: str
    detail: str


class Feedback(NamedTuple):
    """What a person or a check said of an answer. target: id of the record, or of its session. value: in [0, 1]."""

    target: str
    value: float
    name: str


# a row with its place, ``file:line``
Row = tuple[dict[str, Any], str]

Item = Record | Feedback | Unusable


class Importer(Protocol):
    """Reads one format. Holds no state between files."""

    name: str

    def recognises(self, row: dict[str, Any]) -> bool:
        """Whether a file that begins with ``row`` is of this format; no two importers recognise the same row."""

    def read(self, row: dict[str, Any]) -> Iterator[Item]:
        """What a row holds, in order. A record holds one model's output, under the name of the model that answered.

        Never raises on a row of any shape: what cannot be used is ``Unusable``.
        """
