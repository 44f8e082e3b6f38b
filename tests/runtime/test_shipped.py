"""The router that ships: it repeats its decisions, tells calls from plans, and says what it was trained on."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from learned_router import Reason, Router, route
from learned_router.artifact import shipped_artifact
from learned_router.replay import read_references, replay

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample.jsonl.gz"


@pytest.fixture(scope="module")
def shipped() -> Router:
    return Router.load()


def test_the_shipped_router_repeats_its_reference_decisions(shipped: Router) -> None:
    assert len(read_references(shipped)) >= 20
    assert replay(shipped) == []


def test_a_plain_listing_goes_down_and_a_planning_request_up() -> None:
    listing = route("list my recent commits", mode="economy")
    planning = route(
        "Plan the migration of our billing service to another region: name the tools to call, in order, and why.",
        mode="economy",
    )
    assert (listing.tier, listing.reason) == ("small", Reason.GOOD_ENOUGH)
    assert planning.tier == "frontier"


def test_the_card_names_every_source_and_says_to_train_on_your_own_pair(shipped: Router) -> None:
    card = " ".join((shipped_artifact() / "README.md").read_text(encoding="utf-8").split())
    provenance = shipped.config.provenance
    assert provenance.sources
    for source in provenance.sources:
        assert f"| {source} |" in card
        assert provenance.licences[source] in card
    assert "train on your own pair" in card
    for mode in shipped.modes:
        assert f"**{mode}.**" in card


def test_a_mode_that_is_not_certified_sends_every_call_up(shipped: Router) -> None:
    assert {name for name, mode in shipped.modes.items() if mode.certified} == {"balanced", "economy"}
    decision = shipped.route("list my recent commits", mode="quality")
    assert (decision.tier, decision.reason) == ("frontier", Reason.UNCERTIFIED)


def test_what_it_promises_stands_in_its_certificate(shipped: Router) -> None:
    certificate = msgspec.json.decode((shipped_artifact() / "certificate.json").read_bytes())
    assert {name: mode["router"]["certified"] for name, mode in certificate["modes"].items()} == {
        name: mode.certified for name, mode in shipped.modes.items()
    }


def test_its_reference_requests_are_all_of_our_own_sample(shipped: Router) -> None:
    from learned_router.training.records import Skipped, read_records

    ours = {msgspec.json.encode(record.messages) for record in read_records([SAMPLE], Skipped())}
    for reference in read_references(shipped):
        assert msgspec.json.encode(reference.request["messages"]) in ours
