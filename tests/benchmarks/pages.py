"""Fill the marked regions of README.md from measured results, so that no figure in it is typed by hand.

Run: python tests/benchmarks/pages.py [--check]. Knows results files, the shipped artifact and the command's help;
measures nothing.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import typer
from bench_figures import Benchmark
from bench_page import main_table, verdict
from certify_pairs_page import CertifyPairs, summarize
from page_regions import check_page, fill_regions
from speed_figures import Speed
from speed_page import summary

from learned_router.artifact import shipped_artifact
from learned_router.cli import app
from learned_router.errors import InputError, LearnedRouterError
from learned_router.training.evaluation import Evaluation
from learned_router.training.report import markdown_table, percent, sections

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
RESULTS = Path(__file__).resolve().parent / "results"
HELP_COLUMNS = 100
COMMAND = "python tests/benchmarks/pages.py"


def fill(text: str, results: Path = RESULTS, shipped: Callable[[], Path] = shipped_artifact) -> str:
    """``text`` with every marked region written anew; the rest is left as it is.

    results: folder of the results files. shipped: finds the shipped artifact, when a region asks for it.
    Raises InputError as ``fill_regions`` does, and for a results file that is not there.
    """
    regions: dict[str, str | Callable[[], str]] = {
        "shipped": lambda: evaluation_tables(read_evaluation(shipped() / "metrics.json", "train the shipped artifact")),
        "sample": lambda: evaluation_tables(read_evaluation(results / "sample.json", "learned-router evaluate --json")),
        "corpora": lambda: corpora_table(results),
        "certified": lambda: certified_sentence(results),
        "speed": lambda: speed_tables(results),
        "graders": lambda: graders_table(
            read_json(results / "graders.json", "python tests/benchmarks/grader_agreement.py --json")
        ),
        "help": help_texts,
    }
    return fill_regions(text, regions)


def evaluation_tables(evaluation: Evaluation) -> str:
    """Methods by APGR with its interval, modes with what they keep, save and send where, and what the gate adds."""
    methods, modes, *others = sections(evaluation)
    parts = [
        f"{evaluation.rows:,} test requests; {models(evaluation)}. Brackets hold 95 % intervals.",
        markdown_table([methods.header[0], methods.header[1]], [row[:2] for row in methods.rows]),
        # without the threshold, which says nothing to a reader of the page
        markdown_table(modes.header[:-1], [row[:-1] for row in modes.rows]),
    ]
    if evaluation.gate:
        for section in others[:2]:
            parts += [f"{section.title}:", markdown_table(section.header, section.rows)]
        assumed = " (assumed: the models have no prices)" if evaluation.gate.assumed else ""
        cheapest = next(iter(evaluation.gate.call_costs.values()))
        parts.append(f"A call of the small tier costs {cheapest:.3f} of one of the top tier{assumed}.")
    return "\n\n".join(parts)


def corpora_table(results: Path) -> str:
    """One row a pair of models, and where ours does not come up to what was wished for: from the benchmark's figures."""
    found = read_json(results / "bench.json", "make bench")
    try:
        benchmark = msgspec.convert(found, Benchmark)
    except msgspec.ValidationError as error:
        raise InputError(
            f"{results / 'bench.json'}: no benchmark ({error}); write it again with 'make bench'"
        ) from None
    return f"{main_table(benchmark)}\n\n{verdict(benchmark)}"


def certified_sentence(results: Path) -> str:
    """How many promises on the corpora's pairs were certified, and how many of these their test splits do not bear out."""
    found = read_json(results / "certify_pairs.json", "make bench-certify-pairs")
    return summarize(msgspec.convert(found, CertifyPairs))


def models(evaluation: Evaluation) -> str:
    return " → ".join(tier.model or tier.name for tier in evaluation.tiers)


def speed_tables(results: Path) -> str:
    """The goal's lines and the peers' times."""
    found = read_json(results / "speed.json", "make bench-speed")
    try:
        return summary(msgspec.convert(found, Speed, strict=False))
    except msgspec.ValidationError as error:
        raise InputError(
            f"{results / 'speed.json'}: no figures of speed ({error}); write it again with 'make bench-speed'"
        ) from None


def graders_table(results: dict[str, Any]) -> str:
    """One row a corpus: by reference over all models' outputs, by agreement where the frontier is right."""
    header = ["logs", "outputs by reference", "agree with gold", "outputs by agreement", "agree with gold"]
    rows = []
    for name, result in results.items():
        cells = [name]
        for method in ("reference", "agreement"):
            share = result[method]["agreement"]
            cells += [f"{result[method]['graded']:,}", "–" if share is None else percent(share)]
        rows.append(cells)
    return markdown_table(header, rows)


def help_texts() -> str:
    """What ``--help`` says of every command, without colours and frames, so that terminals do not change it."""
    plain = copy.copy(app)
    plain.rich_markup_mode = None
    root = typer.main.get_command(plain)
    context = _context(root, "learned-router", None)
    texts = [root.get_help(context)]
    for name in root.list_commands(context):  # type: ignore[attr-defined]
        command = root.get_command(context, name)  # type: ignore[attr-defined]
        texts.append(command.get_help(_context(command, name, context)))
    return "\n\n".join(f"```text\n{_trimmed(text)}\n```" for text in texts)


def _context(command: Any, name: str, parent: Any) -> Any:
    return command.context_class(command, info_name=name, parent=parent, terminal_width=HELP_COLUMNS)


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def read_json(path: Path, command: str) -> dict[str, Any]:
    """A results file. Raises InputError naming the command that writes it when it is missing or no JSON object."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such results file; write it with '{command}'") from None
    except ValueError as error:
        raise InputError(f"{path}: not JSON ({error}); write it again with '{command}'") from None
    if not isinstance(found, dict):
        raise InputError(f"{path}: a JSON {type(found).__name__}, not an object; write it again with '{command}'")
    return found


def read_evaluation(path: Path, command: str) -> Evaluation:
    """An evaluation as JSON. Raises InputError as ``read_json`` does, and when it is not an evaluation."""
    try:
        return msgspec.convert(read_json(path, command), Evaluation)
    except msgspec.ValidationError as error:
        raise InputError(f"{path}: not an evaluation ({error}); write it again with '{command}'") from None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when README.md would change")
    parser.add_argument("--readme", type=Path, default=README, help="the page to fill")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results files")
    arguments = parser.parse_args()
    try:
        text = arguments.readme.read_text(encoding="utf-8")
        filled = fill(text, arguments.results)
    except (LearnedRouterError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    if arguments.check:
        check_page(arguments.readme, filled, COMMAND)
    else:
        arguments.readme.write_text(filled, encoding="utf-8")


if __name__ == "__main__":
    main()
