"""Measure how fast and how small the router is, beside an embedding peer timed in the same run.

Run: python tests/benchmarks/speed.py [--router DIR] [--out FILE]. Machines are noisy: the ratios are what to compare.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from corpora import CORPORA, MODELS
from peer import EmbeddingPeer, one_torch_thread
from requests_of_length import RequestMaker
from rich import box
from rich.console import Console
from rich.table import Table

from learned_router.artifact import shipped_artifact
from learned_router.errors import LearnedRouterError
from learned_router.router import Router
from learned_router.training.demo import TIERS, sample_path
from learned_router.training.footprint import cpu_name
from learned_router.training.label import label
from learned_router.training.records import Skipped, read_records

ROOT = Path(__file__).resolve().parents[2]
CORPUS = CORPORA / "bfcl.jsonl.gz"
CORPUS_TIERS = dict(zip(("small", "frontier"), MODELS["bfcl"], strict=True))
PROMPT_TOKENS = (12, 60, 150, 500)
TRANSCRIPT_TOKENS, TRANSCRIPT_TOOLS = 100_000, 60
MEMORY_DECISIONS = 1000
TWO_THREADS_TOKENS = 60
PROMPTS_KEPT = 20  # distinct prompts a length, taken in turn

IMPORT_CODE = "import time; t = time.perf_counter(); import learned_router; print(time.perf_counter() - t)"
# psutil is imported first: what it takes is not the router's. Loads are timed last: routers loaded again and again leave
# memory with the allocator that one router never takes (234 MB instead of 145 with five loads)
MEMORY_CODE = """
import json, sys, time, psutil
resident = lambda: psutil.Process().memory_info().rss
given, bare = json.load(sys.stdin), resident()
from learned_router import Router
router = Router.load(given["router"])
loaded = resident()
for index in range(given["decisions"]):
    router.route(given["prompts"][index % len(given["prompts"])])
after, times = resident(), []
for _ in range(given["loads"]):
    began = time.perf_counter()
    Router.load(given["router"])
    times.append(time.perf_counter() - began)
print(json.dumps({"load_s": times, "bare": bare, "loaded": loaded, "after": after}))
"""


def time_in_turn(calls: Sequence[Callable[[int], Any]], repeats: int) -> list[list[float]]:
    """Milliseconds of each call, ``repeats`` times each after a warm-up, taking turns so that load falls on all alike."""
    for call in calls:
        for index in range(min(repeats, 5)):
            call(index)
    times: list[list[float]] = [[] for _ in calls]
    for index in range(repeats):
        for call, taken in zip(calls, times, strict=True):
            began = time.perf_counter()
            call(index)
            taken.append(1000 * (time.perf_counter() - began))
    return times


def one_by_one(decide: Callable[[str], Any], prompts: Sequence[str]) -> Callable[[int], Any]:
    return lambda index: decide(prompts[index % len(prompts)])


def percentiles(times_ms: Sequence[float]) -> dict[str, float]:
    return {"p50_ms": float(np.percentile(times_ms, 50)), "p99_ms": float(np.percentile(times_ms, 99))}


def measure_decisions(router: Router, maker: RequestMaker, repeats: int) -> list[dict[str, Any]]:
    """One row a length of prompt: the router, the peer on the same prompts, and peer over router of the medians."""
    rows = []
    with one_torch_thread():
        peer = EmbeddingPeer([maker.prompt(20) for _ in range(40)])
        for tokens in PROMPT_TOKENS:
            prompts = [maker.prompt(tokens) for _ in range(PROMPTS_KEPT)]
            ours, theirs = time_in_turn([one_by_one(router.route, prompts), one_by_one(peer.decide, prompts)], repeats)
            ratio = statistics.median(theirs) / statistics.median(ours)
            rows.append(
                {"tokens": tokens, "router": percentiles(ours), "peer": percentiles(theirs), "peer_over_ours": ratio}
            )
    return rows


def measure_transcript(router: Router, maker: RequestMaker, repeats: int) -> dict[str, Any]:
    request = maker.transcript(TRANSCRIPT_TOKENS, TRANSCRIPT_TOOLS)
    tokens = sum(maker.count(message["content"] or "") for message in request["messages"])
    (times,) = time_in_turn([lambda _: router.route(request)], repeats)
    return {"tokens": tokens, "tools": TRANSCRIPT_TOOLS, "router": percentiles(times)}


def measure_two_threads(path: Path, maker: RequestMaker, repeats: int) -> dict[str, float]:
    """One decision of ``TWO_THREADS_TOKENS`` tokens by a router that was loaded with two threads."""
    router, prompts = Router.load(path, threads=2), [maker.prompt(TWO_THREADS_TOKENS) for _ in range(PROMPTS_KEPT)]
    (times,) = time_in_turn([one_by_one(router.route, prompts)], repeats)
    return percentiles(times)


def measure_import(repeats: int) -> float:
    """Median milliseconds of ``import learned_router`` in fresh processes, the first left out."""
    command = [sys.executable, "-c", IMPORT_CODE]
    times = [float(subprocess.run(command, capture_output=True, check=True).stdout) for _ in range(repeats + 1)]
    return 1000 * statistics.median(times[1:])


def measure_memory(router: Path, prompts: Sequence[str], decisions: int, loads: int) -> dict[str, float]:
    """Resident memory of a fresh process, bytes, and median milliseconds of ``Router.load`` in it."""
    given = json.dumps({"router": str(router), "prompts": prompts, "decisions": decisions, "loads": loads})
    command = [sys.executable, "-c", MEMORY_CODE]
    found = json.loads(subprocess.run(command, input=given, capture_output=True, check=True, text=True).stdout)
    return {
        "load_ms": 1000 * statistics.median(found["load_s"]),
        "python_bytes": found["bare"],
        "loaded_bytes": found["loaded"],
        "after_decisions_bytes": found["after"],
        "decisions": decisions,
    }


def measure_labelling() -> dict[str, Any] | None:
    """Records a second of one core, reading included, on the embedded sample or else a corpus; None without either."""
    try:
        path, tiers = sample_path(), TIERS
    except LearnedRouterError:
        path, tiers = CORPUS, CORPUS_TIERS
    if not path.is_file():
        return None
    rates = []
    for _ in range(3):
        began = time.process_time()
        rates.append(label(read_records([path], Skipped()), tiers).read / (time.process_time() - began))
    return {"records": path.name, "per_second": statistics.median(rates)}


def measure(router_path: Path, *, repeats: int = 200, decisions: int = MEMORY_DECISIONS) -> dict[str, Any]:
    """Every figure, as written to the results file; times in milliseconds, sizes in bytes."""
    router = Router.load(router_path, threads=1)
    maker = RequestMaker(router_path / "tokenizer.json")
    load_before = os.getloadavg()[0]
    wheels = sorted((ROOT / "dist").glob("*.whl"), key=lambda path: path.stat().st_mtime)
    return {
        "measured": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "router": router.name,
        "repeats": repeats,
        "decisions": measure_decisions(router, maker, repeats),
        "transcript": measure_transcript(router, maker, max(5, repeats // 4)),
        "two_threads": measure_two_threads(router_path, maker, repeats),
        "import_ms": measure_import(5),
        "memory": measure_memory(router_path, [maker.prompt(60) for _ in range(PROMPTS_KEPT)], decisions, loads=5),
        "labelling": measure_labelling(),
        "model_bytes": (router_path / "model.onnx").stat().st_size,
        "wheel_bytes": wheels[-1].stat().st_size if wheels else None,
        "machine": machine_of(load_before),
    }


def machine_of(load_before: float) -> dict[str, Any]:
    """What was measured on, and how busy it was: load_before, as it was then, and the load now."""
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "load_before": load_before,
        "load_after": os.getloadavg()[0],
    }


def decision_table(results: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: one decision by length of the request."""
    rows = [
        [
            f"{row['tokens']} tokens",
            *(f"{row[who][figure]:.1f} ms" for who in ("router", "peer") for figure in ("p50_ms", "p99_ms")),
            f"{row['peer_over_ours']:.1f} ×",
        ]
        for row in results["decisions"]
    ]
    long = results["transcript"]
    times = [f"{long['router'][figure]:.1f} ms" for figure in ("p50_ms", "p99_ms")]
    rows.append([f"{long['tokens']:,} tokens, {long['tools']} tools", *times, "–", "–", "–"])
    return ["request", "p50", "p99", "peer p50", "peer p99", "peer / ours"], rows


def size_table(results: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: everything else that was measured."""
    memory, labelling, wheel = results["memory"], results["labelling"], results["wheel_bytes"]
    rate = "not measured: no logs there" if labelling is None else f"{labelling['per_second']:,.0f} records/s"
    return ["figure", "value"], [
        ["import learned_router", f"{results['import_ms']:.0f} ms"],
        ["Router.load", f"{memory['load_ms']:.0f} ms"],
        ["resident memory after load", megabytes(memory["loaded_bytes"])],
        [f"resident memory after {memory['decisions']:,} decisions", megabytes(memory["after_decisions_bytes"])],
        [f"one decision of {TWO_THREADS_TOKENS} tokens, two threads", f"{results['two_threads']['p50_ms']:.1f} ms"],
        ["labelling, one core" + (f", {labelling['records']}" if labelling else ""), rate],
        ["model.onnx", megabytes(results["model_bytes"])],
        ["wheel", "not built" if wheel is None else megabytes(wheel)],
    ]


def describe_machine(results: dict[str, Any]) -> str:
    """One sentence on what was measured where, and how busy it was there."""
    machine = results["machine"]
    return (
        f"{results['router']}, one thread, {results['repeats']} repeats a length, on {machine['cpu']}, "
        f"{machine['cores']} cores, load {machine['load_before']:.1f} before and {machine['load_after']:.1f} after, "
        f"{results['measured']}. The peer is MiniLM-L6 in torch, one thread, cut at 256 tokens, with a logistic "
        "regression, timed in turn with the router on the same prompts."
    )


def megabytes(size: float) -> str:
    return f"{size / 1e6:.1f} MB"


def show(results: dict[str, Any], console: Console) -> None:
    for header, rows in (decision_table(results), size_table(results)):
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
        for index, name in enumerate(header):
            table.add_column(name, justify="left" if index == 0 else "right")
        for row in rows:
            table.add_row(*row)
        console.print(table, "")
    console.print(describe_machine(results), highlight=False, markup=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--router", type=Path, help="artifact folder; without it the one that ships")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "speed.json")
    parser.add_argument("--repeats", type=int, default=200, help="timed decisions a length")
    arguments = parser.parse_args()
    try:
        results = measure(arguments.router or shipped_artifact(), repeats=arguments.repeats)
    except LearnedRouterError as error:
        sys.exit(f"error: {error}")
    show(results, Console())
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
