"""The router: a request in, a decision with its reason out; the gate after it. The door to one loaded artifact."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from learned_router.answer import parse_output
from learned_router.artifact import Artifact, Config, read_artifact, shipped_artifact
from learned_router.encoder import Prediction
from learned_router.errors import InputError
from learned_router.gate import Acceptance
from learned_router.loaded import Decision, Loaded, Options
from learned_router.policy import Mode
from learned_router.request import Request, kind_of, parse_request


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
    ) -> None:
        self._loaded = Loaded(artifact, Options(mode, threads, models or {}, aliases or {}))

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        mode: str | None = None,
        threads: int = 1,
        models: Mapping[str, str] | None = None,
        aliases: Mapping[str, Collection[str]] | None = None,
    ) -> Router:
        """Load an artifact folder, checked file by file; without ``path`` the one that ships with the package.

        mode: the operating point used when a call names none; by default the artifact's own default, which is
        "balanced" unless the recipe or ``train --target`` said otherwise. threads: onnxruntime threads of one decision.
        models: by tier, the model that serves it, where that is another name than the artifact's; a decision then names
        it. A tier of another model than the artifact was trained for is not taken, and if the top tier is, no other is.
        aliases: by tier, further names of the very model it was trained for.
        Raises ArtifactError when the folder cannot be trusted, InputError when mode or tier is not in it.
        """
        artifact = read_artifact(shipped_artifact() if path is None else Path(path))
        return cls(artifact, mode=mode, threads=threads, models=models, aliases=aliases)

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
        Raises InputError naming the field when the request is none, or when there is no gate and ``gated`` is asked for.
        """
        return self._decide([parse_request(request, tools=tools, step=step)], mode, gated)[0]

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
        where there are several, and when the artifact has no gate.
        """
        if decision is not None:
            if not isinstance(decision, Decision):
                raise InputError(f"decision is {kind_of(decision)}; it must be what route returned")
            tier = decision.tier if tier is None else tier
            mode = decision.mode if mode is None else mode
        said = None if decision is None else decision.step
        loaded = self._loaded
        name, gate, lower = loaded.mode_of(mode), loaded.known_gate(), loaded.lower_tier(tier)
        parsed = parse_request(request, tools=tools, step=step)
        seen = gate.look([parsed], [parse_output(output)], lower)
        return gate.decide(seen, name, [parsed.step or said])[0]

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
        Raises InputError as ``accept`` does.
        """
        loaded = self._loaded
        gate, lower = loaded.known_gate(), loaded.lower_tier(tier)
        parsed = _parse_all(requests)
        seen = gate.look(parsed, [parse_output(output) for output in outputs], lower)
        known = [request.step for request in parsed] if steps is None else steps
        return {mode: gate.decide(seen, mode, known) for mode in loaded.config.modes}

    def route_batch(self, requests: Sequence[Any], *, mode: str | None = None, gated: bool = False) -> list[Decision]:
        """Decide many requests in one go, in order; the very decisions that ``route`` takes one by one.

        Raises InputError naming the request and the field when one of them is none.
        """
        return self._decide(_parse_all(requests), mode, gated)

    def route_modes(self, requests: Sequence[Any], *, gated: bool = False) -> dict[str, list[Decision]]:
        """The decisions of ``route_batch`` in every mode, at the cost of one: for evaluation.

        Raises InputError naming the request and the field when one of them is none.
        """
        loaded, parsed = self._loaded, _parse_all(requests)
        seen = loaded.look(parsed)
        return {mode: loaded.decide(parsed, seen, mode, gated=gated) for mode in loaded.config.modes}

    def predict(self, requests: Sequence[Request]) -> Prediction:
        """What the graph says of each request, before any threshold: for evaluation and for choosing thresholds."""
        return self._loaded.look(requests)[0]

    def _decide(self, requests: Sequence[Request], mode: str | None, gated: bool) -> list[Decision]:
        loaded = self._loaded
        name = loaded.mode_of(mode)
        return loaded.decide(requests, loaded.look(requests), name, gated=gated)


def _parse_all(requests: Sequence[Any]) -> list[Request]:
    parsed = []
    for index, request in enumerate(requests):
        try:
            parsed.append(parse_request(request))
        except InputError as error:
            raise InputError(f"requests[{index}]: {error}") from None
    return parsed
