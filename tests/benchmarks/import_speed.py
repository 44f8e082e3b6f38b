"""Measure how fast and in how much memory logs are read and paired: a synthetic log of any size, streamed through.

Run: python tests/benchmarks/import_speed.py [--size-mb 2000] [--format openai|paired|json] [--json FILE]
The log is written to a temporary folder, together with the file that pairing waits in, and removed afterwards.
Linux only: memory is read from /proc.
"""

from __future__ import annotations

import argparse
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

FORMATS = ("openai", "paired", "json")
MEMORY_LIMIT_MB, SPEED_WANTED = 500, 10_000
WORDS = """
harbour invoice ticket guest refund deploy branch window summary region latency customer schedule archive container
warehouse delivery contract meeting agenda report battery sensor garden kitchen lamp mirror planet river summit
""".split()  # noqa: SIM905
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"Do what {name} says.",
            "parameters": {"type": "object", "properties": {"query": {"type": "string"}, "limit": {"type": "integer"}}},
        },
    }
    for name in ("search_orders", "open_ticket", "send_invoice")
]

# a process of its own: the memory that writing the log takes is not the importer's
READ_CODE = """
import json, sys, time
from pathlib import Path
from learned_router.training.importers.logs import read_logs
from learned_router.training.importers.pair import pair
from learned_router.training.records import Skipped
def peak_mb():
    # not ru_maxrss, which a process inherits from the one that started it
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024
bare = peak_mb()
path, skipped = Path(sys.argv[1]), Skipped()
began, cpu, read = time.perf_counter(), time.process_time(), 0
def counted(records):
    global read
    for record in records:
        read += 1
        yield record
requests = outputs = 0
source = counted(read_logs([path], skipped))
for record in pair(source, skipped) if sys.argv[2] == "pair" else source:
    requests += 1
    outputs += len(record.outputs)
seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
print(json.dumps({"records": read, "requests": requests, "outputs": outputs, "seconds": seconds, "cpu_seconds": cpu,
                  "peak_mb": peak_mb(), "bare_mb": bare, "skipped": dict(skipped.counts)}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-mb", type=float, default=2000)
    parser.add_argument("--format", choices=FORMATS, default="openai")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log"
        rows = write_log(path, options.size_mb * 1e6, options.format)
        figures = {
            "format": options.format,
            "size_mb": path.stat().st_size / 1e6,
            "rows": rows,
            "read_logs": measure(path, "read", folder),
            "read_logs_and_pair": measure(path, "pair", folder),
            "machine": {"cpu": cpu_name(), "python": platform.python_version()},
        }
    show(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def write_log(path: Path, size: float, kind: str) -> int:
    """Write calls until the file has ``size`` bytes; returns how many. Every request is answered by two models."""
    rng = random.Random(0)
    written = count = 0
    with path.open("w", encoding="utf-8") as file:
        file.write("[\n" if kind == "json" else "")
        while written < size:
            request = make_request(rng, count)
            for model in ("small-1", "frontier-1"):
                row = make_row(rng, request, model, count, kind)
                line = (",\n" if kind == "json" and count else "") + json.dumps(row)
                line += "" if kind == "json" else "\n"
                written += file.write(line)
                count += 1
        file.write("\n]\n" if kind == "json" else "")
    return count


def make_request(rng: random.Random, number: int) -> dict[str, Any]:
    """An agent's step of about 2 kB, as logs hold them: a system prompt, some turns, now and then tools."""
    turns = [{"role": "system", "content": f"You help at desk {number % 50}. " + words(rng, 60)}]
    for index in range(rng.randint(0, 2)):
        turns.append({"role": "user", "content": words(rng, 30)})
        turns.append({"role": "assistant", "content": f"{index}: {words(rng, 30)}"})
    turns.append({"role": "user", "content": f"Case {number}: {words(rng, 40)}?"})
    return {"messages": turns, **({"tools": TOOLS} if rng.random() < 0.3 else {})}


def make_row(rng: random.Random, request: dict[str, Any], model: str, number: int, kind: str) -> dict[str, Any]:
    text = words(rng, 40)
    if kind == "paired":
        output = {"text": text, "input_tokens": 300, "output_tokens": 40, "latency_s": 0.5, "cost_usd": 0.001}
        return {"id": f"call-{number}", **request, "outputs": {model: output}, "session": f"s-{number // 8}"}
    return {
        "request": {"model": model, **request, "metadata": {"session_id": f"s-{number // 8}"}},
        "response": {
            "id": f"call-{number}",
            "object": "chat.completion",
            "created": 1_767_225_600 + number,
            "model": model,
            "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 300, "completion_tokens": 40, "total_tokens": 340},
        },
        "latency_s": 0.5,
    }


def words(rng: random.Random, count: int) -> str:
    return " ".join(rng.choices(WORDS, k=count))


def measure(path: Path, what: str, folder: str) -> dict[str, Any]:
    """What a fresh process on one thread says of reading ``path``."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "SQLITE_TMPDIR": folder}
    command = [sys.executable, "-c", READ_CODE, str(path), what]
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found: dict[str, Any] = json.loads(result.stdout)
    found["records_per_s"] = found["records"] / found["seconds"]
    found["records_per_cpu_s"] = found["records"] / found["cpu_seconds"]
    return found


def cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def show(figures: dict[str, Any]) -> None:
    print(f"{figures['format']}: {figures['size_mb']:,.0f} MB, {figures['rows']:,} rows, {figures['machine']['cpu']}")
    for name in ("read_logs", "read_logs_and_pair"):
        found = figures[name]
        print(
            f"{name}: {found['records_per_s']:,.0f} records/s of wall clock, {found['records_per_cpu_s']:,.0f} of CPU time "
            f"(wanted {SPEED_WANTED:,}), peak {found['peak_mb']:.0f} MB resident (limit {MEMORY_LIMIT_MB}), "
            f"{found['requests']:,} requests, {found['outputs']:,} outputs, skipped {found['skipped']}"
        )


if __name__ == "__main__":
    started = time.perf_counter()
    main()
    print(f"{time.perf_counter() - started:.0f} s in all")
