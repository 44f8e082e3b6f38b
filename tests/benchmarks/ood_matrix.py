"""How well the out-of-distribution score tells one log's requests from another's: a matrix of logs, and false alarms.

Run: python tests/benchmarks/ood_matrix.py [--only LOG] [--page]. A row a log that is fitted on, a column a log whose test
split is scored, by the graph that an artifact of the recipe ``fast`` would hold: that recipe leaves the encoder as it is, so
that the score needs no training. Rows that are there already stay, unless --again.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence

import numpy as np
from bench_pairs import LOGS, label_tiers, read_corpora
from bench_store import read_figures, write_figures
from certify_page import fill_page
from corpora import CORPORA, MODELS
from ood_page import RESULTS, Cell, Matrix, Row
from sklearn.metrics import roc_auc_score

from learned_router.encoder import Encoder
from learned_router.training.fit import LabelRows
from learned_router.training.learned import calibrate_and_export
from learned_router.training.model import build_net
from learned_router.training.reader import request_reader
from learned_router.training.recipe import Recipe, load_recipe
from learned_router.training.records import Label

RECIPE = "fast"
FITTED = ("bfcl", "mmlu_pro", "bfcl_live", "routellm_gsm8k", "zeroeval", "routellm_mmlu")
SCORED = (*LOGS, "bfcl_multi_turn", "tau2_airline")
TIERS = ("small", "frontier")
# Of a log's splits, and of another's test split, so many rows at most are used, drawn by a fixed seed: minutes, not hours,
# and more labels would only help
MOST_ROWS = {"train": 1_000, "calibration": 500, "test": 500}
OTHER_ROWS = 200


def labels_of(log: str, outcomes: Sequence[Label]) -> list[Label]:
    """The labels of one log, whichever models answered."""
    return [label for label in outcomes if any(tier.endswith(f" @ {log}") for tier in label.quality)]


def draw(labels: Sequence[Label], most: int) -> list[Label]:
    """At most so many of the labels, the same ones each time."""
    return random.Random(0).sample(list(labels), min(most, len(labels)))


def measure_row(log: str, outcomes: Sequence[Label], recipe: Recipe, seed: int = 0) -> Row:
    """Fit the score on a log's train split, its limit on the calibration split, and score the test split of every log."""
    reader = request_reader(recipe)
    labels = label_tiers(log, dict(zip(TIERS, MODELS[log], strict=True)), outcomes)
    splits = {
        split: draw([label for label in labels if label.split == split], most) for split, most in MOST_ROWS.items()
    }
    net = build_net(recipe, LabelRows(splits["train"], reader).features, len(TIERS)).eval()
    learned = calibrate_and_export(net, splits["train"], splits["calibration"], reader, recipe, TIERS, seed=seed)
    encoder = Encoder(learned.graph, reader.packer)

    def score(some: Sequence[Label]) -> np.ndarray:
        return encoder.predict([reader.see(label) for label in some])[0].ood / learned.ood_threshold

    own = score(splits["test"])
    cells = {}
    for other in SCORED:
        if other != log:
            found = score(draw([label for label in labels_of(other, outcomes) if label.split == "test"], OTHER_ROWS))
            truth = np.repeat([0, 1], [len(own), len(found)])
            auroc = float(roc_auc_score(truth, np.concatenate([own, found])))
            cells[other] = Cell(len(found), auroc, float((found > 1.0).mean()))
    return Row(
        train=len(splits["train"]),
        calibration=len(splits["calibration"]),
        test=len(own),
        false_alarms=int((own > 1.0).sum()),
        cells=cells,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=FITTED, help="fit on this log; may be given again")
    parser.add_argument("--again", action="store_true", help="measure rows that are there too")
    parser.add_argument("--page", action="store_true", help="also fill the page")
    arguments = parser.parse_args()
    if not CORPORA.is_dir():
        print(f"nothing measured: {CORPORA} is not there")
        return
    recipe = load_recipe(RECIPE)
    if recipe.fit.epochs:
        sys.exit(f"error: recipe {RECIPE!r} trains the encoder, which this benchmark does not")
    stored = read_figures(RESULTS, Matrix)
    rows = dict(stored.rows) if stored and stored.recipe_sha256 == recipe.sha256 else {}
    outcomes = read_corpora(SCORED)
    for log in FITTED:
        if log in (arguments.only or FITTED) and (arguments.again or log not in rows):
            rows[log] = measure_row(log, outcomes, recipe)
            print(f"{log}: {rows[log].false_alarms} false alarms of {rows[log].test}", flush=True)
            ordered = {name: rows[name] for name in FITTED if name in rows}
            write_figures(Matrix(recipe.name, recipe.sha256, recipe.calibrate.ood_quantile, ordered), RESULTS)
    if arguments.page:
        fill_page()


if __name__ == "__main__":
    main()
