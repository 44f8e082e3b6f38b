"""The main job on the embedded sample, by the same functions as the commands. Measures nothing itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import shorten
from typing import Final

from rich.console import Console
from rich.markup import escape
from rich.rule import Rule

import learned_router
from learned_router.errors import InputError
from learned_router.request import Message, message_text
from learned_router.router import Router
from learned_router.terminal import show_certificate
from learned_router.training import label, report
from learned_router.training.labelling import label_report
from learned_router.training.labels import load_labels
from learned_router.training.pipeline import train
from learned_router.training.recipe import load_recipe
from learned_router.training.records import Label, Output, label_request

TIERS = {"small": "SmolLM2-135M-Instruct", "frontier": "reference"}
TIER: Final = "small"
SHOWN: Final = 3
SHOWN_CHARS: Final = 26
PROMPTS = (
    "list my recent commits",
    "Plan the migration of our billing service to another region: name the tools to call, in order, and why.",
)


def sample_path() -> Path:
    """The embedded sample: inside the package (wheel) or beside it (checkout). Raises InputError when it is in neither."""
    package = Path(learned_router.__file__).parent
    for folder in (package / "data", package.parent / "data"):
        if (folder / "sample.jsonl.gz").is_file():
            return folder / "sample.jsonl.gz"
    raise InputError("the embedded sample data/sample.jsonl.gz is not installed; run the demo from a checkout")


def run_demo(out: Path, *, recipe: str, seed: int, console: Console) -> Router:
    """The main job on the embedded sample; labels, artifact and picture stand in ``out``."""
    labels_path, artifact, picture = out / "labels.jsonl.gz", out / "router", out / "curve.png"

    console.print(Rule("1  label and split the embedded sample", align="left"))
    run = label.label_files([sample_path()], TIERS, labels_path, seed=seed)
    label_report.render_label_run(run, console)

    console.print(Rule("2  train, calibrate, export, evaluate", align="left"))
    labels = load_labels([labels_path])
    # the sample asks few questions in many words: too few independent ones for a promise, and a demo should route
    trained = train(
        labels,
        artifact,
        load_recipe(recipe),
        seed=seed,
        allow_uncertified=True,
        cache=out / "cache",
        console=console,
    )
    if trained.evaluation:
        report.render(trained.evaluation, console)
        report.plot(trained.evaluation, picture)
    show_certificate(trained.certificate, console)
    if not any(mode.certified for mode in trained.router.modes.values()):
        console.print(
            "The demo routes by estimate all the same, as 'learned-router train --allow-uncertified' does.",
            highlight=False,
        )

    console.print(Rule("3  route", align="left"))
    for prompt in PROMPTS:
        decision = trained.router.route(prompt)
        console.print(
            f"{decision.tier:>9}  {decision.reason:<16}  {shorten(prompt, 48, placeholder='…')}", highlight=False
        )
    if trained.router.has_gate:
        console.print(Rule("4  look at the small model's answers before trusting them", align="left"))
        _show_gate(trained.router, labels.of("test"), console)
    console.print(f"\nlabels {labels_path}, router {artifact}, picture {picture}", highlight=False)
    return trained.router


def _show_gate(router: Router, labels: Sequence[Label], console: Console) -> None:
    """What the gate says of some answers of the small tier, in the default mode, and of how many it says so."""
    answered = [item for item in labels if TIER in item.outputs]
    requests = [label_request(item) for item in answered]
    mode = router.config.default_mode
    found = router.accept_modes(requests, [item.outputs[TIER] for item in answered], tier=TIER)[mode]
    for accept in (True, False):
        some = [pair for pair in zip(found, answered, strict=True) if pair[0].accept is accept][:SHOWN]
        for acceptance, item in some:
            graded = "as good" if item.quality[TIER] >= item.quality[router.tiers[-1]] else "worse"
            console.print(
                f"{'keep' if accept else 'escalate':>9}  {acceptance.reason:<16}  {_short(item.messages[-1])} → "
                f"{_short(item.outputs[TIER])}  [dim](graded {graded})[/]",
                highlight=False,
                overflow="ellipsis",
                no_wrap=True,
            )
    kept = sum(acceptance.accept for acceptance in found)
    console.print(
        f"of {len(found):,} answers of {TIERS[TIER]} the gate keeps {kept:,} in mode {mode}; what router and gate save "
        "together stands in the table above",
        highlight=False,
    )


def _short(part: Message | Output) -> str:
    if isinstance(part, Message):
        text = message_text(part)
    else:
        calls = "; ".join(f"{call.name}(…)" for call in part.tool_calls or ())
        text = calls or part.text or "nothing"
    return escape(shorten(text, SHOWN_CHARS, placeholder="…"))
