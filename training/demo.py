"""The main job on the embedded sample, by the same functions as the commands. Measures nothing itself."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.rule import Rule

import learned_router
from learned_router.errors import InputError
from learned_router.router import Router
from learned_router.training import label, report
from learned_router.training.labelling import label_report
from learned_router.training.labels import load_labels
from learned_router.training.pipeline import train
from learned_router.training.recipe import load_recipe

TIERS = {"small": "SmolLM2-135M-Instruct", "frontier": "reference"}
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
    """Label, split, train, calibrate, export, evaluate and route; labels, artifact and picture stand in ``out``."""
    labels_path, artifact, picture = out / "labels.jsonl.gz", out / "router", out / "curve.png"

    console.print(Rule("1  label and split the embedded sample", align="left"))
    run = label.label_files([sample_path()], TIERS, labels_path, seed=seed)
    label_report.render_label_run(run, console)

    console.print(Rule("2  train, calibrate, export, evaluate", align="left"))
    labels = load_labels([labels_path])
    trained = train(labels, artifact, load_recipe(recipe), seed=seed, cache=out / "cache", console=console)
    if trained.evaluation:
        report.render(trained.evaluation, console)
        report.plot(trained.evaluation, picture)

    console.print(Rule("3  route", align="left"))
    for prompt in PROMPTS:
        decision = trained.router.route(prompt)
        console.print(f"{decision.tier:>9}  {decision.reason:<18} {prompt}", highlight=False)
    console.print(f"\nlabels {labels_path}, router {artifact}, picture {picture}", highlight=False)
    return trained.router
