"""Names say what the field says: docs/glossary.md has the words, and no private ones stand in the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from universal_scheduler.domain.runs.model import JobStatus, RunStatus, Verb

ROOT = Path(__file__).parents[2]
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text()
PRIVATE_WORDS = {
    "announce": "notify",
    "asked_back": "withdraw_asked",
    "bring_back": "requeue",
    "hear": "handle",
    "heard": "handle",
    "means": "runtime",
    "of_jobs": "events_by_job",
    "put_off": "delay",
    "take_in": "handle",
    "tell": "notify",
    "telling": "notifying",
    "told": "notified",
    "unheld": "released",
}
"""Words that a newcomer would have to learn, and what the code says instead."""
MODULES = sorted(path for folder in ("universal_scheduler", "lambdas") for path in (ROOT / folder).rglob("*.py"))


def names(path: Path) -> Iterator[str]:
    """The names that a module gives: its own, those of functions, classes, parameters and fields."""
    yield path.stem
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name
            case ast.arg():
                yield node.arg
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name


def words(name: str) -> str:
    """A name in small letters with an underscore between and around its words."""
    return f"_{re.sub(r'(?<=[a-z])(?=[A-Z])', '_', name).lower().strip('_')}_"


def test_no_name_is_a_private_word() -> None:
    given = {(words(name), str(path.relative_to(ROOT))) for path in MODULES for name in names(path)}
    wrong = {
        f"{where}: {name.strip('_')}: say {better}"
        for name, where in given
        for private, better in PRIVATE_WORDS.items()
        if f"_{private}_" in name
    }
    assert not wrong


def first_cells(heading: str) -> list[str]:
    """The words in the first cells of the table below a heading of the glossary."""
    section = GLOSSARY.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    cells = re.findall(r"^\| ([^|]+) \|", section, re.MULTILINE)
    return [word for cell in cells[1:] if set(cell) - set("- ") for word in re.split(r",\s*", cell)]


@pytest.mark.parametrize(
    ("heading", "enum"), [("States of a run", RunStatus), ("States of a job", JobStatus)], ids=["runs", "jobs"]
)
def test_the_glossary_has_every_state(heading: str, enum: type[RunStatus] | type[JobStatus]) -> None:
    assert sorted(first_cells(heading)) == sorted(str(status) for status in enum)


def test_the_glossary_has_every_verb() -> None:
    [line] = [line for line in GLOSSARY.splitlines() if line.startswith("| operator command, verb |")]
    assert re.findall(r"[a-z-]+", line.rsplit(":", 1)[1]) == [str(verb) for verb in Verb]
