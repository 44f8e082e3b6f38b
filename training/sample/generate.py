"""Assemble sessions of requests from the families, seeded and without doubles. Knows no model and no files."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from learned_router.request import STEPS
from learned_router.training.records import Record
from learned_router.training.sample import calls, reading, reasoning
from learned_router.training.sample.case import Case, Domain, Family, Scene
from learned_router.training.sample.domains import DOMAINS
from learned_router.training.sample.values import PEOPLE

SOURCE: Final = "learned-router-sample"
FAMILIES: Final = (*calls.FAMILIES, *reading.FAMILIES, *reasoning.FAMILIES)
LICENCE: Final = "Apache-2.0 (prompts, references and outputs made for this project)"
REQUESTS_PER_SESSION: Final = 6
FIRST_DAY: Final = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
# House rules say nothing of the task; they make prompts longer or shorter without making them harder or easier.
HOUSE_RULES: Final = (
    "Be friendly and brief.",
    "The working day starts at nine and ends at five.",
    "Never share anything about other people without their consent.",
    "If something is unclear, take the simplest reading of it.",
    "The team uses the metric system and writes dates the European way.",
    "Our offices are closed on public holidays, and messages are then answered on the next working day.",
)


def generate_sample(count: int, seed: int) -> list[Record]:
    """``count`` requests with references and no outputs yet, six to a session, the ten steps in equal shares.

    The same seed gives the same records. No two requests are alike in messages and tools.
    """
    records: list[Record] = []
    seen: set[bytes] = set()
    waiting: list[str] = []
    for number in range(-(-count // REQUESTS_PER_SESSION)):
        rng = random.Random(f"{seed}/{number}")
        domain = DOMAINS[number % len(DOMAINS)]
        scene = _draw_scene(rng, domain)
        session = f"s{number:04d}-{domain.name}"
        moment = FIRST_DAY + timedelta(hours=7 * number, minutes=rng.randrange(60))
        for place in range(min(REQUESTS_PER_SESSION, count - len(records))):
            if not waiting:
                waiting = rng.sample(STEPS, len(STEPS))
            record = _draw_record(rng, scene, waiting.pop(), seen)
            record.id, record.session = f"{session}-{place}", session
            record.timestamp = (moment + timedelta(minutes=2 * place)).strftime("%Y-%m-%dT%H:%M:%SZ")
            records.append(record)
    return records


def _draw_record(rng: random.Random, scene: Scene, step: str, seen: set[bytes]) -> Record:
    while True:
        family, level = _draw_family(rng, step)
        case = family.make(rng, scene, level)
        print_of_case = msgspec.json.encode((case.messages, case.tools))
        if print_of_case not in seen:
            seen.add(print_of_case)
            return _to_record(case, family, level)


def _draw_family(rng: random.Random, step: str) -> tuple[Family, int]:
    options = [(family, level, share) for family in _families_of(step) for level, share in enumerate(family.shares, 1)]
    family, level, _ = rng.choices(options, weights=[share for _, _, share in options])[0]
    return family, level


def _families_of(step: str) -> list[Family]:
    by_step: dict[str, list[Family]] = defaultdict(list)
    for family in FAMILIES:
        by_step[family.step].append(family)
    return by_step[step]


def _to_record(case: Case, family: Family, level: int) -> Record:
    return Record(
        id="",
        messages=case.messages,
        outputs={},
        tools=case.tools,
        response_format=case.response_format,
        step=family.step,
        task=family.name,
        category=f"{family.name}-{level}",
        source=SOURCE,
        licence=LICENCE,
        reference=case.reference,
        metadata={"level": level, "check": case.check},
    )


def _draw_scene(rng: random.Random, domain: Domain) -> Scene:
    user = rng.choice(PEOPLE)
    system = rng.choice(domain.systems)
    if rng.random() < 0.3:
        system += f" The user is called {user}."
    if rng.random() < 0.45:
        system += " " + " ".join(rng.sample(HOUSE_RULES, rng.randint(1, 4)))
    return Scene(domain, system, user, tuple(_draw_rows(rng, domain)))


def _draw_rows(rng: random.Random, domain: Domain) -> list[dict[str, Any]]:
    numbers = rng.sample(range(110, 999), 5)
    owners = rng.sample(PEOPLE, 5)
    amounts = rng.sample(range(12, 95), 5)
    rows = []
    for number, title, owner, amount in zip(numbers, rng.sample(domain.titles, 5), owners, amounts, strict=True):
        shown: Any = number if domain.id_shape == "{}" else domain.id_shape.format(number)
        rows.append(dict(zip(domain.keys, (shown, title, rng.choice(domain.statuses), owner, amount), strict=True)))
    return rows
