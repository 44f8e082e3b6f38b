"""What tests of collecting share: a log, tiers that a fake server answers, and what was written in the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from model_server import ModelServer

from learned_router.pricing import Price
from learned_router.request import Message
from learned_router.training.collect import CollectRun, collect_files
from learned_router.training.collecting.ask import Patience
from learned_router.training.collecting.ask_tiers import Options
from learned_router.training.collecting.endpoints import CollectTier, Endpoint
from learned_router.training.records import Output, Record, Skipped, read_records, write_jsonl

QUICK = Patience(timeout_s=5, attempts=3, first_wait_s=0.01, longest_wait_s=0.02)
FREE = Price(0.0, 0.0)
DOLLAR_A_TOKEN = Price(1e6, 1e6)  # the server counts 7 tokens in and 3 out: ten dollars an answer
HELD = Output(text="held by the log", input_tokens=7, output_tokens=3)


def request(index: int, **fields: Any) -> Record:
    outputs = fields.pop("outputs", {"big": HELD})
    return Record(id=f"r{index}", messages=[Message("user", f"request {index}")], outputs=outputs, **fields)


def write_log(folder: Path, records: int | list[Record]) -> Path:
    made = [request(index) for index in range(records)] if isinstance(records, int) else records
    write_jsonl(folder / "log.jsonl", made)
    return folder / "log.jsonl"


def tiers(model: ModelServer, price: Price = FREE, **endpoint: Any) -> list[CollectTier]:
    return [CollectTier("small", "m", Endpoint(model.url, **endpoint), price), CollectTier("frontier", "big")]


def run(log: Path, asked: list[CollectTier], **options: Any) -> CollectRun:
    return collect_files([log], asked, log.with_name("pairs.jsonl"), Options(**{"patience": QUICK} | options))


def written(run: CollectRun) -> list[Record]:
    return list(read_records([run.out], Skipped()))


def texts(run: CollectRun, name: str = "m") -> list[str | None]:
    return [record.outputs[name].text if name in record.outputs else None for record in written(run)]


def heard(count: int) -> list[str]:
    return [f"heard request {index}" for index in range(count)]
