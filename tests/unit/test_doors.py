"""One document, one verdict: the same errors, with the same paths, at every door that it can come in by."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.doors import ACCEPTED, Doors, could_be_a_row, document_of, doors
from universal_scheduler.cli.yaml_text import read_yaml
from universal_scheduler.domain.documents.parse import as_row
from universal_scheduler.domain.errors import InvalidSchedule

__all__ = ["doors"]
OURS = Path(__file__).parents[1] / "documents"
CASES = Path(__file__).parents[3] / "shared" / "cases" / "documents"
"""More documents of the same kinds, where they are there."""
FILES = [*sorted(OURS.iterdir()), *(sorted(CASES.iterdir()) if CASES.is_dir() else ())]
TAKEN = {
    *("plain.yaml", "single-job.json", "recorded-run.json", "output-of-a-run.json"),
    *("whole-numbers-as-floats.json", "words-of-yaml-1.1.yaml"),
}


def as_json(path: Path) -> str | None:
    """The JSON that the file means; None where it is YAML that means nothing."""
    if path.suffix == ".json":
        return path.read_text()
    try:
        [document] = read_yaml(path.read_text())
    except InvalidSchedule:
        return None
    return json.dumps(document)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_door_gives_a_document_the_same_verdict(doors: Doors, path: Path) -> None:
    verdicts = doors.by_file(path.name, path.read_bytes())
    text = as_json(path)
    if text is not None:
        verdicts |= doors.by_request(text)
        document = document_of(text)
        if document is not None:
            verdicts["message"] = doors.by_message(document)
        if could_be_a_row(document):
            verdicts["row"] = doors.by_row(as_row(document))
    assert len(set(verdicts.values())) == 1, verdicts
    if path.parent == OURS:
        assert (verdicts["apply"] == ACCEPTED) == (path.name in TAKEN), verdicts
