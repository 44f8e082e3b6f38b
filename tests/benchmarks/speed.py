"""Measure how fast and how small the router is against what it was meant to reach, beside its peers in the same run.

Run: python tests/benchmarks/speed.py [--router DIR] [--only PART]… [--page]. Parts that are not named keep the figures they
have. With --long it watches the memory over a million decisions and does nothing else; interrupted, it keeps what it saw.
Machines are noisy: the ratios are what to compare.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from bench_store import read_figures, write_figures
from requests_of_length import RequestMaker
from rich.console import Console
from rich.markup import escape
from speed_figures import LENGTHS, LONG_DECISIONS, MEMORY_DECISIONS, Context, LongFigures, Speed
from speed_install import install, measure_long, measure_start
from speed_ours import (
    CACHE_ARGUMENT,
    has_cache,
    measure_batch,
    measure_decisions,
    measure_gate,
    measure_labelling,
    measure_repeated,
)
from speed_page import PAGE, RESULTS, write_page
from speed_peers import OURS, PEERS, measure_peers
from timing import Watch

from learned_router.artifact import shipped_artifact
from learned_router.errors import LearnedRouterError
from learned_router.router import Router
from learned_router.training.model import find_encoder

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "runs" / "speed"
PEER_ENVIRONMENTS = ROOT / "runs" / "peers"
GATED = ROOT / "runs" / "demo" / "router"


class Effort(NamedTuple):
    """How often each thing is done."""

    decisions: int = 1000
    transcripts: int = 300
    repeated: int = 1000
    gate: int = 1000
    batch: int = 256
    processes: int = 10
    memory: int = MEMORY_DECISIONS
    peers: int = 100


QUICK = Effort(3, 2, 3, 3, 4, 1, 5, 2)


class Setting(NamedTuple):
    """What is measured and with what. python: of an environment with our package. peers: Pythons by name."""

    router: Path
    gated: Path
    python: Path
    peers: dict[str, Path]
    folder: Path
    effort: Effort


def measure_parts() -> dict[str, Callable[[Setting], Any]]:
    """By part of ``Speed``, what measures it; None where there is nothing to measure."""
    return {
        "decisions": lambda s: measure_decisions(s.router, s.effort.decisions, s.effort.transcripts),
        "repeated": lambda s: measure_repeated(s.router, s.effort.repeated),
        "gate": lambda s: measure_gate(s.gated, s.effort.gate) if s.gated.is_dir() else None,
        "batch": lambda s: measure_batch(s.router, s.effort.batch),
        "start": lambda s: measure_start(s.python, s.router, s.folder, s.effort.processes, s.effort.memory),
        "labelling": lambda s: measure_labelling(),
        "peers": lambda s: measure_peers(
            {OURS: s.python, **s.peers},
            s.router,
            Path(find_encoder()),
            RequestMaker(s.router / "tokenizer.json"),
            LENGTHS,
            s.effort.peers,
        ),
    }


def measure(chosen: argparse.Namespace, console: Console) -> None:
    """Every part chosen, each written as soon as it is there."""
    router = chosen.router or shipped_artifact()
    name, quick = Router.load(router).name, chosen.quick
    figures = read_figures(chosen.out, Speed) or Speed()
    with tempfile.TemporaryDirectory() as folder:
        python = Path(sys.executable)
        if not quick:
            watch = Watch()
            python, found = install(WORK)
            figures = keep(figures, "install", found, name, watch, quick, chosen.out)
        setting = Setting(
            router,
            chosen.gated,
            python,
            {} if quick else find_peers(),
            Path(folder),
            QUICK if quick else Effort(),
        )
        for part, measure_part in measure_parts().items():
            if chosen.only and part not in chosen.only:
                continue
            watch = Watch()
            figures = keep(figures, part, measure_part(setting), name, watch, quick, chosen.out)
            context = figures.contexts.get(part)
            told = (
                f"{context.machine.busy_elsewhere:.2f} cores were busy with other work"
                if context
                else "nothing to measure"
            )
            console.print(f"{part}: {told}", highlight=False)


def find_peers() -> dict[str, Path]:
    """Pythons of the peers whose environments are there."""
    pythons = {name: PEER_ENVIRONMENTS / name / "bin" / "python" for name in PEERS}
    return {name: python for name, python in pythons.items() if python.is_file()}


def keep(speed: Speed, part: str, found: Any, name: str, watch: Watch, quick: bool, out: Path) -> Speed:
    """The figures with this part's, written. found: None where there was nothing to measure."""
    contexts = {at: context for at, context in speed.contexts.items() if at != part}
    if found is not None:
        today = datetime.datetime.now(datetime.UTC).date().isoformat()
        contexts[part] = Context(today, name, watch.machine(), quick)
    kept = msgspec.structs.replace(speed, contexts=contexts, **{part: found})
    write_figures(kept, out)
    return kept


def watch_long(chosen: argparse.Namespace, console: Console) -> None:
    """The memory over many decisions, with the cache as routers have it and without; what is there already is kept."""
    router = chosen.router or shipped_artifact()
    name = Router.load(router).name
    python, _ = install(WORK)
    ways: dict[str, dict[str, Any]] = {"off": {CACHE_ARGUMENT: 0}, "as loaded": {}} if has_cache() else {"none": {}}
    for way, arguments in ways.items():
        before = read_figures(chosen.out, Speed) or Speed()
        there = (before.long or {}).get(way)
        context = before.contexts.get("long")
        if there and there.decisions >= chosen.long and context and context.router == name and not chosen.again:
            continue
        watch = Watch()

        def keep_sample(found: LongFigures, way: str = way, watch: Watch = watch) -> None:
            now = read_figures(chosen.out, Speed) or Speed()
            others = {key: value for key, value in (now.long or {}).items() if key in ways}
            keep(now, "long", {**others, way: found}, name, watch, False, chosen.out)
            console.print(f"cache {way}: {found.decisions:,} decisions", highlight=False)

        with tempfile.TemporaryDirectory() as folder:
            measure_long(python, router, Path(folder), chosen.long, arguments, keep_sample)


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--router", type=Path, help="artifact folder; without it the one that ships")
    parser.add_argument("--gated", type=Path, default=GATED, help="artifact with a gate (default: the demo's)")
    about = "measure this part; may be given again (default: all)"
    parser.add_argument("--only", action="append", choices=measure_parts(), help=about)
    parser.add_argument("--quick", action="store_true", help="a few repeats, no installation, no peers: does it run?")
    about = f"watch the memory over so many decisions and do nothing else (default: {LONG_DECISIONS:,})"
    parser.add_argument("--long", type=int, nargs="?", const=LONG_DECISIONS, metavar="DECISIONS", help=about)
    parser.add_argument("--again", action="store_true", help="with --long, also what was watched already")
    written = parser.add_mutually_exclusive_group()
    written.add_argument("--out", type=Path, default=RESULTS, help="the figures, as JSON")
    written.add_argument("--page", action="store_true", help=f"also fill {PAGE.name}")
    return parser.parse_args(arguments)


def main() -> None:
    chosen, console = parse(), Console()
    try:
        (measure if chosen.long is None else watch_long)(chosen, console)
        if chosen.page:
            write_page()
    except (LearnedRouterError, RuntimeError) as error:
        console.print(f"error: {escape(str(error))}", highlight=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
