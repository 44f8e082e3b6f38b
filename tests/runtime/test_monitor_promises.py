"""Promises and traffic as JSON: what is read, which slice holds a call, what cannot be and is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from learned_router.errors import InputError
from learned_router.monitoring import describe_traffic, parse_promises, read_promises

SLICE = {
    "name": "all",
    "steps": [],
    "target": 0.95,
    "share_down": 0.4,
    "top_quality": 0.8,
    "budget": 0.1,
    "certified": True,
}
TRAFFIC = {"rows": 500, "regret_edges": [0.1, 0.2], "steps": {"plan": 0.4, "code": 0.6}}


def told(slices: Any = None, traffic: Any = TRAFFIC, **more: Any) -> bytes:
    return json.dumps({"modes": {"balanced": {"slices": slices or [SLICE]}}, "traffic": traffic, **more}).encode()


def test_what_else_a_certificate_holds_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "certificate.json"
    path.write_bytes(told(delta=0.05, n=10))
    found = read_promises(path)
    assert found.modes["balanced"][0].budget == 0.1
    assert found.traffic is not None
    assert found.traffic.rows == 500


def test_a_call_belongs_to_the_slice_of_its_step_else_to_the_one_without_steps() -> None:
    plan, rest = SLICE | {"name": "plan", "steps": ["plan"]}, SLICE | {"name": "rest"}
    found = parse_promises(told([rest, plan]), "x")
    names = [found.slice_of("balanced", step) for step in ("plan", "code", None)]
    assert [promise and promise.name for promise in names] == ["plan", "rest", "rest"]
    assert parse_promises(told([plan]), "x").slice_of("balanced", "code") is None
    assert found.slice_of("economy", "plan") is None


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b"{", "truncated"),
        (b"[]", "Expected `object`"),
        (b'{"modes": {"balanced": {"target": 0.95}}}', "missing required field `slices`.*modes"),
        (told([SLICE | {"budget": -0.1}]), "modes.balanced.slices, all: budget is -0.1"),
        (told([SLICE | {"target": 95}]), r"target is 95.*must lie in \[0, 1\]"),
        (told([SLICE, SLICE]), "a name of its own"),
        (told([SLICE, SLICE | {"name": "rest"}]), "two slices name no steps"),
        (told([SLICE | {"steps": ["plan"]}, SLICE | {"name": "b", "steps": ["plan"]}]), "a step is in two slices"),
        (told(traffic=TRAFFIC | {"rows": 0}), "traffic.rows is 0"),
        (told(traffic=TRAFFIC | {"regret_edges": [0.2, 0.2]}), "regret_edges must be finite numbers that rise"),
        (told(traffic=TRAFFIC | {"steps": {}}), "steps is empty"),
        (told(traffic=TRAFFIC | {"steps": {"plan": 0.4}}), "shares of steps must be 2 numbers"),
        (told(traffic=TRAFFIC | {"regret_shares": [0.5, 0.5]}), "shares of regret must be 3 numbers"),
    ],
)
def test_what_cannot_be_is_refused_with_file_and_field(raw: bytes, problem: str) -> None:
    with pytest.raises(InputError, match=f"(?s)c.json: .*{problem}"):
        parse_promises(raw, "c.json")


def test_no_slices_at_all_and_no_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least one slice"):
        parse_promises(b'{"modes": {"balanced": {"slices": []}}}', "c.json")
    with pytest.raises(InputError, match=r"none\.json: cannot be read"):
        read_promises(tmp_path / "none.json")


def test_a_slice_from_which_no_call_goes_down_needs_no_budget() -> None:
    found = parse_promises(told([SLICE | {"budget": None, "share_down": 0.0}]), "x")
    assert found.modes["balanced"][0].budget is None


def test_traffic_may_be_told_by_steps_alone() -> None:
    found = parse_promises(told(traffic=TRAFFIC | {"regret_edges": []}), "x").traffic
    assert found is not None
    assert found.features == ("steps",)


def test_traffic_described_from_calls_is_traffic_that_is_read_back() -> None:
    rng = np.random.default_rng(0)
    regrets, steps = rng.normal(size=1_000), ["plan"] * 300 + ["code"] * 700
    found = describe_traffic(list(regrets), steps)
    assert found.rows == 1_000
    assert len(found.regret_edges) == 9
    np.testing.assert_allclose(found.spread("regret"), 0.1, atol=0.002)
    assert found.steps == {"code": 0.7, "plan": 0.3}
    back = parse_promises(told(traffic=msgspec.to_builtins(found)), "x").traffic
    assert back == found
    each = np.bincount([found.regret_bin(regret) for regret in regrets]) / 1_000
    np.testing.assert_allclose(each, found.spread("regret"))
    assert [found.step_bin(step) for step in ("code", "plan", "recover")] == [0, 1, 2]


def test_deciles_that_tie_are_one_bin_and_no_bin_is_empty() -> None:
    found = describe_traffic([0.0] * 60 + [0.5] * 40, ["plan"] * 100)
    assert found.regret_edges == (0.5,)
    assert found.spread("regret").tolist() == [0.6, 0.4]


def test_no_calls_describe_no_traffic() -> None:
    with pytest.raises(ValueError, match="0 regrets and 0 steps"):
        describe_traffic([], [])
