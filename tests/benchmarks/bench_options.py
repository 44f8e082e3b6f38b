"""The options that the benchmarks of pairs and of triples have in common. Knows names; runs nothing."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from pathlib import Path


def common_parser(about: str | None, work: Path, out: Path, page: str) -> argparse.ArgumentParser:
    """A parser of the common options. work, out: where scores and figures go when nothing is said."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0,1,2", help="seeds of training, between commas (default: 0,1,2)")
    parser.add_argument("--only", action="append", metavar="NAME", help="this one; may be given again (default: all)")
    parser.add_argument("--methods", help="names between commas, or 'none' to measure what is stored (default: all)")
    parser.add_argument("--again", action="store_true", help="run what is stored too: after changes to the code itself")
    parser.add_argument("--work", type=Path, default=work, help="folder of scores and trained routers")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="folder of embeddings")
    parser.add_argument("--out", type=Path, default=out, help="the figures, as JSON")
    parser.add_argument("--page", action="store_true", help=f"also fill {page} and draw its pictures")
    return parser


def check_options(
    parser: argparse.ArgumentParser, found: argparse.Namespace, names: Collection[str], methods: Collection[str]
) -> argparse.Namespace:
    """The options with ``methods`` and ``seeds`` as lists; exits as argparse does when one names what is not there."""
    if strange := set(found.only or []) - set(names):
        parser.error(f"--only {min(strange)}: no such name; there are {' | '.join(names)}")
    chosen = list(methods) if found.methods is None else [] if found.methods == "none" else found.methods.split(",")
    if strange := set(chosen) - set(methods):
        parser.error(f"--methods {min(strange)}: no such method; there are {','.join(methods)}")
    try:
        found.seeds = [int(seed) for seed in found.seeds.split(",")]
    except ValueError:
        parser.error(f"--seeds {found.seeds}: give whole numbers, as in 0,1,2")
    found.methods = chosen
    return found
