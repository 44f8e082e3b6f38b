"""The methods of the benchmark: each is given a trial (a pair's labels and a seed) and scores its test requests.

Knows what to train and how; knows nothing of what is stored, of figures or of pages. Another recipe of ours is one more
name in RECIPES.
"""

from __future__ import annotations

import hashlib
import subprocess
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from peer_llmrouter import HPARAM, VERSION
from rich.console import Console

from learned_router.errors import InputError
from learned_router.router import Router
from learned_router.training import baselines
from learned_router.training.baselines import Floats, Rows, Vectors
from learned_router.training.labels import LabelSet, sha256_of
from learned_router.training.pipeline import train
from learned_router.training.pretrained import find_pretrained
from learned_router.training.recipe import Recipe, load_recipe
from learned_router.training.records import Label, Skipped, label_request
from learned_router.training.report import NAMES

HERE = Path(__file__).resolve().parent
PEER_PYTHON = HERE.parents[1] / "runs" / "peers" / "llmrouter" / "bin" / "python"
TIERS = ("small", "frontier")

# Names of recipes, or paths of their files. MAIN is the one that the page's main table shows: named beforehand, for the
# best of several by their test figures would be better than it is.
RECIPES = ("fast", "pretrained", "standard")
MAIN = "fast"

# (hidden layers, epochs) and (trees, leaves of each), chosen on a fold of the training labels.
NETWORKS = (((32,), 40), ((128, 64), 5), ((128, 64), 20), ((128, 64), 100))
FORESTS = ((50, 4), (200, 4), (50, 16), (200, 16))


class Trial(NamedTuple):
    """What a method is given. known, asked: frozen embeddings of the train and test requests, (n, d).

    folder: the method's own, for what it makes on its way. others: how the log's other models did, by label's id.
    """

    train: Rows
    calibration: Sequence[Label]
    test: Rows
    known: Vectors
    asked: Vectors
    seed: int
    folder: Path
    console: Console
    others: Mapping[str, Sequence[float]] = {}


class Scored(NamedTuple):
    """score: (n_test,), higher = needs the frontier more. Of a router also quality: (n_test, tiers), predicted by tier,
    cheapest first, and taken: index of the tier taken, (n_test,), by mode."""

    score: Floats
    quality: Floats | None = None
    taken: Mapping[str, NDArray[np.intp]] = {}


class Method(NamedTuple):
    """kind: baseline, peer, ours, or bound, told by more than the request. seeded: whether the seed changes anything.

    run: None when the labels do not have what the method learns from. knobs: what the scores depend on beside the
    labels and the seed, as text; scores made under other knobs are made again.
    """

    shown: str
    kind: str
    run: Callable[[Trial], Scored | None]
    knobs: Callable[[], str]
    seeded: bool = True


def method_name(recipe: str) -> str:
    return f"ours_{Path(recipe).stem}"


def all_methods(recipes: Sequence[str] = RECIPES) -> dict[str, Method]:
    """Every method by its name, in the order they are run: quick ones first. recipes: of ours, names or paths.

    Raises InputError as ``load_recipe``.
    """
    neighbours, strengths = str(baselines.NEIGHBOURS), str(baselines.STRENGTHS)
    methods = {
        "random": _baseline("random", lambda t: np.zeros(len(t.test.labels)), seeded=False),
        "length": _baseline("length", _score_length, seeded=False),
        "category": _baseline("category", lambda t: baselines.score_category(t.train, t.test), seeded=False),
        "knn": _baseline("knn", partial(_on_embeddings, baselines.score_knn), neighbours),
        "logistic_fail": _baseline("logistic_fail", partial(_on_embeddings, baselines.score_logistic_fail), strengths),
        "logistic_gain": _baseline("logistic_gain", partial(_on_embeddings, baselines.score_logistic_gain), strengths),
        "mlp": Method("MLP: gain of the top tier", "baseline", _scored(score_mlp), lambda: str(NETWORKS)),
        "boosting": Method(
            "gradient boosting: gain of the top tier", "baseline", _scored(score_boosting), lambda: str(FORESTS)
        ),
    }
    for router, shown in (("knn", "KNNRouter"), ("svm", "SVMRouter"), ("mlp", "MLPRouter")):
        run = _scored(partial(score_llmrouter, router))
        knobs = f"llmrouter-lib {VERSION} {HPARAM[router]}"
        methods[f"llmrouter_{router}"] = Method(
            f"LLMRouter {shown}", "peer", run, partial(str, knobs), seeded=router != "knn"
        )
    for recipe in recipes:
        methods[method_name(recipe)] = our_method(f"ours, recipe {Path(recipe).stem}", load_recipe(recipe))
    methods["others"] = Method(
        "how the log's other models did", "bound", _scored(score_by_others), lambda: "logistic, C 1", seeded=False
    )
    methods["oracle"] = Method("oracle", "bound", _scored(lambda t: t.test.gain), str, seeded=False)
    return methods


def _baseline(name: str, score: Callable[[Trial], Floats | None], knobs: str = "", seeded: bool = True) -> Method:
    return Method(NAMES[name], "baseline", _scored(score), partial(str, knobs), seeded)


def _scored(score: Callable[[Trial], Floats | None]) -> Callable[[Trial], Scored | None]:
    def run(trial: Trial) -> Scored | None:
        found = score(trial)
        return None if found is None else Scored(np.asarray(found, dtype=np.float64))

    return run


def _score_length(trial: Trial) -> Floats:
    return np.array([len(baselines.prompt_text(label)) for label in trial.test.labels], dtype=np.float64)


def _on_embeddings(score: Callable[..., Floats | None], trial: Trial) -> Floats | None:
    return score(trial.train, trial.known, trial.asked, seed=trial.seed)


def score_mlp(trial: Trial) -> Floats:
    """A multi-layer perceptron's prediction of the gain, its layers and epochs chosen on a fold."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    def make(network: Any) -> Any:
        layers, epochs = network
        # the vectors as they are, as LLMRouter's network gets them
        return MLPRegressor(hidden_layer_sizes=layers, batch_size=32, max_iter=epochs, random_state=trial.seed)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # few epochs are the choice, not an oversight
        return _predict_gain(make, NETWORKS, trial)


def score_boosting(trial: Trial) -> Floats:
    """Gradient-boosted trees' prediction of the gain, their number and size chosen on a fold."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    def make(forest: Any) -> Any:
        trees, leaves = forest
        return HistGradientBoostingRegressor(
            learning_rate=0.05, max_iter=trees, max_leaf_nodes=leaves, max_features=0.3, random_state=trial.seed
        )

    return _predict_gain(make, FORESTS, trial)


def _predict_gain(make: Callable[[Any], Any], sizes: Sequence[Any], trial: Trial) -> Floats:
    rows, vectors = trial.train, trial.known

    def predict(size: Any, fit: NDArray[np.intp], asked: Vectors) -> Floats:
        return np.asarray(make(size).fit(vectors[fit], rows.gain[fit]).predict(asked), dtype=np.float64)

    best, fold = sizes[0], baselines.hold_out(rows, trial.seed)
    if fold:
        fit, held = fold
        best = baselines.choose(sizes, rows.take(held), lambda size: predict(size, fit, vectors[held]))
    return predict(best, np.arange(len(vectors)), trial.asked)


def score_by_others(trial: Trial) -> Floats | None:
    """The gain as told by nothing but how other models did on the very request: what is hard for whom, as far as that
    can be known beforehand. No strict bound, for a prompt may show what their outcomes do not. None without others.
    """
    from sklearn.linear_model import LogisticRegression

    if not trial.others:
        return None
    known, asked = (np.array([trial.others[label.id] for label in rows.labels]) for rows in (trial.train, trial.test))
    small, top = (
        LogisticRegression().fit(known, right > 0.5).predict_proba(asked)[:, 1]
        for right in (trial.train.small, trial.train.top)
    )
    return np.asarray(top - small)


def score_llmrouter(router: str, trial: Trial) -> Floats:
    """What a class of LLMRouter, in its own environment, has for the probability that the frontier is the better.

    Raises InputError when the environment is not there or the class fails.
    """
    if not PEER_PYTHON.is_file():
        raise InputError(f"{PEER_PYTHON}: LLMRouter has no environment yet; make it with 'make bench-peers'")
    trial.folder.mkdir(parents=True, exist_ok=True)
    given, out = trial.folder / "given.npz", trial.folder / "scores.npy"
    np.savez(given, known=trial.known, asked=trial.asked, small=trial.train.small, top=trial.train.top)
    command = [PEER_PYTHON, HERE / "peer_llmrouter.py", router, given, out, "--seed", trial.seed]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise InputError(f"LLMRouter's {router} router failed: {last}")
    return np.asarray(np.load(out), dtype=np.float64)


def our_method(shown: str, recipe: Recipe) -> Method:
    """A recipe of ours as a method; the labels tell of how many tiers its routers are.

    Heads alone are fitted to their one optimum, which no seed changes.
    """
    run, knobs = partial(train_router, recipe), partial(hash_recipe, recipe)
    return Method(shown, "ours", run, knobs, seeded=recipe.fit.epochs > 0)


def train_router(recipe: Recipe, trial: Trial) -> Scored:
    """Train a router of ours and let the exported one decide the test requests, whose labels it is never given."""
    shown = [*trial.train.labels, *trial.calibration]
    labels = LabelSet(shown, tuple(shown[0].quality), dict(shown[0].models), sha256_of(shown), Skipped())
    out = router_folder(trial.folder)
    router = train(labels, out, recipe, seed=trial.seed, baselines=False, console=trial.console).router
    return decide(router, trial.test.labels)


def router_folder(folder: Path) -> Path:
    """Where a trial of ours leaves its router. folder: the trial's own."""
    return folder / "router"


def decide(router: Router, labels: Sequence[Label]) -> Scored:
    """What a router, of however many tiers, says of each label's request in each of its modes."""
    requests = [label_request(label) for label in labels]
    decisions = router.route_modes(requests)
    tiers = router.tiers
    taken = {mode: np.array([tiers.index(decision.tier) for decision in found]) for mode, found in decisions.items()}
    # the prediction does not depend on the mode
    any_mode = next(iter(decisions.values()))
    return of_quality(np.array([[decision.quality[tier] for tier in tiers] for decision in any_mode]), taken)


def of_quality(quality: Floats, taken: Mapping[str, NDArray[np.intp]] | None = None) -> Scored:
    """What predicted qualities (n_test, tiers), cheapest first, say of the need of the frontier."""
    return Scored(quality[:, -1] - quality[:, 0], quality, taken or {})


def hash_recipe(recipe: Recipe) -> str:
    """The recipe's hash and, where its encoder is one of ours, that of the weights in it."""
    digest = hashlib.sha256(recipe.sha256.encode())
    folder = find_pretrained(recipe.encoder.name)
    for path in sorted(folder.glob("*.safetensors")) if folder else []:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()
