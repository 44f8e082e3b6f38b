"""The monitor: routes as the router does, until audits show that a promise is broken; then the top tier, for those calls.

Joins the rooms beside it with a router; holds no statistics of its own.
"""

from __future__ import annotations

import math
import os
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from learned_router.artifact import CERTIFICATE, check_file
from learned_router.certificate import find_certificate
from learned_router.errors import InputError
from learned_router.loaded import Decision
from learned_router.monitoring.drift import WINDOWS
from learned_router.monitoring.promises import Promise, Promises, promises_of
from learned_router.monitoring.sampling import AUDITS, TRAFFIC, check_share, fingerprint, is_picked
from learned_router.monitoring.store import Audit, Reference, Store, WindowState
from learned_router.policy import Reason
from learned_router.request import STEPS, kind_of
from learned_router.router import Router


class SliceReport(msgspec.Struct, frozen=True):
    """How one promise stands.

    audits: counted. regret: their mean, in quality units, None before the first. budget: mean that the promise allows,
    None where no call is routed down. evidence: the most there ever was against the promise; while the promise holds, it
    reaches e with probability 1/e at most. level: the evidence that is an alarm. alarmed_at: UTC, None without an alarm.
    """

    mode: str
    slice: str
    steps: tuple[str, ...]
    target: float
    certified: bool
    audits: int
    regret: float | None
    budget: float | None
    evidence: float
    level: float
    alarmed_at: str | None


class DriftReport(msgspec.Struct, frozen=True):
    """How the traffic stands against the calibration split's, by 'regret' (of the cheapest tier, predicted) or 'steps'.

    calls: counted, a sample of all. evidence: natural log of the most that any window held, above (positive) or below
    (negative) the level of a warning; None before the first look. warned_at: UTC, None without a warning.
    """

    feature: str
    calls: int
    evidence: float | None
    warned_at: str | None


class Report(msgspec.Struct, frozen=True):
    """All that is known of an artifact. clears: alarms and evidence that somebody cleared, with their note."""

    router: str
    alpha: float
    slices: list[SliceReport]
    drift: list[DriftReport]
    clears: list[dict[str, Any]]

    @property
    def alarms(self) -> list[SliceReport]:
        return [found for found in self.slices if found.alarmed_at is not None]


class Monitor:
    """A router that is watched. Keep it, as the router; threads may share it, and processes the file.

    state: the SQLite file, made if it is not there. What it holds belongs to the router's artifact by its hash: another
    artifact, trained and certified anew, begins afresh in the same file. After ``Router.reload`` the monitor goes on with
    the artifact that it was made for, its promises being about no other; make a new one then.
    gated: whether a gate looks at the answers, so that its promises are watched beside the router's, each by itself.
    promises: what to hold the traffic to, else the artifact's own certificate. alpha: probability that a mode whose
    promises all hold ever has an alarm, shared out over its slices in equal parts; and that traffic like the calibration
    split's ever has a warning. audit_share: of the calls routed down, for ``wants_audit``. traffic_share: of all calls,
    counted to see drift; small, since calls of one session are alike, and the test takes calls for independent.
    Raises InputError when state or promises cannot be used.
    """

    def __init__(
        self,
        router: Router,
        state: str | os.PathLike[str],
        *,
        gated: bool = False,
        promises: Promises | None = None,
        alpha: float = 0.05,
        audit_share: float = 0.02,
        traffic_share: float = 0.05,
    ) -> None:
        if not 0.0 < check_share("alpha", alpha) < 1.0:
            raise InputError(f"alpha is {alpha}; it must lie in (0, 1), as in 0.05")
        self.router = router = router.pinned()
        self.promises = _certified_promises(router, gated) if promises is None else promises
        self._gated = gated
        self._artifact = router.name + ("+gate" if gated else "")
        strange = set(self.promises.modes) - set(router.modes)
        if strange:
            raise InputError(f"promises of mode {min(strange)!r}; {router.name} has {', '.join(router.modes)}")
        self._alpha = alpha
        self._audit_share = check_share("audit_share", audit_share)
        self._traffic_share = check_share("traffic_share", traffic_share)
        traffic = self.promises.traffic
        self._references = {
            feature: Reference(tuple(map(float, traffic.spread(feature))), traffic.rows, alpha / len(traffic.features))
            for feature in (traffic.features if traffic else ())
            if traffic is not None
        }
        self._store = Store(state)

    def close(self) -> None:
        """Close the state file. Nothing is pending: every call and audit is in it when its method returns."""
        self._store.close()

    def route(
        self,
        request: Any,
        *,
        id: str | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        step: str | None = None,
        mode: str | None = None,
    ) -> Decision:
        """Decide as ``Router.route`` does, but send calls of a slice in alarm to the top tier, with ``Reason.ALARM``.

        id: the call's own, by which its part in the sample of traffic is drawn; else one drawn at random. Raises InputError
        as ``Router.route`` does, and when the state file cannot be used.
        """
        decision = self.router.route(request, tools=tools, step=step, mode=mode, gated=self._gated)
        if decision.reason is Reason.ROUTER_ERROR:  # tells nothing of the traffic, and is at the top already
            return decision
        if self._references and is_picked(uuid.uuid4().hex if id is None else id, self._traffic_share, TRAFFIC):
            self._count(decision)
        promise = self.promises.slice_of(decision.mode, decision.step)
        top = self.router.config.tiers[-1]
        if decision.tier == top.name or promise is None:
            return decision
        if not self._store.is_alarmed(self._artifact, decision.mode, promise.name):
            return decision
        return msgspec.structs.replace(
            decision, tier=top.name, model=self.router.models[top.name], reason=Reason.ALARM, confidence=1.0, regret=0.0
        )

    def wants_audit(self, id: str, *, tier: str | None = None) -> bool:
        """Whether this call's other answer should be fetched and graded: the same for every process, and on a replay.

        tier: whose answer was kept; the top tier's need no audit. Ask for calls routed down and, with a gate, kept.
        """
        return tier != self.router.tiers[-1] and is_picked(id, self._audit_share, AUDITS)

    def record(
        self,
        id: str,
        *,
        step: str | None,
        mode: str | None = None,
        regret: float | None = None,
        quality: Mapping[str, float] | None = None,
        tier: str | None = None,
        session: str | None = None,
    ) -> bool:
        """Count an audited call; False when its id was counted before, whatever it said.

        step: as in its decision. mode: as in its decision, else the router's own. regret: quality of the top tier's
        answer minus that of the answer kept, in [-1, 1]; or quality: both by tier, each in [0, 1]. tier: whose answer was
        kept, when quality holds several lower ones. session: of calls that may fail together, so that they are not taken
        for independent. Only calls that were picked without a look at their answers may be given. Raises InputError for
        what cannot be, and for a call of a slice that promises nothing.
        """
        return self.add(
            self.read_audit(id, step=step, mode=mode, regret=regret, quality=quality, tier=tier, session=session)
        )

    def read_audit(
        self,
        id: Any,
        *,
        step: Any,
        mode: Any = None,
        regret: Any = None,
        quality: Any = None,
        tier: Any = None,
        session: Any = None,
    ) -> Audit:
        """What ``record`` is told, checked and not yet counted. Raises InputError as it does."""
        name = self._mode(mode)
        promise = self.promises.slice_of(name, step)
        if promise is None:
            raise InputError(f"step is {step!r:.60}; mode {name} has no slice that holds it")
        if promise.budget is None:
            raise InputError(
                f"mode {name}, slice {promise.name}: no call may be routed down there, so there is none to audit"
            )
        if step is not None and step not in self.router.config.steps and step not in STEPS:
            raise InputError(f"step is {step!r:.60}; it must be one of {', '.join(STEPS)}, or absent")
        lost = self._regret(regret, quality, tier)
        together = None if session is None else fingerprint(session, "session")
        return Audit(fingerprint(id), name, promise.name, step, lost, promise.budget, together)

    def add(self, audit: Audit) -> bool:
        """Count what ``read_audit`` read; False when its id was counted before."""
        return self._store.add_audit(self._artifact, audit, self._level(audit.mode))

    def clear(self, mode: str, slice: str, note: str) -> None:
        """Lift a slice's alarm and begin its evidence anew; kept on record with ``note``, which says who and why.

        The probability of a false alarm is then that of a new promise. Raises InputError when there is nothing to clear.
        """
        if not note.strip() or not note.isprintable():
            raise InputError(f"note is {note!r}; say who clears the alarm, and why, in one line of text")
        if not self._store.clear(self._artifact, self._mode(mode), slice, note):
            raise InputError(f"mode {mode}, slice {slice!r}: nothing was audited there, so there is nothing to clear")

    def report(self) -> Report:
        """How every promise stands, and the traffic."""
        slices = [self._slice(mode, promise) for mode, held in self.promises.modes.items() for promise in held]
        windows = self._store.windows(self._artifact)
        drift = [_drift(feature, [w for w in windows if w.feature == feature]) for feature in self._references]
        return Report(self._artifact, self._alpha, slices, drift, self._store.clears(self._artifact))

    def _count(self, decision: Decision) -> None:
        traffic = self.promises.traffic
        if traffic is None:
            return
        cheapest, *_, top = decision.quality.values()
        bins = {"regret": traffic.regret_bin(top - cheapest), "steps": traffic.step_bin(decision.step)}
        self._store.add_call(self._artifact, {name: bins[name] for name in self._references}, self._references)

    def _mode(self, mode: str | None) -> str:
        name = self.router.mode if mode is None else mode
        if not isinstance(name, str) or name not in self.promises.modes:
            raise InputError(f"mode is {name!r:.60}; there are promises for {', '.join(self.promises.modes)}")
        return name

    def _level(self, mode: str) -> float:
        """Evidence that is an alarm: alpha in equal parts over the slices that can have one."""
        return sum(promise.budget is not None for promise in self.promises.modes[mode]) / self._alpha

    def _regret(self, regret: Any, quality: Any, tier: Any) -> float:
        if (regret is None) == (quality is None):
            raise InputError("give either regret or quality, the qualities by tier")
        if quality is None:
            return _number("regret", regret, -1.0)
        if not isinstance(quality, Mapping) or not (tier is None or isinstance(tier, str)):
            raise InputError(
                f"quality is {kind_of(quality)}, tier {kind_of(tier)}; give qualities by tier, and a tier's name"
            )
        tiers = self.router.tiers
        strange = [name for name in quality if name not in tiers]
        lower = [name for name in quality if name in tiers[:-1]] if tier is None else [tier]
        if strange or tiers[-1] not in quality or len(lower) != 1 or lower[0] not in quality or tier == tiers[-1]:
            raise InputError(
                f"quality names {', '.join(map(str, quality)) or 'no tier'}; it must name {tiers[-1]} and the lower tier "
                f"whose answer was kept, of {', '.join(tiers[:-1])}"
            )
        top, kept = (_number(f"quality.{name}", quality[name], 0.0) for name in (tiers[-1], lower[0]))
        return top - kept

    def _slice(self, mode: str, promise: Promise) -> SliceReport:
        state = self._store.slice_state(self._artifact, mode, promise.name)
        return SliceReport(
            mode=mode,
            slice=promise.name,
            steps=promise.steps,
            target=promise.target,
            certified=promise.certified,
            audits=state.audits if state else 0,
            regret=state.regret / state.audits if state and state.audits else None,
            budget=promise.budget,
            evidence=state.peak if state else 1.0,
            level=self._level(mode),
            alarmed_at=state.alarmed_at if state else None,
        )


def _certified_promises(router: Router, gated: bool) -> Promises:
    check_file(router.path, router.config, CERTIFICATE)
    certificate = find_certificate(router.path)
    if certificate is None:
        raise InputError(
            f"{router.name} has no certificate; train it again with this version, or give promises of your own"
        )
    return promises_of(certificate, gated=gated)


def _drift(feature: str, windows: list[WindowState]) -> DriftReport:
    """The feature as its windows have it; all have counted the same calls."""
    warned = min((window.warned_at for window in windows if window.warned_at), default=None)
    looked = [window.peak for window in windows if len(windows) == len(WINDOWS)]
    return DriftReport(feature, windows[0].calls if windows else 0, max(looked, default=None), warned)


def _number(name: str, value: Any, least: float) -> float:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not math.isfinite(value)
        or not least <= value <= 1.0
    ):
        raise InputError(f"{name} is {value!r:.40}; it must be a number in [{least:g}, 1]")
    return float(value)
