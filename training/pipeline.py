"""The whole run in one screen: labels → networks → calibration → graphs → thresholds → artifact.

Each step takes the last one's result; the steps do not know each other.
"""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console

from learned_router.artifact import CERTIFICATE, GATE, SCHEMA_VERSION, Config, GateConfig, Provenance
from learned_router.certificate import Bound, Certificate
from learned_router.errors import LabelError
from learned_router.fingerprints import Fingerprints
from learned_router.policy import NEVER_DOWN, Mode, Tier
from learned_router.pricing import Price
from learned_router.replay import make_references
from learned_router.request import STEPS, Request
from learned_router.request_features import FEATURES
from learned_router.router import Router
from learned_router.training import export
from learned_router.training.card import write_card
from learned_router.training.costs import CostModel, cost_calls
from learned_router.training.evaluate import evaluate
from learned_router.training.evaluation import Evaluation
from learned_router.training.fit import end_all_but_the_first, fit, forget_checkpoints
from learned_router.training.footprint import measure_footprint
from learned_router.training.grounds import Grounds
from learned_router.training.labels import LEAST_BY_SPLIT, LabelSet, check_trainable, find_why_no_gate
from learned_router.training.learned import Learned, calibrate_and_export, expects_logprobs, judge_answers
from learned_router.training.model import find_tokenizer
from learned_router.training.pretrained import Pretrained, find_pretrained, read_about
from learned_router.training.promises import certify
from learned_router.training.reader import GATE_TIERS, answer_reader, answered_labels, request_reader
from learned_router.training.recipe import Recipe, with_gate_knobs
from learned_router.training.records import Label, Output, label_request
from learned_router.training.split import tuning_part
from learned_router.training.stable_tools import learn_fingerprints
from learned_router.training.thresholds import OperatingPoint, PairPoint, choose_pairs, choose_threshold
from learned_router.view import GATE_FEATURES

VERSIONS_OF = ("learned-router", "torch", "transformers", "onnxruntime")


class TrainRun(msgspec.Struct):
    """What a run made: the router, what it promises, its evaluation on the test split.

    points: by mode, what would be chosen by point estimate; pairs: of router and gate together, empty without a gate, and
    then why_no_gate says why there is none.
    """

    router: Router
    certificate: Certificate
    points: dict[str, OperatingPoint]
    pairs: dict[str, PairPoint]
    why_no_gate: str
    evaluation: Evaluation | None


def train(
    labels: LabelSet,
    out: Path,
    recipe: Recipe,
    *,
    seed: int = 0,
    delta: float = 0.05,
    allow_uncertified: bool = False,
    tiers: Sequence[Tier] | None = None,
    gate: bool | None = None,
    prices: Mapping[str, Price] | None = None,
    references: Sequence[Label] | None = None,
    note: str = "",
    baselines: bool = True,
    cache: Path | None = None,
    console: Console | None = None,
) -> TrainRun:
    """Train a router on labels, and a gate on the answers they hold, and write their artifact to ``out``.

    Killed, it goes on from its last checkpoint when re-run.
    delta: chance that a mode's promise fails. allow_uncertified: where a promise cannot be proved, thresholds by point
    estimate, rather than everything to the top tier.
    tiers: what is known of the tiers beyond their names. gate: whether to train one; None where the labels hold answers
    enough. prices: of tokens, by tier, which win over the known ones. references: requests for ``reference.jsonl``, by
    default those of the calibration split. note: a sentence for the card. baselines: measure them beside the router, their
    embeddings kept in ``cache``. console: where progress goes.
    Raises LabelError when the labels cannot train what was asked for, ExportError when the artifact cannot be written or
    trusted.
    """
    say: Callable[[str], None] = console.print if console else lambda line: None
    check_trainable(labels)
    export.check_target(out)
    tiers = tuple(tiers or (Tier(name=tier, model=labels.models[tier]) for tier in labels.tiers))
    costs = cost_calls(labels.of("train"), tiers, prices or {})
    answers = {split: answered_labels(labels.of(split), labels.tiers) for split in ("train", "calibration")}
    why_no_gate = "it was not asked for" if gate is False else find_why_no_gate(answers)
    if gate and why_no_gate:
        raise LabelError(f"--gate: {why_no_gate}")

    run = hashlib.sha256(f"{recipe.sha256} {labels.sha256} {seed}".encode()).hexdigest()[:12]
    checkpoints = out.with_name(f".{out.name}.training")
    train_split, calibration = labels.of("train"), labels.of("calibration")
    say(f"training on {len(train_split):,} labels, recipe {recipe.name!r}")
    reader = request_reader(recipe)
    train_net = partial(fit, seed=seed, console=console)
    net = train_net(train_split, reader, recipe, checkpoints / run, tiers=labels.tiers)
    if why_no_gate:
        say(f"no gate: {why_no_gate}")
    else:
        say(f"training the gate on {len(answers['train']):,} answers")
        gate_reader, gate_recipe = answer_reader(recipe, labels.tiers), with_gate_knobs(recipe)
        gate_net = train_net(answers["train"], gate_reader, gate_recipe, checkpoints / f"{run}-gate", tiers=GATE_TIERS)
    end_all_but_the_first()

    say(f"calibrating on {len(calibration):,} labels, and exporting")
    tuning = _choose_tuning(calibration, answers["calibration"] if not why_no_gate else [], labels.tiers)
    learned = calibrate_and_export(
        net, train_split, calibration, reader, recipe, labels.tiers, seed=seed, tuning=tuning
    )
    # thresholds rest on what the graph says, since the graph is what will decide
    rows = learned.complete
    seen = (learned.quality[rows], learned.truth[rows], learned.weight[rows])
    points = {mode: choose_threshold(*seen, target, learned.in_range[rows]) for mode, target in recipe.modes.items()}
    learned_gate, judged, pairs = None, None, {}
    telling = expects_logprobs(answers["train"])
    if not why_no_gate:
        learned_gate = calibrate_and_export(
            gate_net,
            answers["train"],
            answers["calibration"],
            gate_reader,
            gate_recipe,
            GATE_TIERS,
            seed=seed,
            tuning=_of_same_groups(answers["calibration"], calibration, tuning),
        )
        judged = judge_answers(
            calibration,
            answers["calibration"],
            learned_gate,
            labels.tiers,
            recipe.gate.rules,
            telling=telling,
        )
        rows = rows & judged.there
        pairs = choose_pairs(
            learned.quality[rows],
            judged.take(rows),
            learned.truth[rows],
            learned.weight[rows],
            recipe.modes,
            learned.in_range[rows],
            costs.vector(labels.tiers),
        )
    tuned = [label for label, chosen in zip(calibration, tuning, strict=True) if chosen]
    fingerprints = learn_fingerprints(train_split, tuned)
    say("proving what each mode keeps")
    promises = certify(
        Grounds(
            calibration=calibration,
            train=train_split,
            tiers=tiers,
            learned=learned,
            tuning=tuning,
            judged=judged,
            costs=costs,
            labels_count=len(labels.labels),
            bound_to=Bound(
                models={tier.name: tier.model for tier in tiers},
                labels_sha256=labels.sha256,
                tools=fingerprints.tools,
                system_prompts=fingerprints.prompts.fingerprints,
            ),
        ),
        recipe.modes,
        delta,
        estimates=points if allow_uncertified else None,
        pairs=pairs if allow_uncertified else None,
        seed=seed,
    )
    export.compare_decisions(
        learned.quality, learned.expected, _all_thresholds(promises.modes, gate=False), learned.difference
    )
    if learned_gate:
        accepts = _all_thresholds(promises.modes, gate=True)
        export.compare_decisions(
            learned_gate.quality, learned_gate.expected, accepts, learned_gate.difference, graph=GATE
        )
    networks = {"router": learned} | ({"gate": learned_gate} if learned_gate else {})
    config = _configure(
        out.name, labels, recipe, tiers, learned, learned_gate, telling, promises.modes, fingerprints, costs, seed
    )
    evaluation: Evaluation | None = None

    def measure(router: Router) -> dict[str, bytes]:
        nonlocal evaluation
        if labels.of("test"):
            say(f"evaluating on {len(labels.of('test')):,} labels")
            evaluation = evaluate(
                router,
                labels.labels,
                baselines=baselines,
                seed=seed,
                cache=cache,
                prices=None if costs.assumed else costs.calls,
                call_costs=costs.calls,
                progress=say,
            )
        shown = references or calibration
        lines = [
            msgspec.json.encode(reference)
            for reference in make_references(
                router, [label_request(label) for label in shown], _judged_requests(shown, labels.tiers)
            )
        ]
        footprint = measure_footprint(router.path)
        card = write_card(
            config,
            evaluation,
            footprint=footprint,
            agreement={
                name: export.describe_difference(network.difference, recipe.export)
                for name, network in networks.items()
            },
            unlike={name: 1.0 - float(network.in_range.mean()) for name, network in networks.items()},
            note=note,
            encoder=_pretrained_of(recipe),
            costs=costs,
            certificate=promises.certificate,
            why_no_gate=why_no_gate,
        )
        return {
            "metrics.json": _pretty({**msgspec.to_builtins(evaluation or {}), "footprint": footprint}),
            "reference.jsonl": b"\n".join(lines) + b"\n",
            "README.md": card.encode(),
        }

    contents = {
        "model.onnx": learned.graph,
        **({GATE: learned_gate.graph} if learned_gate else {}),
        "tokenizer.json": find_tokenizer(recipe.encoder.name).read_bytes(),
        CERTIFICATE: _pretty(promises.certificate),
        "metrics.json": b"{}\n",
        "reference.jsonl": b"",
        "README.md": b"",
    }
    router = export.write_artifact(out, config, contents, measure)
    forget_checkpoints(checkpoints)
    return TrainRun(
        router=router,
        certificate=promises.certificate,
        points=points,
        pairs=pairs,
        why_no_gate=why_no_gate,
        evaluation=evaluation,
    )


def _choose_tuning(calibration: Sequence[Label], answers: Sequence[Label], tiers: Sequence[str]) -> np.ndarray:
    """The tuning part, or all where it would know too little of a tier or of answers: then nothing is left to prove with."""
    tuning = tuning_part(calibration)
    tuned = [label for label, chosen in zip(calibration, tuning, strict=True) if chosen]
    parts = [[sum(tier in label.quality for label in some) for some in (tuned, calibration)] for tier in tiers]
    if answers:
        parts.append([int(_of_same_groups(answers, calibration, tuning).sum()), len(answers)])
    enough = all(some >= min(LEAST_BY_SPLIT["calibration"], every) for some, every in parts)
    return tuning if enough else np.ones(len(calibration), dtype=bool)


def _of_same_groups(answers: Sequence[Label], calibration: Sequence[Label], tuning: np.ndarray) -> np.ndarray:
    """Which answers are to labels of the tuning part, bool (n,): what proves must have chosen nothing of the gate either."""
    chosen = {label.id for label, taken in zip(calibration, tuning, strict=True) if taken}
    return np.array([answer.id in chosen for answer in answers], dtype=bool)


def _all_thresholds(modes: Mapping[str, Mode], *, gate: bool) -> dict[str, float]:
    """Every threshold that something may pass, by mode and step."""
    found: dict[str, float] = {}
    for name, mode in modes.items():
        if gate and mode.gated:
            found |= {name: mode.gated.accept, **{f"{name}, {s}": pair[1] for s, pair in mode.gated.steps.items()}}
        elif not gate:
            found |= {name: mode.threshold, **{f"{name}, {step}": value for step, value in mode.steps.items()}}
    return {name: threshold for name, threshold in found.items() if threshold > NEVER_DOWN}


def _configure(
    name: str,
    labels: LabelSet,
    recipe: Recipe,
    tiers: tuple[Tier, ...],
    learned: Learned,
    gate: Learned | None,
    telling: bool,
    modes: dict[str, Mode],
    fingerprints: Fingerprints,
    costs: CostModel,
    seed: int,
) -> Config:
    sources, licences = labels.sources()
    return Config(
        schema_version=SCHEMA_VERSION,
        name=name,
        tiers=tiers,
        steps=STEPS,
        view=recipe.view,
        features=FEATURES,
        modes=modes,
        default_mode=recipe.default_mode,
        ood_threshold=learned.ood_threshold,
        confidence=dict(zip(labels.tiers, learned.confidence, strict=False)),
        prices=costs.prices,
        call_costs=costs.calls,
        fingerprints=fingerprints,
        files={},
        gate=None
        if gate is None
        else GateConfig(
            view=recipe.gate.view,
            features=GATE_FEATURES,
            ood_threshold=gate.ood_threshold,
            confidence=gate.confidence[0],
            rules=recipe.gate.rules,
            expects_logprobs=telling,
        ),
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


def _judged_requests(labels: Sequence[Label], tiers: Sequence[str]) -> list[tuple[Request, str, Output]]:
    return [
        (label_request(label), tier, output)
        for label in answered_labels(labels, tiers)
        for tier, output in label.outputs.items()
    ]


def _pretrained_of(recipe: Recipe) -> Pretrained | None:
    found = find_pretrained(recipe.encoder.name)
    return read_about(found) if found else None


def _pretty(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"
