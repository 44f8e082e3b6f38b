"""One artifact ready to decide, and nothing of it ever changed: a router swaps it whole. Joins the rooms; holds no rule."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from learned_router.artifact import Artifact, read_artifact
from learned_router.encoder import Encoder, Packer, Prediction, check_finite
from learned_router.errors import ArtifactError, InputError
from learned_router.forking import call_under_way
from learned_router.gate import Gate
from learned_router.limits import find_blocked, find_refusal
from learned_router.memory import give_back
from learned_router.policy import Choice, Reason, as_good_probability, choose_tier
from learned_router.request import STEPS, Request, kind_of
from learned_router.request_cache import RequestCache
from learned_router.served import Served
from learned_router.signature import PublicKey
from learned_router.view import make_view


class Decision(msgspec.Struct, frozen=True):
    """What the router chose for one request, and why.

    tier, model: what to call. reason: a ``Reason``. confidence: calibrated probability that this tier's answer is as
    good as the top tier's. quality: predicted quality by tier, in [0, 1]. regret: predicted quality given up, in quality
    units; threshold: the regret that the mode allows. step: the step given, or the one predicted. ood: distance from
    the training data, 1.0 being the limit. truncated: the view left out a part of the request's last message.
    router: name and hash of the artifact. Of ``Reason.ROUTER_ERROR`` nothing was predicted: every lower tier has quality
    0 and the top one 1, so that whatever is made of them leads up; ood is 0, and a step that was not given is "other".
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


class Options(msgspec.Struct, frozen=True):
    """How an artifact is loaded, as ``Router.load`` takes it; kept, so that the next one is loaded alike."""

    mode: str | None = None
    threads: int = 1
    models: Mapping[str, str] = {}
    aliases: Mapping[str, Collection[str]] = {}
    cache: int = 1024
    public_key: PublicKey | None = None


class Loaded:
    """An artifact with its sessions. Threads share it.

    name: of the artifact, with its hash. mode: the operating point of calls that name none.
    """

    def __init__(self, artifact: Artifact, options: Options) -> None:
        """Raises ArtifactError for graphs that are not of the contract, InputError for a mode or tier it has not."""
        config = artifact.config
        self.config: Final = config
        self.path: Final = artifact.path
        self.name: Final = f"{config.name}@{artifact.hash[:12]}"
        self.tiers: Final = tuple(tier.name for tier in config.tiers)
        self.served: Final = Served(config.tiers, options.models, options.aliases)
        self.cache: Final[RequestCache[Decision]] = RequestCache(options.cache)
        self.mode: Final = self.known_mode(config.default_mode if options.mode is None else options.mode)
        with call_under_way:
            packer = Packer.parse(artifact.tokenizer, str(artifact.path / "tokenizer.json"), config.view)
            self._encoder: Final = Encoder(artifact.graph, packer, threads=options.threads)
            found, wanted = (self._encoder.tiers, self._encoder.steps), (len(config.tiers), len(config.steps))
            if found != wanted:
                raise ArtifactError(
                    f"{artifact.path}: model.onnx predicts {found[0]} tiers and {found[1]} steps, config.json names "
                    f"{wanted[0]} and {wanted[1]}; export the artifact again"
                )
            self.gate: Final = (
                Gate(artifact, config.gate, artifact.gate, packer, self.name, self.served, threads=options.threads)
                if config.gate and artifact.gate is not None
                else None
            )

    @classmethod
    def read(cls, path: Path, options: Options) -> Loaded:
        """Read a folder, checked file by file, and make it ready. Raises as ``read_artifact`` and the constructor do."""
        found = cls(read_artifact(path, options.public_key), options)
        give_back()
        return found

    def find_lost(self, old: Loaded) -> str | None:
        """What callers of another artifact rely on and this one has not; None where it can take the other's place."""
        if self.tiers != old.tiers:
            return f"its tiers are {', '.join(self.tiers)}, not {', '.join(old.tiers)}"
        if lost := [mode for mode in old.config.modes if mode not in self.config.modes]:
            return f"it has no mode {', '.join(lost)}"
        if old.gate is not None and self.gate is None:
            return "it has no gate"
        return None

    def known_mode(self, mode: str) -> str:
        """The mode, if the artifact has it. Raises InputError if not."""
        if not isinstance(mode, str) or mode not in self.config.modes:
            found = repr(mode[:40]) if isinstance(mode, str) else f"of type {type(mode).__name__}"
            raise InputError(f"mode is {found}; this artifact has {', '.join(self.config.modes)}")
        return mode

    def mode_of(self, mode: str | None) -> str:
        """The mode that a call means: the one it names, else the router's own."""
        return self.mode if mode is None else self.known_mode(mode)

    def lower_tier(self, tier: str | None) -> str:
        """The tier whose answer is meant. Raises InputError for one whose answers no gate looks at, or for a doubt."""
        lower = self.tiers[:-1]
        if tier is None and len(lower) == 1:
            return lower[0]
        if tier is None:
            raise InputError(f"tier is absent; of several lower ones say whose answer it is: {', '.join(lower)}")
        if tier not in lower:
            found = repr(tier[:40]) if isinstance(tier, str) else kind_of(tier)
            raise InputError(f"tier is {found}; an answer is judged when it comes from {', '.join(lower)}")
        return tier

    def known_gate(self) -> Gate:
        """The gate, if there is one. Raises InputError if not."""
        if self.gate is None:
            raise InputError(
                f"{self.name} has no gate; train it on labels that hold the lower tiers' answers, as "
                "'learned-router label' writes them"
            )
        return self.gate

    def look(self, requests: Sequence[Request]) -> tuple[Prediction, list[bool]]:
        """What the graph says of each request, before any threshold, and whether its view was cut.

        Raises ValueError for predictions that are not finite, and whatever onnxruntime does.
        """
        views = [make_view(request, self.config.view) for request in requests]
        with call_under_way:
            seen = self._encoder.predict(views)
        check_finite(seen[0])
        return seen

    def decide(
        self, requests: Sequence[Request], seen: tuple[Prediction, list[bool]], mode: str, *, gated: bool
    ) -> list[Decision]:
        """What a mode makes of what was seen. gated: the gate will see the answers."""
        if gated:
            self.known_gate()
        prediction, cuts = seen
        return [
            self._decision(request, mode, gated, [float(q) for q in quality], step.argmax(), float(ood), cut)
            for request, quality, step, ood, cut in zip(
                requests, prediction.quality, prediction.step, prediction.ood, cuts, strict=True
            )
        ]

    def send_up(self, mode: str, step: object, *, gated: bool) -> Decision:
        """The decision for a request that could not be decided. step: as the call gave it, or None."""
        top = self.tiers[-1]
        known = step if isinstance(step, str) and step in STEPS else STEPS[-1]
        return Decision(
            tier=top,
            model=self.served.models[top],
            reason=Reason.ROUTER_ERROR,
            confidence=1.0,
            quality={tier: float(tier == top) for tier in self.tiers},
            regret=0.0,
            threshold=self.config.modes[mode].threshold_of(known, gated=gated),
            step=known,
            ood=0.0,
            truncated=False,
            mode=mode,
            router=self.name,
        )

    def _decision(
        self, request: Request, mode: str, gated: bool, quality: list[float], step_index: int, ood: float, cut: bool
    ) -> Decision:
        config = self.config
        step = request.step or config.steps[step_index]
        threshold = config.modes[mode].threshold_of(step, gated=gated)
        relative_ood = ood / config.ood_threshold
        choice = self._choose(request, quality, threshold, relative_ood)
        tier = config.tiers[choice.index]
        weights = config.confidence.get(tier.name)
        return Decision(
            tier=tier.name,
            model=self.served.models[tier.name],
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
        refusal = find_refusal(request, self.config.fingerprints.tools)
        if refusal is Reason.EMPTY_REQUEST:
            return Choice(top, refusal, 0.0)
        if top in self.served.blocked:
            return Choice(top, Reason.UNKNOWN_MODEL, 0.0)
        if refusal is not None:
            return Choice(top, refusal, 0.0)
        if relative_ood > 1.0:
            return Choice(top, Reason.OUT_OF_DISTRIBUTION, 0.0)
        return choose_tier(quality, threshold, find_blocked(request, self.config.tiers) | self.served.blocked)
