"""Two processes train one network: each on its half of every batch, and one artifact comes out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from learned_router.router import Router
from learned_router.training.recipe import Recipe
from learned_router.training.records import Skipped, label_request, read_labels


@pytest.mark.slow
def test_two_processes_train_one_router(label_file: Path, tiny_recipe: Recipe, tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.toml"
    knobs = tiny_recipe.fit
    recipe.write_text(
        f'name = "tiny"\n[modes]\nbalanced = 0.95\n[encoder]\nname = "{tiny_recipe.encoder.name}"\n'
        f"train_embeddings = true\n[fit]\nepochs = {knobs.epochs}\nbatch_size = {knobs.batch_size}\n"
        f"learning_rate = {knobs.learning_rate}\nhead_learning_rate = {knobs.head_learning_rate}\n",
        encoding="utf-8",
    )
    out = tmp_path / "router"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += ["-m", "learned_router.cli", "train", label_file, "--out", out, "--recipe", recipe, "--no-baselines"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    assert not list(tmp_path.glob(".router*"))
    router = Router.load(out)
    labels = [label for label in read_labels([label_file], Skipped()) if label.split == "test"]
    tiers = [router.route(msgspec.to_builtins(label_request(label))).tier for label in labels if label.step == "plan"]
    assert tiers.count("frontier") > 0.9 * len(tiers)
