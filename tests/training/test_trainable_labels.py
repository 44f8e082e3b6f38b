"""Labels that cannot train a router are refused before any time is spent, with what is missing and what to do."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from learned_router.errors import InputError, LabelError
from learned_router.request import Message
from learned_router.training.labels import (
    LEAST_BY_SPLIT,
    LEAST_LABELS,
    LabelSet,
    cap_sources,
    check_trainable,
    load_labels,
    weigh_sources,
)
from learned_router.training.records import Label, Skipped, write_jsonl
from learned_router.training.split import split as split_labels


def make(train: int = 40, calibration: int = 20, test: int = 0, name: str = "a", **fields: object) -> list[Label]:
    """Labels of which every other one needs the frontier; their ids start with ``name``."""
    splits = ["train"] * train + ["calibration"] * calibration + ["test"] * test
    return [
        msgspec.structs.replace(
            Label(
                id=f"{name}{index}",
                messages=[Message(role="user", content=f"question {index}")],
                quality={"small": float(index % 2), "frontier": 1.0},
                models={"small": "model-s", "frontier": "model-f"},
                grader="synthetic",
                split=split,
            ),
            **fields,
        )
        for index, split in enumerate(splits)
    ]


def load(folder: Path, *files: list[Label]) -> LabelSet:
    paths = [folder / f"labels-{index}.jsonl" for index in range(len(files))]
    for path, labels in zip(paths, files, strict=True):
        write_jsonl(path, labels)
    return load_labels(paths)


def label_set(labels: list[Label]) -> LabelSet:
    return LabelSet(labels=labels, tiers=("small", "frontier"), models={}, sha256="", skipped=Skipped())


def test_the_least_that_can_train_is_taken_and_one_label_less_is_refused() -> None:
    train = LEAST_LABELS - LEAST_BY_SPLIT["calibration"]
    check_trainable(label_set(make(train, LEAST_BY_SPLIT["calibration"])))
    with pytest.raises(LabelError, match=rf"{LEAST_LABELS - 1} labels; training needs at least {LEAST_LABELS}"):
        check_trainable(label_set(make(train - 1, LEAST_BY_SPLIT["calibration"])))


@pytest.mark.parametrize("split", sorted(LEAST_BY_SPLIT))
def test_a_split_with_one_label_less_than_it_needs_is_refused_by_name(split: str) -> None:
    for short in (0, 1):
        counts = {**LEAST_BY_SPLIT, "test": 30, split: LEAST_BY_SPLIT[split] - short}
        labels = label_set(make(**counts))
        if not short:
            check_trainable(labels)
            continue
        with pytest.raises(LabelError, match=rf"{counts[split]} labels in the {split} split; at least"):
            check_trainable(labels)


def test_labels_without_a_split_are_refused_as_coming_from_elsewhere() -> None:
    with pytest.raises(LabelError, match=r"without a split.*learned-router label"):
        check_trainable(label_set(make(split="")))


@pytest.mark.parametrize("split", sorted(LEAST_BY_SPLIT))
def test_a_split_whose_labels_all_have_weight_0_is_refused(split: str) -> None:
    labels = make()
    of_split = [label for label in labels if label.split == split]
    for label in of_split:
        label.weight = 0.0
    with pytest.raises(LabelError, match=rf"every label of the {split} split has weight 0"):
        check_trainable(label_set(labels))
    of_split[0].weight = 0.1
    check_trainable(label_set(labels))


ONE_CLASS: list[tuple[dict[str, float], str]] = [
    ({"small": 1.0, "frontier": 1.0}, "small does as well as frontier"),
    ({"small": 0.0, "frontier": 0.0}, "small does as well as frontier"),
    ({"small": 0.0, "frontier": 1.0}, r"frontier gains \+1.00 over small"),
    ({"small": 1.0, "frontier": 0.5}, r"frontier gains -0.50 over small"),
]


@pytest.mark.parametrize(("quality", "meaning"), ONE_CLASS)
@pytest.mark.parametrize("split", ["train", "calibration"])
def test_a_split_of_one_class_is_refused_with_what_it_says(quality: dict[str, float], meaning: str, split: str) -> None:
    labels = make()
    for label in labels:
        if label.split == split:
            label.quality = dict(quality)
    with pytest.raises(LabelError, match=rf"one class only: {meaning} on every label of the {split} split"):
        check_trainable(label_set(labels))


def test_one_label_of_the_other_class_is_enough_and_the_test_split_may_be_of_one() -> None:
    labels = make(test=10)
    for label in labels:
        label.quality = {"small": 1.0, "frontier": 1.0}
    for split in LEAST_BY_SPLIT:
        next(label for label in labels if label.split == split).quality = {"small": 0.0, "frontier": 1.0}
    check_trainable(label_set(labels))


@pytest.mark.parametrize(
    "quality", [{"frontier": 1.0, "small": 1.0}, {"cheap": 1.0, "dear": 1.0}, {"small": 1.0, "mid": 1.0}]
)
def test_files_with_other_tiers_or_another_order_are_refused(quality: dict[str, float], tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"'b0' has the tiers .* has small, frontier.*--tier"):
        load(tmp_path, make(), make(name="b", quality=quality))


THREE = {"small": 0.0, "mid": 1.0, "frontier": 1.0}


def test_a_tier_may_be_added_later_without_labelling_the_others_again(tmp_path: Path) -> None:
    labels = load(tmp_path, make(), make(name="b", quality=THREE))
    assert labels.tiers == ("small", "mid", "frontier")
    assert len(labels.of("train")) == 80
    assert {label.id[0] for label in labels.complete("train")} == {"b"}


def test_a_request_labelled_twice_is_one_label_with_all_tiers_on_its_first_side(tmp_path: Path) -> None:
    again = make(train=1, calibration=0, quality=THREE, models={"mid": "model-m"}, split="calibration")
    labels = load(tmp_path, make(train=2), again)
    assert labels.labels[0].quality == THREE
    assert labels.labels[0].models == {"small": "model-s", "frontier": "model-f", "mid": "model-m"}
    assert labels.labels[0].split == "train"
    assert labels.labels[1].quality == {"small": 1.0, "frontier": 1.0}
    assert labels.models["mid"] == "model-m"
    assert not labels.skipped.total


def test_a_tier_that_too_few_labels_know_is_refused_with_what_to_ask(tmp_path: Path) -> None:
    few = make(LEAST_BY_SPLIT["train"] - 1, 30, name="b", quality=THREE)
    with pytest.raises(LabelError, match=r"29 of 69 labels in the train split know .*small, mid, frontier.*collect"):
        check_trainable(load(tmp_path, make(), few))


def test_files_may_differ_in_their_models_and_the_commoner_one_is_named_first(tmp_path: Path) -> None:
    labels = load(tmp_path, make(20), make(40, name="b", models={"small": "model-t", "frontier": "model-f"}))
    assert labels.models == {"small": "model-t / model-s", "frontier": "model-f"}
    assert labels.tiers == ("small", "frontier")


def test_a_tier_whose_model_is_not_named_goes_by_its_own_name(tmp_path: Path) -> None:
    assert load(tmp_path, make(models={})).models == {"small": "small", "frontier": "frontier"}


def test_files_without_any_usable_label_are_refused_with_the_counts_by_reason(tmp_path: Path) -> None:
    bad = [*make(3, 0, quality={"small": 1.4, "frontier": 1.0}), *make(2, 0, name="b", messages=[])]
    with pytest.raises(LabelError, match="no usable label") as error:
        load(tmp_path, bad)
    for part in ("3 quality_out_of_range", "2 no_messages", "labels-0.jsonl:1", "labels-0.jsonl:4"):
        assert part in str(error.value)


def test_an_empty_file_is_refused_as_empty(tmp_path: Path) -> None:
    with pytest.raises(LabelError, match=r"labels-0\.jsonl: no usable label \(empty\)"):
        load(tmp_path, [])


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.jsonl"):
        load_labels([tmp_path / "absent.jsonl"])


def test_a_bad_line_costs_that_line_alone_and_is_counted(tmp_path: Path) -> None:
    bad = make(1, 0, name="b", quality={"small": -1.0, "frontier": 1.0})
    labels = load(tmp_path, [*make(), *bad])
    assert len(labels.labels) == len(make())
    assert labels.skipped.counts == {"quality_out_of_range": 1}


def change_quality(labels: list[Label]) -> None:
    labels[0].quality = {"small": 0.5, "frontier": 1.0}


def change_split(labels: list[Label]) -> None:
    labels[0].split = "test"


@pytest.mark.parametrize("change", [change_quality, change_split, list.reverse, list.pop])
def test_the_fingerprint_tells_any_other_labels(change: Callable[[list[Label]], object], tmp_path: Path) -> None:
    labels = make()
    first = load(tmp_path, labels).sha256
    assert load(tmp_path, make()).sha256 == first
    change(labels)
    assert load(tmp_path, labels).sha256 != first


def test_labels_are_counted_by_split_and_by_source_with_licences_where_stated(tmp_path: Path) -> None:
    named = make(30, 10, 5, source="ours", licence="Apache-2.0")
    labels = load(tmp_path, named, make(3, 0, name="b"))
    assert labels.counts() == {"train": 33, "calibration": 10, "test": 5}
    assert labels.sources() == ({"ours": 45, "unnamed": 3}, {"ours": "Apache-2.0"})
    assert [label.id for label in labels.of("test")] == [label.id for label in named if label.split == "test"]


def in_pairs(count: int, source: str) -> list[Label]:
    """Labels of one source, two of each group."""
    labels = make(count, 0, name=source, source=source)
    return [msgspec.structs.replace(label, group=f"{source}{index // 2}") for index, label in enumerate(labels)]


def test_a_large_source_is_cut_to_the_limit_and_a_small_one_is_left_whole() -> None:
    labels = label_set(in_pairs(200, "large") + in_pairs(20, "small"))
    assert cap_sources(labels, 60, 0).sources()[0] == {"large": 60, "small": 20}
    assert cap_sources(labels, 200, 0).labels == labels.labels


def test_groups_are_kept_whole_in_the_order_they_came_in() -> None:
    labels = label_set(in_pairs(200, "large"))
    kept = cap_sources(labels, 51, 0).labels
    assert len(kept) == 52
    assert {label.group for label in kept} == {label.group for label in kept[::2]}
    assert [label.id for label in kept] == [label.id for label in labels.labels if label in kept]


def test_the_choice_and_the_hash_depend_on_the_seed_alone() -> None:
    labels = label_set(in_pairs(200, "large"))
    first, again, other = (cap_sources(labels, 60, seed) for seed in (0, 0, 1))
    assert first.labels == again.labels != other.labels
    assert first.sha256 == again.sha256 != other.sha256


def test_what_is_kept_of_a_source_is_split_as_the_whole_was() -> None:
    kept = cap_sources(label_set(split_labels(make(2000))), 500, 0).counts()
    assert kept["train"] == pytest.approx(300, abs=50)
    assert kept["test"] == pytest.approx(100, abs=40)


def test_labels_of_a_weighed_source_count_more_and_the_others_as_before() -> None:
    labels = label_set(in_pairs(4, "ours") + in_pairs(2, "theirs"))
    weighed = weigh_sources(labels, {"ours": 3.0})
    assert [label.weight for label in weighed.labels] == [3.0] * 4 + [1.0] * 2
    assert [label.weight for label in labels.labels] == [1.0] * 6
    assert weighed.sha256 != labels.sha256


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ({"other": 2.0}, "no label has this source; there are ours"),
        ({"ours": 0.0}, "above 0"),
        ({"ours": math.inf}, "above 0"),
    ],
)
def test_a_factor_or_source_that_is_none_is_refused(factors: dict[str, float], message: str) -> None:
    with pytest.raises(LabelError, match=message):
        weigh_sources(label_set(in_pairs(4, "ours")), factors)


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(LabelError, match=r"--most-per-source is 0; it must be at least 1"):
        cap_sources(label_set(make()), 0, 0)
