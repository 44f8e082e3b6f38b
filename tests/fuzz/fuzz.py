"""Fuzz every target, one after another, and write down how many executions found what: python tests/fuzz/fuzz.py [--runs N].

Stopped, it goes on where it was, as long as the code is the same; the inputs that reach something new stay under runs/fuzz.
A finding ends its target: what was found is minimised and laid among the cases, which the tests replay until it is fixed and
ever after. Needs atheris, which has wheels for Linux and Python up to 3.13. Knows libFuzzer's output; what is checked stands
in ``fuzz_targets``.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import fuzz_page
import msgspec
from fuzz_targets import TARGETS, seeds_of

ROOT: Final = Path(__file__).resolve().parents[2]
CASES: Final = Path(__file__).resolve().parent / "cases"
RESULTS: Final = ROOT / "tests" / "benchmarks" / "results" / "fuzz.json"
CORPUS: Final = ROOT / "runs" / "fuzz"
RUNS: Final = 1_000_000
PROCESS_RUNS: Final = 50_000
CODE: Final = (
    *("learned_router/**/*.py", "training/records.py", "training/importers/rows.py"),
    *("tests/fuzz/byte_values.py", "tests/fuzz/fuzz_targets.py", "tests/fuzz/constant_artifact.py"),
)
# An execution takes a millisecond; one that takes this long, or a process that takes this much memory, is a finding. By the
# clock on the wall: on a busy machine one of 12 ms was seen to take 15 s
SECONDS: Final = 60
MEMORY_MB: Final = 2_048
# Longer inputs make no more of what they make; they only cost
MOST_BYTES: Final = 320

# libFuzzer's own status when it is interrupted, and Python's of a process that a signal ended
STOPPED: Final = (72, -signal.SIGTERM, -signal.SIGINT)
DONE: Final = re.compile(r"^Done (\d+) runs in (\d+) second", re.MULTILINE)
EXECUTED: Final = re.compile(r"^#(\d+)\t", re.MULTILINE)
EDGES: Final = re.compile(r"\bcov: (\d+)")
FOUND: Final = re.compile(r"Test unit written to (\S+)")


class Tally(msgspec.Struct):
    """What came of one target so far. code: hash of what was fuzzed. edges: of the package's code, that were reached."""

    code: str
    executions: int = 0
    seconds: float = 0.0
    edges: int = 0
    findings: list[str] = []
    date: str = ""
    python: str = ""


def fuzz(name: str, runs: int, corpus: Path) -> Tally:
    """Run one target, in processes of so many executions, until there were ``runs`` or something is found.

    Stopped, it goes on where it was, as long as the code is the same.
    """
    place = corpus / f"{name}.json"
    code = code_hash()
    tally = msgspec.json.decode(place.read_bytes(), type=Tally) if place.is_file() else Tally(code)
    if tally.code != code or tally.findings:
        tally = Tally(code)
    for data in (*seeds_of(name), *(path.read_bytes() for path in cases_of(name))):
        folder = corpus / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)
    while tally.executions < runs and not tally.findings:
        run_process(name, min(PROCESS_RUNS, runs - tally.executions), tally, corpus)
        place.write_bytes(msgspec.json.encode(tally))
    return tally


def run_process(name: str, runs: int, tally: Tally, corpus: Path) -> None:
    """Fuzz in a process of its own, and add what came of it to the tally."""
    found = corpus / "findings" / name
    found.mkdir(parents=True, exist_ok=True)
    command = [
        *(sys.executable, str(Path(__file__).with_name("fuzz_worker.py")), name, str(corpus / name)),
        *(f"-runs={runs}", f"-seed={tally.executions + 1}", f"-max_len={MOST_BYTES}", f"-timeout={SECONDS}"),
        f"-report_slow_units={SECONDS}",
        *(f"-rss_limit_mb={MEMORY_MB}", f"-artifact_prefix={found}/", "-print_final_stats=1"),
    ]
    log = corpus / f"{name}.log"
    began = time.perf_counter()
    with log.open("wb") as file:
        status = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False).returncode
    text = log.read_text(encoding="utf-8", errors="replace")
    count(text, tally, time.perf_counter() - began)
    tally.findings = [keep(name, Path(place)) for place in FOUND.findall(text)]
    if status and not tally.findings and status not in STOPPED:
        print(text[-2_000:], file=sys.stderr)
        raise SystemExit(f"{name}: the fuzzer ended with {status} and without a finding; see {log}")


def count(text: str, tally: Tally, seconds: float) -> None:
    """Add what a log says: of a process that was stopped the executions it told last, which are a few too little."""
    done = DONE.search(text)
    tally.executions += int(done[1]) if done else max([0, *map(int, EXECUTED.findall(text))])
    tally.edges = max([tally.edges, *map(int, EDGES.findall(text))])
    tally.seconds = round(tally.seconds + seconds, 1)
    tally.date, tally.python = datetime.date.today().isoformat(), sys.version.split()[0]


def code_hash() -> str:
    """Of the rooms that are fuzzed, and of what fuzzes them."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in CODE for path in ROOT.glob(pattern)):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def keep(name: str, place: Path) -> str:
    """Minimise what was found, and lay it among the cases. Returns its file's name and what came of it."""
    data = place.read_bytes()
    failure = failure_of(name, data)
    if failure is not None:  # a hang or a want of memory is kept as it is
        data = minimise(name, data, failure)
    path = CASES / name / hashlib.sha1(data).hexdigest()[:12]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return f"{path.name}: {failure or place.name.partition('-')[0]}"


def failure_of(name: str, data: bytes) -> str | None:
    """What a target raises of an input, and where; None where it raises nothing."""
    try:
        TARGETS[name](data, whole=True)
    except Exception as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        line = "" if trace is None else f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
        return f"{type(error).__name__} at {line}"
    return None


def minimise(name: str, data: bytes, failure: str) -> bytes:
    """A shorter input that fails in the same way: parts are left out, and bytes set to 0, as long as it does."""
    size = max(len(data) // 2, 1)
    while size:
        place = 0
        while place < len(data):
            shorter = data[:place] + data[place + size :]
            if failure_of(name, shorter) == failure:
                data = shorter
            else:
                place += size
        size //= 2
    for place in range(len(data)):
        plainer = data[:place] + b"\0" + data[place + 1 :]
        if data[place] and failure_of(name, plainer) == failure:
            data = plainer
    return data


def cases_of(name: str) -> list[Path]:
    return sorted(path for path in (CASES / name).glob("*") if path.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="executions of each target")
    parser.add_argument("--only", choices=[*TARGETS], action="append", help="this target; may be given again")
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="folder of the inputs that reach something new")
    parser.add_argument("--json", type=Path, default=RESULTS, help="file of the figures")
    parser.add_argument("--page", action="store_true", help="fill docs/fuzz.md as well")
    arguments = parser.parse_args()
    failed = False
    for name in arguments.only or TARGETS:
        found = fuzz(name, arguments.runs, arguments.corpus)
        # read only now: another process may fuzz another target
        figures: dict[str, Any] = json.loads(arguments.json.read_text()) if arguments.json.is_file() else {}
        figures[name] = msgspec.to_builtins(found)
        arguments.json.write_text(json.dumps(figures, indent=1) + "\n")
        print(f"{name}: {found.executions:,} executions in {found.seconds:.0f} s, {found.edges:,} edges", flush=True)
        for finding in found.findings:
            print(f"  found {os.path.relpath(CASES / name)}/{finding}", flush=True)
        failed = failed or bool(found.findings)
    if arguments.page:
        fuzz_page.main([])
    sys.exit(failed)


if __name__ == "__main__":
    main()
