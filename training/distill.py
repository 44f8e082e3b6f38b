"""``python -m learned_router.training.distill LOGS… --out DIR``: teach one narrow layer what a whole encoder says of a text.

A router's heads read the means of the encoder's tokens, so that is what the small one learns to repeat. No outcome is
learned from: what comes of it is a smaller encoder, which knows of no models.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset
from transformers import set_seed

from learned_router.encoder import Packer
from learned_router.errors import InputError, LearnedRouterError
from learned_router.training.card import write_distilled_card
from learned_router.training.distill_texts import FROM_ANSWERS, MADE_UP, Texts, read_texts
from learned_router.training.fit import (
    EMBED_BATCH_ROWS,
    forget_checkpoints,
    has_fast_bfloat16,
    run_trainer,
)
from learned_router.training.labelling.label_run import describe_skipped
from learned_router.training.model import freeze, load_encoder, means_of, widths_of
from learned_router.training.pretrain import balance, check_learned, choose_taught, order_tiers, read_outcomes
from learned_router.training.pretrained import LayerShape, Pretrained, read_about, save_pretrained
from learned_router.training.reader import request_reader
from learned_router.training.recipe import Recipe, load_recipe
from learned_router.training.records import Label, Skipped
from learned_router.training.unseen import measure_unseen

RECIPE: Final = Path(__file__).with_suffix(".toml")
# A third of the arithmetic of a layer as wide as the big encoder's, and a cheaper activation (LOG, 2026-11-28)
SHAPE: Final = LayerShape(width=192, ffn=384, activation="relu")
EXCERPTS, TOOL_CALLS = 17_000, 10_000
# Of the texts, so many are never learned from, and say how well the small encoder repeats the big one
HELD_OUT: Final = 1500

Array = NDArray[np.floating]


class Student(nn.Module):
    """The small encoder, with the map from its means to those of the big one, which is thrown away in the end.

    targets: (n, 2, width), what the big one's middle and last layers say, each of length 1. The loss is the share of
    their variance that is not repeated, summed over the two.
    """

    def __init__(self, encoder: nn.Module, variance: Array) -> None:
        super().__init__()
        width = int(encoder.config.embedding_size)
        self.encoder = encoder
        self.project = nn.Linear(sum(widths_of(encoder)), 2 * width)
        nn.init.eye_(self.project.weight)
        nn.init.zeros_(self.project.bias)
        self.register_buffer("variance", torch.tensor(variance, dtype=torch.float32))

    def head_parts(self) -> tuple[nn.Module, ...]:
        return (self.project,)

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, target: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        first, last = means_of(self.encoder, input_ids, attention_mask, (0, -1))
        with torch.autocast(last.device.type, enabled=False):
            told = self.project(torch.cat([first.float(), last.float()], dim=-1)).unflatten(-1, (2, -1))
            missed = (F.normalize(told, dim=-1) - target).square().sum(dim=-1) / self.variance
        return {"loss": missed.mean(dim=0).sum(), "missed": missed}


class TextRows(Dataset[dict[str, Any]]):
    """Texts with what the big encoder says of them."""

    def __init__(self, ids: Sequence[list[int]], targets: Array) -> None:
        self.ids, self.targets = ids, targets

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"input_ids": self.ids[index], "target": self.targets[index].astype(np.float32)}


class CollateTexts:
    """Rows to a batch of tensors, padded to its longest text."""

    def __init__(self, packer: Packer) -> None:
        self._packer = packer

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        ids, mask = self._packer.batch([row["input_ids"] for row in rows], multiple_of=16)
        targets = torch.from_numpy(np.stack([row["target"] for row in rows]))
        return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask), "target": targets}


@torch.inference_mode()  # type: ignore[untyped-decorator]  # torch is skipped
def ask_teacher(ids: Sequence[list[int]], recipe: Recipe, packer: Packer, console: Console) -> Array:
    """What the whole encoder says of each text: float16 (n, 2, width), its middle and its last layer."""
    teacher = load_encoder(msgspec.structs.replace(recipe.encoder, layers=0)).eval()
    layers = (int(teacher.config.num_hidden_layers) // 2, -1)
    found: Array = np.zeros((len(ids), 2, int(teacher.config.hidden_size)), dtype=np.float16)
    order = np.argsort([len(tokens) for tokens in ids], kind="stable")
    batches = [order[start : start + EMBED_BATCH_ROWS] for start in range(0, len(order), EMBED_BATCH_ROWS)]
    with torch.autocast("cpu", torch.bfloat16, enabled=has_fast_bfloat16()):
        for batch in track(batches, "asking the whole encoder", console=console):
            some, mask = packer.batch([ids[i] for i in batch], multiple_of=16)
            told = means_of(teacher, torch.from_numpy(some), torch.from_numpy(mask), layers)
            found[batch] = torch.stack(told, dim=1).half().numpy()
    return found


def distill(texts: Texts, recipe: Recipe, packer: Packer, out: Path, seed: int, console: Console) -> None:
    """Teach a small encoder all of the texts but those held out, and write it to ``out``.

    Killed, it goes on from its last checkpoint.
    """
    work = out.with_name(f".{out.name}.training")
    work.mkdir(parents=True, exist_ok=True)
    rows = TextRows(texts.ids, _targets(texts.ids, recipe, packer, work, console))
    order = np.random.default_rng(seed).permutation(len(rows))
    held, learned = (_take(rows, part) for part in np.split(order, [min(HELD_OUT, len(rows) // 10)]))
    set_seed(seed)
    targets = rows.targets.astype(np.float32)
    variance = (targets - targets.mean(axis=0)).var(axis=0).sum(axis=-1)
    student = Student(small_encoder(recipe), variance)
    freeze(student, recipe.encoder)
    collate = CollateTexts(packer)
    console.print(f"learning from {len(learned):,} texts")
    run_trainer(student, learned, collate, recipe.fit, work / "student", seed=seed, console=console)
    about = Pretrained(
        encoder=recipe.encoder.name,
        layers=recipe.encoder.layers,
        max_tokens=recipe.view.max_tokens,
        requests=texts.sources,
        licences=texts.licences,
        models=0,
        recipe_sha256=recipe.sha256,
        seed=seed,
        created=datetime.datetime.now(datetime.UTC).date().isoformat(),
        shape=SHAPE,
        missed=_missed(student.cpu().eval(), held, collate),
    )
    save_pretrained(student, load_encoder(recipe.encoder), out, about)
    forget_checkpoints(work)


def small_encoder(recipe: Recipe) -> nn.Module:
    """The small encoder that learning begins with: random layers behind the map that keeps most of the token embeddings."""
    small = load_encoder(recipe.encoder, SHAPE)
    words = small.embeddings.word_embeddings.weight.detach()
    down = small.embeddings_project
    down.weight.data.copy_(torch.pca_lowrank(words, SHAPE.width)[2].T)
    nn.init.zeros_(down.bias)
    return small


def _targets(ids: Sequence[list[int]], recipe: Recipe, packer: Packer, work: Path, console: Console) -> Array:
    """``ask_teacher``, or what it said when the same texts were asked in a run that did not end."""
    digest = hashlib.sha256(msgspec.json.encode([recipe.encoder.name, list(ids)])).hexdigest()[:16]
    kept = work / f"told-{digest}.npy"
    if not kept.is_file():
        part = kept.with_suffix(".part.npy")
        np.save(part, ask_teacher(ids, recipe, packer, console))
        part.rename(kept)
    found: Array = np.load(kept)
    return found


def _take(rows: TextRows, places: NDArray[np.intp]) -> TextRows:
    return TextRows([rows.ids[place] for place in places], rows.targets[places])


@torch.inference_mode()  # type: ignore[untyped-decorator]  # torch is skipped
def _missed(student: Student, rows: TextRows, collate: CollateTexts) -> tuple[float, float]:
    total = np.zeros(2)
    for start in range(0, len(rows), EMBED_BATCH_ROWS):
        batch = collate([rows[index] for index in range(start, min(start + EMBED_BATCH_ROWS, len(rows)))])
        total += student(**batch)["missed"].sum(dim=0).numpy()
    middle, last = total / len(rows)
    return float(middle), float(last)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m learned_router.training.distill", description=__doc__)
    parser.add_argument("logs", nargs="+", type=Path, help="paired logs, whose requests and answers are read as texts")
    parser.add_argument("--out", type=Path, required=True, help="folder of the encoder")
    parser.add_argument("--recipe", default=str(RECIPE), help="name or TOML file")
    parser.add_argument("--excerpts", type=int, default=EXCERPTS, help="pieces of answers to learn from")
    parser.add_argument("--tool-calls", type=int, default=TOOL_CALLS, help="made-up tool calls to learn from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--card", action="store_true", help="measure the encoder that is there, and write its card alone"
    )
    arguments = parser.parse_args()
    console = Console()
    try:
        recipe, skipped = load_recipe(arguments.recipe), Skipped()
        labels = read_outcomes(arguments.logs, skipped, scored=False)
        taught = choose_taught(labels)
        if skipped.total:
            console.print(f"skipped: {describe_skipped(skipped)}", highlight=False, markup=False)
        if not taught:
            raise InputError("no request is left to learn from; give paired logs")
        if not arguments.card:
            packer = request_reader(recipe).packer
            texts = read_texts(
                taught,
                arguments.logs,
                packer,
                recipe.view,
                excerpts=arguments.excerpts,
                tools=arguments.tool_calls,
                seed=arguments.seed,
            )
            distill(texts, recipe, packer, arguments.out, arguments.seed, console)
        write_measured_card(labels, taught, recipe, arguments.out, arguments.seed, console)
    except LearnedRouterError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def write_measured_card(
    labels: Sequence[Label],
    taught: Sequence[Label],
    recipe: Recipe,
    out: Path,
    seed: int,
    console: Console,
) -> None:
    """Measure heads on the small encoder in ``out`` and on the whole one, on requests that neither it nor they have seen;
    write both to its card. Raises InputError when it learned from other requests than ``taught``."""
    about = read_about(out)
    requests = {source: count for source, count in about.requests.items() if source not in (FROM_ANSWERS, MADE_UP)}
    check_learned(out, requests, taught, "the logs with which it was distilled")
    scored = [label for label in taught if label.quality]
    models = order_tiers(scored)
    fold = [label for label in labels if label.split == "calibration" and label.quality]
    whole = msgspec.structs.replace(recipe, encoder=msgspec.structs.replace(recipe.encoder, layers=0))
    found = measure_unseen(out, recipe.encoder.name, balance(scored), fold, models, whole, seed=seed, console=console)
    (out / "README.md").write_text(write_distilled_card(out, about, found), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
