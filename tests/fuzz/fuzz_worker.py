"""Fuzz one target under atheris, guided by the coverage of the package: python fuzz_worker.py TARGET [libFuzzer's options].

Knows atheris; what is checked stands in ``fuzz_targets``.
"""

from __future__ import annotations

import os
import sys

import atheris

# threads of the tokenizer's own cost more than they bring for one short text
os.environ["TOKENIZERS_PARALLELISM"] = "false"

with atheris.instrument_imports(include=["learned_router"]):
    from fuzz_targets import TARGETS


def main() -> None:
    name = sys.argv.pop(1)
    target = TARGETS[name]

    def run(data: bytes) -> None:
        target(data)

    atheris.Setup(sys.argv, run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
