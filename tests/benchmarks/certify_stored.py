"""Keep what trained routers and gates said of real requests, with what was true, as small populations to draw from.

Run once where the benchmarks' runs and the corpora are: python tests/benchmarks/certify_stored.py. Everything else reads
the file that it writes. It holds numbers only: predicted regrets, rounded, and whether each model was right.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

STORED = Path(__file__).resolve().parent / "results" / "certify_populations.npz"
RUNS, GATE_RUNS = Path("runs/bench"), Path("runs/bench-gate")
SCALE = 10_000  # predicted regrets are kept to four decimals
# what is kept, by its name here: the pair and whose predictions. All are of the test split, which nothing was chosen on
ROUTERS = {
    "routellm_mmlu": ("routellm_mmlu", "ours_fast"),
    "routellm_mmlu, standard": ("routellm_mmlu", "ours_standard"),
    "routellm_mmlu, logistic": ("routellm_mmlu", "logistic_gain"),
    "mmlu_pro": ("mmlu_pro", "ours_fast"),
    "zeroeval": ("zeroeval", "ours_fast"),
    "bfcl xLAM-1b": ("bfcl xLAM-1b", "ours_fast"),
}
GATES = {"mmlu_pro, gate": "mmlu_pro", "bfcl_live, gate": "bfcl_live"}


class Stored(NamedTuple):
    """Requests with two tiers, n of them, all (n,). route: predicted regret. quality: (n, 2), cheapest first.

    accept, refused: what the gate makes of the small answer, None without a gate.
    """

    route: NDArray[np.float64]
    quality: NDArray[np.float64]
    known: NDArray[np.bool_]
    accept: NDArray[np.float64] | None
    refused: NDArray[np.bool_] | None


def read_stored(path: Path = STORED) -> dict[str, Stored]:
    """Every population kept, by name."""
    found = {}
    with np.load(path) as file:
        arrays = dict(file)
    for name in [*ROUTERS, *GATES]:
        accept = arrays.get(f"{name}:accept")
        found[name] = Stored(
            arrays[f"{name}:route"] / SCALE,
            arrays[f"{name}:quality"].astype(np.float64) / 100,
            arrays[f"{name}:known"],
            None if accept is None else accept / SCALE,
            arrays.get(f"{name}:refused"),
        )
    return found


def collect() -> dict[str, Any]:
    """The arrays to keep, from the runs and the corpora."""
    from bench_pairs import PAIRS, labels_of, read_corpora
    from bench_store import slug
    from gate_pairs import FRONTIER, SMALL, answered, has_answer, read_answers

    from learned_router.training.baselines import tabulate

    outcomes, pairs = read_corpora(), {pair.name: pair for pair in PAIRS}
    kept: dict[str, Any] = {}

    def keep(name: str, route: Any, rows: Any, known: Any) -> None:
        kept[f"{name}:route"] = _rounded(route)
        kept[f"{name}:quality"] = np.rint(np.column_stack((rows.small, rows.top)) * 100).astype(np.uint8)
        kept[f"{name}:known"] = known

    for name, (pair_name, method) in ROUTERS.items():
        rows = tabulate(
            [label for label in labels_of(pairs[pair_name], outcomes) if label.split == "test"], SMALL, FRONTIER
        )
        with np.load(RUNS / slug(pair_name) / f"{method}-0.npz") as run:
            route = run["quality"][:, 1] - run["quality"][:, 0] if "quality" in run else run["score"]
        keep(name, route, rows, np.ones(len(route), dtype=bool))
    for name, pair_name in GATES.items():
        pair = pairs[pair_name]
        labels = answered(pair, outcomes, read_answers(pair.log, pair.small))
        rows = tabulate([label for label in labels if label.split == "test" and has_answer(label)], SMALL, FRONTIER)
        folder = GATE_RUNS / slug(pair_name)
        with np.load(folder / "router.npz") as router, np.load(folder / "gate.npz") as gate:
            route, accept = (side["test:quality"][:, 1] - side["test:quality"][:, 0] for side in (router, gate))
            keep(name, route, rows, router["test:in_range"])
            kept[f"{name}:accept"] = _rounded(accept)
            kept[f"{name}:refused"] = gate["test:failed"] | ~gate["test:in_range"]
    return kept


def _rounded(regret: Any) -> NDArray[np.int16]:
    found: NDArray[np.int16] = np.rint(regret * SCALE).astype(np.int16)
    return found


def main() -> None:
    arrays = collect()
    with STORED.open("wb") as file:
        np.savez_compressed(file, **arrays)
    print(f"{STORED}: {STORED.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
