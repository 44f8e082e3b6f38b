"""Where the runtime can be installed, and on which Pythons of this machine its tests pass.

Asks pip which wheels of the runtime's dependencies there are, without downloading them. With --python PATH, which may be
given again, makes an environment with that interpreter and runs the runtime's tests in it. --page fills docs/platforms.md.
"""

from __future__ import annotations

import argparse
import datetime
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
from page_regions import check_page, fill_regions

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs" / "platforms.md"
RESULTS: Final = ROOT / "tests" / "benchmarks" / "results" / "platforms.json"
ENVIRONMENTS: Final = ROOT / "runs" / "platforms"
COMMAND: Final = "make platforms"
# What needs no server, corpora or Node, and all that forks and loads
TESTS: Final = ("tests/runtime", "tests/fuzz", "tests/e2e/test_gunicorn.py", "tests/training/test_export.py")
PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14")
# oldest systems first; pip takes a wheel that names any of them
SYSTEMS: Final = {
    "Linux x86-64": [f"manylinux_2_{minor}_x86_64" for minor in (17, 24, 26, 27, 28)] + ["manylinux2014_x86_64"],
    "Linux arm64": [f"manylinux_2_{minor}_aarch64" for minor in (17, 24, 26, 27, 28)] + ["manylinux2014_aarch64"],
    "macOS arm64": [f"macosx_{major}_0_{kind}" for major in (11, 12, 13, 14) for kind in ("arm64", "universal2")],
    "Windows x86-64": ["win_amd64"],
}
SUMMARY: Final = re.compile(r"(?:(\d+) failed)?(?:, )?(\d+) passed(?:, (\d+) skipped)?")


class Tested(msgspec.Struct, frozen=True):
    """Tests of the runtime under one interpreter."""

    python: str
    passed: int
    failed: int
    skipped: int


class Platforms(msgspec.Struct, frozen=True):
    """missing: by system and Python, the dependencies without a wheel."""

    date: str
    dependencies: tuple[str, ...]
    missing: dict[str, dict[str, list[str]]]
    tested: list[Tested]


def dependencies() -> tuple[str, ...]:
    """What the runtime's install asks for, as pyproject.toml says it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return tuple(project["dependencies"])


def find_missing(system: Sequence[str], python: str, wanted: Sequence[str]) -> list[str]:
    """Those for which pip finds no wheel; each is asked for alone, so that one does not hide the others."""
    return [one for one in wanted if not has_wheel(system, python, one)]


def has_wheel(system: Sequence[str], python: str, wanted: str) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--no-deps"]
        command += ["--only-binary=:all:", "--python-version", python, "--target", folder, wanted]
        command += [part for name in system for part in ("--platform", name)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def run_tests(python: Path) -> Tested:
    """In an environment of its own, which is kept. Raises SystemExit where none can be made."""
    version = subprocess.run([python, "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    place = ENVIRONMENTS / version
    made = subprocess.run(["make", f"VENV={place}", f"PYTHON={python}", f"{place}/.dev"], cwd=ROOT, check=False)
    if made.returncode:
        raise SystemExit(f"{python}: no environment can be made with it; see above")
    # not more quietly than pyproject.toml says, or there is no last line with the counts
    command = [place / "bin" / "python", "-m", "pytest", *TESTS]
    told = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, "CI": "true"}
    )
    found = SUMMARY.search(told.stdout.strip().splitlines()[-1] if told.stdout.strip() else "")
    if found is None:
        raise SystemExit(f"{python}: the tests did not run:\n{told.stdout[-2000:]}{told.stderr[-2000:]}")
    failed, passed, skipped = (int(part or 0) for part in found.groups())
    if failed:
        print(told.stdout[-4000:], file=sys.stderr)
    return Tested(version, passed, failed, skipped)


def fill(text: str, found: Platforms) -> str:
    names = [re.split(r"[<>=!~\[; ]", one)[0] for one in found.dependencies]
    lines = [
        "| system | " + " | ".join(f"Python {python}" for python in PYTHONS) + " |",
        "| --- |" + " --- |" * len(PYTHONS),
    ]
    for system, missing in found.missing.items():
        cells = ("yes" if not missing[python] else f"no: {', '.join(missing[python])}" for python in PYTHONS)
        lines.append(f"| {system} | " + " | ".join(cells) + " |")
    wheels = "\n".join([f"Of {', '.join(names)}; asked for on {found.date}.", "", *lines])
    tests = ["| Python | passed | failed | skipped |", "| --- | ---: | ---: | ---: |"]
    tests += [f"| {one.python} | {one.passed:,} | {one.failed} | {one.skipped} |" for one in found.tested]
    return fill_regions(text, {"wheels": wheels, "tested": "\n".join(tests)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--python", type=Path, action="append", default=[], help="an interpreter to run the tests under"
    )
    parser.add_argument("--page", action="store_true", help="fill the page")
    parser.add_argument("--check", action="store_true", help="measure nothing; exit with 1 where the page says else")
    arguments = parser.parse_args()
    before = msgspec.json.decode(RESULTS.read_bytes(), type=Platforms) if RESULTS.is_file() else None
    if not arguments.check:
        wanted = dependencies()
        tested = {one.python: one for one in (before.tested if before else [])}
        for python in arguments.python:
            one = run_tests(python)
            tested[one.python] = one
            print(one)
        missing = {
            system: {python: find_missing(names, python, wanted) for python in PYTHONS}
            for system, names in SYSTEMS.items()
        }
        date = datetime.date.today().isoformat()
        before = Platforms(date, wanted, missing, [tested[version] for version in sorted(tested)])
        RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(before)) + b"\n")
    if before is None:
        raise SystemExit(f"{RESULTS} is not there; run '{COMMAND}'")
    filled = fill(PAGE.read_text(encoding="utf-8"), before)
    if arguments.check:
        check_page(PAGE, filled, COMMAND)
    elif arguments.page:
        PAGE.write_text(filled, encoding="utf-8")


if __name__ == "__main__":
    main()
