"""Find requests that are the same, exactly or nearly, so that they count once.

Knows requests' texts; knows nothing of quality, of the split or of the log they come from.

Own sketches instead of a library's MinHash: datasketch's index keeps kilobytes a request in memory, and none of the
libraries looked at leaves out a template's constant text, without which a log of one templated prompt is one group.
"""

from __future__ import annotations

import tempfile
import unicodedata
from array import array
from collections.abc import Iterator
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from learned_router.request import Message, message_text

# Two last messages are near duplicates from this share of common character sequences up: in 300 characters one word
# may differ, in a short text none. Each end is asked less, but asked: a question stands at one end of its documents.
SAME: Final = 0.93
SAME_ENDS: Final = 0.7
END: Final = 400  # characters, without spaces and punctuation
READ_CHARS: Final = 8_000  # of the head and of the tail of a longer message
GRAM: Final = 8  # characters, without spaces and punctuation
KEPT: Final = 32  # smallest hashes kept of each part: whole, head, tail
PARTS: Final = 3
# A sequence that more requests than this share belongs to a template, and says nothing about whether two are the same.
TEMPLATE: Final = 20
LEAST_RARE: Final = 8  # sequences that belong to no template, for two requests to be compared at all
PROBES: Final = 4  # rarest sequences by which a request is looked up; one in common is enough to be compared
CHUNK: Final = 1 << 14
SLOTS_A_REQUEST: Final = 2 * KEPT
MOST_SLOTS: Final = 1 << 23
EMPTY: Final = 0xFFFFFFFF
BUFFER: Final = 1 << 20
TOKENS: Final = 50_000  # remembered
TOKEN_CHARS: Final = 40
_NOTHING: Final = b"\xff" * (4 * KEPT)
_NO_SKETCH: Final = _NOTHING * PARTS

_PUNCTUATION: Final = ".,;:!?\"'()[]{}`*_#~…“”‘’"
_IGNORED: Final = (" \t\r\n" + ".,;:!?\"'()[]{}`*_#~").encode()
_DIGITS: Final = b"0123456789"
# words that turn an answer round; they are never a small difference
_DECISIVE_WORDS: Final = """
    not no nor never none except without least most more less greater smaller larger higher lower fewer before after
    true false correct incorrect all any some only always and or first last increase decrease maximum minimum
"""
_DECISIVE: Final = frozenset(_DECISIVE_WORDS.split())

Hashes = NDArray[np.uint64]


class Duplicates(msgspec.Struct, frozen=True):
    """Which requests are the same. first: int64 (n,), of each request the first one that it repeats, or itself.

    sizes: int64 (n,), how many requests are the same as it, itself included. exact, near: how many repeat an earlier
    one, word for word or nearly. groups: how many requests have been repeated. largest: requests in the largest group.
    """

    first: NDArray[np.int64]
    sizes: NDArray[np.int64]
    exact: int
    near: int
    groups: int
    largest: int

    @classmethod
    def none(cls) -> Duplicates:
        """Of no request at all."""
        nothing = np.zeros(0, dtype=np.int64)
        return cls(nothing, nothing, 0, 0, 0, 0)


class Fingerprints:
    """Fingerprints of requests, in order: 16 bytes each in memory, the rest in a file that is gone when closed.

    folder: where that file lies; the system's folder for such files when None.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._exact, self._context = array("Q"), array("Q")
        self._decisive = _DecisiveWords()
        # an agent's prompt is the same in call after call, and often the longest text
        self._plain_system = lru_cache(maxsize=16)(lambda text: _bytes(_plain(text)))
        self._sketches: IO[bytes] = tempfile.TemporaryFile(dir=folder, buffering=BUFFER)  # noqa: SIM115  (closed by close)

    def __len__(self) -> int:
        return len(self._exact)

    def close(self) -> None:
        self._sketches.close()

    def add(
        self, messages: list[Message], tools: list[dict[str, Any]] | None, response_format: dict[str, Any] | None
    ) -> int:
        """Take in one request, of one message or more; returns its exact fingerprint."""
        contents = [_content(message) for message in messages]
        last = contents[-1]
        form = msgspec.json.encode((tools or None, response_format)).lower()
        exact, context = [form], [form]
        for message, content in zip(messages, contents, strict=True):
            system = message.role in {"system", "developer"}
            plain = self._plain_system(content) if system else _bytes(_plain(content))
            exact += [_bytes(message.role), plain]
            # the system prompt may hold a date or a user's number; what was said since may not differ
            context += [_bytes(message.role), plain.translate(None, _DIGITS) if system else plain]
        if len(last) > 2 * READ_CHARS:
            last = last[:READ_CHARS] + last[-READ_CHARS:]
        context[-1] = self._decisive.of(last)
        fingerprint = _hash(exact)
        self._exact.append(fingerprint)
        self._context.append(_hash(context))
        self._sketches.write(_sketch(last))
        return fingerprint

    def find(self) -> Duplicates:
        """Group what was taken in. A near duplicate is compared with its group's first request, so no chain forms."""
        exact = np.frombuffer(self._exact, dtype=np.uint64)
        if not len(exact):
            return Duplicates.none()
        _, places, inverse = np.unique(exact, return_index=True, return_inverse=True)
        first = places.astype(np.int64)[inverse]
        originals = np.sort(places).astype(np.int64)
        leader = np.arange(len(exact), dtype=np.int64)
        near = 0
        templated = self._templated(originals)
        for early, late in self._candidates(originals, templated):
            lead = int(leader[early])
            if leader[late] == late and self._similar(lead, late, templated):
                leader[late] = lead
                near += 1
        first = leader[first]
        sizes = np.bincount(first, minlength=len(first))
        return Duplicates(
            first=first,
            sizes=sizes[first].astype(np.int64),
            exact=len(exact) - len(originals),
            near=near,
            groups=int(np.count_nonzero(sizes > 1)),
            largest=int(sizes.max()),
        )

    def _templated(self, originals: NDArray[np.int64]) -> NDArray[np.bool_]:
        """bool (a power of 2,), by the last bits of a sequence's hash: whether more than ``TEMPLATE`` requests hold it."""
        slots = 1 << (SLOTS_A_REQUEST * len(originals)).bit_length()
        holders = np.zeros(min(slots, MOST_SLOTS), dtype=np.uint8)
        for _, sketches in self._chunks(originals):
            whole = sketches[:, :KEPT]
            held, counts = np.unique(whole[_distinct(whole)] & (len(holders) - 1), return_counts=True)
            holders[held] = np.minimum(holders[held] + counts, TEMPLATE + 1)
        return holders > TEMPLATE

    def _candidates(self, originals: NDArray[np.int64], templated: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
        """Pairs of requests that agree on context and on one rare sequence, earlier one first, in order."""
        context = np.frombuffer(self._context, dtype=np.uint64)
        keys, owners = [], []
        for indices, sketches in self._chunks(originals):
            whole = sketches[:, :KEPT]
            rare = _distinct(whole) & ~templated[whole & (len(templated) - 1)]
            probe = rare & (np.cumsum(rare, axis=1) <= PROBES) & (rare.sum(axis=1) >= LEAST_RARE)[:, None]
            rows, columns = np.nonzero(probe)
            keys.append(_mix(context[indices[rows]] ^ _mix(whole[rows, columns].astype(np.uint64))))
            owners.append(indices[rows])
        key, owner = np.concatenate(keys), np.concatenate(owners)
        order = np.argsort(key, kind="stable")
        key, owner = key[order], owner[order]
        starts = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]])) if len(key) else np.zeros(0, dtype=int)
        ends = np.append(starts[1:], len(key))
        pairs = set()
        for start, end in zip(*(edge[ends - starts > 1] for edge in (starts, ends)), strict=True):
            members = owner[start:end][: 2 * TEMPLATE].tolist()
            pairs |= {(a, b) for i, a in enumerate(members) for b in members[i + 1 :]}
        yield from sorted(pairs, key=lambda pair: (pair[1], pair[0]))

    def _chunks(self, originals: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint32]]]:
        """Indices of originals with their sketches, uint32 (m, PARTS * KEPT), a chunk of the file at a time."""
        width = PARTS * KEPT
        self._sketches.flush()
        self._sketches.seek(0)
        for start in range(0, len(self), CHUNK):
            count = min(CHUNK, len(self) - start)
            block = np.frombuffer(self._sketches.read(count * width * 4), dtype=np.uint32).reshape(count, width)
            here = originals[np.searchsorted(originals, start) : np.searchsorted(originals, start + count)]
            yield here, block[here - start]

    def _similar(self, left: int, right: int, templated: NDArray[np.bool_]) -> bool:
        a, b = self._read(left), self._read(right)
        if any(_shared(a[part], b[part]) < SAME_ENDS for part in (1, 2)):
            return False
        return _shared(a[0], b[0], templated) >= SAME

    def _read(self, index: int) -> NDArray[np.uint32]:
        self._sketches.seek(index * PARTS * KEPT * 4)
        return np.frombuffer(self._sketches.read(PARTS * KEPT * 4), dtype=np.uint32).reshape(PARTS, KEPT)


def _content(message: Message) -> str:
    text = message_text(message)
    return f"{text}\n{msgspec.json.encode(message.tool_calls).decode()}" if message.tool_calls else text


def _plain(text: str) -> str:
    text = text if text.isascii() else unicodedata.normalize("NFKC", text)
    return " ".join(text.lower().split())


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


class _DecisiveWords(dict[str, str]):
    """By token: its word where it is decisive, else "". A number, an id, a name, a negation or an operator is: requests
    that differ in one of them have different answers. Remembered, because looking at each token anew costs half the time.
    """

    def __missing__(self, token: str) -> str:
        word = token.strip(_PUNCTUATION)
        decisive = word and (not word.isalpha() or word[0].isupper() or word in _DECISIVE)
        if len(self) >= TOKENS:
            self.clear()
        if len(token) <= TOKEN_CHARS:
            self[token] = word.lower() if decisive else ""
        return word.lower() if decisive else ""

    def of(self, text: str) -> bytes:
        return _bytes(" ".join(filter(None, map(self.__getitem__, text.split()))))


def _sketch(text: str) -> bytes:
    """The ``KEPT`` smallest hashes of the text's character sequences, of its head's and of its tail's.

    A sequence that comes again takes a place again: telling repetitions apart here would double the time.
    """
    letters = _bytes(text.lower()).translate(None, _IGNORED)
    count = len(letters) - GRAM + 1
    if count < 1:
        return _NO_SKETCH
    grams: NDArray[np.uint64] = np.ndarray((count,), dtype="<u8", buffer=letters, strides=(1,))
    hashes = (((grams ^ (grams >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)) >> np.uint64(32)).astype(np.uint32)
    if count <= END:
        hashes.sort()
        return (hashes[:KEPT].tobytes() + _NOTHING[4 * count :]) * PARTS
    ends = np.stack((hashes[:END], hashes[-END:]))
    ends.partition(KEPT - 1, axis=1)
    hashes.partition(KEPT - 1)
    sketch = np.concatenate((hashes[np.newaxis, :KEPT], ends[:, :KEPT]))
    sketch.sort(axis=1)
    return sketch.tobytes()


def _distinct(sketches: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """bool, as ``sketches``, uint32 (n, KEPT): hashes that are the first of their kind in their row."""
    fresh: NDArray[np.bool_] = sketches != EMPTY
    fresh[:, 1:] &= sketches[:, 1:] != sketches[:, :-1]
    return fresh


def _shared(left: NDArray[np.uint32], right: NDArray[np.uint32], templated: NDArray[np.bool_] | None = None) -> float:
    """Estimate of the share of sequences two parts have in common, those of templates left out; 0 of none."""
    # above a full sketch's largest hash nothing is known of its part
    limit = min(int(left[-1]), int(right[-1]))
    a, b = (side[(side <= limit) & (side != EMPTY)] for side in (left, right))
    if templated is not None:
        a, b = (side[~templated[side & (len(templated) - 1)]] for side in (a, b))
    left_set, right_set = set(a.tolist()), set(b.tolist())
    both = len(left_set & right_set)
    return both / len(left_set | right_set) if both else 0.0


def _mix(values: Hashes) -> Hashes:
    """splitmix64's finaliser: neighbouring values come out unrelated."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _hash(parts: list[bytes]) -> int:
    # the lengths tell where a part ends
    lengths = array("Q", map(len, parts)).tobytes()
    return int.from_bytes(blake2b(b"".join((lengths, *parts)), digest_size=8).digest(), "little")
