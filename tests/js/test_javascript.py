"""The package in ``js/`` makes of requests and answers exactly what the runtime makes of them, and decides alike."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from odd_cases import HAND_MADE, made_cases
from view_cases import ANSWER_VIEW, TIERS, VIEW, character_classes, expected_of, number_cases, sample_cases

from learned_router.artifact import shipped_artifact
from learned_router.encoder import Packer
from learned_router.errors import InputError
from learned_router.replay import Reference, read_references
from learned_router.router import Router

ROOT = Path(__file__).resolve().parents[2]
JAVASCRIPT = ROOT / "js"


@pytest.fixture(scope="module", autouse=True)
def _built() -> None:
    """Skips where the package has not been built; in CI that is a failure."""
    missing = None
    if shutil.which("node") is None:
        missing = "node is not installed"
    elif not (JAVASCRIPT / "dist" / "check.js").is_file() or not (JAVASCRIPT / "node_modules").is_dir():
        missing = "js/ is not built; run `make js`"
    if missing and os.environ.get("CI") == "true":
        pytest.fail(missing)
    if missing:
        pytest.skip(missing)


def run_node(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["node", *map(str, arguments)], cwd=JAVASCRIPT, capture_output=True, text=True, encoding="utf-8", check=False
    )


def told(*arguments: object) -> dict[str, Any]:
    done = run_node(*arguments)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def write_lines(path: Path, lines: Iterable[Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="ascii")
    return path


def as_json(*values: Any) -> Any:
    """Values as another program reads them."""
    return json.loads(json.dumps(values))


@pytest.fixture(scope="module")
def tokenizer() -> Path:
    return shipped_artifact() / "tokenizer.json"


def compare_views(path: Path, tokenizer: Path, cases: Iterable[tuple[Any, Any]], *, plain: bool) -> dict[str, Any]:
    """What the package makes of cases against what Python does. plain: it is given what ``JSON.parse`` gives."""
    packer = Packer.load(tokenizer, VIEW)
    settings = {"view": VIEW, "answer_view": ANSWER_VIEW, "tiers": TIERS, "plain": plain}
    lines = [{"settings": msgspec.to_builtins(settings)}, *(expected_of(*as_json(*case), packer) for case in cases)]
    return told("tests/same_as_python.js", write_lines(path, lines), tokenizer)


def test_views_token_ids_and_failures_are_those_of_python(tmp_path: Path, tokenizer: Path) -> None:
    cases = [*HAND_MADE, *made_cases(1500)]
    found = compare_views(tmp_path / "cases.jsonl", tokenizer, cases, plain=False)
    assert found["problems"] == []
    assert found["compared"]["view of an answer: features"] >= len(cases) - len(HAND_MADE)
    assert found["compared"]["refused"] >= 5


def test_plain_objects_of_real_requests_are_read_alike(tmp_path: Path, tokenizer: Path) -> None:
    found = compare_views(tmp_path / "cases.jsonl", tokenizer, sample_cases(250), plain=True)
    assert found["problems"] == []
    assert found["compared"]["view: token ids"] >= 250


def test_numbers_are_spelled_and_rounded_as_in_python(tmp_path: Path, tokenizer: Path) -> None:
    cases = write_lines(tmp_path / "numbers.jsonl", number_cases())
    found = told("tests/same_as_python.js", cases, tokenizer)
    assert found["problems"] == []
    assert found["compared"]["numbers"] > 4000


def test_characters_are_of_the_same_kinds_as_in_python(tmp_path: Path, tokenizer: Path) -> None:
    """All that both versions of Unicode know; few have ever changed their kind."""
    cases = write_lines(tmp_path / "characters.jsonl", character_classes())
    found = told("tests/same_as_python.js", cases, tokenizer)
    odd = [sign for problem in found["problems"] for sign in problem.split() if sign.startswith("U+")]
    assert len(odd) <= 20, found["problems"]
    assert found["compared"]["characters: word"] > 100


def test_the_shipped_artifact_and_one_with_a_gate_repeat_their_reference_decisions(artifact: Path) -> None:
    done = run_node("dist/check.js", shipped_artifact(), artifact)
    assert done.returncode == 0, done.stdout + done.stderr
    shipped, gated = done.stdout.splitlines()
    count = len(read_references(Router.load()))
    assert f"{count} of {count} reference decisions as recorded ({count} of the router, 0 of the gate)" in shipped
    assert "(0 of the gate)" not in gated


def decided(router: Router, request: Any, output: Any, mode: str) -> list[Reference]:
    """What router and gate say of a case, as references; none of what is no request or no output."""
    request = {"prompt": request} if isinstance(request, str) else request
    output = {"text": output} if isinstance(output, str) else output
    try:
        routed = router.route(request, mode=mode)
        judged = router.accept(request, output, mode=mode)
    except InputError:
        return []
    margin = abs(routed.quality["frontier"] - routed.quality["small"] - routed.threshold)
    return [
        Reference(request, mode, routed.tier, routed.reason, routed.quality, margin),
        Reference(request, mode, "small", judged.reason, judged.quality, abs(judged.regret - judged.threshold), output),
    ]


def test_odd_requests_and_answers_are_decided_as_in_python(tmp_path: Path, artifact: Path, router: Router) -> None:
    cases = [as_json(*case) for case in (*HAND_MADE, *made_cases(200, seed=1)) if not isinstance(case[0], list)]
    modes = list(router.modes)
    references = [
        reference
        for number, (request, output) in enumerate(cases)
        for reference in decided(router, request, output, modes[number % len(modes)])
    ]
    lines = write_lines(tmp_path / "references.jsonl", map(msgspec.to_builtins, references))
    found = told("tests/replay_file.js", artifact, lines)
    assert found["problems"] == []
    assert min(found["routed"], found["judged"]) >= 200
    # the very graph on the very inputs: what is left is arithmetic
    assert found["off"] < 1e-3


def test_a_damaged_artifact_is_refused_with_what_to_do(tmp_path: Path, artifact: Path) -> None:
    damaged = shutil.copytree(artifact, tmp_path / "damaged")
    with (damaged / "gate.onnx").open("ab") as file:
        file.write(b"x")
    done = run_node("dist/check.js", damaged, tmp_path / "nowhere")
    assert done.returncode == 1
    assert "gate.onnx: sha256 is" in done.stderr
    assert "export it again" in done.stderr
    assert "nowhere: config.json: missing" in done.stderr


def test_the_package_ships_code_and_types_alone() -> None:
    command = ["npm", "pack", "--dry-run", "--json", "--ignore-scripts"]
    done = subprocess.run(command, cwd=JAVASCRIPT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    packed = found[0] if isinstance(found, list) else found["learned-router"]
    names = {Path(file["path"]) for file in packed["files"]}
    beside = {name for name in names if name.parts[0] != "dist"}
    assert beside <= {Path(name) for name in ("LICENSE", "NOTICE", "README.md", "package.json")}
    assert {"".join(name.suffixes) for name in names - beside} == {".js", ".d.ts"}


def test_the_lock_names_no_registry() -> None:
    assert "resolved" not in (JAVASCRIPT / "package-lock.json").read_text(encoding="utf-8")
