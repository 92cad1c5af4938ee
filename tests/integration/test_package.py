"""The Lambda zip: what is in it, always the same bytes, and every handler works from it alone."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.tables import template
from universal_scheduler.local import package

# Sees only the standard library, the zip, and what Lambda's runtime has.
ISOLATED = """
import importlib, sys
code, given, *modules = sys.argv[1:]
sys.path += [code, given]
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
    assert {"lambdas/start_run.py", "universal_scheduler/domain/runs/planner.py", "dynamo/schema.json"} <= set(names)
    assert not [name for name in names if name.startswith(("universal_scheduler/cli/", "universal_scheduler/local/"))]
    assert not [name for name in names if "__pycache__" in name]


def test_the_same_sources_give_the_same_bytes(built: Path, tmp_path: Path) -> None:
    assert package.build(tmp_path / "again.zip").read_bytes() == built.read_bytes()


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages that Lambda's runtime has, and no other of this interpreter's."""
    home, installed = tmp_path_factory.mktemp("runtime"), Path(boto3.__file__).parents[1]
    for name in ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six.py", "urllib3"):
        (home / name).symlink_to(installed / name)
    return home


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make build` makes, but for this interpreter; unpacked."""
    home = tmp_path_factory.mktemp("complete")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_RETRIES", "0")
        patch.setenv("PIP_DEFAULT_TIMEOUT", "10")
        try:
            path = package.build(home / "lambda.zip", with_dependencies=True, platform=None)
        except package.PackageError as error:
            if "No matching distribution" in str(error) or "onnection" in str(error):
                pytest.skip("pip reaches no package index")
            raise
    with zipfile.ZipFile(path) as archive:
        archive.extractall(home / "code")
    return home / "code"


def isolated(code: Path, given: Path, modules: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", ISOLATED, str(code), str(given), *modules],
        env={"AWS_DEFAULT_REGION": "us-east-1"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


def handlers() -> list[str]:
    files = (package.ROOT / "lambdas").glob("*.py")
    return [f"lambdas.{path.stem}" for path in files if "def handler(" in path.read_text()]


def test_every_handler_works_from_the_zip_and_lambdas_runtime_alone(complete: Path, runtime: Path) -> None:
    ran = isolated(complete, runtime, handlers())
    assert ran.returncode == 0, ran.stderr
    assert handlers()


def test_the_zip_brings_nothing_that_lambdas_runtime_has(complete: Path, runtime: Path) -> None:
    assert not {path.name for path in complete.iterdir()} & {path.name for path in runtime.iterdir()}


def test_every_handler_works_from_the_bare_zip_and_this_interpreters_packages(built: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(built) as archive:
        archive.extractall(tmp_path)
    ran = isolated(tmp_path, Path(boto3.__file__).parents[1], handlers())
    assert ran.returncode == 0, ran.stderr


def test_make_build_makes_what_the_template_deploys() -> None:
    made = subprocess.run(
        ["make", "--dry-run", "build"], cwd=package.ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert "universal_scheduler.local.package --with-dependencies" in made
    assert "--output" not in made
    function = template()["Globals"]["Function"]
    assert package.ROOT / function["CodeUri"] == package.OUTPUT
    assert function["Runtime"] == f"python{package._PYTHON}"
    assert function["Architectures"] == ["arm64"]
    assert package._PLATFORM.endswith("_aarch64")


@pytest.mark.parametrize(("arguments", "output"), [(["--with-dependencies"], package.OUTPUT), ([], package.BARE)])
def test_a_zip_without_dependencies_never_lies_where_the_template_looks(
    arguments: list[str], output: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[Path] = []

    def build(path: Path, **_: Any) -> Path:
        asked.append(path)
        made = tmp_path / "made.zip"
        made.touch()
        return made

    monkeypatch.setattr(package, "build", build)
    monkeypatch.setattr(sys, "argv", ["package", *arguments])
    package.main()
    assert asked == [output]


def test_dependencies_leave_out_what_lambda_has(tmp_path: Path) -> None:
    for name in ("boto3", "jsonschema"):
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "RECORD").write_text(f"{name}/__init__.py,,\n{info.name}/RECORD,,\n../../bin/{name},,\n")
    assert package._given_files(tmp_path) == {"boto3", "boto3-1.0.dist-info"}
