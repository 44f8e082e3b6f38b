"""The certificate in words: one paragraph that somebody who pays the bill can read. Knows words only."""

from __future__ import annotations

from collections.abc import Sequence

from learned_router.certificate import Saving, Slice, Statement


def name_slice(steps: Sequence[str], *, only: bool) -> str:
    """only: there is no other slice."""
    return ", ".join(steps) if steps else "all steps" if only else "all other steps"


def describe(statement: Statement, tiers: Sequence[str], *, gated: bool, relative: bool) -> str:
    """What is promised and on what grounds, or why nothing is yet and what it would take.

    tiers: names, cheapest first. gated: the gate looks at answers. relative: see ``Grading``.
    """
    top = tiers[-1]
    graded = ", as the grader sees quality," if relative else ""
    if not statement.certified:
        return (
            f"It cannot be promised yet that {statement.target:.0%} of {top}'s quality is kept{graded} with probability "
            f"{1 - statement.delta:.0%}, so every call goes to {top}. {_what_lacks(statement.slices)}"
        )
    proved = [part for part in statement.slices if part.certified]
    units, calls = sum(part.units for part in proved), sum(part.calls for part in proved)
    went = "are answered by" if gated else "go to"
    shares = ", ".join(f"{share:.0%} of calls {went} {tier}" for tier, share in list(statement.shares.items())[:-1])
    sentences = [
        f"With probability at least {1 - statement.delta:.0%}, traffic like the calibration sample keeps{graded} at least "
        f"{statement.target:.0%} of {top}'s quality{' in every slice' if len(proved) > 1 else ''}.",
        f"It is proved on {calls:,} calls in {units:,} independent units that chose nothing else, by "
        f"{'an exact binomial test' if statement.bound == 'binomial' else 'a betting test'}.",
        f"On them {shares}, and {statement.kept:.1%} of the quality is kept, by estimate.",
        _describe_saving(statement.saving, statement.escalated if gated else None, top),
    ]
    lacking = [part for part in statement.slices if not part.certified]
    if lacking:
        names = "; ".join(part.name for part in lacking)
        sentences.append(f"Not proved, and so sent to {top}: {names}. {_what_lacks(lacking)}")
    return " ".join(sentences)


def _describe_saving(saving: Saving, escalated: float | None, top: str) -> str:
    wasted = "" if escalated is None else f", {escalated:.0%} of calls being paid for twice,"
    router = (
        "what deciding costs not counted, since prices are not known" if saving.router is None else "deciding included"
    )
    sentence = f"That is expected to save{wasted} {saving.net:.1%} of the bill ({router})."
    if saving.break_even_calls is None:
        return sentence
    return (
        f"{sentence} Had all labels been bought, they would cost as much as {saving.labels:,.0f} calls of {top}, earned "
        f"back after {saving.break_even_calls:,} calls."
    )


def _what_lacks(slices: Sequence[Slice]) -> str:
    wanted = [(part.more_labels, part.name) for part in slices if part.more_labels is not None]
    if wanted:
        labels, name = min(wanted)
        which = f" of {name}" if len(slices) > 1 else ""
        return f"About {labels:,} more labels{which} would probably do (four times in five, by the spread seen)."
    if all(part.delta == 0.0 for part in slices):  # never tested
        return "Too few labels show these steps."
    return "More labels alone would not do: by estimate, no threshold worth having keeps so much."
