"""A report shows what was measured, in an order and in words a reader can use, and writes whole files or none."""

import io
from html.parser import HTMLParser

import msgspec
import pytest
from rich.console import Console

from learned_router.errors import InputError
from learned_router.training.evaluation import (
    Comparison,
    CurveResult,
    Estimate,
    Evaluation,
    MethodResult,
    ModeResult,
    TaskResult,
    TierResult,
)
from learned_router.training.report import markdown_tables, plot, render, write_html, write_json


def method(name, apgr):
    return MethodResult(name, apgr, Estimate(0.4, 0.3, 0.5), Estimate(0.7, 0.6, 0.8), Estimate(0.71, 0.70, 0.72))


@pytest.fixture
def evaluation():
    return Evaluation(
        split="test",
        rows=1234,
        groups=1200,
        left_out=3,
        resamples=1000,
        seed=0,
        tiers=[
            TierResult("small", "a|b[8b]", 0.6, Estimate(0.75, 0.7, 0.8), 0.021),
            TierResult("frontier", "big", 0.8, Estimate(1.0, 1.0, 1.0), 0.034),
        ],
        methods=[
            method("random", Estimate(0.5, 0.5, 0.5)),
            method("router", Estimate(0.7, 0.65, 0.75)),
            method("oracle", Estimate(1.2, 1.1, 1.3)),
            method("knn", Estimate(None)),
        ],
        modes=[
            ModeResult("balanced", 0.95, 0.1, True, 0.78, Estimate(0.97, 0.96, 0.98), {"small": 0.4, "frontier": 0.6},
                       Estimate(0.4, 0.38, 0.42)),
            ModeResult("economy", 0.9, 0.2, False, 0.74, Estimate(0.92, 0.9, 0.94), {"small": 0.7, "frontier": 0.3},
                       Estimate(0.7, 0.68, 0.72)),
        ],
        tasks=[TaskResult("math", 600, {"small": 0.5, "frontier": 0.8}, Estimate(0.66, 0.6, 0.72))],
        out_of_distribution=0.012,
        versus_best=Comparison("random", Estimate(0.2, 0.15, 0.25)),
        saved_of="top-tier calls",
        curves=[
            CurveResult("router", [0.0, 0.5, 1.0], [0.6, 0.75, 0.8]),
            CurveResult("random", [0.0, 1.0], [0.6, 0.8]),
            CurveResult("oracle", [0.0, 0.3, 1.0], [0.6, 0.85, 0.8]),
        ],
        notes=["A thing to know [with brackets]."],
    )  # fmt: skip


def rendered(evaluation, width=160):
    console = Console(file=io.StringIO(), width=width)
    render(evaluation, console)
    return console.file.getvalue()


def test_methods_stand_in_order_of_apgr_and_those_without_one_last(evaluation):
    for text in (rendered(evaluation), markdown_tables(evaluation)):
        places = [text.index(name) for name in ("oracle", "this router", "random", "kNN on embeddings")]
        assert places == sorted(places)


def test_terminal_shows_figures_with_intervals_and_brackets_as_they_are(evaluation):
    text = rendered(evaluation)
    for expected in (
        "1,234 requests in 1,200 groups",
        "0.700 [0.650, 0.750]",
        "97.0 [96.0, 98.0]",
        "Not certified: economy.",
        "a|b[8b]",
        "A thing to know [with brackets].",
        "(random): +0.200 [+0.150, +0.250]",
        "3 labels lack",
        "1.2 % out of distribution",
    ):
        assert expected in text


def test_what_is_certified_is_said_once(evaluation):
    def modes(*certified):
        made = [
            msgspec.structs.replace(evaluation.modes[0], name=f"m{i}", certified=c) for i, c in enumerate(certified)
        ]
        return markdown_tables(msgspec.structs.replace(evaluation, modes=made))

    assert "No mode is certified." in modes(False, False)
    assert "Not certified: m1." in modes(True, False)
    assert "Every mode is certified." in modes(True, True)
    assert "certified" not in modes()


@pytest.mark.parametrize("count", [2, 3])
def test_a_terminal_of_80_columns_shows_every_figure_whole(evaluation, count):
    tiers = [evaluation.tiers[0], TierResult("mid", "m" * 26, 0.7, Estimate(0.9, 0.8, 0.95), 0.03), evaluation.tiers[1]]
    names = ["small", "mid", "frontier"][:: 1 if count == 3 else 2]
    sure = Estimate(1.0, 1.0, 1.0)
    mode = msgspec.structs.replace(evaluation.modes[0], kept=sure, shares=dict.fromkeys(names, 1.0))
    widest = method("logistic_gain", Estimate(-1.234, -2.345, -0.123))
    wide = msgspec.structs.replace(
        evaluation,
        tiers=tiers[:: 1 if count == 3 else 2],
        methods=[*evaluation.methods, widest],
        modes=[mode],
        saved_of="cost",
    )
    text = rendered(wide, width=80)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    for whole in (
        "threshold",
        "balanced",
        "100.0 [100.0, 100.0]",
        "-1.234 [-2.345, -0.123]",
        "logistic: gain of the top",
    ):
        assert whole in text


def test_markdown_keeps_every_interval(evaluation):
    text = markdown_tables(evaluation)
    for expected in (
        "40.0 % [30.0 %, 50.0 %]",
        "0.710 [0.700, 0.720]",
        "97.0 % [96.0 %, 98.0 %]",
        "40.0 % [38.0 %, 42.0 %]",
    ):
        assert expected in text
    assert "top-tier calls saved" in text


class Page(HTMLParser):
    """The text of every cell, item and paragraph of a page, and every address in it; fails where tags do not match."""

    VOID = frozenset({"meta", "img"})

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.addresses = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        if tag not in self.VOID:
            self.open.append(tag)
        self.addresses += [value for name, value in attributes if name in ("href", "src")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_the_page_parses_and_shows_every_method_mode_tier_and_note(evaluation, tmp_path):
    write_html(evaluation, tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text(encoding="utf-8"))
    for cell in ("oracle", "this router", "random", "kNN on embeddings", "balanced", "economy", "small", "a|b[8b]"):
        assert cell in page.texts
    for cell in ("0.700 [0.650, 0.750]", "40.0 % [30.0 %, 50.0 %]", "A thing to know [with brackets]."):
        assert cell in page.texts


def test_the_page_holds_its_picture_and_points_nowhere_else(evaluation, tmp_path):
    import base64

    write_html(evaluation, tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    (address,) = Page(text).addresses
    assert base64.b64decode(address.removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")
    assert "http" not in text.replace(address, "")
    assert "<script" not in text


def test_names_that_look_like_tags_stay_text_on_the_page(evaluation, tmp_path):
    sly = "<script>alert('x')</script>&amp;"
    tiers = [msgspec.structs.replace(evaluation.tiers[0], model=sly), evaluation.tiers[1]]
    modes = [msgspec.structs.replace(evaluation.modes[0], name=sly)]
    methods = [*evaluation.methods, method(sly, Estimate(0.6))]
    tasks = [msgspec.structs.replace(evaluation.tasks[0], name=sly)]
    write_html(
        msgspec.structs.replace(evaluation, tiers=tiers, modes=modes, methods=methods, tasks=tasks, notes=[sly]),
        tmp_path / "page.html",
    )
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert sum(sly in found for found in Page(text).texts) >= 5


def test_markdown_rows_have_as_many_cells_as_their_header(evaluation):
    for block in markdown_tables(evaluation).split("\n\n"):
        rows = [line.replace("\\|", "") for line in block.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1
    assert "| **this router** | **0.700 [0.650, 0.750]** |" in markdown_tables(evaluation)
    assert "a\\|b[8b]" in markdown_tables(evaluation)


def test_tables_without_rows_are_left_out(evaluation):
    bare = msgspec.structs.replace(evaluation, tasks=[], modes=[], notes=[], left_out=0, versus_best=None)
    assert "within each task" in rendered(evaluation)
    assert "within each task" not in rendered(bare)
    assert not any(line.startswith("- ") for line in markdown_tables(bare).splitlines())


def test_json_reads_back_as_the_evaluation(evaluation, tmp_path):
    path = tmp_path / "deep" / "metrics.json"
    write_json(evaluation, path)
    assert msgspec.json.decode(path.read_bytes(), type=Evaluation) == evaluation
    assert [file.name for file in path.parent.iterdir()] == ["metrics.json"]


def test_plot_writes_a_png_that_shows_every_curve(evaluation, tmp_path):
    from matplotlib.colors import to_rgb
    from matplotlib.image import imread

    from learned_router.training.picture import GREY, ROUTER_COLOUR

    plot(evaluation, tmp_path / "curve.png")
    pixels = imread(tmp_path / "curve.png")[:, :, :3].reshape(-1, 3)
    for colour in (ROUTER_COLOUR, GREY):
        assert (abs(pixels - to_rgb(colour)) < 0.02).all(axis=1).sum() > 200
    assert [file.name for file in tmp_path.iterdir()] == ["curve.png"]


@pytest.mark.parametrize("write", [write_json, plot, write_html])
def test_a_place_that_cannot_be_written_is_named_and_leaves_nothing(evaluation, tmp_path, write):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="cannot be written"):
        write(evaluation, tmp_path / "file" / "out")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
