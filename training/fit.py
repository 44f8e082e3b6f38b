"""Train the network on labels: its heads first, then all of it by Hugging Face's Trainer, resumable from its checkpoints.

Knows labels and the network; knows nothing of calibration, thresholds or export.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn, track
from torch.utils.data import Dataset
from transformers import PrinterCallback, Trainer, TrainerCallback, TrainerState, TrainingArguments, set_seed
from transformers.trainer_utils import get_last_checkpoint

from learned_router.encoder import Packer
from learned_router.request import STEPS
from learned_router.training.heads import fit_quality, fit_step
from learned_router.training.model import UNKNOWN_STEP, RouterNet, build_net, freeze, parameter_groups
from learned_router.training.reader import Reader
from learned_router.training.recipe import FitKnobs, Recipe
from learned_router.training.records import Label

# The heads' own training sees no more than this: beyond, it costs minutes and teaches a few hundred weights nothing new
HEAD_ROWS = 20_000
EMBED_BATCH_ROWS = 32


class LabelRows(Dataset[dict[str, Any]]):
    """Labels as token ids, features and targets.

    hide: in what shares rows are, at random, shown as callers send them who leave something out, see ``Reader.ways``. The
    network must do without what ``route(prompt)`` does not get. tiers: those of the first label, if not given; the quality
    of a tier that a label does not know is NaN.
    """

    def __init__(
        self,
        labels: Sequence[Label],
        reader: Reader,
        *,
        hide: FitKnobs | None = None,
        tiers: Sequence[str] | None = None,
    ) -> None:
        tiers = tiers or list(labels[0].quality)
        self.quality = np.array(
            [[label.quality.get(tier, np.nan) for tier in tiers] for label in labels], dtype=np.float32
        )
        self.weight = np.array([label.weight for label in labels], dtype=np.float32)
        self.step = np.array([STEPS.index(label.step) if label.step else UNKNOWN_STEP for label in labels])

        def read(shown: Label) -> tuple[list[int], np.ndarray]:
            view = reader.see(shown)
            return reader.packer.pack(view)[0], np.array(view.features, dtype=np.float32)

        self._whole = [read(label) for label in labels]
        self.ids = [ids for ids, _ in self._whole]
        self.features = np.array([features for _, features in self._whole])
        self._hide = hide is not None
        if hide is not None:
            self._random = np.random.default_rng(0)
            self._ways = [
                [(*(whole if shown is label else read(shown)), share) for shown, share in reader.ways(label, hide)]
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

    def ways(self, index: int) -> list[tuple[list[int], np.ndarray, float]]:
        """Every way in which a row is shown, once: token ids, features, and the share of times; the shares sum to 1."""
        if not self._hide:
            return [(*self._whole[index], 1.0)]
        found: list[tuple[list[int], np.ndarray, float]] = []
        for ids, features, share in reversed(self._ways[index]):  # the whole row first
            same = next(
                (i for i, (known, others, _) in enumerate(found) if known == ids and (others == features).all()), None
            )
            if same is None:
                found.append((ids, features, share))
            else:
                found[same] = (ids, features, found[same][2] + share)
        return [way for way in found if way[2] > 0]

    def _shown(self, index: int) -> tuple[list[int], np.ndarray]:
        if not self._hide:
            return self._whole[index]
        left = self._random.random()
        *others, (ids, features, _) = self._ways[index]
        for other_ids, other_features, share in others:
            left -= share
            if left < 0:
                return other_ids, other_features
        return ids, features


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
    reader: Reader,
    recipe: Recipe,
    checkpoints: Path,
    *,
    seed: int = 0,
    tiers: Sequence[str] | None = None,
    console: Console | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> RouterNet:
    """Train on the labels of the train split; with the same arguments an interrupted run goes on where it stopped.

    labels: those of the train split only. reader: what is shown of them. checkpoints: folder of this run's state, removed
    by ``forget_checkpoints``.
    tiers: one head each, see ``LabelRows``. console: where the progress bar goes, None for none. The targets are soft
    qualities per tier, weighted by ``label.weight``.

    Under torchrun or ``accelerate launch`` all processes train on parts of each batch; what follows is work for one of
    them, see ``end_all_but_the_first``.
    """
    set_seed(seed)
    console = console if int(os.environ.get("RANK", "0")) == 0 else None
    rows = LabelRows(labels, reader, hide=recipe.fit, tiers=tiers)
    model = build_net(recipe, rows.features, rows.quality.shape[1])
    freeze(model, recipe.encoder)
    if last_checkpoint(checkpoints) is None:
        fit_heads(model, rows, reader.packer, seed, console)
    if recipe.fit.epochs == 0:
        model.eval()
        return model
    run_trainer(
        model, rows, Collate(reader.packer), recipe.fit, checkpoints, seed=seed, console=console, callbacks=callbacks
    )
    model.cpu().eval()
    return model


def run_trainer(
    model: Any,
    rows: Dataset[dict[str, Any]],
    collate: Callable[[list[dict[str, Any]]], dict[str, torch.Tensor]],
    knobs: FitKnobs,
    checkpoints: Path,
    *,
    seed: int,
    console: Console | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> None:
    """Teach a network, which says its own loss, all epochs; from the last checkpoint where there is one.

    model: a network that ``parameter_groups`` knows. rows: with a length, and ``input_ids`` to group them by.
    """
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    steps = math.ceil(len(rows) / knobs.batch_size) * knobs.epochs
    trainer = _Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(checkpoints),
            num_train_epochs=knobs.epochs,
            per_device_train_batch_size=max(1, knobs.batch_size // processes),
            # labels without steps give the step head nothing to learn
            ddp_find_unused_parameters=True if processes > 1 else None,
            lr_scheduler_type="cosine",
            warmup_steps=max(1, int(steps * knobs.warmup_share)),
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
        data_collator=collate,
        callbacks=[*callbacks, *([_ProgressBar(console)] if console else [])],
    )
    trainer.remove_callback(PrinterCallback)  # it prints a dict of timings
    trainer.knobs = knobs
    trainer.train(resume_from_checkpoint=last_checkpoint(checkpoints))


def last_checkpoint(checkpoints: Path) -> str | None:
    """Where an interrupted run goes on; None where it begins."""
    found: str | None = get_last_checkpoint(str(checkpoints)) if checkpoints.is_dir() else None
    return found


def end_all_but_the_first() -> None:
    """What follows training is work for one process, which writes one artifact; the others end here (SystemExit)."""
    if int(os.environ.get("RANK", "0")):
        raise SystemExit(0)


def fit_heads(model: RouterNet, rows: LabelRows, packer: Packer, seed: int, console: Console | None = None) -> None:
    """Fit the heads alone, on embeddings of the encoder as it is, each row embedded once in every way it is shown.

    From random heads the first steps of fine-tuning would push noise into the encoder; few labels never repair that.

    Source: linear probing, then fine-tuning (Kumar et al. 2022).
    """
    some = np.random.default_rng(seed).permutation(len(rows))[:HEAD_ROWS]
    shown = [(place, *way) for place in sorted(some.tolist()) for way in rows.ways(place)]
    place = np.array([place for place, *_ in shown])
    points: np.ndarray = np.zeros((len(shown), model.quality.in_features), dtype=np.float32)
    lasts: np.ndarray = np.zeros((len(shown), model.step.in_features), dtype=np.float32)
    features = np.array([features for _, _, features, _ in shown])
    order = np.argsort([len(ids) for _, ids, _, _ in shown], kind="stable")
    model.eval()
    batches = [order[start : start + EMBED_BATCH_ROWS] for start in range(0, len(order), EMBED_BATCH_ROWS)]
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=has_fast_bfloat16()):
        for batch in track(batches, "embedding", console=console, disable=console is None):
            ids, mask = packer.batch([shown[i][1] for i in batch], multiple_of=16)
            middle, last = (part.float() for part in model.embed(torch.from_numpy(ids), torch.from_numpy(mask)))
            points[batch] = model.points(middle, last, torch.from_numpy(features[batch])).float().numpy()
            lasts[batch] = last.numpy()
    model.train()
    weight = rows.weight[place] * np.array([share for *_, share in shown])
    quality = fit_quality(points, rows.quality[place], weight, model.knobs.head_strengths)
    model.set_heads(quality, fit_step(lasts, rows.step[place], weight, model.step.out_features))


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
def predict(model: RouterNet, labels: Sequence[Label], reader: Reader) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quality logits (n, tiers), step logits (n, steps) and what the quality heads read, (n, 2 * width + n_features).

    All float32, in the order of the labels.
    """
    outputs, order = [], []
    for some, batch in _batches(LabelRows(labels, reader), reader.packer):
        result = model(batch["input_ids"], batch["attention_mask"], batch["features"])
        outputs.append([result[name].numpy() for name in ("quality", "step", "points")])
        order += some
    back = np.argsort(order)
    quality, step, points = (np.concatenate(parts)[back] for parts in zip(*outputs, strict=True))
    return quality, step, points


def _batches(
    rows: LabelRows, packer: Packer, places: Iterable[int] | None = None
) -> Iterator[tuple[list[int], dict[str, torch.Tensor]]]:
    """The rows at ``places`` (all of them, if None) once, those of like length together: their places, and the batch."""
    order = sorted(range(len(rows)) if places is None else places, key=lambda index: len(rows.ids[index]))
    collate = Collate(packer)
    for start in range(0, len(order), EMBED_BATCH_ROWS):
        some = order[start : start + EMBED_BATCH_ROWS]
        yield some, collate([rows[index] for index in some])
