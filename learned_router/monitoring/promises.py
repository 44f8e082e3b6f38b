"""What is promised of each mode, and on what traffic: from a certificate, from JSON of one's own, or from calls.

Knows JSON and numbers; knows nothing of evidence or state.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from learned_router.certificate import Certificate, Statement
from learned_router.errors import InputError

# Steps that the calibration split did not hold fall into one bin.
UNSEEN: Final = "unseen"
_DECILES: Final = np.arange(1, 10) / 10


class Promise(msgspec.Struct, frozen=True):
    """What one slice of a mode's traffic may lose.

    name: of the slice. steps: those that it holds; none for all that no other slice names. target: share X of the top
    tier's quality to keep. share_down: share of its calls routed down (with a gate: whose lower answer is kept), and
    top_quality: the top tier's mean quality, as found on the calibration split. budget: mean regret of the calls routed down
    that the promise allows, (1 - X) · top_quality / share_down, in quality units; None where none may be routed down.
    certified: whether a bound stands behind it, or an estimate alone.
    """

    name: str
    target: float
    budget: float | None
    steps: tuple[str, ...] = ()
    share_down: float | None = None
    top_quality: float | None = None
    certified: bool = False


class Traffic(msgspec.Struct, frozen=True):
    """How the calibration split is spread, by shares that sum to 1.

    rows: its size. regret_edges: bounds of bins of the cheapest tier's predicted regret, rising, a bin holding its lower
    bound; none where they are not told. regret_shares: by bin, one more than edges; None for equal shares. steps: share by
    step.
    """

    rows: int
    regret_edges: tuple[float, ...]
    steps: dict[str, float]
    regret_shares: tuple[float, ...] | None = None

    @property
    def features(self) -> tuple[str, ...]:
        """What can be held against it."""
        return ("regret", "steps") if self.regret_edges else ("steps",)

    def spread(self, feature: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Shares by bin of 'regret' or 'steps', the last bin of the steps being those unseen."""
        if feature == "steps":
            return np.array([*self.steps.values(), 0.0])
        bins = len(self.regret_edges) + 1
        return np.full(bins, 1.0 / bins) if self.regret_shares is None else np.array(self.regret_shares)

    def regret_bin(self, regret: float) -> int:
        return int(np.searchsorted(self.regret_edges, regret, side="right"))

    def step_bin(self, step: str) -> int:
        return list(self.steps).index(step) if step in self.steps else len(self.steps)


class Promises(msgspec.Struct, frozen=True):
    """All that is watched. modes: promises by mode, its slices in order. traffic: None where the file tells none."""

    modes: dict[str, tuple[Promise, ...]]
    traffic: Traffic | None = None

    def slice_of(self, mode: str, step: str | None) -> Promise | None:
        """The slice of a mode that a call of this step belongs to; None where no slice holds it."""
        rest = None
        for promise in self.modes.get(mode, ()):
            if step is not None and step in promise.steps:
                return promise
            if not promise.steps:
                rest = promise
        return rest


def promises_of(certificate: Certificate, *, gated: bool = False) -> Promises:
    """What an artifact's certificate promises; a slice that is not certified promises nothing.

    gated: of router and gate together, rather than of the router alone. Raises InputError when there is no gate.
    """
    modes = {}
    for name, mode in certificate.modes.items():
        statement = mode.gated if gated else mode.router
        if statement is None:
            raise InputError(f"mode {name} promises nothing of a gate; the artifact has none")
        modes[name] = _promises_of(statement)
    told, edges = certificate.traffic, sorted(set(certificate.traffic.regret_edges))
    if len(edges) < len(told.regret_edges):
        edges = []  # of deciles that tie nobody knows what share lies between them
    return Promises(modes, Traffic(told.calls, tuple(edges), told.steps) if told.calls else None)


def _promises_of(statement: Statement) -> tuple[Promise, ...]:
    found = []
    for part in statement.slices:
        *_, top = part.shares.values()
        found.append(
            Promise(
                name=part.name,
                target=statement.target,
                budget=part.budget if part.certified else None,
                steps=part.steps,
                share_down=1.0 - top,
                top_quality=part.top_quality,
                certified=part.certified,
            )
        )
    return tuple(found)


class _Mode(msgspec.Struct):
    slices: tuple[Promise, ...]


class _Certificate(msgspec.Struct):
    modes: dict[str, _Mode]
    traffic: Traffic | None = None


def read_promises(path: Path) -> Promises:
    """Promises of one's own from JSON: ``modes`` with ``slices`` (``Promise``), and ``traffic`` (``Traffic``).

    Raises InputError, naming file and field, when it cannot be read or says what cannot be.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a JSON file of promises") from None
    return parse_promises(raw, str(path))


def parse_promises(raw: bytes, place: str) -> Promises:
    """As ``read_promises``, from bytes; ``place`` is for messages."""
    try:
        found = msgspec.json.decode(raw, type=_Certificate)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{place}: {error}; promises are 'modes' with 'slices' of name, target and budget") from None
    for mode, told in found.modes.items():
        _check_mode(f"{place}: modes.{mode}", told.slices)
    if found.traffic:
        _check_traffic(f"{place}: traffic", found.traffic)
    return Promises({mode: told.slices for mode, told in found.modes.items()}, found.traffic)


def describe_traffic(regrets: Sequence[float], steps: Sequence[str]) -> Traffic:
    """The traffic of a calibration split, for its certificate. Deciles that tie are merged, so that no bin is empty by them.

    regrets: predicted of the cheapest tier, one a call, finite. steps: of the same calls. Raises ValueError for none at all.
    """
    if len(regrets) != len(steps) or not len(regrets):
        raise ValueError(f"{len(regrets)} regrets and {len(steps)} steps; there must be one of each a call")
    values = np.asarray(regrets, dtype=np.float64)
    edges = np.unique(np.quantile(values, _DECILES, method="higher"))
    edges = edges[edges > values.min()]  # below the smallest value lies nothing
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    names, each = np.unique(np.asarray(steps), return_counts=True)
    return Traffic(
        rows=len(values),
        regret_edges=tuple(map(float, edges)),
        regret_shares=tuple(map(float, counts / len(values))),
        steps={str(name): float(count / len(values)) for name, count in zip(names, each, strict=True)},
    )


def _check_mode(place: str, slices: tuple[Promise, ...]) -> None:
    names = [promise.name for promise in slices]
    steps = [step for promise in slices for step in promise.steps]
    if not slices or len(set(names)) < len(names) or not all(names):
        raise InputError(f"{place}.slices: {names}; there must be at least one slice, each with a name of its own")
    if len(set(steps)) < len(steps) or sum(not promise.steps for promise in slices) > 1:
        raise InputError(
            f"{place}.slices: a step is in two slices, or two slices name no steps; each call has one slice"
        )
    for promise in slices:
        if not 0.0 <= promise.target <= 1.0:
            raise InputError(f"{place}.slices, {promise.name}: target is {promise.target}; it must lie in [0, 1]")
        if promise.budget is not None and not 0.0 <= promise.budget < np.inf:
            raise InputError(
                f"{place}.slices, {promise.name}: budget is {promise.budget}; it must be finite, at least 0"
            )


def _check_traffic(place: str, traffic: Traffic) -> None:
    edges = np.asarray(traffic.regret_edges, dtype=np.float64)
    if traffic.rows < 1:
        raise InputError(f"{place}.rows is {traffic.rows}; it must be the calibration split's size")
    if not np.all(np.isfinite(edges)) or np.any(np.diff(edges) <= 0.0):
        raise InputError(f"{place}.regret_edges must be finite numbers that rise; merge those that tie")
    if not traffic.steps:
        raise InputError(f"{place}.steps is empty; it must hold a share by step")
    for name in traffic.features:
        shares, bins = traffic.spread(name), len(edges) + 1 if name == "regret" else len(traffic.steps) + 1
        if len(shares) != bins or not np.all(shares >= 0.0) or abs(shares.sum() - 1.0) > 1e-3:
            raise InputError(f"{place}: the shares of {name} must be {bins} numbers of 0 or more that sum to 1")
