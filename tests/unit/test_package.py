"""The Lambda zip: what is in it, always the same bytes, and every handler works from it alone."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import boto3
import pytest

from universal_scheduler.local import package

# Names only the standard library, the zip, and the directory with the functions' packages.
ISOLATED = """
import importlib, sys
code, packages, *modules = sys.argv[1:]
sys.path += [code, packages]
for module in modules:
    assert callable(importlib.import_module(module).handler), module
    assert sys.modules[module].__file__.startswith(code)
    assert sys.modules["universal_scheduler"].__file__.startswith(code)
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return package.build(tmp_path_factory.mktemp("build") / "lambda.zip")


def test_the_zip_has_the_code_and_neither_cli_nor_engine(built: Path) -> None:
    names = zipfile.ZipFile(built).namelist()
    assert {"lambdas/start_run.py", "universal_scheduler/domain/planner.py", "dynamo/schema.json"} <= set(names)
    assert not [name for name in names if name.startswith(("universal_scheduler/cli/", "universal_scheduler/local/"))]
    assert not [name for name in names if "__pycache__" in name]


def test_the_same_sources_give_the_same_bytes(built: Path, tmp_path: Path) -> None:
    assert package.build(tmp_path / "again.zip").read_bytes() == built.read_bytes()


def test_every_handler_works_from_the_zip_alone(built: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(built) as archive:
        archive.extractall(tmp_path)
    handlers = [
        f"lambdas.{path.stem}" for path in (package.ROOT / "lambdas").glob("*.py") if "def handler(" in path.read_text()
    ]
    packages = Path(boto3.__file__).parents[1]
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", ISOLATED, str(tmp_path), str(packages), *handlers],
        env={"AWS_DEFAULT_REGION": "us-east-1"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert len(handlers) == 9


def test_dependencies_leave_out_what_lambda_has(tmp_path: Path) -> None:
    for name in ("boto3", "jsonschema"):
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "RECORD").write_text(f"{name}/__init__.py,,\n{info.name}/RECORD,,\n../../bin/{name},,\n")
    assert package._given_files(tmp_path) == {"boto3", "boto3-1.0.dist-info"}
