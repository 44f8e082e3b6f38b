"""The simulation of certificates does what certify.prove does, knows its populations' truth, and fills its page."""

from __future__ import annotations

import math
from pathlib import Path

import certify_page
import certify_validity
import certify_validity_page
import msgspec
import numpy as np
import pytest
from bench_store import read_figures, write_figures
from certify_figures import OURS, Cell, Power, Validity, is_over, rate_interval
from certify_populations import Population, draw, populations
from certify_simulation import (
    PROOFS_PER_PATH,
    TUNING_SHARE,
    as_certified,
    best_share,
    hoeffding_bentkus,
    keep,
    simulate,
)
from page_regions import REGION

from learned_router.training.certify import SlicePlan, prove
from learned_router.training.proof_rows import follow_path, unit_limit
from learned_router.training.thresholds import NEVER_DOWN

DELTA = 0.05
NAMES = [population.name for population in populations(0.9)]


def find(name: str, target: float) -> Population:
    return next(population for population in populations(target) if population.name == name)


def prove_draw(population: Population, target: float, calls: int, place: int) -> tuple[float, bool]:
    """What ``certify.prove`` makes of the simulation's draw: the share that goes down, and whether a promise is broken."""
    path = place // PROOFS_PER_PATH
    tuning = draw(population, round(calls * TUNING_SHARE), (0, calls, 0, path))
    proof = draw(population, calls, (0, calls, 1, place))
    limit = unit_limit(tuning.weight, tuning.unit)
    plan = SlicePlan(population.slices)
    rows, share, broken = population.rows, 0.0, False
    for found in prove(tuning, proof, plan, target, DELTA, population.costs, limit, seed=place):
        if not found.certified:
            continue
        of_slice = rows.step == found.steps[0] if found.steps else ~np.isin(rows.step, population.slices)
        some = rows.take(of_slice)
        used = follow_path(some, [(found.route, found.accept)])
        share += float(some.weight @ (used[:, 0] < rows.predicted.shape[1] - 1) / rows.weight.sum())
        broken |= bool(keep(some, used)[0] <= target + 1e-9)
    return share, broken


@pytest.mark.parametrize("name", NAMES)
def test_many_draws_side_by_side_are_proved_as_each_by_itself(name: str) -> None:
    population = find(name, 0.9)
    calls = 400 if population.rows.answers is None else 200
    found = simulate(population, 0.9, calls, DELTA, 4, {OURS: as_certified}, walked=4)[OURS]
    alone = [prove_draw(population, 0.9, calls, place) for place in range(4)]
    # a threshold that happens to send no call of the proof down is not certified; it would send down next to none
    np.testing.assert_allclose(found.share, [share for share, _ in alone], atol=0.01)


def test_a_proof_at_the_hardest_boundary_breaks_its_promise_in_at_most_delta_of_draws() -> None:
    """``certify.prove`` itself, end to end; and the simulation, which tests the first bad point first, counts the same."""
    population, draws = find("boundary, top errs", 0.9), 120
    found = simulate(population, 0.9, 300, DELTA, draws, {OURS: as_certified}, walked=0)[OURS]
    alone = np.array([prove_draw(population, 0.9, 300, place)[1] for place in range(draws)])
    np.testing.assert_array_equal(found.broken, alone)
    assert 0 < alone.mean() <= DELTA + 3 * math.sqrt(DELTA * (1 - DELTA) / draws)


@pytest.mark.parametrize("target", [0.9, 0.95, 0.98])
def test_at_the_boundary_every_threshold_keeps_exactly_the_target(target: float) -> None:
    for name in ("boundary", "boundary, top errs", "kind grader"):
        rows = find(name, target).rows
        regrets = np.unique(rows.predicted[:, -1] - rows.predicted[:, 0])
        kept = keep(rows, follow_path(rows, [(float(regret), None) for regret in regrets[:-1]]))
        np.testing.assert_allclose(kept, target, atol=1e-9)


def test_draws_are_whole_units_and_show_a_persons_grade_only_where_one_was_asked() -> None:
    sessions = find("sessions", 0.95)
    drawn = draw(sessions, 300, (1,))
    for unit in np.unique(drawn.unit)[:20]:
        assert len(np.unique(drawn.truth[drawn.unit == unit, 0])) == 1
    assert len(np.unique(drawn.unit)) == len(np.unique(draw(sessions, 300, (2,)).unit))
    kind = draw(find("kind grader", 0.95), 2_000, (1,))
    asked = ~np.isnan(kind.reviewed)
    assert 0.25 < asked.mean() < 0.35
    np.testing.assert_array_equal(kind.truth[~asked], kind.graded[~asked])
    assert (kind.truth[asked] != kind.graded[asked]).any()


def test_the_best_share_is_the_largest_that_keeps_the_target() -> None:
    # of five ties in order, losses of 5, 10 and 36 % at 90 %: two may go down, and of the third not all
    assert best_share(find("ties", 0.9), 0.9) == pytest.approx(0.6, abs=0.21)
    assert best_share(find("boundary", 0.9), 0.9) == pytest.approx(1.0)


def test_hoeffding_bentkus_holds_delta_and_shows_the_obvious() -> None:
    random = np.random.default_rng(0)
    null = np.where(random.random((300, 2000)) < 0.9, 0.1, -0.9)
    spread = np.full(2000, 0.25)
    assert hoeffding_bentkus(null, 0.9, DELTA, spread, False).mean() <= DELTA
    assert hoeffding_bentkus(np.full((2000, 1), 0.1), 0.9, DELTA, spread, False).all()
    assert hoeffding_bentkus(np.full((2000, 1), 1.0), 0.9, DELTA, spread, False).all()


def test_a_cell_is_over_beyond_three_standard_errors() -> None:
    cells = [Cell("p", 0.9, 200, 1000, broken, 0.1) for broken in (50, 70, 71)]
    assert [is_over(cell, DELTA) for cell in cells] == [False, False, True]
    low, high = rate_interval(50, 1000)
    assert low < 0.05 < high
    assert rate_interval(0, 10)[0] == 0.0
    assert rate_interval(10, 10)[1] == 1.0


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Validity, Path]:
    path = tmp_path_factory.mktemp("certify") / "certify.json"
    only = ["routellm_mmlu", "ties", "steps"]
    figures = certify_validity.measure(
        None, only, targets=(0.9,), calls=(200,), repeats=40, power_calls=(200, 400), power_repeats=10, keep=path
    )
    return figures, path


def test_what_was_measured_is_kept_and_not_measured_again(
    measured: tuple[Validity, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    figures, path = measured
    assert {cell.population for cell in figures.cells} == {"routellm_mmlu", "ties", "steps"}
    assert {each.test for each in figures.power} == set(certify_validity.TESTS)
    assert set(figures.best) == {"routellm_mmlu"}
    stored = read_figures(path, Validity)
    assert stored is not None
    assert stored.cells == figures.cells
    monkeypatch.setattr(certify_validity, "simulate", None)
    more = certify_validity.measure(
        stored, ["ties", "routellm_mmlu"], targets=(0.9,), calls=(200,), power_calls=(200, 400)
    )
    assert more.cells == figures.cells
    assert more.power == figures.power


def test_the_section_shows_what_was_measured_with_its_picture(measured: tuple[Validity, Path], tmp_path: Path) -> None:
    _, results = measured
    regions = certify_validity_page.regions(results)
    assert set(regions) == set(certify_validity_page.REGIONS)
    assert "| routellm_mmlu: " in regions["validity"]
    assert "Held in all 3 cells" in regions["validity-verdict"]
    assert "| Hoeffding–Bentkus |" in regions["power"]
    certify_validity_page.draw_pictures(tmp_path, results)
    assert (tmp_path / certify_validity_page.PICTURE).read_bytes().startswith(b"\x89PNG")


def test_a_cell_that_is_over_and_a_reach_that_is_missed_are_said_first(tmp_path: Path) -> None:
    cells = [Cell("p", 0.9, 200, 1000, 30, 0.1), Cell("p", 0.9, 500, 1000, 99, 0.1)]
    power = [
        Power("routellm_mmlu", test, 2_000, 100, share, 3)
        for test, share in ((OURS, 0.36), ("normal approximation", 0.38))
    ]
    found = Validity("2026-01-01", DELTA, 0.95, {"p": "made"}, cells, {"routellm_mmlu": 0.5}, power)
    write_figures(found, tmp_path / "certify.json")
    regions = certify_validity_page.regions(tmp_path / "certify.json")
    assert "**Over in 1 of 2 cells**: p at 90%, 500 (9.9% " in regions["validity-verdict"]
    assert "3.0 / **9.9**" in regions["validity"]
    assert "**missed**, 72% (36.0% of 50.0%)" in regions["power-verdict"]
    better = msgspec.structs.replace(found, power=[msgspec.structs.replace(power[0], share=0.41), power[1]])
    assert ": met, 82%" in certify_validity_page.power_verdict(better)


def test_without_results_the_regions_name_the_command(tmp_path: Path) -> None:
    assert set(certify_validity_page.regions(tmp_path / "none.json").values()) == {certify_validity_page.NOT_MEASURED}


def test_the_page_is_what_the_results_say() -> None:
    text = certify_page.PAGE.read_text(encoding="utf-8")
    assert set(certify_validity_page.REGIONS) <= {match["name"] for match in REGION.finditer(text)}
    assert certify_page.fill(text) == text, f"{certify_page.PAGE} is stale; run '{certify_page.COMMAND}'"


def test_the_command_knows_its_populations() -> None:
    assert certify_validity.parse(["--only", "ties"]).only == ["ties"]
    with pytest.raises(SystemExit):
        certify_validity.parse(["--only", "nothing"])


def test_nothing_goes_down_without_a_threshold() -> None:
    rows = find("ties", 0.9).rows
    assert (follow_path(rows, [(NEVER_DOWN, None)]) == 1).all()
