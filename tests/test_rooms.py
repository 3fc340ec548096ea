"""Which part of the library may import which: the order of the rooms, and no circle among modules."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import dseh_tf

ROOT = Path(dseh_tf.__file__).parent
# A room imports from itself and from rooms before it.
ROOMS = (
    "errors", "files", "seeding", "arrays", "retrieval", "data", "runs", "losses", "devices", "models", "training", "encoding",
    "export", "methods",
)  # fmt: skip
# These import no TensorFlow, so that evaluation, search and figures start at once.
LIGHT = ("errors", "files", "seeding", "arrays", "retrieval", "data", "runs")
# Within functions of `data`: reading and writing TFDS records.
HEAVY = ("tensorflow", "keras", "tensorflow_datasets")


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(tree: ast.AST, at_start: bool) -> list[str]:
    """Modules imported: in the whole file, or when it is loaded. Imports for type hints alone do not count."""
    found: list[str] = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if at_start and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative import"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            found += imports(node, at_start)
    return found


FILES = {module_name(path): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(ROOT.rglob("*.py"))}


def resolved(name: str) -> str:
    """The module that `from a import b` means: a.b where it is one, else a."""
    return name if name in FILES else name.rpartition(".")[0]


def room(module: str) -> str:
    return ([*module.split("."), ""])[1]


@pytest.mark.parametrize("module", [name for name in FILES if room(name)])
def test_a_room_imports_only_rooms_before_it(module):
    assert room(module) in ROOMS, "a new room belongs into ROOMS"
    allowed = ROOMS[: ROOMS.index(room(module)) + 1]
    for name in imports(FILES[module], at_start=False):
        if name.split(".")[0] == "dseh_tf":
            assert room(resolved(name)) in allowed, name
        assert name.split(".")[0] not in ("experiments", "figures", "benchmarks", "tests"), name


def test_no_circle():
    """Also of imports within functions, which hide one."""
    graph = {}
    for module, tree in FILES.items():
        used = {resolved(name) for name in imports(tree, at_start=False) if name.startswith("dseh_tf.")}
        graph[module] = used - {module}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("module", [name for name in FILES if room(name) in LIGHT and "builders" not in name])
def test_light_rooms_load_no_tensorflow(module):
    for name in imports(FILES[module], at_start=True):
        assert name.split(".")[0] not in HEAVY, name
