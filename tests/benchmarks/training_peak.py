"""Measure what ``learned-router train`` takes: peak resident memory, children included, and time.

Run: python tests/benchmarks/training_peak.py LABELS... [--recipe fast] [--out FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from timing import machine_of

from learned_router.training.report import megabytes

SAMPLE_EVERY_S = 0.05


def measure(
    labels: Sequence[Path], recipe: str = "fast", *, baselines: bool = True, threads: int | None = None
) -> dict[str, Any]:
    """Train in a process of its own, into a folder that is thrown away, and watch it.

    baselines: also fit and measure the baselines, as the command does unless told otherwise. threads: of training; else
    as the environment says.

    Raises RuntimeError with the command's own message when training fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "learned_router.cli", "train", *map(str, labels)]
        command += ["--out", str(Path(folder) / "router"), "--recipe", recipe, "--json"]
        command += [] if baselines else ["--no-baselines"]
        environment = os.environ | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
        load, began, cpu_before, peak = os.getloadavg()[0], time.perf_counter(), cpu_seconds(), 0
        # to files, not pipes: nobody reads while the process is watched, and a full pipe would stop it
        with (Path(folder) / "out").open("w+") as out, (Path(folder) / "errors").open("w+") as errors:
            process = subprocess.Popen(command, stdout=out, stderr=errors, env=environment)
            watched = psutil.Process(process.pid)
            try:
                while process.poll() is None:
                    peak = max(peak, resident_bytes(watched))
                    time.sleep(SAMPLE_EVERY_S)
            finally:
                process.kill()  # interrupted, the watcher must not leave a training behind; ended, this does nothing
            seconds = time.perf_counter() - began
            if process.returncode:
                errors.seek(0)
                raise RuntimeError(errors.read().strip() or f"training ended with exit code {process.returncode}")
    return {
        "labels": [path.name for path in labels],
        "recipe": recipe,
        "baselines": baselines,
        "peak_bytes": peak,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds() - cpu_before,
        "machine": machine_of(load),
    }


def cpu_seconds() -> float:
    """Processor time of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def resident_bytes(process: psutil.Process) -> int:
    """Resident memory of a process and all its children, now; what has just ended counts nothing."""
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        for member in [process, *process.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                total += member.memory_info().rss
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labels", type=Path, nargs="+", help="labels made by 'learned-router label'")
    parser.add_argument("--recipe", default="fast", help="fast, standard, or a TOML file")
    parser.add_argument("--no-baselines", action="store_true", help="train alone, without measuring baselines")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "training.json")
    arguments = parser.parse_args()
    try:
        results = measure(arguments.labels, arguments.recipe, baselines=not arguments.no_baselines)
    except RuntimeError as error:
        sys.exit(str(error))
    Console().print(
        f"recipe {results['recipe']}: peak {megabytes(results['peak_bytes'])}, {results['seconds']:.0f} s, "
        f"{results['machine']['cores']} cores, load {results['machine']['load_before']:.1f} before",
        highlight=False,
    )
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
