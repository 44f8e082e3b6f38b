"""``python -m learned_router.training.sample --out data``: make the embedded sample, or go on where a run stopped."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console

from learned_router.errors import LearnedRouterError
from learned_router.pricing import Price
from learned_router.training.collect import collect_files
from learned_router.training.collecting.ask_tiers import Options
from learned_router.training.collecting.collect_report import LiveProgress, describe_left
from learned_router.training.collecting.endpoints import CollectTier, Endpoint
from learned_router.training.records import Output, Record, Skipped, ToolCall, read_records, write_jsonl
from learned_router.training.sample.card import write_card
from learned_router.training.sample.check import find_problems
from learned_router.training.sample.generate import generate_sample
from learned_router.training.sample.present import small_body
from learned_router.training.sample.server import SMALL_MODEL, find_small_model, serve_model

REQUESTS: Final = 2160
SEED: Final = 20260302
REFERENCE_MODEL: Final = "reference"
OWN_MODEL: Final = Price(0.0, 0.0, "it runs here")


def main() -> int:
    """Generate, check, ask the small model beside the reference column, write the log and its card."""
    options = _parse_options()
    try:
        records = generate_sample(options.count, options.seed)
        problems = find_problems(records)
        if problems:
            raise LearnedRouterError(f"{len(problems)} references fail their check, the first: {problems[0]}")
        requests, answered = options.work / "requests.jsonl", options.work / "answered.jsonl"
        write_jsonl(requests, map(with_reference, records))
        with (
            serve_model(find_small_model(), threads=options.threads, slots=4) as url,
            LiveProgress(Console(stderr=True)) as progress,
        ):
            run = collect_files(
                [requests],
                [CollectTier("small", SMALL_MODEL, Endpoint(url), OWN_MODEL)],
                answered,
                Options(concurrency=1, calls_in_text=True),  # more would share one core and blur each answer's latency
                build_body=small_body,
                progress=progress,
            )
        if not run.complete:
            raise LearnedRouterError(describe_left(run))
        finished = sorted(read_records([answered], Skipped()), key=lambda record: record.id)
    except LearnedRouterError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; run the same command again to go on", file=sys.stderr)
        return 130
    log = options.out / "sample.jsonl.gz"
    write_jsonl(log, finished)
    write_card(options.out / "README.md", finished, seed=options.seed)
    print(f"{log}: {len(finished)} requests")
    return 0


def with_reference(record: Record) -> Record:
    """The record with its verified reference written as the answer of a model called ``reference``."""
    reference = record.reference or {}
    if "expected_calls" in reference:
        calls = [
            ToolCall(call["name"], {key: accepted[0] for key, accepted in call["arguments"].items()})
            for call in reference["expected_calls"]
        ]
        output = Output(tool_calls=calls)
    elif "no_call" in reference:
        output = Output(text="There is nothing to call.", tool_calls=[])
    elif "json" in reference:
        output = Output(text=json.dumps(reference["json"]))
    else:
        output = Output(text=reference["answer"])
    return msgspec.structs.replace(record, outputs={**record.outputs, REFERENCE_MODEL: output})


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m learned_router.training.sample", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("data"), help="folder of the log and its card")
    parser.add_argument("--work", type=Path, default=Path("runs/sample"), help="folder of the journal")
    parser.add_argument("--count", type=int, default=REQUESTS, help="how many requests")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of the model server")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
