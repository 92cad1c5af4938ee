"""The rules of the house, held by tests: imports point one way, the core is pure, handlers are thin."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARY = ROOT / "universal_scheduler"
ALLOWED: dict[str, set[str]] = {
    "domain": {"domain"},
    "ports": {"domain", "ports"},
    "usecases": {"domain", "ports", "usecases"},
    "adapters": {"domain", "ports", "adapters"},
    "settings": set(),
    "wiring": {"domain", "ports", "adapters", "settings"},
    "cli": {"domain", "ports", "usecases", "adapters", "settings", "wiring", "local", "cli"},
    "local": {"domain", "ports", "usecases", "adapters", "settings", "wiring", "local"},
    "lambdas": {"domain", "ports", "usecases", "adapters", "wiring"},
}
MODULES = sorted(path for folder in (LIBRARY, ROOT / "lambdas") for path in folder.rglob("*.py"))


def layer(path: Path) -> str:
    if path.is_relative_to(ROOT / "lambdas"):
        return "lambdas"
    return path.relative_to(LIBRARY).parts[0].removesuffix(".py")


def imports(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import hides where it points"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path: Path) -> None:
    here = layer(path)
    if here == "__init__":
        return
    ours = [name.split(".")[1] for name in imports(path) if name.startswith("universal_scheduler.")]
    assert set(ours) <= ALLOWED[here], f"{here} must not import {sorted(set(ours) - ALLOWED[here])}"


@pytest.mark.parametrize("path", sorted((LIBRARY / "domain").rglob("*.py")), ids=lambda path: path.name)
def test_the_domain_knows_the_standard_library_only(path: Path) -> None:
    outside = {name.split(".")[0] for name in imports(path)} - {"universal_scheduler", "__future__"}
    allowed = set(sys.stdlib_module_names) | ({"jsonschema"} if path.name == "schema.py" else set())
    assert outside <= allowed
    assert not outside & {"os", "time", "socket", "subprocess", "random"}, "no clock, no environment, no chance"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_boto3_clients_are_made_in_one_place(path: Path) -> None:
    if layer(path) in ("wiring", "local", "cli"):
        return
    outside = {name for name in imports(path) if name.split(".")[0] == "boto3"}
    assert outside <= {"boto3.dynamodb.types.TypeDeserializer", "boto3.dynamodb.types.TypeSerializer"}


@pytest.mark.parametrize("path", sorted((ROOT / "lambdas").glob("*.py")), ids=lambda path: path.name)
def test_handlers_are_thin(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if line.strip()]
    assert len(lines) < 60


@pytest.mark.parametrize("path", sorted((ROOT / "lambdas").glob("*.py")), ids=lambda path: path.name)
def test_handlers_say_what_they_are_about(path: Path) -> None:
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    for function in functions:
        if function.name == "handler":
            assert any(ast.unparse(decorator).startswith("observed(") for decorator in function.decorator_list)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_owns(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))
