"""The gate: a request and a lower tier's answer in, whether to keep it and why out. Joins the rooms, as the router does."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from learned_router.answer import Output
from learned_router.answers.features import find_failures
from learned_router.artifact import Artifact, GateConfig
from learned_router.encoder import Encoder, Packer, Prediction, check_finite
from learned_router.errors import ArtifactError
from learned_router.forking import call_under_way
from learned_router.policy import GatedPoint, Reason, as_good_probability, judge_output
from learned_router.request import Request
from learned_router.served import Served
from learned_router.view import make_answer_view, place_of

# A gate's graph predicts two qualities: of the answer, and of what the top tier's would be.
TIERS_PREDICTED = 2


class Acceptance(msgspec.Struct, frozen=True):
    """What the gate says of one answer, and why.

    accept: keep it, or ask the top tier. tier: whose answer it is. reason: a ``Reason``. confidence: calibrated
    probability that the answer is as good as the top tier's. quality: predicted of the answer and of the top tier's, by
    tier, in [0, 1]. regret: predicted quality given up by keeping it, in quality units; threshold: the regret that the
    mode allows, less of it where the answer tells no token probabilities and those of training did. ood: distance from the
    training data, 1.0 being the limit. truncated: the view left out a part of the answer. router: name and hash of the
    artifact. Of ``Reason.ROUTER_ERROR`` nothing was predicted: the answer has quality 0 and confidence 0, the top tier's 1.
    """

    accept: bool
    tier: str
    reason: Reason
    confidence: float
    quality: dict[str, float]
    regret: float
    threshold: float
    ood: float
    truncated: bool
    mode: str
    router: str


class Seen(msgspec.Struct, frozen=True):
    """What the graph says of some answers of one tier, before any threshold. failures: what is certainly wrong, each.

    silent: whether an answer tells none of the token probabilities that are expected.
    """

    tier: str
    prediction: Prediction
    cuts: list[bool]
    failures: list[list[Reason]]
    silent: list[bool]


class Gate:
    """The second decision point of a loaded artifact. ``Router`` makes it, and asks it."""

    def __init__(
        self,
        artifact: Artifact,
        config: GateConfig,
        graph: bytes,
        packer: Packer,
        name: str,
        served: Served,
        *,
        threads: int = 1,
    ) -> None:
        """packer: the router's, for its tokenizer. served: what answers for each tier."""
        self._encoder = Encoder(
            graph,
            packer.with_spec(config.view),
            n_features=len(config.features),
            name="gate.onnx",
            threads=threads,
        )
        if self._encoder.tiers != TIERS_PREDICTED:
            raise ArtifactError(
                f"{artifact.path}: gate.onnx predicts {self._encoder.tiers} qualities; it must predict "
                f"{TIERS_PREDICTED}, of the answer and of the top tier's; export the artifact again"
            )
        self._config, self._name, self._served = config, name, served
        self._modes = artifact.config.modes
        self._tiers = tuple(tier.name for tier in artifact.config.tiers)

    def look(self, requests: Sequence[Request], outputs: Sequence[Output], tier: str) -> Seen:
        """Predictions for answers of one tier, which is not the top one, and what is certainly wrong with each.

        Raises ValueError for predictions that are not finite, and whatever onnxruntime does.
        """
        place = place_of(tier, self._tiers)
        views = [
            make_answer_view(request, output, place, self._config.view)
            for request, output in zip(requests, outputs, strict=True)
        ]
        failures = [
            [
                # nothing that was measured of a tier's model says anything of another's answer
                *([Reason.UNKNOWN_MODEL] if self._served.is_unknown(tier, output.model) else []),
                *(reason for reason in find_failures(request, output) if reason in self._config.rules),
            ]
            for request, output in zip(requests, outputs, strict=True)
        ]
        silent = [self._config.expects_logprobs and output.logprobs is None for output in outputs]
        with call_under_way:
            prediction, cuts = self._encoder.predict(views)
        check_finite(prediction)
        return Seen(tier, prediction, cuts, failures, silent)

    def decide(self, seen: Seen, mode: str, steps: Sequence[str | None]) -> list[Acceptance]:
        """What a mode makes of what was seen. steps: of the requests, None where it is not known."""
        target, point = self._modes[mode].target, self._point(mode)
        found = []
        for quality, ood, cut, failures, silent, step in zip(
            seen.prediction.quality, seen.prediction.ood, seen.cuts, seen.failures, seen.silent, steps, strict=True
        ):
            threshold = point.accept_of(step)
            own, top = float(quality[0]), float(quality[1])
            if (
                silent
            ):  # the mode's threshold is of answers of which more was known: this one must keep the target alone
                threshold = min(threshold, (1.0 - target) * top)
            relative_ood = float(ood) / self._config.ood_threshold
            accept, reason, regret = judge_output((own, top), threshold, failures, relative_ood > 1.0)
            found.append(
                Acceptance(
                    accept=accept,
                    tier=seen.tier,
                    reason=reason,
                    confidence=as_good_probability(own, top, self._config.confidence),
                    quality={seen.tier: own, self._tiers[-1]: top},
                    regret=regret,
                    threshold=threshold,
                    ood=relative_ood,
                    truncated=cut,
                    mode=mode,
                    router=self._name,
                )
            )
        return found

    def refuse(self, mode: str, tier: str, step: str | None) -> Acceptance:
        """What is said of an answer that could not be looked at: not kept, and predicted to be worth nothing."""
        return Acceptance(
            accept=False,
            tier=tier,
            reason=Reason.ROUTER_ERROR,
            confidence=0.0,
            quality={tier: 0.0, self._tiers[-1]: 1.0},
            regret=1.0,
            threshold=self._point(mode).accept_of(step),
            ood=0.0,
            truncated=False,
            mode=mode,
            router=self._name,
        )

    def _point(self, mode: str) -> GatedPoint:
        point = self._modes[mode].gated
        if point is None:  # the artifact's reader refuses a gate without it
            raise ValueError(f"mode {mode!r} has no threshold of the gate")
        return point
