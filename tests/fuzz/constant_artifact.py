"""A whole artifact of a few kilobytes, whose graphs answer every request alike: a real one, loaded in milliseconds."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any, Final

import msgspec
from tokenizers import Tokenizer, models, pre_tokenizers

from learned_router.artifact import Config, GateConfig, Provenance
from learned_router.fingerprints import Fingerprints, tool_fingerprint
from learned_router.policy import GatedPoint, Mode, Reason, Tier
from learned_router.pricing import Price
from learned_router.request import STEPS
from learned_router.request_features import FEATURES
from learned_router.view import GATE_FEATURES, AnswerViewSpec, ViewSpec

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "runtime"))
from graphs import constant_graph

KNOWN_TOOL: Final = {"name": "name", "description": "count the orders", "parameters": {"type": "object"}}


def constant_tokenizer() -> bytes:
    """A few words, all others unknown: whatever a text holds, it has tokens."""
    words = ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "count", "the", "orders", "is", "12")
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer.to_str().encode()


def constant_files() -> dict[str, bytes]:
    """The files of the artifact by name, but for ``config.json``."""
    steps = [[1.0, *[0.0] * (len(STEPS) - 1)]]
    return {
        "model.onnx": constant_graph({"quality": [[0.7, 0.75]], "step": steps, "ood": [0.5]}),
        "gate.onnx": constant_graph({"quality": [[0.7, 0.75]], "step": steps, "ood": [0.5]}),
        "tokenizer.json": constant_tokenizer(),
        "certificate.json": b"{}",
        "metrics.json": b"{}",
        "reference.jsonl": b"",
        "README.md": b"A router that answers alike.",
    }


def constant_config(files: dict[str, bytes]) -> dict[str, Any]:
    """``config.json`` of the artifact of those files, as JSON holds it."""
    known = tool_fingerprint(KNOWN_TOOL)
    assert known is not None
    config = Config(
        schema_version=1,
        name="constant",
        tiers=(
            Tier("small", "model-s", context_tokens=1_000, lacks=("vision", "json"), aliases=("m",)),
            Tier("frontier", "model-f"),
        ),
        steps=STEPS,
        view=ViewSpec(),
        features=FEATURES,
        modes={
            "balanced": Mode(0.95, 0.1, {"plan": 0.0}, gated=GatedPoint(0.2, 0.1, {"plan": (0.0, 0.0)})),
            "never": Mode(1.0, -2.0, gated=GatedPoint(-2.0, -2.0)),
        },
        default_mode="balanced",
        ood_threshold=1.0,
        confidence={"small": (0.0, 1.0, -1.0)},
        prices={"small": Price(0.1, 0.2), "frontier": Price(1.0, 2.0)},
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        provenance=Provenance("r", "0", "0", {"train": 1}, 0, "2026-01-01", {}, {"s": 1}, {"s": "MIT"}),
        gate=GateConfig(
            view=AnswerViewSpec(),
            features=GATE_FEATURES,
            ood_threshold=1.0,
            confidence=(0.0, 1.0, -1.0),
            rules=(Reason.EMPTY_OUTPUT, Reason.UNKNOWN_TOOL, Reason.NOT_JSON),
            expects_logprobs=True,
        ),
        call_costs={"small": 0.1, "frontier": 1.0},
        fingerprints=Fingerprints({"name": known}, 1),
    )
    return dict(msgspec.to_builtins(config))


def write_artifact(folder: Path, config: bytes, files: dict[str, bytes]) -> Path:
    """The folder, with all that is given in it and nothing else taken away."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "config.json").write_bytes(config)
    return folder
