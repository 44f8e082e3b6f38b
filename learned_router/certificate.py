"""What an artifact promises, as ``certificate.json`` holds it. Knows the record and how it is read; proves nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from learned_router.artifact import CERTIFICATE
from learned_router.errors import ArtifactError

CERTIFICATE_VERSION: Final = 1


class Slice(msgspec.Struct, frozen=True, omit_defaults=True):
    """A set of steps with thresholds and a statement of its own; ``steps`` is empty for all that no other slice has.

    certified: whether calls of it may go below the top tier under the promise. delta: its part of the statement's.
    units: sessions or questions it rests on; calls: labels of them. route, accept: thresholds, regrets allowed; accept is
    None where no gate looks at answers. Of the calibration split, point estimates: kept, mean quality over the top tier's;
    shares, of calls, by the tier whose answer is used; escalated, share of calls paid for twice; top_quality, mean quality
    of the top tier. budget: mean regret of calls routed down that the promise allows, None where none is. more_labels:
    about how many more labels (all splits together) would certify it; None where it is certified, or where no number
    would do, since the estimate itself is below the target at every threshold.
    """

    name: str
    steps: tuple[str, ...]
    certified: bool
    delta: float
    units: int
    calls: int
    route: float
    accept: float | None
    kept: float
    shares: dict[str, float]
    escalated: float
    top_quality: float
    budget: float | None = None
    more_labels: int | None = None


class Saving(msgspec.Struct, frozen=True):
    """What a mode is expected to save of the bill of "everything to the top tier", from the calibration split.

    calls: cost of calls, wasted calls of lower tiers included, over that bill. router: cost of deciding, over that bill;
    None where prices are not known in USD. net: 1 - calls - router, the share saved. labels: cost of the labels, in calls
    of the top tier, had both answers been bought; break_even_calls: after so many calls they are earned back, None where
    nothing is saved.
    """

    calls: float
    router: float | None
    net: float
    labels: float
    break_even_calls: int | None


class Statement(msgspec.Struct, frozen=True):
    """The promise of one mode, for the router alone or with the gate.

    With probability at least 1 - delta over the calibration sample, traffic like it keeps at least ``target`` of the top
    tier's mean quality. certified: whether any call may go below the top tier under that promise. bound: "betting" or
    "binomial". text: the same for a reader, in a paragraph.
    """

    target: float
    delta: float
    certified: bool
    bound: str
    slices: tuple[Slice, ...]
    kept: float
    shares: dict[str, float]
    escalated: float
    saving: Saving
    text: str


class Grading(msgspec.Struct, frozen=True):
    """Who graded the calibration labels. graders: labels by grader. uncertain: share of labels of certainty below 1.

    reviewed: labels drawn at random that a person graded again; where there are some, the bound includes the graders'
    error. relative: the promise is about quality as graded, since grades are uncertain and none was reviewed.
    """

    graders: dict[str, int]
    uncertain: float
    reviewed: int

    @property
    def relative(self) -> bool:
        return self.uncertain > 0 and self.reviewed == 0


class Traffic(msgspec.Struct, frozen=True):
    """What the calibration requests look like, so that a drift from them can be told.

    regret_edges: deciles of the predicted regret of the cheapest tier. steps: share of requests by step. calls: requests.
    """

    regret_edges: tuple[float, ...]
    steps: dict[str, float]
    calls: int


class Bound(msgspec.Struct, frozen=True):
    """What a certificate is bound to: change one of these, and it says nothing.

    models: by tier. labels_sha256: of the labels. tools, system_prompts: fingerprint of each that many labels show.
    """

    models: dict[str, str]
    labels_sha256: str
    tools: dict[str, str] = {}
    system_prompts: dict[str, int] = {}


class ModePromises(msgspec.Struct, frozen=True):
    """The statements of one mode; gated is None in an artifact without a gate."""

    router: Statement
    gated: Statement | None = None


class Certificate(msgspec.Struct, frozen=True):
    """``certificate.json``. unit_calls: a session or group of duplicates counts as at most so many calls."""

    certificate_version: int
    created: str
    delta: float
    unit_calls: float
    bound_to: Bound
    grading: Grading
    traffic: Traffic
    modes: dict[str, ModePromises]


def find_certificate(folder: Path) -> Certificate | None:
    """The certificate of an artifact's folder, which ``read_artifact`` has checked against its hash.

    None in an artifact of before there were any, which promises nothing. Raises ArtifactError when it is none, or of a newer
    version.
    """
    place = folder / CERTIFICATE
    try:
        raw = place.read_bytes()
        version = msgspec.json.decode(raw, type=_Versioned).certificate_version
        if version > CERTIFICATE_VERSION:
            raise ArtifactError(
                f"{place}: certificate version {version}; this learned-router reads up to {CERTIFICATE_VERSION}. "
                "Upgrade it: pip install -U learned-router"
            )
        if version < 1:
            return None
        return msgspec.json.decode(raw, type=Certificate)
    except OSError as error:
        raise ArtifactError(f"{place}: cannot be read ({error.strerror}); export the artifact again") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ArtifactError(f"{place}: {error}; the file is damaged. Export the artifact again") from None


def exact_percent(share: float) -> str:
    """A share as it was asked for, not rounded: 99.5 % is not 100 %."""
    return f"{100 * share:.6g}%"


def below_top(shares: Mapping[str, float]) -> float:
    """Share of calls that a tier below the top one answers, from the shares of all tiers, cheapest first."""
    *lower, _ = shares.values()
    return sum(lower)


class _Versioned(msgspec.Struct):
    certificate_version: int = 0
