"""The simulation of the monitor: laws have the means they are asked for, cells find what they must, the page tells it."""

from __future__ import annotations

from pathlib import Path

import certify_page
import monitor_delay
import monitor_page
import numpy as np
import pytest
from bench_store import write_figures
from monitor_figures import budget_of, delay, drift, false_alarms, rate
from monitor_laws import LAWS

pytestmark = pytest.mark.benchmark


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("mean", [0.04, 0.1, 0.2])
def test_a_law_has_the_mean_it_is_asked_for(law: str, mean: float) -> None:
    found = LAWS[law](mean)
    assert found.chances.sum() == pytest.approx(1.0)
    assert np.all(found.chances >= 0.0)
    assert found.values @ found.chances == pytest.approx(mean)
    assert found.draw(np.random.default_rng(0), 100_000).mean() == pytest.approx(mean, abs=0.01)


def test_promises_come_to_the_budgets_that_the_page_names() -> None:
    assert [budget_of(promise) for promise in monitor_delay.PROMISES] == pytest.approx([0.04, 0.1, 0.2])


@pytest.mark.parametrize("session", [0, 20])
def test_a_kept_promise_seldom_has_an_alarm(session: int) -> None:
    found = false_alarms("-1, 0 or 1", 0.1, 300, 20_000, np.random.default_rng(0), session=session)
    assert found.sampled.low <= 0.05
    assert (found.whole is None) == bool(session)


def test_a_broken_promise_is_found_and_sooner_where_bets_begin_later_too() -> None:
    found = delay("0 or 1", 0.95, 0.90, 1_000, 50, 4_000, np.random.default_rng(0))
    assert found.found == 1.0
    assert found.median is not None
    assert found.late is not None
    assert 20 < found.median <= found.late < 1_000
    assert found.one_start is not None
    assert found.one_start > 2 * found.median


@pytest.mark.parametrize("feature", ["steps", "regret"])
def test_traffic_that_changes_is_warned_of_and_traffic_that_does_not_is_not(feature: str) -> None:
    change = next(iter(monitor_delay.CHANGES[feature]))
    moved = drift(feature, 2_000, 20, 2_500, np.random.default_rng(0), change=change, start=500)
    still = drift(feature, 2_000, 20, 2_500, np.random.default_rng(0))
    assert moved.warned.value > 0.8
    assert moved.median is not None
    assert still.warned.value == 0.0


def test_an_interval_holds_its_share_and_keeps_within_bounds() -> None:
    for count in (0, 1, 50, 100):
        found = rate(count, 100)
        assert 0.0 <= found.low <= found.value + 1e-12
        assert found.value - 1e-12 <= found.high <= 1.0


def test_every_cell_runs_by_a_seed_of_its_own_and_the_page_shows_it(tmp_path: Path) -> None:
    chosen = monitor_delay.cells(4, calls=500, horizon=30, starts=(0,))
    assert len({tuple(cell.seed()) for cell in chosen}) == len(chosen)
    found = monitor_delay.measure(chosen, 1, say=lambda line: None)
    assert len(found.false_alarms) + len(found.delays) + len(found.drift) == len(chosen)
    write_figures(found, tmp_path / "monitor.json")
    texts = monitor_page.regions(tmp_path / "monitor.json")
    assert tuple(texts) == monitor_page.REGIONS
    assert "| 0 or 1, sessions of 20 | 0.04 | 4 |" in texts["monitor-alarms"]
    assert "| 0 or 1 | 98 % | 94 % | 0 |" in texts["monitor-delay"]
    assert "Not measured yet" in monitor_page.regions(tmp_path / "absent.json")["monitor-delay"]


def test_the_page_says_what_the_committed_figures_say() -> None:
    text = certify_page.PAGE.read_text(encoding="utf-8")
    assert certify_page.fill(text) == text, f"the page is stale; run '{certify_page.COMMAND}'"
