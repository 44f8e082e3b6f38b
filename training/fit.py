"""Train the network on labels with Hugging Face's Trainer: soft, weighted, seeded, resumable from its checkpoints.

Knows labels and the network; knows nothing of calibration, thresholds or export.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
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
from learned_router.request import STEPS
from learned_router.training.model import UNKNOWN_STEP, RouterNet, build_net, freeze, parameter_groups
from learned_router.training.recipe import FitKnobs, Recipe
from learned_router.training.records import Label, label_request
from learned_router.view import make_view

# Of the heads' own training: more rows cost time to embed and teach a few thousand weights nothing new
HEAD_ROWS = 6_000
HEAD_BATCH_ROWS = 128
LEAST_HEAD_STEPS = 200
HEAD_ALONE_RATE = 1e-3
EMBED_BATCH_ROWS = 32


def bare_label(label: Label) -> Label | None:
    """The label as if its caller had sent the last user message alone; None where that is all there is, or not the last."""
    last = label.messages[-1]
    if last.role != "user" or (len(label.messages) == 1 and not label.tools and not label_request(label).step):
        return None
    return msgspec.structs.replace(label, messages=[last], tools=None, step=None, response_format=None)


class LabelRows(Dataset[dict[str, Any]]):
    """Labels as token ids, features and targets.

    hide: whether rows are, at random, shown as callers send them who leave something out: without the step, or as a
    bare prompt. The network must do without what ``route(prompt)`` does not get. tiers: those of the first label, if
    not given; the quality of a tier that a label does not know is NaN.
    """

    def __init__(
        self,
        labels: Sequence[Label],
        packer: Packer,
        recipe: Recipe,
        *,
        hide: bool = False,
        tiers: Sequence[str] | None = None,
    ) -> None:
        tiers = tiers or list(labels[0].quality)
        self.quality = np.array(
            [[label.quality.get(tier, np.nan) for tier in tiers] for label in labels], dtype=np.float32
        )
        self.weight = np.array([label.weight for label in labels], dtype=np.float32)
        self.step = np.array([STEPS.index(label.step) if label.step else UNKNOWN_STEP for label in labels])

        def read(shown: Label) -> tuple[list[int], np.ndarray]:
            view = make_view(label_request(shown), recipe.view)
            return packer.pack(view)[0], np.array(view.features, dtype=np.float32)

        self._whole = [read(label) for label in labels]
        self.ids = [ids for ids, _ in self._whole]
        self.features = np.array([features for _, features in self._whole])
        self._hide = hide
        if hide:
            self._random = np.random.default_rng(0)
            self._shares = (recipe.fit.bare_share, recipe.fit.bare_share + recipe.fit.step_dropout)
            self._stepless = [
                read(msgspec.structs.replace(label, step=None)) if label_request(label).step else whole
                for label, whole in zip(labels, self._whole, strict=True)
            ]
            self._bare = [
                read(bare) if (bare := bare_label(label)) else whole
                for label, whole in zip(labels, self._whole, strict=True)
            ]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        ids, features = self._shown(index)
        return {
            "input_ids": ids,
            "features": features,
            "quality": self.quality[index],
            "weight": self.weight[index],
            "step": self.step[index],
        }

    def _shown(self, index: int) -> tuple[list[int], np.ndarray]:
        if not self._hide:
            return self._whole[index]
        draw = self._random.random()
        if draw < self._shares[0]:
            return self._bare[index]
        return self._stepless[index] if draw < self._shares[1] else self._whole[index]


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
    optimizer: torch.optim.Optimizer | None

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
    tiers: Sequence[str] | None = None,
    console: Console | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> RouterNet:
    """Train on the labels of the train split; with the same arguments an interrupted run goes on where it stopped.

    labels: those of the train split only. checkpoints: folder of this run's state, removed by ``forget_checkpoints``.
    tiers: one head each, see ``LabelRows``. console: where the progress bar goes, None for none. The targets are soft
    qualities per tier, weighted by ``label.weight``.

    Under torchrun or ``accelerate launch`` all processes train on parts of each batch; the first one goes on with the
    network, the others end here (SystemExit).
    """
    set_seed(seed)
    processes, rank = (int(os.environ.get(name, default)) for name, default in (("WORLD_SIZE", "1"), ("RANK", "0")))
    console = console if rank == 0 else None
    rows = LabelRows(labels, packer, recipe, hide=True, tiers=tiers)
    model = build_net(recipe, rows.features, rows.quality.shape[1])
    freeze(model, recipe.encoder)
    checkpoint = get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None
    if checkpoint is None:
        warm_up_heads(model, rows, packer, seed)
    if recipe.fit.epochs == 0:
        _end_all_but_the_first(rank)
        model.eval()
        return model
    steps = math.ceil(len(rows) / recipe.fit.batch_size) * recipe.fit.epochs
    trainer = _Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(checkpoints),
            num_train_epochs=recipe.fit.epochs,
            per_device_train_batch_size=max(1, recipe.fit.batch_size // processes),
            # labels without steps give the step head nothing to learn
            ddp_find_unused_parameters=True if processes > 1 else None,
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
            bf16=has_fast_bfloat16(),
            use_cpu=has_fast_bfloat16() and not torch.cuda.is_available(),
        ),
        train_dataset=rows,
        data_collator=Collate(packer),
        callbacks=[*callbacks, *([_ProgressBar(console)] if console else [])],
    )
    trainer.remove_callback(PrinterCallback)  # it prints a dict of timings
    trainer.knobs = recipe.fit
    trainer.train(resume_from_checkpoint=checkpoint)
    _end_all_but_the_first(rank)
    model.cpu().eval()
    return model


def _end_all_but_the_first(rank: int) -> None:
    """What follows training is work for one process, which writes one artifact."""
    if rank:
        raise SystemExit(0)


def warm_up_heads(model: RouterNet, rows: LabelRows, packer: Packer, seed: int) -> None:
    """Train the heads alone, on embeddings of the encoder as pretrained, each row embedded once.

    From random heads the first steps of fine-tuning would push noise into the encoder; few labels never repair that.

    Source: linear probing, then fine-tuning (Kumar et al. 2022).
    """
    knobs = model.knobs
    if not knobs.head_epochs:
        return
    columns: dict[str, list[torch.Tensor]] = {}
    some_rows = np.random.default_rng(seed).permutation(len(rows))[:HEAD_ROWS].tolist()
    model.eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=has_fast_bfloat16()):
        for _, batch in _batches(rows, packer, some_rows):
            embedding = model.embed(batch.pop("input_ids"), batch.pop("attention_mask"))
            for name, column in {**batch, "embedding": embedding}.items():
                columns.setdefault(name, []).append(column)
    data = {name: torch.cat(parts).clone() for name, parts in columns.items()}
    data["embedding"] = data["embedding"].float()
    model.train()
    parts = (model.quality, model.step) if model.trunk_is_trained else model.head_parts()
    weights = [weight for part in parts for weight in part.parameters()]
    optimizer = torch.optim.AdamW(weights, lr=HEAD_ALONE_RATE, weight_decay=knobs.head_weight_decay)
    random = torch.Generator().manual_seed(seed)
    for _ in range(max(LEAST_HEAD_STEPS, knobs.head_epochs * len(some_rows) // HEAD_BATCH_ROWS)):
        some = torch.randint(len(some_rows), (HEAD_BATCH_ROWS,), generator=random)
        part = {name: column[some] for name, column in data.items()}
        logits = model.heads(part["embedding"], part["features"])
        loss = model.loss(*logits, part["quality"], part["weight"], part["step"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def has_fast_bfloat16() -> bool:
    """Whether this machine computes in bfloat16 natively; training then takes 0.55 of the time, elsewhere far more."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    capability = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # torch has no public word for it yet
    return bool(capability and capability())


def forget_checkpoints(checkpoints: Path) -> None:
    """Remove a finished run's checkpoints."""
    shutil.rmtree(checkpoints, ignore_errors=True)


@torch.inference_mode()  # type: ignore[untyped-decorator]  # torch is skipped
def predict(
    model: RouterNet, labels: Sequence[Label], packer: Packer, recipe: Recipe
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quality logits (n, tiers), step logits (n, steps) and embeddings (n, width), float32, in the order of the labels."""
    outputs, order = [], []
    for some, batch in _batches(LabelRows(labels, packer, recipe), packer):
        result = model(batch["input_ids"], batch["attention_mask"], batch["features"])
        outputs.append([result[name].numpy() for name in ("quality", "step", "embedding")])
        order += some
    back = np.argsort(order)
    quality, step, embedding = (np.concatenate(parts)[back] for parts in zip(*outputs, strict=True))
    return quality, step, embedding


def _batches(
    rows: LabelRows, packer: Packer, places: Iterable[int] | None = None
) -> Iterator[tuple[list[int], dict[str, torch.Tensor]]]:
    """The rows at ``places`` (all of them, if None) once, those of like length together: their places, and the batch."""
    order = sorted(range(len(rows)) if places is None else places, key=lambda index: len(rows.ids[index]))
    collate = Collate(packer)
    for start in range(0, len(order), EMBED_BATCH_ROWS):
        some = order[start : start + EMBED_BATCH_ROWS]
        yield some, collate([rows[index] for index in some])
