"""The benchmark scripts run and write what the README is filled from; no figure is judged here."""

from __future__ import annotations

import io
import json
from pathlib import Path

import collect_speed
import grader_agreement
import import_speed
import pytest
import training_peak
from rich.console import Console

pytestmark = pytest.mark.benchmark

TINY_RECIPE = """
name = "tiny"
[modes]
balanced = 0.95
[encoder]
name = {encoder}
train_embeddings = true
[fit]
epochs = 6
batch_size = 16
learning_rate = 5e-3
head_learning_rate = 5e-3
[calibrate]
ood_centres = 1
ood_quantile = 1.0
"""


def console() -> Console:
    return Console(file=io.StringIO(), width=100)


def test_grader_agreement_measures_a_corpus_and_shows_it(corpora: Path) -> None:
    found = {"routellm_gsm8k": grader_agreement.measure_corpus("routellm_gsm8k")}
    assert found["routellm_gsm8k"]["reference"]["graded"] > 1000
    assert json.loads(json.dumps(found)) == found
    shown = console()
    grader_agreement.show(found, shown)
    assert "routellm_gsm8k" in shown.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", import_speed.FORMATS)
def test_import_speed_reads_every_row_and_pairs_them_by_two(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "speed.json"
    monkeypatch.setattr("sys.argv", ["import_speed", "--size-mb", "0.2", "--format", kind, "--json", str(out)])
    import_speed.main()
    found = json.loads(out.read_text())
    both, read = found["read_logs_and_pair"], found["read_logs"]
    assert read["records"] == both["outputs"] == 2 * both["requests"] == found["rows"] > 50
    assert both["skipped"] == {}
    assert 0 < both["peak_mb"] < import_speed.MEMORY_LIMIT_MB
    assert "records/s" in capsys.readouterr().out


def test_training_peak_watches_a_whole_training(label_file: Path, tiny_encoder: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(TINY_RECIPE.format(encoder=json.dumps(str(tiny_encoder))), encoding="utf-8")
    found = training_peak.measure([label_file], str(recipe), baselines=False)
    # torch alone takes more than this, so the training process was seen and not only its starter
    assert found["peak_bytes"] > 150e6
    assert found["seconds"] > 1


def test_training_peak_passes_on_what_training_says_when_it_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"nowhere\.jsonl: no such file"):
        training_peak.measure([tmp_path / "nowhere.jsonl"])


def test_collect_speed_measures_records_planned_answers_kept_and_memory() -> None:
    found = collect_speed.measure(records=200, asked=20)
    print(json.dumps(found))
    assert found["planned_per_second"] > 0
    assert found["collect_s"] > 0
    assert found["peak_mb"] > 10  # of this whole process, with whatever earlier tests left in it
