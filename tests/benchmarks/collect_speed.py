"""What collecting costs beside the models: records planned a second, answers kept a second, peak memory.

Knows the command's parts and a fake server that answers at once; knows no real model.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WORDS = ("list", "orders", "late", "server", "build", "invoice", "plan", "the", "of", "every", "status", "deploy")


def write_log(path: Path, records: int, kilobytes: float = 2.0) -> int:
    """Records of about ``kilobytes`` with one model's answer each. Returns the file's bytes."""
    rng = random.Random(0)
    words = int(kilobytes * 1024 / 6)
    with path.open("w") as file:
        for index in range(records):
            text = f"request {index}: " + " ".join(rng.choices(WORDS, k=words))
            output = {"text": "done", "input_tokens": words, "output_tokens": 1}
            messages = [{"role": "user", "content": text}]
            file.write(json.dumps({"id": f"r{index}", "messages": messages, "outputs": {"big": output}}) + "\n")
    return path.stat().st_size


def measure(records: int, asked: int) -> dict[str, Any]:
    """Plan ``records``, then ask ``asked`` of them; in a process of its own, so that its memory is its own."""
    sys.path.insert(0, str(ROOT / "tests" / "training"))
    from model_server import model_server

    with tempfile.TemporaryDirectory() as folder, model_server() as model:
        log = Path(folder) / "log.jsonl"
        size = write_log(log, records)
        command = [sys.executable, __file__, "--child", str(log), model.url, str(asked)]
        child = subprocess.run(command, capture_output=True, text=True, check=True)
    return {"records": records, "log_mb": size / 1e6, "asked": asked} | json.loads(child.stdout)


def child(log: Path, url: str, asked: int) -> dict[str, float]:
    from learned_router.training.collect import collect_files, plan_files
    from learned_router.training.collecting.ask_tiers import Options
    from learned_router.training.collecting.endpoints import parse_tiers

    tiers = parse_tiers([f"small=m@{url}", "frontier=big"], prices=["small=0,0"])
    out = log.with_name("pairs.jsonl")
    began = time.perf_counter()
    plan = plan_files([log], tiers, out)
    planned_s = time.perf_counter() - began
    began = time.perf_counter()
    run = collect_files([log], tiers, out, Options(sample=asked))
    assert run.complete
    return {
        "planned_per_second": plan.read / planned_s,
        "collect_s": time.perf_counter() - began,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(child(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))))
    else:
        print(json.dumps(measure(*(int(number) for number in (sys.argv[1:] or ["100000", "1000"]))), indent=1))
