"""Install what a user installs, and watch it start and run: wheel, disk, import, load, memory.

Knows builds and processes; knows nothing of what a router decides.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from requests_of_length import SPECIAL_TOKENS, RequestMaker
from speed_figures import BATCH_TOKENS, InstallFigures, LongFigures, StartFigures
from speed_peers import OURS, PeerProcess, package_bytes

from learned_router.artifact import shipped_artifact

ROOT = Path(__file__).resolve().parents[2]
PACKED = ("learned_router", "training", "data", "exported", "pyproject.toml", "README.md", "LICENSE", "NOTICE")
SAMPLE_EVERY = 50_000  # decisions
ASKED_AT_ONCE = 1000
LARGEST = 8  # packages that are told

START_CODE = """
import sys, time
began = time.perf_counter()
import learned_router
imported = time.perf_counter()
learned_router.Router.load(sys.argv[1])
print(imported - began, time.perf_counter() - imported)
"""


def install(work: Path) -> tuple[Path, InstallFigures]:
    """Build the wheel and install it without extras into ``work``/environment; its Python, and what it takes.

    Raises RuntimeError with what the tool said when it cannot be built or installed.
    """
    shutil.rmtree(work, ignore_errors=True)
    tree = work / "tree"  # a copy, for building writes beside the sources
    tree.mkdir(parents=True)
    for part in PACKED:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, tree / part, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        else:
            shutil.copy(ROOT / part, tree / part)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", tree)
    wheel = next((tree / "dist").glob("*.whl"))
    environment = work / "environment"
    venv.create(environment, with_pip=True)
    python = Path(sysconfig.get_path("scripts", "venv", {"base": str(environment)})) / "python"
    run(python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", wheel)
    sizes = package_bytes(python)
    figures = InstallFigures(
        wheel_bytes=wheel.stat().st_size,
        environment_bytes=sum(sizes.values()),
        model_bytes=(shipped_artifact() / "model.onnx").stat().st_size,
        largest=dict(list(sizes.items())[:LARGEST]),
    )
    shutil.rmtree(tree)
    return python, figures


def run(*command: str | Path) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {(done.stderr or done.stdout).strip()[-500:]}")
    return done.stdout


def measure_start(python: Path, router: Path, folder: Path, processes: int, decisions: int) -> StartFigures:
    """Import and load in fresh processes, the first left out for the disk's sake; memory in one more that decides."""
    # -I: the checkout, where this may be run, must not stand in for what is installed
    times = [run(python, "-I", "-c", START_CODE, router.resolve()).split() for _ in range(processes + 1)][1:]
    maker = RequestMaker(router / "tokenizer.json")
    process = PeerProcess(python, OURS, write_given(folder, router))
    try:
        process.time([maker.prompt(BATCH_TOKENS - SPECIAL_TOKENS) for _ in range(decisions)])
        after = process.resident_bytes()
    finally:
        process.end()
    imported, loaded = (1000 * statistics.median(float(pair[place]) for pair in times) for place in (0, 1))
    return StartFigures(processes, imported, loaded, process.loaded_bytes, after, decisions)


def measure_long(
    python: Path,
    router: Path,
    folder: Path,
    decisions: int,
    arguments: dict[str, Any],
    keep: Callable[[LongFigures], None],
    every: int = SAMPLE_EVERY,
) -> None:
    """Decide on short prompts, no two alike, and watch the memory. arguments: of Router.load. keep: given every sample."""
    process = PeerProcess(python, OURS, write_given(folder, router, arguments))
    try:
        samples = {0: process.loaded_bytes}
        asked = 0
        for prompts in short_prompts(decisions):
            process.time(prompts)
            asked += len(prompts)
            if asked % every == 0 or asked == decisions:
                samples[asked] = process.resident_bytes()
                keep(LongFigures(dict(samples)))
    finally:
        process.end()


def short_prompts(count: int) -> Iterator[list[str]]:
    for first in range(0, count, ASKED_AT_ONCE):
        yield [f"list the open tickets of customer {n}" for n in range(first, min(count, first + ASKED_AT_ONCE))]


def write_given(folder: Path, router: Path, arguments: dict[str, Any] | None = None) -> Path:
    """What ``peer_process.py`` is told of ours."""
    given = folder / "given.json"
    given.write_text(json.dumps({"router": str(router.resolve()), "arguments": arguments or {}}), encoding="utf-8")
    return given
