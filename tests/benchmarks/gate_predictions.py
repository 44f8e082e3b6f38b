"""Train the router and the gate of a pair, keep what their graphs say of its labels, and what plain rivals say.

Knows labels, networks and a folder of arrays; knows nothing of figures or pages. What was trained once is not trained
again: the router is kept apart from the gate, which has more to depend on.
"""

from __future__ import annotations

import hashlib
import os
import time
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
from gate_ablation import ablate
from gate_pairs import FRONTIER, SMALL, TIERS, has_answer
from gate_rivals import score_length, score_logistic, suspicious
from numpy.typing import NDArray

from learned_router import request_features, view
from learned_router.answers import call_checks, call_values, features, reasoning_checks, said, schema_checks, text
from learned_router.answers.features import find_failures
from learned_router.encoder import Encoder
from learned_router.training.baselines import Floats, Rows, tabulate
from learned_router.training.fit import fit, forget_checkpoints
from learned_router.training.learned import Learned, calibrate_and_export
from learned_router.training.reader import GATE_TIERS, Reader, answer_reader, answered_labels, request_reader
from learned_router.training.recipe import Recipe, with_gate_knobs
from learned_router.training.records import Label, label_request

Arrays = dict[str, Any]
# The splits that are asked; nothing is chosen on the second
SPLITS = ("calibration", "test")
ABLATION = "ablation:"


class Side(NamedTuple):
    """What was said of one split's labels that hold an answer, in their order; all arrays of n rows.

    router, gate: predicted quality of the small answer and of the frontier's, (n, 2). logistic: the same of a regression
    on the answer's features. length: need of the frontier by the answer's length. known, in_range: whether the request,
    and the answer, is like those of training. failed: a rule refuses the answer. suspect: something looks wrong with it.
    """

    rows: Rows
    router: Floats
    gate: Floats
    logistic: Floats
    length: Floats
    known: NDArray[np.bool_]
    in_range: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    suspect: NDArray[np.bool_]


class Predictions(NamedTuple):
    """ablation: by what was left out, need of the frontier on the calibration split. features: how many each leaves.

    seconds: to train the router, and the gate.
    """

    calibration: Side
    test: Side
    ablation: dict[str, Floats]
    features: dict[str, int]
    seconds: tuple[float, float]


def predict_pair(
    labels: Sequence[Label], recipe: Recipe, folder: Path, say: Callable[[str], object], *, again: bool = False
) -> Predictions:
    """What router, gate and rivals say of the pair's calibration and test labels; from the folder where it is there.

    labels: all splits, with the small tier's answers. again: train all the same. say: where progress goes.
    """
    by_split = {split: [label for label in labels if label.split == split] for split in ("train", *SPLITS)}
    asked = {split: [label for label in by_split[split] if has_answer(label)] for split in SPLITS}
    router = _kept(
        folder / "router.npz",
        router_key(recipe, labels),
        lambda: _train_router(by_split["train"], by_split["calibration"], asked, recipe, folder),
        say,
        again=again,
    )
    gate = _kept(
        folder / "gate.npz",
        gate_key(recipe, labels),
        lambda: _train_gate(by_split["train"], asked, recipe, folder),
        say,
        again=again,
    )
    sides = {
        split: Side(
            rows=tabulate(asked[split], SMALL, FRONTIER),
            router=router[f"{split}:quality"],
            gate=gate[f"{split}:quality"],
            logistic=gate[f"{split}:logistic"],
            length=gate[f"{split}:length"],
            known=router[f"{split}:in_range"],
            in_range=gate[f"{split}:in_range"],
            failed=gate[f"{split}:failed"],
            suspect=gate[f"{split}:suspect"],
        )
        for split in SPLITS
    }
    ablation = {name.removeprefix(ABLATION): found for name, found in gate.items() if name.startswith(ABLATION)}
    return Predictions(
        calibration=sides["calibration"],
        test=sides["test"],
        ablation=ablation,
        features={name: int(gate[f"features:{name}"]) for name in ablation},
        seconds=(float(router["seconds"]), float(gate["seconds"])),
    )


def router_key(recipe: Recipe, labels: Sequence[Label]) -> str:
    """What the router depends on, as a hash; of the labels, not the answers, and of the recipe, not the gate's knobs."""
    knobs = msgspec.to_builtins(recipe)
    knobs.pop("gate")
    plain = [msgspec.structs.replace(label, outputs={}) for label in labels]
    shown = [label.id for label in labels if has_answer(label)]
    return _hash(msgspec.json.encode((knobs, plain, shown)), *map(_source, (request_features, view)))


def gate_key(recipe: Recipe, labels: Sequence[Label]) -> str:
    """What the gate depends on: the recipe, the labels with their answers, and the modules that read these."""
    modules = (
        features,
        text,
        call_checks,
        call_values,
        reasoning_checks,
        request_features,
        said,
        schema_checks,
        view,
    )
    return _hash(recipe.sha256.encode(), msgspec.json.encode(labels), *map(_source, modules))


def _train_router(
    train: Sequence[Label],
    calibration: Sequence[Label],
    asked: dict[str, list[Label]],
    recipe: Recipe,
    folder: Path,
) -> Arrays:
    reader = request_reader(recipe)
    net = fit(train, reader, recipe, folder / ".router", tiers=TIERS)
    learned = calibrate_and_export(net, train, calibration, reader, recipe, TIERS, seed=0)
    forget_checkpoints(folder / ".router")
    return _ask(learned, reader, asked, int(net.feature_mean.shape[0]))


def _train_gate(train: Sequence[Label], asked: dict[str, list[Label]], recipe: Recipe, folder: Path) -> Arrays:
    reader, knobs = answer_reader(recipe, TIERS), with_gate_knobs(recipe)
    seen = answered_labels(train, TIERS)
    shown = {split: answered_labels(labels, TIERS) for split, labels in asked.items()}
    net = fit(seen, reader, knobs, folder / ".gate", tiers=GATE_TIERS)
    learned = calibrate_and_export(net, seen, shown["calibration"], reader, knobs, GATE_TIERS, seed=0)
    forget_checkpoints(folder / ".gate")
    found = _ask(learned, reader, shown, int(net.feature_mean.shape[0]))
    for split, labels in shown.items():
        found[f"{split}:failed"] = np.array([_is_refused(label, recipe) for label in labels], dtype=bool)
        found[f"{split}:suspect"] = suspicious(labels, reader)
        found[f"{split}:logistic"] = score_logistic(seen, labels, reader, recipe.fit.head_strengths)
        found[f"{split}:length"] = score_length(seen, labels)
    for name, (score, inputs) in ablate(net, seen, shown["calibration"], reader).items():
        found[f"{ABLATION}{name}"], found[f"features:{name}"] = score, np.array(inputs)
    return found


def _ask(learned: Learned, reader: Reader, asked: dict[str, list[Label]], n_features: int) -> Arrays:
    """What the graph says, as the product would hear it."""
    encoder = Encoder(learned.graph, reader.packer, n_features=n_features)
    found: Arrays = {}
    for split, labels in asked.items():
        said, _ = encoder.predict([reader.see(label) for label in labels])
        found[f"{split}:quality"] = said.quality.astype(np.float64)
        found[f"{split}:in_range"] = said.ood <= learned.ood_threshold
    return found


def _is_refused(label: Label, recipe: Recipe) -> bool:
    [output] = label.outputs.values()
    return any(reason in recipe.gate.rules for reason in find_failures(label_request(label), output))


def _kept(
    path: Path, key: str, make: Callable[[], Arrays], say: Callable[[str], object], *, again: bool = False
) -> Arrays:
    """The arrays that stand in the file with this key, or else made, timed and written there."""
    if not again and (stored := _load(path, key)):
        say(f"{path}: there already")
        return stored
    began = time.perf_counter()
    found = make()
    found["seconds"] = np.array(time.perf_counter() - began)
    path.parent.mkdir(parents=True, exist_ok=True)
    # written aside and then renamed: a run cut short leaves no half file
    aside = path.with_suffix(f".{os.getpid()}.part")
    with aside.open("wb") as file:
        np.savez(file, key=np.array(key), **found)
    aside.replace(path)
    say(f"{path}: {float(found['seconds']):,.1f} s")
    return found


def _load(path: Path, key: str) -> Arrays | None:
    try:
        with np.load(path) as stored:
            return dict(stored) if str(stored["key"]) == key else None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None  # not there, or cut short on the disk: it is made again


def _hash(*parts: bytes) -> str:
    return hashlib.sha256(b"\n".join(parts)).hexdigest()


def _source(module: Any) -> bytes:
    return Path(module.__file__).read_bytes()
