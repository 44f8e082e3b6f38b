"""The shape of the house: which room may know which, and what the door shows."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import learned_router

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "learned_router"

# A room may import from the rooms of lower floors only.
FLOORS = (
    {"bounded", "errors", "forking", "memory"},
    {"failures", "request", "request_cache", "policy", "pricing", "model_names"},
    {"answer", "fingerprints", "request_features", "served"},
    {"answers"},
    {"view", "graph_file", "signature", "tokens"},
    {"artifact", "encoder", "limits"},
    {"gate", "certificate"},
    {"loaded"},
    {"router"},
    {"replay", "patterns", "monitoring"},
    {"__init__"},
    {"terminal"},
    {"pipeline_commands", "monitor_command"},
    {"cli"},
)
# Of a room that is a folder: its files, each of which may import from those before it.
INNER = {
    "answers": (
        "said",
        "schema_checks",
        "call_values",
        "reasoning_checks",
        "text",
        "call_checks",
        "features",
        "__init__",
    ),
    "monitoring": ("sampling", "promises", "evidence", "drift", "store", "monitor", "__init__"),
}
RUNTIME_LIBRARIES = {"msgspec", "numpy", "onnxruntime", "rich", "tokenizers", "typer"}
# imported inside a function, where their absence is answered
OPTIONAL_LIBRARIES = {"pricing": {"genai_prices"}, "signature": {"cryptography"}}

# of the standard library, on some systems only
ONE_SYSTEM = {"fcntl", "grp", "msvcrt", "posix", "pty", "pwd", "resource", "syslog", "termios", "winreg"}


def imports_of(path: Path) -> set[str]:
    """Modules a file imports when it is imported or called, those for type checkers alone left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def room_of(path: Path) -> str:
    """A file's own name, or that of the folder beside the others that it lies in."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


ROOMS = sorted(PACKAGE.rglob("*.py"))


def test_every_room_of_the_runtime_stands_on_a_floor() -> None:
    assert {room_of(path) for path in ROOMS} == set().union(*FLOORS)


@pytest.mark.parametrize("path", ROOMS, ids=lambda path: path.stem)
def test_a_room_imports_only_from_lower_floors(path: Path) -> None:
    floor = next(index for index, rooms in enumerate(FLOORS) if room_of(path) in rooms)
    allowed = set().union(*FLOORS[:floor])
    for name in imports_of(path):
        if name.startswith(f"learned_router.{room_of(path)}."):
            files = INNER[room_of(path)]
            assert name.split(".")[2] in files[: files.index(path.stem)], f"{path.stem} imports {name}"
        elif name.startswith("learned_router."):
            assert name.split(".")[1] in allowed, f"{path.stem} imports {name}"


@pytest.mark.parametrize("path", ROOMS, ids=lambda path: path.stem)
def test_the_runtime_imports_its_own_libraries_and_never_the_pipeline(path: Path) -> None:
    outside = {name.split(".")[0] for name in imports_of(path)} - set(sys.stdlib_module_names) - {"learned_router"}
    assert outside <= RUNTIME_LIBRARIES | OPTIONAL_LIBRARIES.get(path.stem, set())
    assert not any(name.startswith("learned_router.training") for name in imports_of(path))


def test_only_the_command_loads_the_monitor() -> None:
    others = [path for path in ROOMS if room_of(path) not in ("monitoring", "monitor_command")]
    assert not [
        path for path in others if any(name.startswith("learned_router.monitoring") for name in imports_of(path))
    ]


def test_importing_the_package_loads_no_training_library() -> None:
    heavy = "torch transformers sklearn datasets scipy typer rich learned_router.training"
    code = f"import learned_router, sys; print([name for name in {heavy.split()!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_importing_the_package_prints_nothing() -> None:
    result = subprocess.run([sys.executable, "-c", "import learned_router"], capture_output=True, text=True, check=True)
    assert (result.stdout, result.stderr) == ("", "")


def test_the_runtime_imports_nothing_that_one_system_alone_has() -> None:
    found = {path.name: imports_of(path) & ONE_SYSTEM for path in ROOMS if imports_of(path) & ONE_SYSTEM}
    assert found == {}


def test_nothing_in_the_runtime_reads_pickles() -> None:
    for path in ROOMS:
        assert not imports_of(path) & {"pickle", "shelve", "joblib", "dill", "torch"}
        text = path.read_text(encoding="utf-8")
        assert "allow_pickle" not in text
        assert "marshal.load" not in text  # it writes keys of requests, and is never read


def test_every_text_file_that_the_runtime_opens_has_its_encoding_named() -> None:
    """Python's default differs between systems; it can say so itself."""
    told = []
    for path in ROOMS:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and (name := called(node)) in ("open", ".open", ".read_text", ".write_text"):
                binary = any(isinstance(a, ast.Constant) and "b" in str(a.value) for a in node.args) and "open" in name
                if not binary and not any(keyword.arg == "encoding" for keyword in node.keywords):
                    told.append(f"{path.name}:{node.lineno}")
    assert told == []


def called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else f".{getattr(node.func, 'attr', '')}"


def test_all_names_exist_and_nothing_else_is_public() -> None:
    public = {
        name
        for name, value in vars(learned_router).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith("learned_router")
    }
    assert public == set(learned_router.__all__)
    assert learned_router.__all__ == sorted(learned_router.__all__)


def test_steps_of_the_pipeline_do_not_import_each_other() -> None:
    steps = {"label", "split", "fit", "calibrate", "certify", "export", "evaluate", "pipeline"}
    allowed = {("label", "split")}  # labelling ends with the split, which is recorded in the labels
    for step in steps - {"pipeline"}:
        for name in imports_of(ROOT / "training" / f"{step}.py"):
            other = name.removeprefix("learned_router.training.")
            assert other not in steps - {step} or (step, other) in allowed or name == other, f"{step} imports {name}"


def test_no_module_is_called_by_what_it_is_not() -> None:
    forbidden = {"utils", "helpers", "base", "common", "misc", "manager"}
    names = {path.stem for folder in ("learned_router", "training", "tests") for path in (ROOT / folder).rglob("*.py")}
    assert not names & forbidden
