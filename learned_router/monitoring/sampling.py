"""Which calls are looked at: by a hash of the call's id, so that every process, and every replay, picks the same ones.

Knows ids; knows nothing of what a call is.
"""

from __future__ import annotations

import hashlib
from typing import Final

from learned_router.errors import InputError

# Two draws that know nothing of each other, and nothing of hashes that others make of the same ids.
AUDITS: Final = b"lr-audits"
TRAFFIC: Final = b"lr-traffic"


def is_picked(call: str, share: float, draw: bytes) -> bool:
    """Whether a call belongs to the ``share`` picked by ``draw``; a larger share picks all that a smaller one does."""
    hashed = hashlib.blake2b(_bytes(call), digest_size=8, person=draw).digest()
    return int.from_bytes(hashed, "big") < share * 2.0**64


def fingerprint(call: str, kind: str = "call") -> bytes:
    """16 bytes that stand for an id in what is stored: ids of any length take the same room, and nobody reads them.

    kind: of what, for the message of InputError when it is none.
    """
    return hashlib.blake2b(_bytes(call, kind), digest_size=16).digest()


def check_share(name: str, share: float) -> float:
    """``share`` if it lies in [0, 1]. Raises InputError naming it."""
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0.0 <= share <= 1.0:
        raise InputError(f"{name} is {share!r}; it must be a number in [0, 1], as in 0.02")
    return float(share)


def _bytes(call: str, kind: str = "call") -> bytes:
    if not isinstance(call, str) or not call:
        raise InputError(f"the {kind}'s id is {call!r:.40}; it must be a text that no other {kind} has")
    return call.encode("utf-8", "surrogatepass")  # ids in logs hold lone surrogates at times
