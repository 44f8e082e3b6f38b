"""A certificate's thresholds: never past the first point that fails, by the proof's labels alone, session by session."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from learned_router.errors import InputError
from learned_router.policy import NEVER_DOWN
from learned_router.request import STEPS
from learned_router.training.betting import bet_above_zero
from learned_router.training.certify import (
    OWN_SLICE,
    POWER,
    RARE_STEP,
    Proved,
    SlicePlan,
    least_units,
    plan_slices,
    prove,
    rows_needed,
    walk,
)
from learned_router.training.proof_rows import Rows, draw_path, follow_path, review_chance, unit_limit, unit_margins
from learned_router.training.thresholds import Answers

COSTS = np.array([0.05, 1.0])
WHOLE = SlicePlan()
seeds = st.integers(0, 300)


def rows(count: int = 400, seed: int = 0, *, lost: float = 0.1, gate: bool = False, tiers: int = 2) -> Rows:
    """Calls whose regret the router knows on the whole: from nothing to twice ``lost``; the top tier is right on 0.9."""
    random = np.random.default_rng(seed)
    hard = random.random(count)
    regret = np.column_stack([2.0 * lost * hard / (k + 1) for k in range(tiers - 1)] + [np.zeros(count)])
    top = random.random(count) < 0.9
    truth = ((random.random((count, tiers)) >= regret) & top[:, None]).astype(float)
    answers = None
    if gate:
        accept = np.clip(1.0 - truth[:, :-1] + 0.3 * random.standard_normal((count, tiers - 1)), 0.0, 1.0)
        answers = Answers(accept, random.random((count, tiers - 1)) < 0.05)
    return Rows(
        predicted=0.9 - regret,
        known=random.random(count) < 0.97,
        answers=answers,
        truth=truth,
        graded=truth,
        reviewed=np.full(count, np.nan),
        weight=np.ones(count),
        unit=np.arange(count),
        step=np.full(count, "other"),
    )


def prove_all(tuning: Rows, proof: Rows, target: float = 0.9, plan: SlicePlan = WHOLE, **more: int) -> list[Proved]:
    costs = COSTS if tuning.predicted.shape[1] == 2 else np.array([0.05, 0.3, 1.0])
    return prove(tuning, proof, plan, target, 0.05, costs, unit_limit(tuning.weight, tuning.unit), **more)


def thresholds(found: list[Proved]) -> list[tuple[bool, float, float | None]]:
    return [(slice_.certified, slice_.route, slice_.accept) for slice_ in found]


@given(seed=seeds, gate=st.booleans(), tiers=st.sampled_from([2, 3]))
@settings(max_examples=12, deadline=None)
def test_a_threshold_lies_just_before_the_first_point_that_fails(seed: int, gate: bool, tiers: int) -> None:
    tuning, proof = (rows(300, seed + k, gate=gate, tiers=tiers, lost=0.06) for k in (0, 1000))
    [found] = prove_all(tuning, proof)
    path = draw_path(tuning, COSTS if tiers == 2 else np.array([0.05, 0.3, 1.0]))
    values, low = unit_margins(proof, follow_path(proof, path), 0.9, 1.0, 1.0, 0)
    assert found.bound == "betting"
    shown = bet_above_zero(values, low, 0.05)
    count = walk(shown)
    assert count == len(shown) or not shown[count]
    assert shown[:count].all()
    if found.certified:
        assert (found.route, found.accept) == path[count - 1]
    else:
        assert found.route == NEVER_DOWN
        assert found.accept in (None, NEVER_DOWN)


def test_the_walk_ends_at_the_first_gap() -> None:
    assert [walk(np.array(shown, dtype=bool)) for shown in ([1, 1, 0, 1], [0, 1], [1, 1], [])] == [2, 0, 2, 0]


@given(seed=seeds)
@settings(max_examples=3, deadline=None)
def test_no_label_has_a_part_in_the_path_and_no_proof_label_in_anything_but_the_test(seed: int) -> None:
    """Other labels, same calls: the same paths, the same slices with the same shares of delta."""
    random = np.random.default_rng(seed)
    steps = np.array(["plan", "edit", "rare"])
    tuning, proof = (
        msgspec.structs.replace(made, step=steps[random.choice(3, len(made), p=[0.5, 0.4, 0.1])])
        for made in (rows(300, seed, gate=True), rows(400, seed + 1, gate=True))
    )
    plan = SlicePlan(("plan",), ("rare",))
    order = random.permutation(len(proof))
    assert draw_path(tuning, COSTS) == draw_path(msgspec.structs.replace(tuning, truth=1.0 - tuning.truth), COSTS)
    other = msgspec.structs.replace(proof, truth=proof.truth[order], graded=proof.graded[order])
    perfect = msgspec.structs.replace(proof, truth=np.ones_like(proof.truth), graded=np.ones_like(proof.truth))
    first, *rest = (prove_all(tuning, made, plan=plan) for made in (proof, other, perfect))
    for found in rest:
        assert [(s.steps, s.delta, s.bound, s.units) for s in found] == [
            (s.steps, s.delta, s.bound, s.units) for s in first
        ]
    # and where all is perfect, the path is walked to its end
    drawn = tuning.take(tuning.step == "plan")
    assert (rest[-1][0].route, rest[-1][0].accept) == draw_path(drawn, COSTS)[-1]


@given(seed=seeds, gate=st.booleans())
@settings(max_examples=6, deadline=None)
def test_a_session_of_two_like_calls_of_half_the_weight_is_one_call(seed: int, gate: bool) -> None:
    tuning, proof = rows(200, seed, gate=gate), rows(300, seed + 1, gate=gate)

    def doubled(made: Rows) -> Rows:
        twice = made.take(np.repeat(np.arange(len(made)), 2))
        return msgspec.structs.replace(twice, weight=twice.weight / 2)

    assert thresholds(prove_all(tuning, proof)) == thresholds(prove_all(tuning, doubled(proof)))


def test_calls_of_a_session_that_are_taken_for_draws_of_their_own_break_the_promise() -> None:
    """Why a session is one unit: at the boundary, ten like calls each taken for evidence certify wrongly much oftener."""
    values = np.where(np.random.default_rng(0).random((60, 1000)) < 0.9, 0.1, -0.9)
    assert bet_above_zero(values, 0.9, 0.05).mean() < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1000)
    assert bet_above_zero(np.repeat(values, 10, axis=0), 0.9, 0.05).mean() > 0.15


def test_a_unit_over_the_limit_counts_as_the_limit() -> None:
    made = rows(60)
    heavy = msgspec.structs.replace(
        made, weight=np.where(np.arange(60) < 10, 50.0, 1.0), unit=np.repeat(np.arange(6), 10)
    )
    used = np.zeros((60, 1), dtype=np.int8)
    values, low = unit_margins(heavy, used, 0.9, 10.0, 1.0, 0)
    margins = heavy.graded[:, 0] - 0.9 * heavy.graded[:, -1]
    # each session weighs the limit, 10: the heavy one, of 500, is made as light as the others
    np.testing.assert_allclose(sorted(values[:, 0]), sorted(margins.reshape(6, 10).mean(axis=1)))
    assert low == 0.9
    assert values.min() >= -low
    # under the limit a unit weighs what it weighs
    light, _ = unit_margins(heavy.take(np.arange(10, 60)), used[10:], 0.9, 40.0, 1.0, 0)
    np.testing.assert_allclose(sorted(light[:, 0]), sorted(margins[10:].reshape(5, 10).sum(axis=1) / 40.0))


def test_the_limit_is_five_times_the_mean_or_the_heaviest() -> None:
    assert unit_limit(np.ones(10), np.arange(10)) == 1.0
    assert unit_limit(np.r_[np.ones(99), 901.0], np.arange(100)) == 50.0
    assert unit_limit(np.ones(6), np.array([0, 0, 0, 1, 1, 2])) == 3.0


@given(
    counts=st.dictionaries(st.sampled_from(STEPS), st.integers(1, 20_000), max_size=8),
    target=st.sampled_from([0.9, 0.95, 0.98]),
)
@settings(max_examples=50, deadline=None)
def test_a_step_has_a_slice_of_its_own_only_with_calls_to_spare(counts: dict[str, int], target: float) -> None:
    plan = plan_slices(counts, 0.5, 0.9, target, 0.05)
    # a step that was never seen is rare too, but where no step is known at all, none is
    assert set(plan.rare) == ({step for step in STEPS if counts.get(step, 0) < RARE_STEP} if counts else set())
    assert not set(plan.own) & set(plan.rare)
    least = least_units(target, 0.05 / (len(plan.own) + 1), 0.9)
    assert all(counts[step] * 0.5 >= OWN_SLICE * least for step in plan.own)


def test_fewer_units_than_the_least_show_nothing_even_where_nothing_is_lost() -> None:
    least = least_units(0.95, 0.05, 1.0)
    for count, expected in ((math.floor(least) - 1, False), (math.ceil(least) + 1, True)):
        values = np.full((count, 1), 0.05)
        assert bool(bet_above_zero(values, 0.95, 0.05, prior_variance=1e-6)[0]) == expected


@given(seed=seeds, count=st.integers(0, 3))
@settings(max_examples=12, deadline=None)
def test_slices_share_delta_and_rare_steps_never_go_down(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    names = [f"own {k}" for k in range(count)] + ["other", "rare"]
    tuning, proof = (
        msgspec.structs.replace(made, step=np.array(names)[random.integers(len(names), size=len(made))])
        for made in (rows(500, seed), rows(1200, seed + 1))
    )
    perfect = msgspec.structs.replace(proof, truth=np.ones_like(proof.truth), graded=np.ones_like(proof.graded))
    for made in (proof, perfect):
        found = prove_all(tuning, made, plan=SlicePlan(tuple(names[:count]), ("rare",)))
        assert sum(slice_.delta for slice_ in found) == pytest.approx(0.05)
        assert sum(slice_.rows.astype(int) for slice_ in found).tolist() == [1] * len(proof)
        [rare] = [slice_ for slice_ in found if slice_.steps == ("rare",)]
        assert not rare.certified
        assert rare.route == NEVER_DOWN
        assert rare.delta == 0.0
    assert all(slice_.certified for slice_ in found if slice_.steps != ("rare",))


def test_counting_is_used_where_the_top_tier_is_always_right_and_calls_weigh_the_same() -> None:
    def bound(made: Rows) -> str:
        return prove_all(made, made)[0].bound

    made = rows(300)
    right = msgspec.structs.replace(made, truth=np.column_stack((made.truth[:, 0], np.ones(300))))
    right = msgspec.structs.replace(right, graded=right.truth)
    assert bound(made) == "betting"
    assert bound(right) == "binomial"
    assert bound(msgspec.structs.replace(right, weight=np.linspace(1, 2, 300))) == "betting"
    assert bound(msgspec.structs.replace(right, unit=np.arange(300) // 2)) == "betting"
    assert bound(msgspec.structs.replace(right, reviewed=np.where(np.arange(300) < 9, 0.1, np.nan))) == "betting"
    # where sessions elsewhere may weigh more, a success is less than one and would count as a loss
    [found] = prove(right, right, WHOLE, 0.8, 0.05, COSTS, limit=4.0)
    assert found.bound == "betting"
    assert found.certified


def with_grader(made: Rows, kind: float, chance: float | None, seed: int) -> Rows:
    """The rows as a grader sees them who takes ``kind`` of the wrong answers for right, with a person asked at random."""
    random = np.random.default_rng(seed)
    graded = np.where(random.random(made.truth.shape) < kind, 1.0, made.truth)
    if chance is None:
        return msgspec.structs.replace(made, truth=graded, graded=graded)
    asked = random.random(len(made)) < chance
    return msgspec.structs.replace(
        made,
        truth=np.where(asked[:, None], made.truth, graded),
        graded=graded,
        reviewed=np.where(asked, chance, np.nan),
    )


def test_reviewed_margins_have_the_mean_of_a_persons_whatever_the_graders_error() -> None:
    made = rows(20_000, 1, lost=0.2)
    used = np.zeros((len(made), 1), dtype=np.int8)
    true = float((made.truth[:, 0] - 0.9 * made.truth[:, -1]).mean())
    for kind in (0.0, 0.5, 1.0):
        seen = with_grader(made, kind, 0.2, 2)
        values, low = unit_margins(seen, used, 0.9, 1.0, review_chance(seen), 0)
        error = values.std() / math.sqrt(len(values))
        assert abs(values.mean() - true) < 4 * error
        assert values.min() >= -low
    unseen = with_grader(made, 0.5, None, 2)
    assert unit_margins(unseen, used, 0.9, 1.0, 1.0, 0)[0].mean() > true + 0.03


def test_a_kind_grader_certifies_what_is_wrong_unless_a_person_reviews() -> None:
    """The cheap tier keeps 0.85 of the top tier's quality whatever the threshold lets down; 0.9 is promised."""
    wrong = {None: 0, 0.3: 0}
    for seed in range(60):
        random = np.random.default_rng(seed)
        top = np.ones(900)
        small = (random.random(900) < 0.85).astype(float)
        made = msgspec.structs.replace(
            rows(900, seed),
            predicted=np.column_stack((np.full(900, 0.5), np.full(900, 0.5))),
            known=np.ones(900, dtype=bool),
            truth=np.column_stack((small, top)),
        )
        for chance in wrong:
            seen = with_grader(made, 0.6, chance, seed)
            [found] = prove_all(seen.take(np.arange(200)), seen.take(np.arange(200, 900)))
            wrong[chance] += found.certified
    assert wrong[None] > 50
    assert wrong[0.3] <= 60 * 0.05 + 3 * math.sqrt(60 * 0.05 * 0.95)


def test_a_slice_in_which_nobody_was_asked_is_as_uncertain_as_the_others() -> None:
    made = with_grader(rows(600, 3, lost=0.0), 0.5, 0.05, 4)
    step = np.where(np.isnan(made.reviewed) & (np.arange(600) % 4 == 0), "thin", "other")
    made = msgspec.structs.replace(made, step=step)
    assert np.isnan(made.reviewed[step == "thin"]).all()
    found = prove_all(made, made, plan=SlicePlan(("thin",)))
    assert not found[0].certified
    # without a design of reviews it would have been shown, by grades alone
    alone = msgspec.structs.replace(made, reviewed=np.full(600, np.nan), truth=made.graded)
    assert prove_all(alone, alone, plan=SlicePlan(("thin",)))[0].certified


def test_reviews_with_different_chances_are_refused() -> None:
    made = with_grader(rows(100), 0.5, 0.3, 0)
    assert review_chance(made, rows(5)) == 0.3
    assert review_chance(rows(5)) == 1.0
    with pytest.raises(InputError, match=r"from 0\.1 to 0\.3"):
        review_chance(made, msgspec.structs.replace(rows(5), reviewed=np.full(5, 0.1)))


def test_an_empty_proof_proves_nothing() -> None:
    [found] = prove_all(rows(100), rows(0))
    assert not found.certified
    assert found.units == 0


def test_with_the_rows_it_asks_for_a_proof_succeeds_about_as_often_as_planned() -> None:
    random = np.random.default_rng(5)
    for lost, target in ((0.02, 0.95), (0.005, 0.95), (0.07, 0.9)):

        def margins(count: int, columns: int, lost: float = lost, target: float = target) -> np.ndarray:
            return np.where(random.random((count, columns)) < lost, -target, 1.0 - target)

        # from many values, so that the estimate's own error stays out of it
        needed = rows_needed(margins(20_000, 1), target, 0.05, 1.0)
        won = bet_above_zero(margins(math.ceil(needed), 2_000), target, 0.05).mean()
        assert POWER - 0.06 < won < POWER + 0.09
    some = margins(300, 2)
    assert rows_needed(some, 0.9, 0.05, 3.0) == 3.0 * rows_needed(some, 0.9, 0.05, 1.0)
    assert math.isinf(rows_needed(np.full((50, 2), -0.1), 0.9, 0.05, 1.0))


def test_a_proof_that_fails_says_how_many_rows_more() -> None:
    tuning = rows(400, 1, lost=0.04)
    [few] = prove_all(tuning, rows(30, 2, lost=0.04), target=0.95)
    assert not few.certified
    assert few.more_rows is not None
    assert 10 < few.more_rows < 3_000
    # all or nothing, and all is too bad to be sent down by any number of rows
    tied = msgspec.structs.replace(rows(400, 2, lost=0.3), predicted=np.full((400, 2), 0.5))
    [hopeless] = prove_all(tied, tied)
    assert not hopeless.certified
    assert hopeless.more_rows is None
