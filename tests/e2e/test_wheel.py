"""What a user installs: the wheel holds all that the commands look for, and the runtime runs from it alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from learned_router import Router, __version__

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "exported" / "small-frontier"
PARTS = ("learned_router", "training", "data", "exported", "pyproject.toml", "README.md", "LICENSE", "NOTICE")


def packages() -> list[str]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]


def run(*command: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory, artifact: Path) -> Path:
    """A copy of the sources, so that building writes nothing into the checkout, with what must not be packed added.

    Until the shipped artifact exists, the tiny one stands in its place.
    """
    tree = tmp_path_factory.mktemp("tree")
    for part in PARTS:
        if (ROOT / part).is_dir():
            unwanted = shutil.ignore_patterns("__pycache__", ".*")
            shutil.copytree(ROOT / part, tree / part, ignore=unwanted)
        else:
            shutil.copy(ROOT / part, tree / part)
    if not SHIPPED.is_dir():
        shutil.copytree(artifact, tree / "exported" / SHIPPED.name)
    for stray in ("exported/.small-frontier.training/README.md", "exported/other/model.onnx", "data/logs.jsonl.gz"):
        (tree / stray).parent.mkdir(exist_ok=True)
        (tree / stray).write_text("must not be packed")
    return tree


@pytest.fixture(scope="module")
def wheel(tree: Path) -> Path:
    """The wheel made from the source distribution, so that both are known to be whole."""
    built = run(sys.executable, "-m", "build", "--no-isolation", tree)
    assert built.returncode == 0, built.stderr
    return next((tree / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def editable_wheel(tree: Path) -> Path:
    """What ``pip install --editable`` installs."""
    code = "import setuptools.build_meta as build; build.build_editable('editable')"
    built = run(sys.executable, "-c", code, cwd=tree)
    assert built.returncode == 0, built.stderr
    return next((tree / "editable").glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs' folder of an environment that holds the wheel and what it requires, nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    programs = Path(sysconfig.get_path("scripts", "venv", {"base": str(folder)}))
    result = run(
        programs / "python", "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", wheel
    )
    assert result.returncode == 0, result.stderr
    return programs


def test_every_folder_of_code_is_a_listed_package() -> None:
    def folders(root: str) -> set[str]:
        return {".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / root).rglob("*.py")}

    found = folders("learned_router") | {f"learned_router.{name}" for name in folders("training")}
    assert found == {name for name in packages() if name not in ("learned_router.data", "learned_router.exported")}


@pytest.mark.slow
def test_the_wheel_holds_the_code_the_recipes_the_sample_and_the_shipped_artifact(wheel: Path, tree: Path) -> None:
    wanted = {
        f"learned_router/{inside}"
        for inside in ("py.typed", "training/py.typed", "data/README.md", "data/sample.jsonl.gz")
    }
    for pattern in ("*.py", "*.json"):
        wanted |= {path.relative_to(tree).as_posix() for path in (tree / "learned_router").rglob(pattern)}
    wanted |= {
        "learned_router/" + path.relative_to(tree).as_posix()
        for pattern in (
            "training/**/*.py",
            "training/**/*.json",
            "training/recipes/*.toml",
            "training/*.toml",
            "exported/*.md",
            "exported/small-frontier/*",
            "exported/distilled-minilm-l1/*",
        )
        for path in tree.glob(pattern)
    }
    names = {name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith("/")}
    about = {name.split("/", 1)[1] for name in names if ".dist-info/" in name}
    assert {name for name in names if ".dist-info/" not in name} == wanted
    assert {"licenses/LICENSE", "licenses/NOTICE"} <= about


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["wheel", "editable_wheel"])
def test_the_sample_and_the_shipped_artifact_are_found(
    kind: str, request: pytest.FixtureRequest, tree: Path, tmp_path: Path
) -> None:
    zipfile.ZipFile(request.getfixturevalue(kind)).extractall(tmp_path)
    code = f"""
import site, sys
sys.path.append({sysconfig.get_path("purelib")!r})
site.addsitedir({str(tmp_path)!r})
from learned_router.artifact import shipped_artifact
from learned_router.training.demo import sample_path
from learned_router.training.recipe import load_recipe
load_recipe("fast"), load_recipe("standard")
print(shipped_artifact(), sample_path(), sep="\\n")
"""
    # -S: else the checkout, which this environment has installed, would answer in their place
    found = run(sys.executable, "-S", "-c", code, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    home = tmp_path / "learned_router" if kind == "wheel" else tree
    assert found.stdout.splitlines() == [
        str(home / "exported" / "small-frontier"),
        str(home / "data" / "sample.jsonl.gz"),
    ]


@pytest.mark.slow
def test_an_install_without_extras_has_no_training_library(installed: Path) -> None:
    code = (
        "from importlib.util import find_spec\n"
        "print([name for name in ('torch', 'transformers', 'sklearn', 'scipy', 'onnx') if find_spec(name)])"
    )
    assert run(installed / "python", "-c", code).stdout.strip() == "[]"


@pytest.mark.slow
def test_the_command_is_installed_and_knows_its_version(installed: Path) -> None:
    result = run(installed / "learned-router", "--version")
    assert (result.returncode, result.stdout.strip()) == (0, __version__)


@pytest.mark.slow
def test_training_without_the_extra_says_how_to_install_it(installed: Path, tmp_path: Path) -> None:
    result = run(installed / "learned-router", "train", "labels.jsonl", "--out", "router", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (2, "")
    assert "pip install 'learned-router[train]'" in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.slow
def test_an_artifact_decides_in_the_install_as_it_does_here(installed: Path, artifact: Path, tmp_path: Path) -> None:
    prompt = "list the open tickets"
    code = f"from learned_router import Router; print(Router.load({str(artifact)!r}).route({prompt!r}))"
    result = run(installed / "python", "-c", code, cwd=tmp_path)
    assert result.stdout.strip() == repr(Router.load(artifact).route(prompt)), result.stderr


@pytest.mark.slow
def test_the_shipped_artifact_decides_without_a_path(installed: Path, tmp_path: Path) -> None:
    if not (SHIPPED / "config.json").is_file():
        pytest.skip("exported/small-frontier has not been trained yet")
    prompt = "list my recent commits"
    code = f"from learned_router import route; print(route({prompt!r}))"
    result = run(installed / "python", "-c", code, cwd=tmp_path)
    assert result.stdout.strip() == repr(Router.load().route(prompt)), result.stderr
