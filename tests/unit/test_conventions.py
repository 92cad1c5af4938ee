"""The rules of the house, held by tests: imports point one way, the core is pure, handlers are thin."""

from __future__ import annotations

import ast
import sys
from functools import cache
from pathlib import Path

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
OUTSIDE = {"schema.py": {"jsonschema"}, "holidays.py": {"holidays"}}
"""Modules of the domain with a package that only calculates."""
MODULES = sorted(path for folder in (LIBRARY, ROOT / "lambdas") for path in folder.rglob("*.py"))
HANDLERS = sorted((ROOT / "lambdas").glob("*.py"))


def layer(path: Path) -> str:
    if path.is_relative_to(ROOT / "lambdas"):
        return "lambdas"
    return path.relative_to(LIBRARY).parts[0].removesuffix(".py")


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def imports(path: Path) -> tuple[str, ...]:
    names: list[str] = []
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import hides where it points"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    return tuple(names)


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_imports_point_one_way() -> None:
    wrong = {}
    for path in MODULES:
        here = layer(path)
        if here != "__init__":
            ours = {name.split(".")[1] for name in imports(path) if name.startswith("universal_scheduler.")}
            if ours - ALLOWED[here]:
                wrong[shown(path)] = f"{here} must not import {sorted(ours - ALLOWED[here])}"
    assert not wrong


def test_the_domain_knows_the_standard_library_only() -> None:
    wrong = {}
    for path in MODULES:
        if path.is_relative_to(LIBRARY / "domain"):
            outside = {name.split(".")[0] for name in imports(path)} - {"universal_scheduler", "__future__"}
            allowed = set(sys.stdlib_module_names) | OUTSIDE.get(path.name, set())
            if bad := (outside - allowed) | (outside & {"os", "time", "socket", "subprocess", "random"}):
                wrong[shown(path)] = bad
    assert not wrong, "no clock, no environment, no chance"


def test_boto3_clients_are_made_in_one_place() -> None:
    known = {"boto3.dynamodb.types.TypeDeserializer", "boto3.dynamodb.types.TypeSerializer"}
    wrong = {}
    for path in MODULES:
        if layer(path) not in ("wiring", "local", "cli"):
            outside = {name for name in imports(path) if name.split(".")[0] == "boto3"} - known
            if outside:
                wrong[shown(path)] = outside
    assert not wrong


def test_handlers_are_thin() -> None:
    lines = {path.name: sum(bool(line.strip()) for line in path.read_text().splitlines()) for path in HANDLERS}
    assert not {name: count for name, count in lines.items() if count >= 60}


def test_handlers_say_what_they_are_about() -> None:
    wrong = []
    for path in HANDLERS:
        functions = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.FunctionDef)]
        for function in functions:
            observed = any(ast.unparse(decorator).startswith("observed(") for decorator in function.decorator_list)
            if function.name == "handler" and not observed:
                wrong.append(path.name)
    assert not wrong


def test_every_module_says_what_it_owns() -> None:
    assert not [shown(path) for path in MODULES if not ast.get_docstring(parsed(path))]
