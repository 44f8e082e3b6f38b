"""Which tools and system prompts the labels show again and again, for an artifact to recognise them by.

Knows labels; knows nothing of networks or decisions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from learned_router.fingerprints import (
    Fingerprints,
    KnownPrompts,
    find_changed_tool,
    prompt_fingerprint,
    tool_fingerprint,
    tool_name,
)
from learned_router.training.records import Label, unit_of

# In how many sessions a tool must have been seen, always the same; the least that raises few enough false alarms is taken
LEAST_SESSIONS: Final = (10, 20, 40)
# Share of calibration requests in which a tool learned from the training split may look changed
MOST_ALARMS: Final = 0.0025
# An artifact holds the most frequent ones
MOST_TOOLS: Final = 512
MOST_PROMPTS: Final = 32


def learn_fingerprints(train: Sequence[Label], calibration: Sequence[Label]) -> Fingerprints:
    """Tools that the labels show often and never otherwise, and their most frequent system prompts.

    How often is often is told by the calibration split: where the same name recurs with other schemas, as in public
    benchmarks, tools of the training split look changed there, and more sessions are asked for, or no tool is recorded.
    """
    labels = [*train, *calibration]
    seen = len({tool_name(tool) for label in labels for tool in label.tools or ()})
    prompts = _learn_prompts(labels)
    for least in LEAST_SESSIONS:
        tools = stable_tools(train, least)
        alarms = sum(find_changed_tool(label.tools or (), tools) is not None for label in calibration)
        if alarms <= MOST_ALARMS * len(calibration):
            return Fingerprints(stable_tools(labels, least), seen, prompts)
    return Fingerprints({}, seen, prompts)


def stable_tools(labels: Sequence[Label], least_sessions: int) -> dict[str, str]:
    """By name, the fingerprint of each tool that so many sessions show, always with that one; the most frequent first."""
    sessions: dict[str, set[str]] = {}
    prints: dict[str, set[str | None]] = {}
    for label in labels:
        session = unit_of(label)
        names = Counter(tool_name(tool) for tool in label.tools or ())
        for tool in label.tools or ():
            name = tool_name(tool)
            sessions.setdefault(name, set()).add(session)
            # two tools of one name are not one tool
            prints.setdefault(name, set()).add(tool_fingerprint(tool) if names[name] == 1 else None)
    often = sorted(
        (name for name in sessions if len(sessions[name]) >= least_sessions), key=lambda n: -len(sessions[n])
    )
    single: Mapping[str, str] = {
        name: only
        for name in often
        if name and len(prints[name]) == 1 and (only := next(iter(prints[name]))) is not None
    }
    return dict(list(single.items())[:MOST_TOOLS])


def _learn_prompts(labels: Sequence[Label]) -> KnownPrompts:
    counts = Counter(found for label in labels if (found := prompt_fingerprint(label.messages)) is not None)
    return KnownPrompts(counts.total(), len(counts), dict(counts.most_common(MOST_PROMPTS)))
