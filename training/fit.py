"""Train the network on labels with Hugging Face's Trainer: soft, weighted, seeded, resumable from its checkpoints.

Knows labels and the network; knows nothing of calibration, thresholds or export.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch.utils.data import Dataset
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerState, TrainingArguments, set_seed
from transformers.trainer_utils import get_last_checkpoint

from learned_router.encoder import Packer
from learned_router.request import STEPS, Request
from learned_router.training.model import UNKNOWN_STEP, RouterNet, freeze, load_encoder, parameter_groups
from learned_router.training.recipe import FitKnobs, Recipe
from learned_router.training.records import Label
from learned_router.view import FEATURES, make_view


def label_request(label: Label) -> Request:
    """The request of a label, as the runtime would get it."""
    return Request(
        messages=label.messages, tools=label.tools or [], response_format=label.response_format, step=label.step
    )


class LabelRows(Dataset[dict[str, Any]]):
    """Labels as token ids and targets. Two views a row where the step is given: with it and, in training, without it."""

    def __init__(self, labels: Sequence[Label], packer: Packer, recipe: Recipe, *, step_dropout: float = 0.0) -> None:
        tiers = list(labels[0].quality)
        self._dropout = step_dropout
        self.quality = np.array([[label.quality[tier] for tier in tiers] for label in labels], dtype=np.float32)
        self.weight = np.array([label.weight for label in labels], dtype=np.float32)
        self.step = np.array([STEPS.index(label.step) if label.step else UNKNOWN_STEP for label in labels])
        requests = [label_request(label) for label in labels]
        views = [make_view(request, recipe.view) for request in requests]
        self.features = np.array([view.features for view in views], dtype=np.float32)
        self.ids = [packer.pack(view)[0] for view in views]
        bare = [msgspec.structs.replace(request, step=None) for request in requests]
        self._ids_without_step = (
            [packer.pack(make_view(request, recipe.view))[0] for request in bare] if step_dropout else self.ids
        )
        self._random = np.random.default_rng(0)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        # callers of the runtime may leave the step out, so the network must do without it
        hidden = self._dropout > 0.0 and self._random.random() < self._dropout
        return {
            "input_ids": (self._ids_without_step if hidden else self.ids)[index],
            "features": self.features[index],
            "quality": self.quality[index],
            "weight": self.weight[index],
            "step": self.step[index],
        }


class Collate:
    """Rows to a batch of tensors, padded to its longest row."""

    def __init__(self, packer: Packer) -> None:
        self._packer = packer

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        # few distinct widths: torch keeps memory for every shape it meets (3.5 GB without this, on 1,500 labels)
        ids, mask = self._packer.batch([row["input_ids"] for row in rows], multiple_of=16)
        return {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy(mask),
            "features": torch.from_numpy(np.stack([row["features"] for row in rows])),
            "quality": torch.from_numpy(np.stack([row["quality"] for row in rows])),
            "weight": torch.from_numpy(np.stack([row["weight"] for row in rows])),
            "step": torch.from_numpy(np.stack([row["step"] for row in rows])),
        }


class _Trainer(Trainer):
    """Hugging Face's Trainer with our rates by layer."""

    knobs: FitKnobs

    def create_optimizer(self, *args: Any, **kwargs: Any) -> torch.optim.Optimizer:
        if self.optimizer is None:
            self.optimizer = torch.optim.AdamW(parameter_groups(self.model, self.knobs))
        return self.optimizer


class _ProgressBar(TrainerCallback):
    """One bar for the whole run, with the time left; a resumed run starts where it stopped."""

    def __init__(self, console: Console | None) -> None:
        columns = (
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TimeRemainingColumn(),
        )
        self._progress = Progress(*columns, console=console)

    def on_train_begin(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        self._progress.start()
        self._task = self._progress.add_task("training", total=state.max_steps, completed=state.global_step)

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        self._progress.update(self._task, completed=state.global_step)

    def on_train_end(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        self._progress.stop()


def fit(
    labels: Sequence[Label],
    packer: Packer,
    recipe: Recipe,
    checkpoints: Path,
    *,
    seed: int = 0,
    console: Console | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> RouterNet:
    """Train on the labels of the train split; with the same arguments an interrupted run goes on where it stopped.

    labels: those of the train split only. checkpoints: folder of this run's state, removed by ``forget_checkpoints``.
    console: where the progress bar goes, None for none. The targets are soft qualities per tier, weighted by
    ``label.weight``.
    """
    set_seed(seed)
    rows = LabelRows(labels, packer, recipe, step_dropout=recipe.fit.step_dropout)
    model = RouterNet(
        load_encoder(recipe.encoder),
        n_tiers=rows.quality.shape[1],
        n_steps=len(STEPS),
        n_features=len(FEATURES),
        knobs=recipe.fit,
    )
    model.set_feature_scale(rows.features)
    freeze(model, recipe.encoder)
    steps = math.ceil(len(rows) / recipe.fit.batch_size) * recipe.fit.epochs
    trainer = _Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(checkpoints),
            num_train_epochs=recipe.fit.epochs,
            per_device_train_batch_size=recipe.fit.batch_size,
            lr_scheduler_type="cosine",
            warmup_steps=max(1, int(steps * recipe.fit.warmup_share)),
            max_grad_norm=1.0,
            seed=seed,
            data_seed=seed,
            save_strategy="steps",
            save_steps=max(50, steps // 8),
            save_total_limit=1,
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
            train_sampling_strategy="group_by_length",
            dataloader_pin_memory=torch.cuda.is_available(),
        ),
        train_dataset=rows,
        data_collator=Collate(packer),
        callbacks=[*callbacks, *([_ProgressBar(console)] if console else [])],
    )
    trainer.remove_callback(PrinterCallback)  # it prints a dict of timings
    trainer.knobs = recipe.fit
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None)
    return model.cpu().eval()


def forget_checkpoints(checkpoints: Path) -> None:
    """Remove a finished run's checkpoints."""
    shutil.rmtree(checkpoints, ignore_errors=True)


@torch.inference_mode()
def predict(
    model: RouterNet, labels: Sequence[Label], packer: Packer, recipe: Recipe
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quality logits (n, tiers), step logits (n, steps) and embeddings (n, width), float32, in the order of the labels."""
    rows = LabelRows(labels, packer, recipe)
    order = np.argsort([len(ids) for ids in rows.ids])
    collate = Collate(packer)
    outputs = []
    for start in range(0, len(order), 64):
        batch = collate([rows[i] for i in order[start : start + 64]])
        result = model(batch["input_ids"], batch["attention_mask"], batch["features"])
        outputs.append([result[name].numpy() for name in ("quality", "step", "embedding")])
    back = np.argsort(order)
    quality, step, embedding = (np.concatenate(parts)[back] for parts in zip(*outputs, strict=True))
    return quality, step, embedding
