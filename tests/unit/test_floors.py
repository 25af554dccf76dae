"""Imports look down: no file imports from a floor above its own, none imports itself in a circle, torch stays below."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import melbo_app

ROOT = Path(melbo_app.__file__).parent
FLOORS = ("engine", "analysis", "library", "jobs", "studies", "workbench", "public", "doors", "web", "ui", "commands")
"""The lowest first; files beside the folders are used by all, or are doors."""
DOORS = {"api", "api_banks", "api_organisms", "api_studies", "arguments", "cli", "__main__"}
SHARED = {"defaults", "listings"}  # what the doors have in common: above the workbench
EARLY_TORCH = {"analysis.embedding"}


def names() -> dict[str, Path]:
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


FILES = names()


def imports(path: Path, *, late: bool) -> Iterator[str]:
    """Modules that a file imports; ``late``: also inside functions. Those for types alone do not count."""
    tree = ast.parse(path.read_text("utf-8"))
    for_types = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree) if late else tree.body:
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner.removeprefix("melbo_app.") in FILES else node.module


def own(path: Path, *, late: bool) -> set[str]:
    found = (name for name in imports(path, late=late) if name.startswith("melbo_app."))
    return {name.removeprefix("melbo_app.") for name in found} & FILES.keys()


def test_no_file_imports_from_above():
    for name in sorted(name for name in FILES if name.split(".")[0] in FLOORS):
        floor = FLOORS.index(name.split(".")[0])
        for used in own(FILES[name], late=True):
            top = used.split(".")[0]
            assert top not in FLOORS or FLOORS.index(top) <= floor, f"{name} imports {used}"
            assert top not in DOORS, f"{name} imports {used}"
            assert top not in SHARED or floor > FLOORS.index("workbench"), f"{name} imports {used}"


def test_no_file_imports_itself_in_a_circle():
    graph = {name: own(path, late=False) - {name} for name, path in FILES.items()}
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " → ".join([*way[way.index(name) :], name])
        if name not in done:
            for used in sorted(graph[name]):
                visit(used, (*way, name))
            done.add(name)

    for name in sorted(graph):
        visit(name, ())


def test_torch_comes_late_above_the_engine():
    early = {
        name
        for name, path in FILES.items()
        if any(used.split(".")[0] in ("torch", "transformers") for used in imports(path, late=False))
    }
    assert {name for name in early if not name.startswith("engine.") and name not in DOORS} <= EARLY_TORCH


def test_no_study_imports_torch_even_late():
    found = {
        name: [line for line in path.read_text("utf-8").splitlines() if re.match(r"\s+import torch\b", line)]
        for name, path in FILES.items()
        if name.startswith("studies.")
    }
    assert found and not {name for name, lines in found.items() if lines}


def test_gradio_is_the_page_s_alone():
    using = {
        name for name, path in FILES.items() if any(used.split(".")[0] == "gradio" for used in imports(path, late=True))
    }
    assert using and all(name.split(".")[0] == "ui" or name == "commands.serve" for name in using)
