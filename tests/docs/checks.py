"""Runs every example of a page in the way of its kind; none may be left out."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from contextlib import chdir
from pathlib import Path

from tests.docs.commands import check_console, check_inline, check_sh
from tests.docs.desk import ROOT, Desk, Wrong
from tests.docs.documents import check_json, check_yaml
from tests.docs.markdown import Example, anchors, examples, links
from universal_scheduler.local.service import settings


def check_page(page: Path, directory: Path, text: str | None = None) -> tuple[int, list[str]]:
    """How many examples of a page were run, in their order, and what is wrong with the page: each with file and line.

    `directory` takes the files that the examples make. `text` is what the page says, where it is not what is in it.
    """
    desk, done, wrong = Desk(directory), 0, []
    name = page.relative_to(ROOT) if page.is_relative_to(ROOT) else page
    for example in examples(page, text):
        try:
            done += _check(example, desk)
        except Wrong as error:
            wrong.append(f"{name}:{example.line + error.below}: {error}")
    for link in links(page, text):
        if problem := _link_problem(page, link.target):
            wrong.append(f"{name}:{link.line}: {problem}")
    return done, wrong


def _check(example: Example, desk: Desk) -> bool:
    """Whether it was an example at all."""
    if example.language == "inline":
        return check_inline(example, desk)
    if example.language not in LANGUAGES:
        found = f"a block in '{example.language}'" if example.language else "a block without a language"
        raise Wrong(f"{found}, which no test can run: write one of {', '.join(LANGUAGES)} behind its fence")
    if example.file:
        (desk.directory / example.file).write_text(example.text)
    LANGUAGES[example.language](example, desk)
    return example.language != "text"


def _check_python(example: Example, desk: Desk) -> None:
    """It runs by itself, and warns of nothing."""
    try:
        with chdir(desk.directory), warnings.catch_warnings():
            warnings.simplefilter("error")
            exec(compile(example.text, "example", "exec"), {"__name__": "example"})
    except Exception as error:
        raise Wrong(f"{type(error).__name__}: {error}") from error


def _check_toml(example: Example, desk: Desk) -> None:
    """The settings of an engine, of which a page shows the usual values."""
    (desk.directory / settings.FILE).write_text(example.text)
    try:
        found = settings.read(desk.directory)
    except settings.SettingsError as error:
        raise Wrong(str(error)) from None
    if found != settings.Retention():
        raise Wrong(f"these are not the usual values: {settings.Retention()}")


def _take_as_it_is(_example: Example, _desk: Desk) -> None:
    """Nobody types a diagram, or what a program printed."""


def _link_problem(page: Path, target: str) -> str:
    if "://" in target:
        return ""
    name, _, anchor = target.partition("#")
    file = (page.parent / name).resolve() if name else page
    if not file.exists():
        return f"a link to {name}, which is not there"
    return f"a link to {target}: {file.name} has no such heading" if anchor and anchor not in anchors(file) else ""


LANGUAGES: Mapping[str, Callable[[Example, Desk], None]] = {
    "yaml": check_yaml,
    "json": check_json,
    "console": check_console,
    "sh": check_sh,
    "python": _check_python,
    "toml": _check_toml,
    "text": _take_as_it_is,
}
