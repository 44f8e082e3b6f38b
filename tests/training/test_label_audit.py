"""Labels drawn at random for a person: who is drawn, what verdicts change, and what is refused as it would bias a proof."""

from __future__ import annotations

import csv
import json
import math
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from learned_router.certificate import find_certificate
from learned_router.cli import app
from learned_router.errors import InputError, LabelError
from learned_router.policy import Tier
from learned_router.request import Message
from learned_router.training.certify import SlicePlan, prove
from learned_router.training.label import label, label_files
from learned_router.training.labelling.audit import AuditPlan, AuditVerdicts, plan_audit, position
from learned_router.training.labelling.label_report import summarize
from learned_router.training.labelling.label_run import LabelRun
from learned_router.training.labelling.review import read_reviews, write_audit
from learned_router.training.labels import check_trainable, load_labels
from learned_router.training.pipeline import train
from learned_router.training.promises import make_rows
from learned_router.training.recipe import Recipe
from learned_router.training.records import Audit, Label, Output, Record, Skipped, read_labels, write_jsonl

TIERS = {"small": "tiny", "frontier": "big"}
NAMES = ("small", "frontier")
BOTH = {"small": 1.0, "frontier": 1.0}
SMALL_WRONG = {"small": 0.0, "frontier": 1.0}
KINDS = {"list": ("yes", "yes"), "prove": ("no", "yes")}


def log(count: int = 200, prefix: str = "", seed: int = 0) -> list[Record]:
    """Easy requests, on which the models agree, and hard ones; every eighth has a reference, so that its grade is exact."""
    rng = random.Random(f"{prefix}{seed}")
    records = []
    for i in range(count):
        kind = rng.choice(sorted(KINDS))
        word = "".join(rng.choices("abcdefghijklmnop", k=8))
        tiny, big = (Output(text=text) for text in KINDS[kind])
        reference = {"answer": "18"} if i % 8 == 0 else None
        if reference:
            tiny, big = Output(text="It is 17."), Output(text="It is 18.")
        asked = Message("user", f"{kind} everything that anybody knows of {word}, please")
        records.append(Record(f"{prefix}{i}", [asked], {"tiny": tiny, "big": big}, reference=reference))
    return records


def drawn(labels: Iterable[Label], chance: float) -> list[str]:
    return [
        item.id
        for item in labels
        if item.split == "calibration" and item.certainty < 1.0 and position(item.id) < chance
    ]


def audited(records: list[Record], chance: float, verdict: Callable[[str], dict[str, float]], **more: Any) -> LabelRun:
    """The labels once a person has given a verdict on every one that is drawn."""
    asked = label(records, TIERS, audit=AuditPlan(chance, write=True), **more).to_audit
    said = AuditVerdicts(chance, {item.id: verdict(item.id) for item in asked}, "a.csv")
    return label(records, TIERS, audit=AuditPlan(chance, said), **more)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def fill_in(
    path: Path, verdict: Callable[[dict[str, str]], str], keep: Callable[[dict[str, str]], bool] = bool
) -> None:
    rows = table(path)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(row | {"verdict": verdict(row)} for row in rows if keep(row))


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., Result]:
    write_jsonl(tmp_path / "pairs.jsonl", log())

    def run(*options: object) -> Result:
        tiers = ["--tier", "small=tiny", "--tier", "frontier=big"]
        out = ["--out", str(tmp_path / "labels.jsonl")]
        return CliRunner().invoke(app, ["label", str(tmp_path / "pairs.jsonl"), *tiers, *out, *map(str, options)])

    return run


def told(result: Result) -> str:
    """What is told of an error that the command raised."""
    assert isinstance(result.exception, InputError), result.output
    return str(result.exception)


def test_of_many_ids_the_asked_share_is_drawn() -> None:
    ids = [f"call-{i}" for i in range(20_000)]
    for chance in (0.02, 0.1, 0.5, 1.0):
        found = np.mean([position(identity) < chance for identity in ids])
        assert abs(found - chance) <= 4 * math.sqrt(chance * (1 - chance) / len(ids))


@given(st.text(), st.floats(0.0, 1.0), st.floats(0.0, 1.0))
def test_a_larger_share_holds_the_smaller_one_and_all_are_drawn_with_chance_one(
    identity: str, one: float, other: float
) -> None:
    less, more = sorted((one, other))
    assert 0.0 <= position(identity) < 1.0
    assert position(identity) >= less or position(identity) < more or less == more


def test_only_uncertain_calibration_labels_are_drawn_whatever_their_grade_order_or_company() -> None:
    records = log(400)
    run = label(records, TIERS, audit=AuditPlan(0.3, write=True))
    asked = [item.id for item in run.to_audit]
    assert sorted(asked) == sorted(drawn(run.labels, 0.3))
    assert any(item.certainty == 1.0 and item.split == "calibration" for item in run.labels)
    assert 0.15 < len(asked) / sum(i.split == "calibration" and i.certainty < 1.0 for i in run.labels) < 0.45
    other = [msgspec.structs.replace(r, outputs={**r.outputs, "tiny": Output(text="no")}) for r in records]
    kept = set(asked[: len(asked) // 2])
    for again in (records[::-1], [r for r in records if r.id in kept or int(r.id) % 2], other):
        there = {item.id for item in label(again, TIERS, audit=AuditPlan(0.3, write=True)).to_audit}
        assert there == set(asked) & {r.id for r in again}
    # in an order that has nothing to do with the log
    assert asked == sorted(asked, key=position)
    assert asked != sorted(asked, key=int)


def test_the_table_shows_a_drawn_label_without_its_grade(tmp_path: Path, command: Callable[..., Result]) -> None:
    path = tmp_path / "a.csv"
    result = command("--audit", path, "--audit-share", 0.4)
    assert result.exit_code == 0, result.output
    rows = table(path)
    assert list(rows[0]) == ["id", "verdict", "chance", "request", "small", "frontier"]
    assert {(row["verdict"], row["chance"]) for row in rows} == {("", "0.4")}
    labels = list(read_labels([tmp_path / "labels.jsonl"], Skipped()))
    assert sorted(row["id"] for row in rows) == sorted(drawn(labels, 0.4))
    assert all(item.audit is None for item in labels)
    assert f"wrote {len(rows)} drawn labels" in result.output


def test_a_person_sees_long_answers_whole() -> None:
    records = log(60)
    for item in records:
        item.outputs["tiny"] = Output(text="word " * 1_500)
    asked = label(records, TIERS, audit=AuditPlan(1.0, write=True)).to_audit
    assert asked
    assert {len(item.outputs["small"].split()) for item in asked if item.grader.startswith("agreement")} == {1_500}


@pytest.mark.parametrize("name", ["labels.jsonl", "labels.jsonl.gz"])
def test_a_verdict_is_the_quality_beside_the_graders_own(tmp_path: Path, name: str) -> None:
    records = log()
    before = {item.id: item for item in label(records, TIERS).labels}
    run = audited(records, 0.4, lambda _: SMALL_WRONG)
    named = drawn(before.values(), 0.4)
    assert run.audit is not None
    assert run.audit.drawn == len(named) > 5
    for item in run.labels:
        old = before[item.id]
        if item.id in named:
            assert item.audit == Audit(old.quality, old.certainty, 0.4)
            assert (item.quality, item.certainty, item.grader, item.weight) == (SMALL_WRONG, 1.0, "review", 1.0)
            assert (item.split, item.group, item.messages) == (old.split, old.group, old.messages)
        else:
            assert item == old
    # the report counts what the labels say, and a file holds what memory does
    assert run.total.only_frontier == sum(item.quality == SMALL_WRONG for item in run.labels)
    assert run.graders["review"] == len(named)
    assert sum(run.graders.values()) == len(records)
    write_jsonl(tmp_path / "pairs.jsonl", records)
    said = AuditVerdicts(0.4, dict.fromkeys(named, SMALL_WRONG), "a.csv")
    written = label_files([tmp_path / "pairs.jsonl"], TIERS, tmp_path / name, audit=AuditPlan(0.4, said))
    assert list(read_labels([tmp_path / name], Skipped())) == run.labels
    assert summarize(written) | {"seconds": 0, "records_per_second": 0} == summarize(run) | {
        "seconds": 0,
        "records_per_second": 0,
    }


def test_a_request_asked_twice_is_two_labels_each_with_its_own_draw_and_half_the_weight() -> None:
    records = log(100)
    twice = [*records, *(msgspec.structs.replace(item, id=f"again-{item.id}") for item in records)]
    run = audited(twice, 0.5, lambda _: BOTH)
    made = {item.id: item for item in run.labels}
    pairs = [(made[item.id], made[f"again-{item.id}"]) for item in records]
    assert any((one.audit is None) != (other.audit is None) for one, other in pairs)
    for item in run.labels:
        if item.audit is not None:
            assert item.weight == 0.5
            assert item.weight * item.audit.certainty / item.certainty == pytest.approx(0.6 / 2)


def test_a_drawn_label_without_verdict_is_refused_with_what_to_do(
    tmp_path: Path, command: Callable[..., Result]
) -> None:
    path = tmp_path / "a.csv"
    command("--audit", path, "--audit-share", 0.4)
    labels = (tmp_path / "labels.jsonl").read_bytes()
    ids = [row["id"] for row in table(path)]
    count = len(ids)
    for keep in (bool, lambda row: row["id"] != ids[1]):  # left empty, or taken out
        fill_in(path, lambda row: "" if row["id"] == ids[1] else "both", keep)
        message = told(command("--reviews", path))
        assert message.startswith(f"a.csv: 1 of {count} labels drawn for the audit have no verdict (first: {ids[1]})")
        assert "Fill them in" in message
    # and nothing half done is written, nor left
    assert (tmp_path / "labels.jsonl").read_bytes() == labels
    assert not list(tmp_path.glob("*.part"))


def test_logs_added_since_are_asked_for_and_then_both_tables_count(
    tmp_path: Path, command: Callable[..., Result]
) -> None:
    first, more = tmp_path / "a.csv", tmp_path / "b.csv"
    command("--audit", first, "--audit-share", 0.4)
    fill_in(first, lambda _: "both")
    write_jsonl(tmp_path / "pairs.jsonl", [*log(), *log(200, "new-")])
    assert "new-" in told(command("--reviews", first))
    asked = command("--reviews", first, "--audit", more)
    assert asked.exit_code == 0, asked.output
    assert "no verdict of the audit counts until every drawn label has one" in asked.output
    assert {row["chance"] for row in table(more)} == {"0.4"}
    assert all(row["id"].startswith("new-") for row in table(more))
    assert not any(item.audit for item in read_labels([tmp_path / "labels.jsonl"], Skipped()))
    fill_in(more, lambda _: "frontier")
    done = command("--reviews", first, "--reviews", more, "--audit", tmp_path / "c.csv")
    assert done.exit_code == 0, done.output
    assert "not written: all" in " ".join(done.output.split())
    assert not (tmp_path / "c.csv").exists()
    found = [item for item in read_labels([tmp_path / "labels.jsonl"], Skipped()) if item.audit]
    assert len(found) == len(table(first)) + len(table(more))


def test_a_table_that_holds_verdicts_is_not_written_over(tmp_path: Path, command: Callable[..., Result]) -> None:
    path = tmp_path / "a.csv"
    command("--audit", path)
    assert command("--audit", path).exit_code == 0  # nobody has written into it
    fill_in(path, lambda _: "both")
    assert "it holds verdicts" in told(command("--audit", path))
    assert {row["verdict"] for row in table(path)} == {"both"}


def test_verdicts_of_labels_that_are_not_audited_any_more_are_counted_and_change_nothing() -> None:
    records = log(300)
    asked = label(records, TIERS, audit=AuditPlan(0.5, write=True)).to_audit
    said = AuditVerdicts(0.5, {item.id: SMALL_WRONG for item in asked} | {"gone": BOTH}, "a.csv")
    plan = AuditPlan(0.5, said)
    elsewhere = label(records, TIERS, fractions=(1.0, 0.0, 0.0), audit=plan)
    assert elsewhere.audit is not None
    assert (elsewhere.audit.drawn, elsewhere.audit.unused) == (0, len(asked) + 1)
    assert elsewhere.labels == label(records, TIERS, fractions=(1.0, 0.0, 0.0)).labels
    without_log = label([r for r in records if r.id != asked[0].id], TIERS, audit=plan)
    assert without_log.audit is not None
    assert without_log.audit.unused == 2


def test_a_chosen_verdict_does_not_count_in_the_calibration_split_beside_an_audit() -> None:
    """Else what stands in the place of a grade would depend on the draw: who has given a verdict once, passes it over."""
    records = log(300)
    plain = {item.id: item for item in label(records, TIERS).labels}
    verdicts = {identity: {"small": 0.0, "frontier": 0.0} for identity in plain}
    run = audited(records, 0.4, lambda _: BOTH, verdicts=verdicts)
    assert run.audit is not None
    assert run.audit.drawn == len(drawn(plain.values(), 0.4))
    aside = 0
    for item in run.labels:
        old = plain[item.id]
        if item.split != "calibration" or old.certainty == 1.0:
            assert (item.quality, item.audit) == (verdicts[item.id], None)
        elif position(item.id) < 0.4:
            assert (item.quality, item.audit) == (BOTH, Audit(old.quality, old.certainty, 0.4))
        else:
            assert item == old
            aside += 1
    assert run.audit.set_aside == aside + run.audit.drawn
    assert run.reviewed == len(records) - aside - run.audit.drawn
    # the first run, which only asks, draws the same labels although every one has a verdict
    assert run.reviewed < len(records)


def test_the_report_says_how_often_person_and_grader_agree_and_how_far_off_grades_are(
    tmp_path: Path, command: Callable[..., Result]
) -> None:
    path = tmp_path / "a.csv"
    command("--audit", path, "--audit-share", 0.5)
    # the small tier is worth less than the grader thinks wherever the models agree, and that is not everywhere
    fill_in(path, lambda row: "frontier")
    agreed = sum(row["small"] == row["frontier"] for row in table(path))
    count = len(table(path))
    found = json.loads(command("--reviews", path, "--json").stdout)["audit"]
    assert (found["drawn"], found["lacking"], found["chance"]) == (count, 0, 0.5)
    assert (found["total"]["agree"], found["total"]["drawn"]) == (count - agreed, count)
    assert found["total"]["error"] == pytest.approx(agreed / count)
    assert found["total"]["low"] < found["total"]["error"] < found["total"]["high"]
    assert [row["grader"] for row in found["graders"]] == ["agreement:label"]
    shown = command("--reviews", path).output
    assert f"audit: {count} calibration labels drawn with chance 0.5" in shown
    assert f"agreement:label: {count - agreed} of {count}" in shown
    assert f"{agreed / count:+.3f} [" in shown
    assert max(map(len, shown.split("audit:")[1].split("most doubtful")[0].splitlines())) <= 80


def test_a_handful_of_agreements_do_not_prove_a_grader_exact() -> None:
    run = audited(log(200), 0.5, lambda identity: BOTH)
    truth = {item.id: item.quality for item in label(log(200), TIERS).labels}
    exact = audited(log(200), 0.5, lambda identity: truth[identity]).audit
    assert exact is not None
    assert exact.total is not None
    assert (exact.total.agree, exact.total.error) == (exact.drawn, 0.0)
    assert exact.total.high > 1.5 / exact.drawn
    assert run.audit is not None
    assert run.audit.total is not None
    assert run.audit.total.error < 0  # the person is kinder to the small tier than the grader was


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("a,both,0", r"r\.csv:2: chance is '0'; it must lie in \(0, 1\]"),
        ("a,both,1.5", r"r\.csv:2: chance is '1\.5'"),
        ("a,both,nan", r"r\.csv:2: chance is 'nan'"),
        ("a,both,often", r"r\.csv:2: chance is 'often'"),
        ("a,both,", r"r\.csv:2: chance is ''"),
        ("a,both,1.0\nb,both,0.999", r"r\.csv:3: chance is 0\.999, but 1\.0 in r\.csv:2; a proof needs one chance"),
        ("a,both,1e-9", r"r\.csv:2: id 'a' is not drawn with chance 1e-09: somebody chose it"),
        ("a,maybe,1", r"r\.csv:2: verdict is 'maybe'"),
        ("a,small,1\na,both,1", r"r\.csv:3: id 'a' has another verdict in an earlier row"),
        ("", r"r\.csv: no row is left of this audit"),
    ],
)
def test_a_table_that_no_draw_can_have_made_is_refused_with_its_line(tmp_path: Path, rows: str, message: str) -> None:
    path = tmp_path / "r.csv"
    path.write_text(f"id,verdict,chance\n{rows}\n", encoding="utf-8")
    with pytest.raises(InputError, match=message):
        read_reviews([path], NAMES)


def test_tables_of_chosen_and_of_drawn_labels_are_told_apart(tmp_path: Path) -> None:
    chosen, some = tmp_path / "c.csv", tmp_path / "d.csv"
    chosen.write_text("id,verdict\na,small\n", encoding="utf-8")
    some.write_text('id;verdict;chance\na;both;"1,0"\nb;;1\n;;\n', encoding="utf-8")
    found = read_reviews([chosen, some], NAMES)
    assert found.verdicts == {"a": {"small": 1.0, "frontier": 0.0}}
    assert found.audit == AuditVerdicts(1.0, {"a": BOTH}, "d.csv")


def test_what_is_written_is_read_as_it_was_drawn(tmp_path: Path) -> None:
    items = label(log(), TIERS, audit=AuditPlan(1 / 3, write=True)).to_audit
    assert write_audit(items, NAMES, 1 / 3, tmp_path / "a.csv") == len(items)
    fill_in(tmp_path / "a.csv", lambda _: "0.25")
    found = read_reviews([tmp_path / "a.csv"], NAMES).audit
    assert found is not None
    assert found.chance == 1 / 3
    assert found.quality == {item.id: {"small": 0.25, "frontier": 1.0} for item in items}


@pytest.mark.parametrize("share", [0.0, -0.1, 1.5, math.nan])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(InputError, match=r"--audit-share is .*; it must lie in \(0, 1\]"):
        plan_audit(True, share, None)


def test_a_share_alone_and_another_share_than_that_of_the_verdicts_are_refused() -> None:
    said = AuditVerdicts(0.2, {}, "a.csv")
    with pytest.raises(InputError, match="nothing is drawn without --audit"):
        plan_audit(False, 0.2, None)
    with pytest.raises(InputError, match=r"a\.csv was drawn with chance 0\.2"):
        plan_audit(True, 0.3, said)
    assert plan_audit(True, None, said) == AuditPlan(0.2, said, write=True)
    assert plan_audit(True, None, None) == AuditPlan(0.1, write=True)
    assert plan_audit(False, None, None) is None


def shown(run: LabelRun, target: float = 0.9) -> bool:
    """Whether anything may go down by a proof on the labels of ``run``, of a router that thinks all calls alike."""
    labels = run.labels
    count = len(labels)
    learned = SimpleNamespace(
        quality=np.full((count, 2), 0.5),
        in_range=np.ones(count, dtype=bool),
        truth=np.array([list(item.quality.values()) for item in labels]),
        step=np.full(count, "other"),
        complete=np.ones(count, dtype=bool),
        weight=np.array([item.weight for item in labels]),
    )
    tuning = np.arange(count) < 100
    bound_to = SimpleNamespace(tools={})
    grounds: Any = SimpleNamespace(
        learned=learned,
        calibration=labels,
        tiers=[Tier(name, name) for name in NAMES],
        names=NAMES,
        judged=None,
        tuning=tuning,
        bound_to=bound_to,
    )
    rows = make_rows(grounds)
    [found] = prove(*rows, SlicePlan(), target, 0.05, np.array([0.05, 1.0]), float(rows[1].weight.max()))
    return found.certified


def test_a_kind_grader_proves_what_is_wrong_unless_the_draw_is_audited() -> None:
    """The models always agree, but what they agree on is right for the small tier in 85 of 100 only; 90 are promised."""
    wrong = {"graded": 0, "audited": 0}
    for seed in range(20):
        records = log(700, f"{seed}-")
        for item in records:
            item.outputs, item.reference = {"tiny": Output(text="yes"), "big": Output(text="yes")}, None
        all_proof = {"fractions": (0.0, 1.0, 0.0)}
        rng = random.Random(seed)
        truth = {item.id: BOTH if rng.random() < 0.85 else SMALL_WRONG for item in records}
        wrong["graded"] += shown(label(records, TIERS, **all_proof))  # type: ignore[arg-type]
        wrong["audited"] += shown(audited(records, 0.3, truth.__getitem__, **all_proof))
    assert wrong["graded"] == 20
    assert wrong["audited"] <= 3
    # and where the grader is right, the audit takes nothing away that so many labels can show
    assert shown(audited(records, 0.3, lambda _: BOTH, **all_proof))


def test_an_artifact_of_audited_labels_promises_quality_not_grades(
    tmp_path: Path, tiny_recipe: Recipe, command: Callable[..., Result]
) -> None:
    write_jsonl(tmp_path / "pairs.jsonl", log(300))
    quick = msgspec.structs.replace(tiny_recipe, fit=msgspec.structs.replace(tiny_recipe.fit, epochs=0))

    def promised(name: str) -> Any:
        labels = load_labels([tmp_path / "labels.jsonl"])
        train(labels, tmp_path / name, quick, baselines=False, gate=False)
        certificate = find_certificate(tmp_path / name)
        assert certificate is not None
        return certificate

    path = tmp_path / "a.csv"
    assert command("--audit", path, "--audit-share", 0.5).exit_code == 0
    plain = promised("plain")
    assert plain.grading.relative
    assert all("as the grader sees quality" in mode.router.text for mode in plain.modes.values())
    fill_in(path, lambda row: "both" if row["small"] == row["frontier"] else "frontier")
    assert command("--reviews", path).exit_code == 0
    reviewed = promised("reviewed")
    assert reviewed.grading.reviewed == len(table(path)) > 5
    assert not reviewed.grading.relative
    assert not any("as the grader sees quality" in mode.router.text for mode in reviewed.modes.values())


def test_labels_of_which_only_some_files_were_audited_are_refused(
    tmp_path: Path, command: Callable[..., Result]
) -> None:
    write_jsonl(tmp_path / "pairs.jsonl", log(300))
    path = tmp_path / "a.csv"
    assert command("--audit", path, "--audit-share", 0.5).exit_code == 0
    never = load_labels([tmp_path / "labels.jsonl"])
    fill_in(path, lambda row: "both")
    assert command("--reviews", path).exit_code == 0
    audited_labels = load_labels([tmp_path / "labels.jsonl"])
    check_trainable(audited_labels)
    half = len(never.labels) // 2
    mixed = [*audited_labels.labels[:half], *never.labels[half:]]
    with pytest.raises(LabelError, match="were drawn for an audit and have none"):
        check_trainable(msgspec.structs.replace(audited_labels, labels=mixed))
