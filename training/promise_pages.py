"""What an artifact promises, as the card's Markdown: tables, paragraphs, cost model, what it is bound to. Knows words."""

from __future__ import annotations

from learned_router.artifact import Config
from learned_router.certificate import Certificate, Statement, below_top, exact_percent
from learned_router.policy import NEVER_DOWN
from learned_router.training.costs import CostModel


def describe_promises(config: Config, certificate: Certificate, costs: CostModel) -> str:
    """The card's part on modes: what each promises for the router alone and, where there is one, with the gate."""
    alone = {mode: found.router for mode, found in certificate.modes.items()}
    gated = {mode: found.gated for mode, found in certificate.modes.items() if found.gated}
    parts = [
        f"""A threshold is the predicted regret allowed. It was proved on calibration labels that chose nothing else, or,
where it could not be, everything goes to `{config.tiers[-1].name}`{_unless_allowed(config)}. A promise
holds with probability {exact_percent(1 - certificate.delta)} over the draw of those labels, for each mode by itself, and
for traffic like them alone.

### The router alone

{_modes_table(config, alone, gated=False)}
{_paragraphs(alone)}"""
    ]
    if gated:
        parts.append(f"""### With the gate

`decision = router.route(request, gated=True)`, then the call, then, unless it went to the top tier,
`router.accept(request, output, decision=decision)`; `Cascade` does the three. The two thresholds of a mode were proved
together, going down a path from dear to cheap that predictions draw.

{_modes_table(config, gated, gated=True)}
{_paragraphs(gated)}""")
    parts += [_slices(certificate), _cost_model(costs, gated=bool(gated)), _grounds(certificate)]
    return "\n".join(part for part in parts if part)


def _unless_allowed(config: Config) -> str:
    loose = [name for name, mode in config.modes.items() if not mode.certified and mode.threshold > NEVER_DOWN]
    return f" (not in {', '.join(loose)}: **there, thresholds without proof were asked for**)" if loose else ""


def _modes_table(config: Config, statements: dict[str, Statement], *, gated: bool) -> str:
    rows = []
    for mode, statement in statements.items():
        point = config.modes[mode]
        default = " (default)" if mode == config.default_mode else ""
        both = (point.gated.route, point.gated.accept) if gated and point.gated else (point.threshold,)
        by_step = bool(point.gated.steps) if gated and point.gated else bool(point.steps)
        thresholds = " | ".join(
            "by step" if by_step else f"{value:.4f}" if value > NEVER_DOWN else "never down" for value in both
        )
        down = below_top(statement.shares)
        rows.append(
            f"| {mode}{default} | {exact_percent(statement.target)} | {_yes(statement)} | {thresholds} | "
            f"{down:.1%} | {statement.kept:.1%} | {statement.saving.net:.1%} |"
        )
    names = "router | gate" if gated else "threshold"
    dashes = "---|---" if gated else "---"
    used = "answered below" if gated else "sent down"
    head = f"| mode | target | certified | {names} | {used} | kept, by estimate | saved, net |"
    return "\n".join([head, f"|---|---|---|{dashes}|---|---|---|", *rows]) + "\n"


def _yes(statement: Statement) -> str:
    return "yes" if statement.certified else "not yet"


def _paragraphs(statements: dict[str, Statement]) -> str:
    return "".join(f"\n**{mode}.** {statement.text}\n" for mode, statement in statements.items())


def _slices(certificate: Certificate) -> str:
    """The table by step, where a mode has more than one slice."""
    rows = [
        f"| {mode}{', with the gate' if way == 'gated' else ''} | {part.name} | {'yes' if part.certified else 'no'} | "
        f"{part.units:,} | {below_top(part.shares):.1%} | {part.kept:.1%} |"
        for mode, found in certificate.modes.items()
        for way, statement in (("router", found.router), ("gated", found.gated))
        if statement is not None and len(statement.slices) > 1
        for part in statement.slices
    ]
    if not rows:
        return ""
    head = "| mode | steps | certified | units | answered below | kept, by estimate |\n|---|---|---|---|---|---|"
    return "\n".join(["### By step\n", head, *rows]) + "\n"


def _cost_model(costs: CostModel, *, gated: bool) -> str:
    calls = ", ".join(f"`{tier}` {cost:.4f}" for tier, cost in costs.calls.items())
    if costs.assumed:
        where = (
            "The prices of these models are not known, so these costs are **assumed**: `learned-router train --price "
            "NAME=IN,OUT` takes real ones."
        )
    else:
        prices = "; ".join(
            f"`{tier}` {price.input_per_million:g} and {price.output_per_million:g} $ ({price.source}, {price.as_of})"
            for tier, price in costs.prices.items()
        )
        where = f"Prices of a million tokens in and out: {prices}."
    wasted = (
        "A call that goes up costs one top-tier call; one that is tried below costs that tier's call, and a top-tier call "
        "too where its answer is not kept. "
        if gated
        else ""
    )
    return f"""**Cost model.** {wasted}An average call costs, the top tier's being 1: {calls}, at {costs.input_tokens:,.0f}
tokens in and {costs.output_tokens:,.0f} out (counted by the log, else four characters a token; a top-tier answer is taken to
be as long as the lower tier's). {where} What is saved is net of deciding, put at ten milliseconds of a core where prices are
known; of labels, that both answers were bought; a judge's cost is not in it.
"""


def _grounds(certificate: Certificate) -> str:
    bound, grading = certificate.bound_to, certificate.grading
    models = ", ".join(f"`{tier}` = {model}" for tier, model in bound.models.items())
    graders = ", ".join(f"{grader} {count:,}" for grader, count in grading.graders.items())
    if grading.reviewed:
        error = f"{grading.reviewed:,} drawn at random were graded again by a person; the bound includes the graders' error."
    elif grading.relative:
        error = (
            f"{grading.uncertain:.0%} of them are not certain and none was graded again by a person, so every promise is "
            "**relative to the grader**: `learned-router label --audit` draws some for a person, and the bound then "
            "includes the grader's error."
        )
    else:
        error = "All of them are certain."
    return f"""**Bound to.** {models}; labels {bound.labels_sha256[:12]}; {certificate.created}. Graded by: {graders}.
{error} A session, or a group of duplicates, is one unit and counts as at most {certificate.unit_calls:.1f} calls.
"""
