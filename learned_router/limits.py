"""What sends a request up before any prediction is asked: nothing to judge, a changed tool, what a tier cannot serve.

Router and pipeline share it, so that what is proved is what is done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from learned_router.fingerprints import find_changed_tool
from learned_router.policy import Reason, Tier, block_tiers
from learned_router.request import Request, message_text, needs_vision, wants_json
from learned_router.view import is_empty

# Tokens of a whole request are only estimated, from below four characters a token, so that a window is not overrun.
CHARS_PER_TOKEN_LEAST = 3


def find_refusal(request: Request, known_tools: Mapping[str, str]) -> Reason | None:
    """Why a request goes to the top tier whatever is predicted; None where nothing says so. known_tools: by name."""
    if is_empty(request):
        return Reason.EMPTY_REQUEST
    if find_changed_tool(request.tools, known_tools) is not None:
        return Reason.CHANGED_TOOL
    return None


def find_blocked(request: Request, tiers: Sequence[Tier]) -> dict[int, Reason]:
    """Tiers that cannot serve a request, by index, and why."""
    if not any(tier.context_tokens is not None or tier.lacks for tier in tiers):
        return {}
    chars = sum(len(message_text(message)) for message in request.messages)
    wanted = (("tools", bool(request.tools)), ("vision", needs_vision(request)), ("json", wants_json(request)))
    return block_tiers(tiers, chars // CHARS_PER_TOKEN_LEAST, [need for need, needed in wanted if needed])
