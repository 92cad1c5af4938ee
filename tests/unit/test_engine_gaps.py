"""A gap is closed only in the release of ministack that it was written for, and only where its text is."""

from __future__ import annotations

import importlib.metadata

import pytest

from universal_scheduler.local import gaps


def test_the_release_that_the_gaps_are_for_is_the_one_installed() -> None:
    gaps.require_ministack("any")


def test_another_release_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda _: "9.9")
    with pytest.raises(gaps.GapError, match=r"gap 'batch'.* 9\.9 .*install ministack==1\.5\.33"):
        gaps.require_ministack("batch")


def greeting() -> str:
    return "hello" + " there"


def test_an_edit_changes_a_function_of_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "greeting", greeting)
    gaps.edit(greeting, ('"hello"', '"goodbye"'))
    assert globals()["greeting"]() == "goodbye there"


@pytest.mark.parametrize("old", ["no such text", "e"])
def test_an_edit_whose_text_is_not_there_once_is_an_error(old: str) -> None:
    with pytest.raises(gaps.GapError, match="not once"):
        gaps.edit(greeting, (old, "new"))
