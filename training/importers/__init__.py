"""Importers: logs of other tools, told apart by content, as records. One file a format; ``importer`` is what all share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from learned_router.training.importers import batch, span_logs
from learned_router.training.importers.batch import Batch
from learned_router.training.importers.helicone import Helicone
from learned_router.training.importers.importer import Importer
from learned_router.training.importers.langfuse import Langfuse
from learned_router.training.importers.langsmith import Langsmith
from learned_router.training.importers.litellm import LiteLLM
from learned_router.training.importers.openai import OpenAI
from learned_router.training.importers.otel import Otel
from learned_router.training.importers.paired import Paired

# asked in this order; no two recognise the same row
IMPORTERS: Final[tuple[Importer, ...]] = (
    Paired(),
    # traces
    Otel(),
    Langfuse(),
    Langsmith(),
    # one call a row
    LiteLLM(),
    Helicone(),
    Batch(),
    OpenAI(),
)

# formats of which half a call may stand in another file: what makes whole rows of all files of the format together,
# ``joined(paths, skipped, read_rows)``
JOINED: Final[dict[str, Callable[..., Any]]] = {Batch.name: batch.joined, Otel.name: span_logs.joined}
