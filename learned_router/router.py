"""The router: a request in, a decision with its reason out; the gate after it. Joins the rooms; holds no rule of its own."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from learned_router.answer import parse_output
from learned_router.artifact import Artifact, Config, read_artifact, shipped_artifact
from learned_router.encoder import Encoder, Packer, Prediction
from learned_router.errors import ArtifactError, InputError
from learned_router.gate import Acceptance, Gate
from learned_router.limits import find_blocked, find_refusal
from learned_router.policy import Choice, Mode, Reason, as_good_probability, choose_tier
from learned_router.request import Request, kind_of, parse_request
from learned_router.served import Served
from learned_router.view import make_view


class Decision(msgspec.Struct, frozen=True):
    """What the router chose for one request, and why.

    tier, model: what to call. reason: a ``Reason``. confidence: calibrated probability that this tier's answer is as
    good as the top tier's. quality: predicted quality by tier, in [0, 1]. regret: predicted quality given up, in quality
    units; threshold: the regret that the mode allows. step: the step given, or the one predicted. ood: distance from
    the training data, 1.0 being the limit. truncated: the view left out a part of the request's last message.
    router: name and hash of the artifact.
    """

    tier: str
    model: str
    reason: Reason
    confidence: float
    quality: dict[str, float]
    regret: float
    threshold: float
    step: str
    ood: float
    truncated: bool
    mode: str
    router: str


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
        config = artifact.config
        self._served = Served(config.tiers, models or {}, aliases or {})
        self._config = config
        self._mode = self._known_mode(config.default_mode if mode is None else mode)
        packer = Packer.load(artifact.path / "tokenizer.json", config.view)
        self._encoder = Encoder(artifact.graph, packer, threads=threads)
        found, wanted = (self._encoder.tiers, self._encoder.steps), (len(config.tiers), len(config.steps))
        if found != wanted:
            raise ArtifactError(
                f"{artifact.path}: model.onnx predicts {found[0]} tiers and {found[1]} steps, config.json names "
                f"{wanted[0]} and {wanted[1]}; export the artifact again"
            )
        self.name = f"{config.name}@{artifact.hash[:12]}"
        self.path = artifact.path
        self._gate = (
            Gate(artifact, config.gate, artifact.gate, packer, self.name, self._served, threads=threads)
            if config.gate and artifact.gate is not None
            else None
        )

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
    def config(self) -> Config:
        return self._config

    @property
    def tiers(self) -> tuple[str, ...]:
        """Names of the tiers, cheapest first."""
        return tuple(tier.name for tier in self._config.tiers)

    @property
    def mode(self) -> str:
        """The operating point of calls that name none."""
        return self._mode

    @property
    def models(self) -> dict[str, str]:
        """The model to call, by tier."""
        return dict(self._served.models)

    @property
    def modes(self) -> dict[str, Mode]:
        return self._config.modes

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
        name = self._mode if mode is None else self._known_mode(mode)
        gate, lower = self._gated(), self._lower_tier(tier)
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
        gate, lower = self._gated(), self._lower_tier(tier)
        parsed = _parse_all(requests)
        seen = gate.look(parsed, [parse_output(output) for output in outputs], lower)
        known = [request.step for request in parsed] if steps is None else steps
        return {mode: gate.decide(seen, mode, known) for mode in self.modes}

    @property
    def has_gate(self) -> bool:
        """Whether the artifact was trained with answers, so that ``accept`` works."""
        return self._gate is not None

    def route_batch(self, requests: Sequence[Any], *, mode: str | None = None, gated: bool = False) -> list[Decision]:
        """Decide many requests in one go, in order; the very decisions that ``route`` takes one by one.

        Raises InputError naming the request and the field when one of them is none.
        """
        return self._decide(_parse_all(requests), mode, gated)

    def route_modes(self, requests: Sequence[Any], *, gated: bool = False) -> dict[str, list[Decision]]:
        """The decisions of ``route_batch`` in every mode, at the cost of one: for evaluation.

        Raises InputError naming the request and the field when one of them is none.
        """
        parsed = _parse_all(requests)
        seen = self._look(parsed)
        return {mode: self._decisions(parsed, seen, mode, gated) for mode in self.modes}

    def predict(self, requests: Sequence[Request]) -> Prediction:
        """What the graph says of each request, before any threshold: for evaluation and for choosing thresholds."""
        return self._look(requests)[0]

    def _known_mode(self, mode: str) -> str:
        if not isinstance(mode, str) or mode not in self._config.modes:
            found = repr(mode[:40]) if isinstance(mode, str) else f"of type {type(mode).__name__}"
            raise InputError(f"mode is {found}; this artifact has {', '.join(self._config.modes)}")
        return mode

    def _lower_tier(self, tier: str | None) -> str:
        lower = self.tiers[:-1]
        if tier is None and len(lower) == 1:
            return lower[0]
        if tier is None:
            raise InputError(f"tier is absent; of several lower ones say whose answer it is: {', '.join(lower)}")
        if tier not in lower:
            found = repr(tier[:40]) if isinstance(tier, str) else kind_of(tier)
            raise InputError(f"tier is {found}; an answer is judged when it comes from {', '.join(lower)}")
        return tier

    def _gated(self) -> Gate:
        if self._gate is None:
            raise InputError(
                f"{self.name} has no gate; train it on labels that hold the lower tiers' answers, as "
                "'learned-router label' writes them"
            )
        return self._gate

    def _decide(self, requests: Sequence[Request], mode: str | None, gated: bool) -> list[Decision]:
        name = self._mode if mode is None else self._known_mode(mode)
        return self._decisions(requests, self._look(requests), name, gated)

    def _look(self, requests: Sequence[Request]) -> tuple[Prediction, list[bool]]:
        return self._encoder.predict([make_view(request, self._config.view) for request in requests])

    def _decisions(
        self, requests: Sequence[Request], seen: tuple[Prediction, list[bool]], mode: str, gated: bool
    ) -> list[Decision]:
        if gated:
            self._gated()
        prediction, cuts = seen
        return [
            self._decision(request, mode, gated, [float(q) for q in quality], step.argmax(), float(ood), cut)
            for request, quality, step, ood, cut in zip(
                requests, prediction.quality, prediction.step, prediction.ood, cuts, strict=True
            )
        ]

    def _decision(
        self, request: Request, mode: str, gated: bool, quality: list[float], step_index: int, ood: float, cut: bool
    ) -> Decision:
        config = self._config
        step = request.step or config.steps[step_index]
        threshold = config.modes[mode].threshold_of(step, gated=gated)
        relative_ood = ood / config.ood_threshold
        choice = self._choose(request, quality, threshold, relative_ood)
        tier = config.tiers[choice.index]
        weights = config.confidence.get(tier.name)
        return Decision(
            tier=tier.name,
            model=self._served.models[tier.name],
            reason=choice.reason,
            confidence=1.0 if weights is None else as_good_probability(quality[choice.index], quality[-1], weights),
            quality=dict(zip(self.tiers, quality, strict=True)),
            regret=choice.regret,
            threshold=threshold,
            step=step,
            ood=relative_ood,
            truncated=cut,
            mode=mode,
            router=self.name,
        )

    def _choose(self, request: Request, quality: list[float], threshold: float, relative_ood: float) -> Choice:
        top = len(quality) - 1
        refusal = find_refusal(request, self._config.fingerprints.tools)
        if refusal is Reason.EMPTY_REQUEST:
            return Choice(top, refusal, 0.0)
        if top in self._served.blocked:
            return Choice(top, Reason.UNKNOWN_MODEL, 0.0)
        if refusal is not None:
            return Choice(top, refusal, 0.0)
        if relative_ood > 1.0:
            return Choice(top, Reason.OUT_OF_DISTRIBUTION, 0.0)
        return choose_tier(quality, threshold, find_blocked(request, self._config.tiers) | self._served.blocked)


def _parse_all(requests: Sequence[Any]) -> list[Request]:
    parsed = []
    for index, request in enumerate(requests):
        try:
            parsed.append(parse_request(request))
        except InputError as error:
            raise InputError(f"requests[{index}]: {error}") from None
    return parsed
