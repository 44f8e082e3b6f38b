"""What looking for changed tools adds to a decision: 60 tools, all of them recorded, beside none recorded, in turn.

Run: python tests/benchmarks/tools_speed.py [--repeats N]. Prints milliseconds and their ratio; writes nothing.
"""

from __future__ import annotations

import argparse
import statistics
import time

import msgspec
from requests_of_length import RequestMaker

from learned_router.artifact import read_artifact, shipped_artifact
from learned_router.fingerprints import Fingerprints, find_changed_tool, tool_fingerprint, tool_name
from learned_router.router import Router

TOOLS = 60
TOKENS = 60


def make_tool(number: int) -> dict[str, object]:
    """A tool of five described parameters, about the size of a provider's own examples."""
    properties = {
        name: {"type": "string", "description": f"The {name} that the records of kind {number} must have"}
        for name in ("customer", "state", "since", "until", "limit")
    }
    return {
        "type": "function",
        "function": {
            "name": f"list_records_{number}",
            "description": f"List the records of kind {number}, newest first",
            "parameters": {"type": "object", "properties": properties, "required": ["customer"]},
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=200)
    repeats = parser.parse_args().repeats
    tools = [make_tool(number) for number in range(TOOLS)]
    known = {tool_name(tool): str(tool_fingerprint(tool)) for tool in tools}
    artifact = read_artifact(shipped_artifact())
    config = msgspec.structs.replace(artifact.config, fingerprints=Fingerprints(tools=known, seen=TOOLS))
    routers = {
        "none recorded": Router(artifact),
        "all recorded": Router(msgspec.structs.replace(artifact, config=config)),
    }
    prompt = RequestMaker(artifact.path / "tokenizer.json").prompt(TOKENS)
    times: dict[str, list[float]] = {name: [] for name in (*routers, "the search alone")}
    for _ in range(repeats):
        for name, router in routers.items():
            began = time.perf_counter()
            router.route(prompt, tools=tools)
            times[name].append((time.perf_counter() - began) * 1e3)
        began = time.perf_counter()
        find_changed_tool(tools, known)
        times["the search alone"].append((time.perf_counter() - began) * 1e3)
    medians = {name: statistics.median(found) for name, found in times.items()}
    for name, median in medians.items():
        print(f"{name}: {median:.2f} ms")
    print(f"ratio of a decision: {medians['all recorded'] / medians['none recorded']:.3f}")


if __name__ == "__main__":
    main()
