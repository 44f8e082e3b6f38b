"""The whole run in one screen: labels → network → calibration → graph → thresholds → artifact.

Each step takes the last one's result; the steps do not know each other.
"""

from __future__ import annotations

import datetime
import hashlib
import random
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console

from learned_router.artifact import SCHEMA_VERSION, Config, Provenance
from learned_router.encoder import Encoder, Packer
from learned_router.policy import Mode, Tier
from learned_router.replay import make_references
from learned_router.request import STEPS, Request
from learned_router.request_features import FEATURES
from learned_router.router import Router
from learned_router.training import export
from learned_router.training.calibrate import apply_scaling, fit_confidence, fit_known, scale_quality
from learned_router.training.card import write_card
from learned_router.training.evaluate import evaluate
from learned_router.training.evaluation import Evaluation
from learned_router.training.fit import bare_label, fit, forget_checkpoints, predict
from learned_router.training.labels import LabelSet, check_trainable
from learned_router.training.model import CalibratedNet, find_tokenizer
from learned_router.training.pretrained import find_pretrained, read_about
from learned_router.training.recipe import Recipe
from learned_router.training.records import Label, label_request
from learned_router.training.thresholds import OperatingPoint, choose_threshold
from learned_router.view import make_view

# Training requests that the out-of-distribution score is fitted on: enough for 64 components, seconds to embed
KNOWN_ROWS = 2_000
VERSIONS_OF = ("learned-router", "torch", "transformers", "onnxruntime")


class TrainRun(msgspec.Struct):
    """What a run made: the router, its operating points on the calibration split, its evaluation on the test split."""

    router: Router
    points: dict[str, OperatingPoint]
    evaluation: Evaluation | None


def train(
    labels: LabelSet,
    out: Path,
    recipe: Recipe,
    *,
    seed: int = 0,
    delta: float = 0.05,
    tiers: Sequence[Tier] | None = None,
    references: Sequence[Label] | None = None,
    note: str = "",
    baselines: bool = True,
    cache: Path | None = None,
    console: Console | None = None,
) -> TrainRun:
    """Train a router on labels and write its artifact to ``out``. Killed, it goes on from its last checkpoint when re-run.

    tiers: what is known of the tiers beyond their names. references: requests for ``reference.jsonl``, by default those
    of the calibration split. note: a sentence for the card. baselines: measure them beside the router, their
    embeddings kept in ``cache``. console: where progress goes.
    Raises LabelError when the labels cannot train a router, ExportError when the artifact cannot be written or trusted.
    """
    say: Callable[[str], None] = console.print if console else lambda line: None
    check_trainable(labels)
    export.check_target(out)
    packer = Packer.load(find_tokenizer(recipe.encoder.name), recipe.view)
    train_split, calibration = labels.of("train"), labels.of("calibration")

    run = hashlib.sha256(f"{recipe.sha256} {labels.sha256} {seed}".encode()).hexdigest()[:12]
    checkpoints = out.with_name(f".{out.name}.training") / run
    say(f"training on {len(train_split):,} labels, recipe {recipe.name!r}")
    net = fit(train_split, packer, recipe, checkpoints, seed=seed, tiers=labels.tiers, console=console)

    say(f"calibrating on {len(calibration):,} labels")
    truth = np.array([[label.quality.get(tier, np.nan) for tier in labels.tiers] for label in calibration])
    weight = np.array([label.weight for label in calibration])
    complete = ~np.isnan(truth).any(axis=1)
    logits, _, _ = predict(net, calibration, packer, recipe)
    scaling = scale_quality(logits, truth, weight)
    seen = random.Random(seed).sample(train_split, min(len(train_split), KNOWN_ROWS))
    seen += [shown for label in seen if (shown := bare_label(label))]
    known = fit_known(predict(net, seen, packer, recipe)[2], recipe.calibrate.ood_centres, seed)

    say("exporting")
    taught = sorted({STEPS.index(label.step) for label in train_split if label.step})
    graph = export.build_graph(CalibratedNet(net, scaling, known, taught), recipe.export)
    views = [make_view(label_request(label), recipe.view) for label in calibration]
    prediction, _ = Encoder(graph, packer).predict(views)
    expected = apply_scaling(logits, scaling)
    difference = export.compare(prediction.quality, expected, recipe.export)

    # thresholds rest on what the graph says, since the graph is what will decide
    bare = [make_view(label_request(shown), recipe.view) for label in calibration if (shown := bare_label(label))]
    ood_threshold = max(
        float(np.quantile(ood, recipe.calibrate.ood_quantile))
        for ood in (prediction.ood, *([Encoder(graph, packer).predict(bare)[0].ood] if bare else []))
    )
    seen_whole = (prediction.quality[complete], truth[complete], weight[complete])
    in_range = prediction.ood[complete] <= ood_threshold
    points = {mode: choose_threshold(*seen_whole, target, in_range) for mode, target in recipe.modes.items()}
    export.compare_decisions(
        prediction.quality, expected, {mode: point.threshold for mode, point in points.items()}, difference
    )
    sources, licences = labels.sources()
    pretrained = find_pretrained(recipe.encoder.name)
    encoder = read_about(pretrained) if pretrained else None
    config = Config(
        schema_version=SCHEMA_VERSION,
        name=out.name,
        tiers=tuple(tiers or (Tier(name=tier, model=labels.models[tier]) for tier in labels.tiers)),
        steps=STEPS,
        view=recipe.view,
        features=FEATURES,
        modes={
            mode: Mode(target=recipe.modes[mode], threshold=round(point.threshold, 6)) for mode, point in points.items()
        },
        default_mode=recipe.default_mode,
        ood_threshold=ood_threshold,
        confidence=dict(zip(labels.tiers, fit_confidence(prediction.quality, truth, weight), strict=False)),
        prices={},
        files={},
        provenance=Provenance(
            recipe=recipe.name,
            recipe_sha256=recipe.sha256,
            labels_sha256=labels.sha256,
            labels=labels.counts(),
            seed=seed,
            created=datetime.datetime.now(datetime.UTC).date().isoformat(),
            versions={package: version(package) for package in VERSIONS_OF},
            sources=sources,
            licences=licences,
        ),
    )
    agreement = (
        f"{'int8' if recipe.export.int8 else 'float32'} graph against the trained model: quality differs by "
        f"{difference.mean:.4f} in the mean, {difference.largest:.4f} at most"
    )
    evaluation: Evaluation | None = None

    def measure(router: Router) -> dict[str, bytes]:
        nonlocal evaluation
        if labels.of("test"):
            say(f"evaluating on {len(labels.of('test')):,} labels")
            evaluation = evaluate(router, labels.labels, baselines=baselines, seed=seed, cache=cache, progress=say)
        requests = [_plain(label_request(label)) for label in (references or calibration)]
        lines = [msgspec.json.encode(reference) for reference in make_references(router, requests)]
        card = write_card(config, evaluation, graph_bytes=len(graph), agreement=agreement, note=note, encoder=encoder)
        return {
            "metrics.json": _pretty(evaluation or {}),
            "reference.jsonl": b"\n".join(lines) + b"\n",
            "README.md": card.encode(),
        }

    contents = {
        "model.onnx": graph,
        "tokenizer.json": find_tokenizer(recipe.encoder.name).read_bytes(),
        "certificate.json": _pretty(_uncertified(config, points, delta, int(complete.sum()))),
        "metrics.json": b"{}\n",
        "reference.jsonl": b"",
        "README.md": b"",
    }
    router = export.write_artifact(out, config, contents, measure)
    forget_checkpoints(checkpoints.parent)
    return TrainRun(router=router, points=points, evaluation=evaluation)


def _uncertified(config: Config, points: dict[str, OperatingPoint], delta: float, rows: int) -> dict[str, object]:
    """``certificate.json`` of an artifact without one: the point estimates, and that they promise nothing."""
    return {
        "certified": False,
        "why": "thresholds are point estimates on the calibration split; no statistical bound was computed",
        "delta": delta,
        "n": rows,
        "modes": {
            mode: {
                "target": config.modes[mode].target,
                "threshold": config.modes[mode].threshold,
                "kept_estimate": point.kept,
                "shares": dict(zip((tier.name for tier in config.tiers), point.shares, strict=True)),
            }
            for mode, point in points.items()
        },
    }


def _plain(request: Request) -> dict[str, object]:
    plain: dict[str, object] = msgspec.to_builtins(request)
    return plain


def _pretty(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
