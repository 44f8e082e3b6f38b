"""Learned Router: decide, in milliseconds, which calls a small model answers as well as a frontier model.

>>> from learned_router import Router
>>> router = Router.load("my-router")  # what 'learned-router train' made of your logs
>>> decision = router.route("Which orders are late?")
>>> decision.tier, decision.reason, decision.confidence
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from learned_router.errors import (
    ArtifactError,
    ExportError,
    InferenceError,
    InputError,
    LabelError,
    LearnedRouterError,
    MissingExtraError,
)
from learned_router.gate import Acceptance
from learned_router.loaded import Decision
from learned_router.patterns.cascade import Cascade
from learned_router.policy import Reason
from learned_router.router import Router

__all__ = [
    "Acceptance",
    "ArtifactError",
    "Cascade",
    "Decision",
    "ExportError",
    "InferenceError",
    "InputError",
    "LabelError",
    "LearnedRouterError",
    "MissingExtraError",
    "Reason",
    "Router",
    "route",
]
__version__ = "0.1.0"


@lru_cache(maxsize=1)
def _shipped_router() -> Router:
    return Router.load()


def route(request: Any, **options: Any) -> Decision:
    """Decide one request with the artifact that ships with the package, loaded on first use.

    options: ``tools``, ``step`` and ``mode``, as in ``Router.route``. Train on your own pair of models for real use.
    """
    return _shipped_router().route(request, **options)
