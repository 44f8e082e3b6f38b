"""The monitor routes as its router until a promise is broken; then the top tier, for the slice concerned and no other."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from monitoring import PLAN, REST, TRAFFIC, certificate, promises

from learned_router import Reason, Router
from learned_router.errors import InputError
from learned_router.monitoring import Monitor, Promise, promises_of
from learned_router.monitoring.sampling import AUDITS, is_picked
from learned_router.monitoring.sampling import TRAFFIC as TRAFFIC_DRAW

EASY = "count the orders of today"


@pytest.fixture
def router(edited: Callable[..., Path]) -> Router:
    """One that sends every request down that is not empty, so that an alarm has something to change."""

    def allow_all(config: dict[str, Any]) -> None:
        config["ood_threshold"] = 1e9
        for mode in config["modes"].values():
            mode |= {"threshold": 1.0, "steps": {}}

    return Router.load(edited(allow_all))


@pytest.fixture
def watch(router: Router, tmp_path: Path) -> Monitor:
    return Monitor(router, tmp_path / "state.db", promises=promises())


def break_promise(watch: Monitor, step: str = "plan", mode: str | None = None) -> None:
    for number in range(40):
        watch.record(f"{mode}-{step}-{number}", step=step, mode=mode, regret=1.0)


def test_without_an_alarm_the_decisions_are_the_routers(watch: Monitor, router: Router) -> None:
    for request in (EASY, "redesign the whole server", ""):
        assert watch.route(request) == router.route(request)
        assert watch.route(request, mode="quality", step="plan") == router.route(request, mode="quality", step="plan")


def test_an_alarm_sends_the_calls_of_its_slice_up_and_no_others(watch: Monitor, router: Router) -> None:
    before = router.route(EASY, step="plan")
    assert before.tier == "small"
    break_promise(watch)
    after = watch.route(EASY, step="plan")
    assert (after.tier, after.model, after.reason) == ("frontier", "model-f", Reason.ALARM)
    assert (after.confidence, after.regret, after.quality) == (1.0, 0.0, before.quality)
    assert watch.route(EASY, step="tool_call") == router.route(EASY, step="tool_call")
    assert watch.route(EASY, step="plan", mode="economy") == router.route(EASY, step="plan", mode="economy")
    assert [(found.mode, found.slice) for found in watch.report().alarms] == [("balanced", "plan")]


def test_a_call_that_goes_up_anyway_keeps_its_own_reason(watch: Monitor, router: Router) -> None:
    break_promise(watch)
    decision = router.route("", step="plan")
    assert decision.reason is Reason.EMPTY_REQUEST
    assert watch.route("", step="plan") == decision


def test_another_monitor_on_the_file_sees_the_alarm_at_once(watch: Monitor, router: Router, tmp_path: Path) -> None:
    other = Monitor(router, tmp_path / "state.db", promises=promises())
    assert other.route(EASY, step="plan").tier == "small"
    break_promise(watch)
    assert other.route(EASY, step="plan").reason is Reason.ALARM


def test_an_artifact_made_anew_begins_afresh_in_the_same_file(
    watch: Monitor, tmp_path: Path, edited: Callable[..., Path]
) -> None:
    break_promise(watch)
    renewed = Router.load(edited(files={"README.md": b"certified anew"}))
    assert renewed.name != watch.router.name
    fresh = Monitor(renewed, tmp_path / "state.db", promises=promises())
    assert fresh.route(EASY, step="plan").reason is not Reason.ALARM
    assert [found.audits for found in fresh.report().slices] == [0, 0, 0, 0]
    assert watch.route(EASY, step="plan").reason is Reason.ALARM


def test_only_an_explicit_clear_with_a_note_lifts_an_alarm(watch: Monitor) -> None:
    break_promise(watch)
    for number in range(300):
        watch.record(f"good-{number}", step="plan", regret=-1.0)
    assert watch.route(EASY, step="plan").reason is Reason.ALARM
    with pytest.raises(InputError, match="say who clears the alarm"):
        watch.clear("balanced", "plan", " ")
    with pytest.raises(InputError, match="nothing was audited there"):
        watch.clear("balanced", "rest", "ann: rolled back")
    watch.clear("balanced", "plan", "ann: rolled back")
    assert watch.route(EASY, step="plan").tier == "small"
    report = watch.report()
    assert [record["note"] for record in report.clears] == ["ann: rolled back"]
    assert report.slices[0].evidence == 1.0


def test_alpha_is_shared_out_over_the_slices_of_a_mode_that_can_have_an_alarm(router: Router, tmp_path: Path) -> None:
    silent = Promise("code", 0.95, None, ("code",), share_down=0.0)
    held = promises(PLAN, REST, silent)
    watch = Monitor(router, tmp_path / "state.db", promises=held, alpha=0.1)
    assert {found.level for found in watch.report().slices} == {20.0}
    with pytest.raises(InputError, match="no call may be routed down there"):
        watch.record("a", step="code", regret=0.0)


def test_an_audit_is_counted_once_whatever_it_says_the_second_time(watch: Monitor) -> None:
    assert watch.record("a", step="plan", regret=0.5)
    assert not watch.record("a", step="plan", regret=-1.0)
    assert not watch.record("a", step="tool_call", regret=1.0)
    assert [(found.audits, found.regret) for found in watch.report().slices[:2]] == [(1, 0.5), (0, None)]


def test_calls_of_one_session_weigh_less_than_calls_by_themselves(router: Router, tmp_path: Path) -> None:
    evidence = {}
    for name, session in (("alone", None), ("together", "s"), ("apart", "s{}")):
        watch = Monitor(router, tmp_path / f"{name}.db", promises=promises())
        for number in range(10):
            watch.record(f"{number}", step="plan", regret=1.0, session=session and session.format(number))
            watch.record(f"rest-{number}", step="code", regret=1.0, session="s")  # another slice of the same session
        evidence[name] = watch.report().slices[0].evidence
    assert evidence["together"] < evidence["alone"] / 2
    assert evidence["apart"] == evidence["alone"]


def test_qualities_by_tier_come_to_their_regret(watch: Monitor) -> None:
    assert watch.record("a", step="plan", quality={"small": 0.25, "frontier": 1.0})
    assert watch.record("b", step="plan", quality={"small": 1.0, "frontier": 0.0}, tier="small")
    assert watch.report().slices[0].regret == (0.75 - 1.0) / 2


@pytest.mark.parametrize(
    ("told", "problem"),
    [
        ({"regret": 1.01}, r"regret is 1.01; it must be a number in \[-1, 1\]"),
        ({"regret": float("nan")}, "regret is nan"),
        ({"regret": True}, "regret is True"),
        ({"regret": "0.5"}, "regret is '0.5'"),
        ({}, "either regret or quality"),
        ({"regret": 0.0, "quality": {"small": 0.0, "frontier": 0.0}}, "either regret or quality"),
        ({"quality": {"small": 1.5, "frontier": 0.0}}, r"quality.small is 1.5; it must be a number in \[0, 1\]"),
        ({"quality": {"small": 1.0}}, "it must name frontier"),
        ({"quality": {"frontier": 1.0}}, "the lower tier"),
        ({"quality": {"small": 1.0, "frontier": 1.0, "mid": 1.0}}, "quality names small, frontier, mid"),
        ({"quality": {"small": 1.0, "frontier": 1.0}, "tier": "frontier"}, "the lower tier"),
        ({"quality": {"small": 1.0, "frontier": 1.0}, "tier": ["small"]}, "tier of type list"),
        ({"quality": [1, 2]}, "quality is of type list"),
        ({"regret": 0.0, "mode": "quality"}, "mode is 'quality'; there are promises for balanced, economy"),
        ({"regret": 0.0, "mode": ["balanced"]}, "there are promises for"),
        ({"regret": 0.0, "step": "cook"}, "step is 'cook'"),
        ({"regret": 0.0, "step": ["plan"]}, "step is"),
        ({"regret": 0.0, "id": ""}, "the call's id is ''"),
        ({"regret": 0.0, "id": 7}, "the call's id is 7"),
        ({"regret": 0.0, "session": 7}, "the session's id is 7"),
    ],
)
def test_an_audit_that_says_what_cannot_be_is_refused_and_not_counted(
    watch: Monitor, told: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InputError, match=problem):
        watch.record(**{"id": "a", "step": "plan"} | told)
    assert sum(found.audits for found in watch.report().slices) == 0


def test_a_step_that_no_slice_holds_is_refused(router: Router, tmp_path: Path) -> None:
    watch = Monitor(router, tmp_path / "state.db", promises=promises(PLAN))
    with pytest.raises(InputError, match="no slice that holds it"):
        watch.record("a", step="code", regret=0.0)
    assert watch.route(EASY, step="tool_call") == router.route(EASY, step="tool_call")


def test_two_monitors_want_the_same_two_percent_audited_and_never_the_top_tiers(
    watch: Monitor, router: Router, tmp_path: Path
) -> None:
    other = Monitor(router, tmp_path / "other.db", promises=promises())
    names = [f"call-{number}" for number in range(20_000)]
    wanted = [name for name in names if watch.wants_audit(name)]
    assert wanted == [name for name in names if other.wants_audit(name, tier="small")]
    assert 320 < len(wanted) < 480
    assert not any(watch.wants_audit(name, tier="frontier") for name in wanted)


@given(st.text(min_size=1), st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_holds_the_smaller_one(name: str, one: float, two: float) -> None:
    small, large = sorted((one, two))
    assert not is_picked(name, small, AUDITS) or is_picked(name, large, AUDITS)
    assert is_picked(name, 1.0, AUDITS)
    assert not is_picked(name, 0.0, AUDITS)


def test_audits_and_counted_calls_are_drawn_apart() -> None:
    names = [f"call-{number}" for number in range(4_000)]
    audits, counted = ({name for name in names if is_picked(name, 0.5, draw)} for draw in (AUDITS, TRAFFIC_DRAW))
    assert 900 < len(audits & counted) < 1_100


def test_a_sample_of_the_traffic_is_counted_and_a_change_warned_of(router: Router, tmp_path: Path) -> None:
    held = promises(traffic=TRAFFIC)
    watch = Monitor(router, tmp_path / "state.db", promises=held, traffic_share=0.5)
    names = [f"call-{number}" for number in range(300)]
    picked = sum(is_picked(name, 0.5, TRAFFIC_DRAW) for name in names)
    for name in names:
        watch.route(EASY, id=name, step="recover")
    regret, steps = watch.report().drift
    assert (regret.feature, regret.calls, steps.feature, steps.calls) == ("regret", picked, "steps", picked)
    assert steps.warned_at is not None
    assert watch.route(EASY, step="recover").tier == "small"  # a warning changes no decision


def test_the_promises_are_the_certificates_unless_given(tmp_path: Path, edited: Callable[..., Path]) -> None:
    router = Router.load(edited(files={"certificate.json": msgspec.json.encode(certificate())}))
    report = Monitor(router, tmp_path / "state.db").report()
    assert [(found.mode, found.slice, found.budget, found.certified) for found in report.slices] == [
        ("balanced", "plan", 0.1, True),
        ("balanced", "all", None, False),
    ]
    assert {found.level for found in report.slices} == {20.0}
    assert [found.feature for found in report.drift] == ["regret", "steps"]
    assert hashlib.sha256((router.path / "config.json").read_bytes()).hexdigest()[:12] in report.router


def test_the_gates_promises_are_watched_apart_from_the_routers(tmp_path: Path, edited: Callable[..., Path]) -> None:
    router = Router.load(edited(files={"certificate.json": msgspec.json.encode(certificate())}))
    alone, both = (Monitor(router, tmp_path / "state.db", gated=gated) for gated in (False, True))
    assert both.report().slices[0].budget == 0.04
    break_promise(alone)
    assert [len(watch.report().alarms) for watch in (alone, both)] == [1, 0]
    assert both.record("None-plan-0", step="plan", regret=0.0)  # the same call, in another state
    assert [watch.report().slices[0].audits for watch in (alone, both)] == [40, 1]


def test_a_certificate_without_a_gate_has_no_promises_of_one() -> None:
    made = certificate()
    balanced = msgspec.structs.replace(made.modes["balanced"], gated=None)
    with pytest.raises(InputError, match="promises nothing of a gate"):
        promises_of(msgspec.structs.replace(made, modes={"balanced": balanced}), gated=True)


def test_deciles_that_tie_in_a_certificate_leave_the_steps_to_be_watched() -> None:
    made = certificate()
    tied = msgspec.structs.replace(made.traffic, regret_edges=(0.0, 0.1, 0.1))
    found = promises_of(msgspec.structs.replace(made, traffic=tied)).traffic
    assert found is not None
    assert found.features == ("steps",)


def test_an_artifact_of_before_there_were_certificates_says_what_to_do(
    tmp_path: Path, edited: Callable[..., Path]
) -> None:
    router = Router.load(edited(files={"certificate.json": b'{"certified": false}'}))
    with pytest.raises(InputError, match="has no certificate; train it again"):
        Monitor(router, tmp_path / "state.db")
    assert not (tmp_path / "state.db").exists()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"alpha": 0.0}, "alpha is 0.0"),
        ({"alpha": 1.0}, "alpha is 1.0"),
        ({"alpha": float("nan")}, "alpha is nan"),
        ({"audit_share": 1.1}, "audit_share is 1.1"),
        ({"traffic_share": -0.1}, "traffic_share is -0.1"),
    ],
)
def test_options_out_of_range_are_refused_before_a_file_is_made(
    router: Router, tmp_path: Path, options: dict[str, float], problem: str
) -> None:
    with pytest.raises(InputError, match=problem):
        Monitor(router, tmp_path / "state.db", promises=promises(), **options)
    assert not (tmp_path / "state.db").exists()


def test_promises_of_a_mode_that_the_router_lacks_are_refused(router: Router, tmp_path: Path) -> None:
    strange = msgspec.structs.replace(promises(), modes={"thrifty": (REST,)})
    with pytest.raises(InputError, match="promises of mode 'thrifty'"):
        Monitor(router, tmp_path / "state.db", promises=strange)
