"""Artifacts that differ from the trained one in what a test says, and in nothing else."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def edited(artifact: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Copies the artifact, replaces ``files`` and their hashes, and lets ``change`` edit ``config.json``."""

    def edit(
        change: Callable[[dict[str, Any]], object] | None = None, files: Mapping[str, bytes] | None = None
    ) -> Path:
        folder = tmp_path_factory.mktemp("edited") / artifact.name
        shutil.copytree(artifact, folder)
        config = json.loads((folder / "config.json").read_bytes())
        for name, content in (files or {}).items():
            (folder / name).write_bytes(content)
            config["files"][name] = hashlib.sha256(content).hexdigest()
        if change:
            change(config)
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        return folder

    return edit
