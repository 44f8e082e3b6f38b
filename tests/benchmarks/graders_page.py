"""Fill the tables of training/graders/README.md from what was measured, so that no figure in it is typed by hand.

Run: python tests/benchmarks/graders_page.py [--check]. Knows the results of grader_agreement.py and
label_price.py; measures nothing.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from page_regions import check_page, fill_regions

from learned_router.training.report import markdown_table

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "training" / "graders" / "README.md"
RESULTS = Path(__file__).resolve().parent / "results" / "graders.json"
PRICE = RESULTS.with_name("label_price.json")
COMMAND = "python tests/benchmarks/graders_page.py"

Results = Mapping[str, Mapping[str, Any]]


def tables(results: Results) -> dict[str, str]:
    """The page's tables by name of their region."""
    return {
        "by-reference": reference_table(results),
        "by-agreement": agreement_table(results),
        "by-grader": grader_table(results),
        "free-text": free_text_table(results),
    }


def reference_table(results: Results) -> str:
    header = ["logs", "outputs of all models", "as gold", "right, gold wrong", "wrong, gold right"]
    rows = []
    for name, result in results.items():
        found = result["reference"]
        if found["graded"]:
            errors = (found["wrongly_right"], found["wrongly_wrong"])
            rows.append([name, f"{found['graded']:,}", _percent(found["agreement"]), *(f"{n:,}" for n in errors)])
    return markdown_table(header, rows)


def agreement_table(results: Results) -> str:
    header = [
        "logs",
        "frontier right",
        "as gold",
        "all requests",
        "as gold: small as good",
        "otherwise: frontier wrong",
        "otherwise: frontier right",
    ]
    rows = []
    for name, result in results.items():
        right, everything = result["agreement"], result["as_good"]
        if not everything["graded"]:
            continue
        errors = everything["graded"] - everything["agreeing"]
        lost = everything["frontier_wrong"]
        shares = (lost / everything["graded"], (errors - lost) / everything["graded"])
        row = [name, f"{right['graded']:,}", _percent(right["agreement"])]
        row += [f"{everything['graded']:,}", _percent(everything["agreement"]), *map(_percent, shares)]
        rows.append(row)
    return markdown_table(header, rows)


def grader_table(results: Results) -> str:
    """How often each grader is as gold, over all logs, beside the certainty that its grades are given."""
    found: dict[str, Counter[str]] = {}
    certainty: dict[str, float] = {}
    for result in results.values():
        certainty = result["certainty"]
        for method in ("reference", "as_good"):
            for grader, counts in result[method]["graders"].items():
                found.setdefault(grader, Counter()).update(counts)
    rows = []
    for grader, counts in sorted(found.items(), key=lambda item: (item[0].partition(":")[0] != "reference", item[0])):
        total = counts.total()
        errors = (counts["wrongly_right"], counts["wrongly_wrong"])
        cells = [f"{total:,}", _percent(counts["agreeing"] / total), *(f"{n:,}" for n in errors)]
        rows.append([f"`{grader}`", *cells, f"{certainty[grader]:g}"])
    return markdown_table(["grader", "grades", "as gold", "right, gold wrong", "wrong, gold right", "certainty"], rows)


def free_text_table(results: Results) -> str:
    header = ["logs", "beside", "answers of", "answers / questions", "Spearman's ρ", "words alone", "embedding alone"]
    header += ["mean quality / judged"]
    rows = []
    for name, result in results.items():
        for entry in result["free_text"]:
            beside = "the reference" if entry["method"] == "reference" else "the frontier's answer"
            rho = f"{entry['rho']:.2f} [{entry['low']:.2f}, {entry['high']:.2f}]"
            plain = (f"{entry[key]:.2f}" for key in ("rho_words", "rho_meaning"))
            means = f"{entry['mean_quality']:.2f} / {entry['mean_target']:.2f}"
            models = "all models" if entry["models"] == "all" else entry["models"]
            rows.append([name, beside, models, f"{entry['rows']} / {entry['questions']}", rho, *plain, means])
    return markdown_table(header, rows)


def price_table(prices: Results) -> str:
    """What labels by agreement cost, one row a pair of models."""
    header = ["logs", "models", "recipe", "test labels", "APGR, gold labels", "APGR, by agreement", "ratio"]
    rows = []
    for name, found in prices.items():
        cells = [_interval(found[key], ".3f") for key in ("gold", "agreement")]
        models = " → ".join(found["models"])
        ratio = _interval(found["ratio"], ".1%").replace("%", " %")
        rows.append([name, models, f"`{found['recipe']}`", f"{found['tests']:,}", *cells, ratio])
    return markdown_table(header, rows)


def _interval(found: Mapping[str, float], form: str) -> str:
    return f"{found['value']:{form}} [{found['low']:{form}}, {found['high']:{form}}]"


def fill(text: str, results: Results, prices: Results) -> str:
    """``text`` with its regions written anew. Raises InputError as ``fill_regions`` does."""
    return fill_regions(text, {**tables(results), "label-price": price_table(prices)})


def fill_page(results: Results | None = None, page: Path = PAGE) -> None:
    """Fill the page from the results' files; results: takes the place of the graders' file."""
    graders, prices = read_results()
    page.write_text(fill(page.read_text(encoding="utf-8"), results or graders, prices), encoding="utf-8")


def read_results() -> tuple[Results, Results]:
    """The agreement of the graders, and the price of labels; what was not measured is empty."""
    graders, prices = (
        json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {} for path in (RESULTS, PRICE)
    )
    return graders, prices


def _percent(share: float) -> str:
    return f"{share:.2%}".replace("%", " %")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the page would change")
    arguments = parser.parse_args()
    if arguments.check:
        check_page(PAGE, fill(PAGE.read_text(encoding="utf-8"), *read_results()), COMMAND)
    else:
        fill_page()


if __name__ == "__main__":
    main()
