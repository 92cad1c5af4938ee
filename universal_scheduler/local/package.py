"""Builds the Lambda zip: what ``sam build`` would make of the handlers and the library.

python -m universal_scheduler.local.package [--output PATH] [--with-dependencies] [--platform PLATFORM]
"""

import argparse
import importlib.metadata
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "build" / "lambda.zip"
"""The zip that template.yaml deploys on AWS. It has the dependencies."""
BARE = ROOT / "build" / "lambda-bare.zip"
"""The zip without dependencies. AWS cannot use it, so that it is not where the template looks."""

_LEFT_OUT = {("universal_scheduler", "cli"), ("universal_scheduler", "local")}
_PYTHON = "3.13"  # of the template's functions
_PLATFORM = "manylinux2014_aarch64"
_GIVEN = {"boto3", "botocore", "s3transfer", "jmespath", "python-dateutil", "six", "urllib3"}  # by Lambda's runtime
_TIME = (1980, 1, 1, 0, 0, 0)


class PackageError(RuntimeError):
    """The zip cannot be built."""


def build(
    output: Path, *, root: Path = ROOT, with_dependencies: bool = False, platform: str | None = _PLATFORM
) -> Path:
    """Write the zip and return its path. The same sources give the same bytes.

    With dependencies it is for AWS; `platform` is pip's name for the architecture of the functions, or None for this
    interpreter and machine. Without dependencies it is for the embedded engine, where functions use the packages of
    this interpreter.
    """
    files = dict(_sources(root))
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as wheels:
        if with_dependencies:
            files |= dict(_dependencies(Path(wheels), platform))
        unfinished = output.with_suffix(".part")
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, path in sorted(files.items()):
                entry = zipfile.ZipInfo(name, _TIME)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, path.read_bytes())
        unfinished.replace(output)
    return output


def _sources(root: Path) -> Iterator[tuple[str, Path]]:
    """The handlers, the library, and the schema that the library reads."""
    yield from _tree(root, root / "lambdas")
    yield from _tree(root, root / "universal_scheduler")
    schema = root / "dynamo" / "schema.json"
    if schema.exists():
        yield "dynamo/schema.json", schema


def _tree(root: Path, directory: Path) -> Iterator[tuple[str, Path]]:
    for path in directory.rglob("*"):
        parts = path.relative_to(root).parts
        if path.is_file() and "__pycache__" not in parts and parts[:2] not in _LEFT_OUT:
            yield "/".join(parts), path


def _dependencies(target: Path, platform: str | None) -> Iterator[tuple[str, Path]]:
    """What the library requires at run time, less what Lambda's runtime brings, for ``platform``."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile"]
    command += ["--target", str(target), "--only-binary", ":all:", *_requirements()]
    if platform is not None:
        command += ["--platform", platform, "--python-version", _PYTHON, "--implementation", "cp"]
    if (ROOT / "constraints.txt").exists():
        command += ["-c", str(ROOT / "constraints.txt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        wanted = f"Python {_PYTHON} on {platform}" if platform else "this interpreter"
        raise PackageError(f"pip cannot get the dependencies for {wanted}:\n{done.stderr.strip()}")
    for path in target.rglob("*"):
        parts = path.relative_to(target).parts
        if path.is_file() and "__pycache__" not in parts and parts[0] not in ("bin", *_given_files(target)):
            yield "/".join(parts), path


def _requirements() -> Sequence[str]:
    wanted = [text for text in importlib.metadata.requires("universal-scheduler") or () if "extra ==" not in text]
    return [text for text in wanted if re.split(r"[^\w-]", text)[0] not in _GIVEN]


def _given_files(target: Path) -> set[str]:
    """Top-level names of what came along though Lambda's runtime has it."""
    names: set[str] = set()
    for info in target.glob("*.dist-info"):
        if info.name.rpartition("-")[0].partition("-")[0].replace("_", "-") in _GIVEN:
            names.add(info.name)
            record = (info / "RECORD").read_text().splitlines()
            names |= {line.partition(",")[0].partition("/")[0] for line in record if not line.startswith("..")}
    return names


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the Lambda zip.")
    parser.add_argument(
        "--output", type=Path, help="default: build/lambda.zip, or lambda-bare.zip without dependencies"
    )
    parser.add_argument("--with-dependencies", action="store_true", help="what AWS needs; not the embedded engine")
    parser.add_argument("--platform", default=_PLATFORM, help=f"pip's platform of the functions (default {_PLATFORM})")
    arguments = parser.parse_args()
    output = arguments.output or (OUTPUT if arguments.with_dependencies else BARE)
    try:
        path = build(output, with_dependencies=arguments.with_dependencies, platform=arguments.platform)
    except PackageError as error:
        sys.exit(str(error))
    print(f"{path}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
