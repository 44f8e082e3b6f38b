"""Pretrain an encoder without each log of the learning curves, and without the logs that share its questions.

Run: python tests/benchmarks/leave_out.py [--out DIR] [--only LOG] [--recipe FILE]. Encoders that are there stay; stopped,
it goes on where it was. Knows which logs are left out together; what pretraining does is the pipeline's.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bench_pairs import LOGS, PAIRS
from corpora import CORPORA, left_out_with

from learned_router.errors import InputError
from learned_router.training.pretrain import RECIPE
from learned_router.training.pretrained import find_pretrained, read_about

ENCODERS = Path("runs/encoders")
# of each of these logs, the pair without a limit on its labels that comes first is the one measured
CURVE_LOGS = ("routellm_mmlu", "routellm_gsm8k", "mmlu_pro", "zeroeval", "bfcl", "bfcl_live")
CURVE_PAIRS = tuple(next(pair for pair in PAIRS if pair.log == log) for log in CURVE_LOGS)


def encoder_folder(encoders: Path, log: str) -> Path:
    return encoders / f"without-{log}"


def find_encoder_without(encoders: Path, log: str) -> Path | None:
    """The folder of the encoder pretrained without ``log``; None where there is none yet.

    Raises InputError when what lies there has learned from the log or one of its relatives.
    """
    folder = encoder_folder(encoders, log)
    if not find_pretrained(folder):
        return None
    if learned := sorted(set(left_out_with(log)) & set(read_about(folder).requests)):
        raise InputError(
            f"{folder}: this encoder has learned from {', '.join(learned)}, so {log} cannot be measured with it; "
            f"remove it, and pretrain it again with 'make encoders'"
        )
    return folder


def pretrain_all(
    logs: Sequence[str], encoders: Path, recipe: Path, run: Callable[[list[str]], None], say: Callable[[str], None]
) -> None:
    """Pretrain what is not there. run: runs a command, and raises where it fails.

    Two logs that are left out together have one encoder, which is pretrained once and copied.
    Raises InputError as ``find_encoder_without``.
    """
    for log in logs:
        folder, without = encoder_folder(encoders, log), left_out_with(log)
        if find_encoder_without(encoders, log):
            say(f"{folder}: there already")
            continue
        twins = (other for other in without if other != log and left_out_with(other) == without)
        twin = next((found for other in twins if (found := find_encoder_without(encoders, other))), None)
        if twin:
            say(f"{folder}: copied from {twin}, which leaves out the same logs")
            aside = folder.with_name(f".{folder.name}.part")
            shutil.rmtree(aside, ignore_errors=True)
            shutil.copytree(twin, aside)
            aside.replace(folder)
            continue
        say(f"{folder}: pretraining without {', '.join(without)}")
        command = [sys.executable, "-m", "learned_router.training.pretrain"]
        command += [str(CORPORA / f"{name}.jsonl.gz") for name in LOGS]
        command += ["--out", str(folder), "--recipe", str(recipe)]
        run([*command, *(part for name in without for part in ("--leave-out", name))])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ENCODERS, help="folder of the encoders")
    parser.add_argument("--only", action="append", choices=CURVE_LOGS, help="this log; may be given again")
    parser.add_argument("--recipe", type=Path, default=RECIPE, help="recipe of pretraining")
    arguments = parser.parse_args()
    if not CORPORA.is_dir():
        print(f"nothing pretrained: {CORPORA} is not there")
        return

    def run(command: list[str]) -> None:
        subprocess.run(command, check=True)

    try:
        logs = [log for log in CURVE_LOGS if not arguments.only or log in arguments.only]
        pretrain_all(logs, arguments.out, arguments.recipe, run, lambda line: print(line, flush=True))
    except InputError as error:
        sys.exit(f"error: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)


if __name__ == "__main__":
    main()
