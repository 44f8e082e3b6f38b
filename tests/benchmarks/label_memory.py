"""Measure what ``learned-router label`` takes on a long log: peak resident memory, and records a second.

Run: python tests/benchmarks/label_memory.py [--megabytes 300] [--redact] [--json FILE]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console

VOCABULARY = """
account address agenda answer balance branch budget build calendar cargo change client commit contract courier
customer deadline delivery deploy device discount draft engine error estimate event export filter folder forecast
garden harbour holiday import index invoice item journey kitchen label ledger letter library limit market meeting
message metric minute module notice number office order owner parcel patient payment permit planet policy portal
price printer profile project query queue quote receipt refund region release report request reserve result review
river route sample schedule school screen season server session shelf signal station status stock storage street
"""
WORDS = VOCABULARY.split()
STEPS = ("intent", "extract", "tool_call", "validate", "plan", "respond")
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"{name.replace('_', ' ')} by its number, and say what was done",
            "parameters": {
                "type": "object",
                "properties": {"number": {"type": "integer"}, "reason": {"type": "string"}},
            },
        },
    }
    for name in ("find_order", "cancel_order", "refund_payment", "move_delivery")
]
REPEATED = 0.1  # share of the requests that repeat an earlier one


def write_log(path: Path, size: int, seed: int = 0) -> int:
    """Write a paired log of ``size`` bytes: templated agent prompts, answers by tool or text, repetitions. Returns rows."""
    rng = random.Random(seed)
    system = "You work in the service of a shop. " + prose(rng, 60)
    earlier: list[list[dict[str, Any]]] = []
    rows = written = 0
    with path.open("w", encoding="utf-8") as file:
        while written < size:
            if earlier and rng.random() < REPEATED:
                messages = rng.choice(earlier)
            else:
                messages = [
                    {"role": "system", "content": system},
                    {"role": "user", "content": f"Ticket {rows}: {prose(rng, rng.randint(40, 180))}"},
                ]
                if len(earlier) < 10_000:
                    earlier.append(messages)
            written += file.write(json.dumps(row(rng, rows, messages)) + "\n")
            rows += 1
    return rows


def row(rng: random.Random, number: int, messages: list[dict[str, Any]]) -> dict[str, Any]:
    calls = rng.random() < 0.5
    return {
        "id": f"request-{number:09d}-{rng.getrandbits(64):016x}",
        "messages": messages,
        "tools": TOOLS if calls else None,
        "session": f"session-{number // 4}",
        "step": rng.choice(STEPS),
        "task": "shop",
        "outputs": {model: output(rng, calls) for model in ("tiny", "big")},
    }


def output(rng: random.Random, calls: bool) -> dict[str, Any]:
    counts = {"input_tokens": rng.randint(200, 900), "output_tokens": rng.randint(10, 200), "cost_usd": 0.001}
    if calls:
        arguments = {"number": rng.randint(1, 3), "reason": "asked"}
        return {
            "text": None,
            "tool_calls": [{"name": rng.choice(TOOLS)["function"]["name"], "arguments": arguments}],
        } | counts
    return {"text": prose(rng, rng.randint(5, 120))} | counts


def prose(rng: random.Random, words: int) -> str:
    return " ".join(rng.choices(WORDS, k=words))


def measure(size: int, *, redact: bool = False, seed: int = 0) -> dict[str, Any]:
    """Label a log of ``size`` bytes by the command, in a process of its own. Raises RuntimeError with its message."""
    with tempfile.TemporaryDirectory() as folder:
        log, labels = Path(folder) / "log.jsonl", Path(folder) / "labels.jsonl"
        rows = write_log(log, size, seed)
        command = [sys.executable, "-m", "learned_router.cli", "label", str(log), "--out", str(labels), "--json"]
        # by words: the sentence encoder takes hundreds of times as long a record, and the same memory for a long log
        command += ["--tier", "small=tiny", "--tier", "frontier=big", "--similarity", "words"]
        command += ["--redact"] if redact else []
        load, began = os.getloadavg()[0], time.perf_counter()
        with (Path(folder) / "out").open("w+") as out, (Path(folder) / "errors").open("w+") as errors:
            process = subprocess.Popen(command, stdout=out, stderr=errors)
            try:
                _, status, usage = os.wait4(process.pid, 0)  # the kernel's own peak: nothing is missed between samples
            except BaseException:
                process.kill()
                raise
            process.returncode = os.waitstatus_to_exitcode(status)
            seconds = time.perf_counter() - began
            errors.seek(0)
            if process.returncode:
                raise RuntimeError(errors.read().strip() or f"labelling ended with exit code {process.returncode}")
            out.seek(0)
            found = json.load(out)
        return {
            "log_bytes": log.stat().st_size,
            "records": rows,
            "redact": redact,
            "labels": found["labels"],
            "duplicates": found["duplicates"],
            "peak_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
            "seconds": seconds,
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "records_per_second": rows / seconds,
            "records_per_cpu_second": rows / (usage.ru_utime + usage.ru_stime),
            "machine": {
                "cpu": cpu_name(),
                "cores": os.cpu_count(),
                "load_before": load,
                "load_after": os.getloadavg()[0],
            },
        }


def cpu_name() -> str:
    """The processor's name. Not speed.py's: that loads torch, and a child's peak counts what its parent held."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=300, help="size of the log")
    parser.add_argument("--redact", action="store_true", help="label with --redact")
    parser.add_argument("--json", type=Path, help="file to write")
    arguments = parser.parse_args()
    try:
        results = measure(arguments.megabytes * 10**6, redact=arguments.redact)
    except RuntimeError as error:
        sys.exit(str(error))
    Console().print(
        f"{results['log_bytes'] / 1e6:,.0f} MB, {results['records']:,} records: peak {results['peak_bytes'] / 1e6:,.0f} MB, "
        f"{results['records_per_second']:,.0f} records/s ({results['records_per_cpu_second']:,.0f} a second of processor), "
        f"duplicates {results['duplicates']}, load {results['machine']['load_before']:.1f} before",
        highlight=False,
    )
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
