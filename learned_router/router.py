"""The router: a request in, a decision with its reason out; the gate after it. The door to one loaded artifact."""

from __future__ import annotations

import copy
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from learned_router.answer import parse_output
from learned_router.artifact import Artifact, Config, read_artifact, shipped_artifact
from learned_router.encoder import Prediction
from learned_router.errors import ArtifactError, InferenceError, InputError, LearnedRouterError
from learned_router.failures import Errors, Failures, describe, ends_all
from learned_router.gate import Acceptance
from learned_router.loaded import Decision, Loaded, Options
from learned_router.memory import give_back
from learned_router.policy import Mode, Reason
from learned_router.request import Request, kind_of, parse_request
from learned_router.signature import PublicKey


class Router:
    """A loaded artifact. Make one with ``Router.load`` and keep it: loading costs far more than a decision."""

    def __init__(
        self,
        artifact: Artifact,
        *,
        mode: str | None = None,
        threads: int = 1,
        models: Mapping[str, str] | None = None,
        aliases: Mapping[str, Collection[str]] | None = None,
        strict: bool = False,
        cache: int = 1024,
        public_key: PublicKey | None = None,
    ) -> None:
        self._options = Options(mode, threads, models or {}, aliases or {}, cache, public_key)
        # read once a call and replaced whole, so that no decision is made by parts of two artifacts
        self._loaded = Loaded(artifact, self._options)
        self._strict, self._failures = strict, Failures()

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        mode: str | None = None,
        threads: int = 1,
        models: Mapping[str, str] | None = None,
        aliases: Mapping[str, Collection[str]] | None = None,
        strict: bool = False,
        cache: int = 1024,
        public_key: PublicKey | None = None,
    ) -> Router:
        """Load an artifact folder, checked file by file; without ``path`` the one that ships with the package.

        mode: the operating point used when a call names none; by default the artifact's own default, which is
        "balanced" unless the recipe or ``train --target`` said otherwise. threads: of one decision, or of a batch.
        models: by tier, the model that serves it, where that is another name than the artifact's; a decision then names
        it. A tier of another model than the artifact was trained for is not taken, and if the top tier is, no other is.
        aliases: by tier, further names of the very model it was trained for.
        strict: where the router itself fails, out of memory or by a broken session, raise InferenceError; else the call
        goes to the top tier with ``Reason.ROUTER_ERROR``, is counted in ``errors`` and told to the log "learned_router".
        cache: how many of the last different requests ``route`` remembers the decisions of, word for word; 0 for none.
        Requests of more than 64 KiB or 2,000 values are decided anew each time, and not looked up.
        public_key: the Ed25519 key, PEM or its file, by which the artifact must be signed; ``reload`` asks for it too.
        Raises ArtifactError when the folder cannot be trusted, InputError when mode or tier is not in it.
        """
        router = cls(
            read_artifact(shipped_artifact() if path is None else Path(path), public_key),
            mode=mode,
            threads=threads,
            models=models,
            aliases=aliases,
            strict=strict,
            cache=cache,
            public_key=public_key,
        )
        give_back()
        return router

    def reload(self, path: str | os.PathLike[str] | None = None) -> None:
        """Serve another artifact from now on; without ``path`` the one that lies in the same folder now.

        Mode, models, aliases and threads stay as they were given to ``load``. Calls under way end with the artifact that
        they began with; until the new one is whole and ready, the old one serves, and it goes on serving when this raises.
        Raises ArtifactError when the new one cannot be trusted, or lacks what callers may rely on: the same tiers in the
        same order, every mode, a gate where there is one; InputError when ``models`` or ``mode`` are not in it.
        """
        old = self._loaded
        new = Loaded.read(old.path if path is None else Path(path), self._options)
        if lost := new.find_lost(old):
            raise ArtifactError(
                f"{new.path}: {lost}; {old.name} serves on. Load the other one with Router.load instead"
            )
        self._loaded = new

    def pinned(self) -> Router:
        """This router with the artifact that it has now, whatever is reloaded later; for work of several calls."""
        return copy.copy(self)

    @property
    def name(self) -> str:
        """Name of the artifact, and the first digits of its hash."""
        return self._loaded.name

    @property
    def path(self) -> Path:
        return self._loaded.path

    @property
    def config(self) -> Config:
        return self._loaded.config

    @property
    def tiers(self) -> tuple[str, ...]:
        """Names of the tiers, cheapest first."""
        return self._loaded.tiers

    @property
    def mode(self) -> str:
        """The operating point of calls that name none."""
        return self._loaded.mode

    @property
    def models(self) -> dict[str, str]:
        """The model to call, by tier."""
        return dict(self._loaded.served.models)

    @property
    def modes(self) -> dict[str, Mode]:
        return self._loaded.config.modes

    @property
    def has_gate(self) -> bool:
        """Whether the artifact was trained with answers, so that ``accept`` works."""
        return self._loaded.gate is not None

    @property
    def errors(self) -> Errors:
        """How many calls could not be decided since this router was loaded, in this process, and what the latest met."""
        return self._failures.errors

    def route(
        self,
        request: Any,
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        step: str | None = None,
        mode: str | None = None,
        gated: bool = False,
    ) -> Decision:
        """Decide one request: a prompt, a list of OpenAI messages, or a mapping with ``messages``.

        tools, step: as in the request, and winning over it. mode: the operating point, instead of the router's own.
        gated: the answer will be shown to ``accept`` before it is trusted, so that more may be tried.
        Raises InputError naming the field when the request is none, or when there is no gate and ``gated`` is asked for;
        a strict router also InferenceError.
        """
        loaded = self._loaded
        name = loaded.mode_of(mode)
        if gated:
            loaded.known_gate()
        key = loaded.cache.key_of(request, tools, step, name, gated)
        kept = loaded.cache.get(key)
        if kept is not None:
            return _copy(kept)
        decision = self._decide(loaded, request, tools, step, name, gated)
        if decision.reason is not Reason.ROUTER_ERROR:  # which the next call may be spared
            loaded.cache.put(key, _copy(decision))
        return decision

    def accept(
        self,
        request: Any,
        output: Any,
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        step: str | None = None,
        mode: str | None = None,
        tier: str | None = None,
        decision: Decision | None = None,
    ) -> Acceptance:
        """Whether a lower tier's answer may be kept: the gate, after ``route(..., gated=True)`` and the call.

        request, tools, step, mode: as ``route`` takes them. output: a text, an OpenAI message or chat completion, or a
        mapping with ``text`` and ``tool_calls``. decision: what ``route`` said; its tier, its mode and the threshold of its
        step are meant where no other is given. tier: whose answer it is; of a router with two tiers it can only be the lower
        one's.
        Raises InputError naming the field when request or output is none, when the tier is not a lower one or not said
        where there are several, and when the artifact has no gate; a strict router also InferenceError. After a ``reload``
        the new gate judges, also what the old artifact decided; ``pinned`` keeps both the same.
        """
        if decision is not None:
            if not isinstance(decision, Decision):
                raise InputError(f"decision is {kind_of(decision)}; it must be what route returned")
            tier = decision.tier if tier is None else tier
            mode = decision.mode if mode is None else mode
        said = None if decision is None else decision.step
        loaded = self._loaded
        name, gate, lower = loaded.mode_of(mode), loaded.known_gate(), loaded.lower_tier(tier)
        try:
            with _telling(loaded):
                parsed = parse_request(request, tools=tools, step=step)
                seen = gate.look([parsed], [parse_output(output)], lower)
                return gate.decide(seen, name, [parsed.step or said])[0]
        except InferenceError as error:
            self._count(loaded, error)
            return gate.refuse(name, lower, said)

    def accept_modes(
        self,
        requests: Sequence[Any],
        outputs: Sequence[Any],
        *,
        tier: str | None = None,
        steps: Sequence[str | None] | None = None,
    ) -> dict[str, list[Acceptance]]:
        """What ``accept`` says in every mode of many answers of one tier, at the cost of one: for evaluation.

        steps: whose thresholds hold, as ``Decision.step`` tells them; those of the requests if not given.
        Raises InputError as ``accept`` does, and InferenceError, strict or not.
        """
        loaded = self._loaded
        gate, lower = loaded.known_gate(), loaded.lower_tier(tier)
        with _telling(loaded):
            parsed = _parse_all(_listed(requests))
            seen = gate.look(parsed, [parse_output(output) for output in outputs], lower)
            known = [request.step for request in parsed] if steps is None else steps
            return {mode: gate.decide(seen, mode, known) for mode in loaded.config.modes}

    def route_batch(self, requests: Sequence[Any], *, mode: str | None = None, gated: bool = False) -> list[Decision]:
        """Decide many requests in one go, in order; the very decisions that ``route`` takes one by one.

        With several threads each takes some of the requests; qualities may then lie up to 1e-5 from those of ``route``.

        Raises InputError naming the request and the field when one of them is none; a strict router also InferenceError.
        Else one that cannot be decided goes up alone.
        """
        loaded = self._loaded
        name = loaded.mode_of(mode)
        if gated:
            loaded.known_gate()
        listed = _listed(requests)
        try:
            with _telling(loaded):
                parsed = _parse_all(listed)
                return loaded.decide(parsed, loaded.look(parsed), name, gated=gated)
        except InferenceError:
            if self._strict:
                raise
        decisions = []
        for index, request in enumerate(listed):
            with _placing(index):
                decisions.append(self._decide(loaded, request, None, None, name, gated))
        return decisions

    def route_modes(self, requests: Sequence[Any], *, gated: bool = False) -> dict[str, list[Decision]]:
        """The decisions of ``route_batch`` in every mode, at the cost of one: for evaluation.

        Raises InputError naming the request and the field when one of them is none, and InferenceError, strict or not.
        """
        loaded = self._loaded
        with _telling(loaded):
            parsed = _parse_all(_listed(requests))
            seen = loaded.look(parsed)
            return {mode: loaded.decide(parsed, seen, mode, gated=gated) for mode in loaded.config.modes}

    def predict(self, requests: Sequence[Request]) -> Prediction:
        """What the graph says of each request, before any threshold: for evaluation and for choosing thresholds.

        Raises InferenceError, strict or not.
        """
        loaded = self._loaded
        with _telling(loaded):
            return loaded.look(requests)[0]

    def _decide(
        self,
        loaded: Loaded,
        request: Any,
        tools: Sequence[Mapping[str, Any]] | None,
        step: str | None,
        mode: str,
        gated: bool,
    ) -> Decision:
        parsed: Request | None = None
        try:
            with _telling(loaded):
                parsed = parse_request(request, tools=tools, step=step)
                return loaded.decide([parsed], loaded.look([parsed]), mode, gated=gated)[0]
        except InferenceError as error:
            self._count(loaded, error)
            return loaded.send_up(mode, parsed.step if parsed else step, gated=gated)

    def _count(self, loaded: Loaded, error: InferenceError) -> None:
        """Count it and go on, or raise it where the caller asked for that."""
        if self._strict:
            raise error
        self._failures.add(loaded.name, error.__cause__ or error)


def _copy(decision: Decision) -> Decision:
    """The same with a ``quality`` of its own, the one part that a caller could change."""
    return msgspec.structs.replace(decision, quality=dict(decision.quality))


@contextmanager
def _telling(loaded: Loaded) -> Iterator[None]:
    """Whatever goes wrong inside is an InferenceError, but for what the package raises on purpose."""
    try:
        yield
    except LearnedRouterError:
        raise
    except BaseException as error:  # what onnxruntime raises has no class of its own
        if ends_all(error):
            raise
        raise InferenceError(f"{loaded.name}: a call could not be decided ({describe(error)})") from error


@contextmanager
def _placing(index: int) -> Iterator[None]:
    """An InputError raised inside says which request of many it is about."""
    try:
        yield
    except InputError as error:
        raise InputError(f"requests[{index}]: {error}") from None


def _listed(requests: Sequence[Any]) -> list[Any]:
    if isinstance(requests, str | bytes | Mapping) or not isinstance(requests, Iterable):
        raise InputError(f"requests is {kind_of(requests)}; give a list of requests")
    return list(requests)


def _parse_all(requests: Sequence[Any]) -> list[Request]:
    parsed = []
    for index, request in enumerate(requests):
        with _placing(index):
            parsed.append(parse_request(request))
    return parsed
