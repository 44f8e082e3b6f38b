"""The certificate in words: one paragraph that somebody who pays the bill can read. Knows words only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from learned_router.certificate import Saving, Slice, Statement, exact_percent


def name_slice(steps: Sequence[str], *, only: bool) -> str:
    """only: there is no other slice."""
    return ", ".join(steps) if steps else "all steps" if only else "all other steps"


class Basis(NamedTuple):
    """What a statement rests on. gated: the gate looks at answers. relative: see ``Grading``. by_estimate: the thresholds
    are not proved, and used all the same. units, calls: that prove it. most_of_a_session: calls as which one session
    counts at most, None where none is larger.
    """

    gated: bool
    relative: bool
    by_estimate: bool
    units: int
    calls: int
    most_of_a_session: float | None


def describe(statement: Statement, tiers: Sequence[str], basis: Basis) -> str:
    """What is promised and on what grounds, or why nothing is yet and what it would take. tiers: names, cheapest first."""
    top, sure, target = tiers[-1], exact_percent(1 - statement.delta), exact_percent(statement.target)
    graded = ", as the grader sees quality," if basis.relative else ""
    went = "are answered by" if basis.gated else "go to"
    shares = ", ".join(f"{share:.0%} of calls {went} {tier}" for tier, share in list(statement.shares.items())[:-1])
    if not statement.certified:
        goes = (
            f"Thresholds by estimate are used all the same: on the calls that were to prove it, {shares}, and "
            f"{statement.kept:.1%} of the quality is kept there, which nothing promises of others."
            if basis.by_estimate
            else f"So every call goes to {top}."
        )
        return (
            f"It cannot be promised yet that {target} of {top}'s quality is kept{graded} with probability {sure}. {goes} "
            f"{_what_lacks(statement.slices)}"
        )
    slices = sum(part.certified for part in statement.slices)
    sentences = [
        f"With probability at least {sure}, traffic like the calibration sample keeps{graded} at least {target} of {top}'s "
        f"quality{' in every slice' if slices > 1 else ''}.",
        f"It is proved on {basis.calls:,} calls in {basis.units:,} independent units that chose nothing else, by "
        f"{'an exact binomial test' if statement.bound == 'binomial' else 'a betting test'}.",
    ]
    if basis.most_of_a_session is not None:
        sentences.append(f"A session, or a group of duplicates, counts as at most {basis.most_of_a_session:.1f} calls.")
    sentences += [
        f"By estimate, {shares}, and {statement.kept:.1%} of the quality is kept.",
        _describe_saving(statement.saving, statement.escalated if basis.gated else None, top),
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
