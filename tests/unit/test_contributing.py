"""docs/contributing.md names files that exist, and what each registry lists is in schema, code and docs."""

from __future__ import annotations

import json
import re
from dataclasses import MISSING, fields
from itertools import product
from pathlib import Path

import pytest

from tests.tables import template
from universal_scheduler.cli import app
from universal_scheduler.domain.documents.jobs import job_from_row, job_to_row
from universal_scheduler.domain.documents.triggers import TRIGGERS
from universal_scheduler.domain.messages.notifications import KIND_TEXTS, Kind, Service
from universal_scheduler.domain.runs.model import Dependency, Job, RunWhen, Verb
from universal_scheduler.domain.runs.rules import Edge, Verdict, judge

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "dynamo" / "schema.json").read_text())
JOB_KEYS = SCHEMA["$defs"]["job"]["properties"]
NOTIFICATION_KEYS = SCHEMA["$defs"]["notification"]["properties"]
CHANGES = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "contributing.md").read_text().splitlines()
    if line.startswith("| ") and "/test_" in line
]
FILES_LIMIT = 4
EVERYTHING = Job(
    name="a",
    queue="q",
    definition="d",
    dependencies=(Dependency("b", exit_codes=(3,)), Dependency("c", output=(("n", "1"),)), Dependency("e")),
    run_when=RunWhen.ALL_DONE,
    final=True,
    optional=True,
    hold=True,
    not_before=5.0,
    array_size=3,
    for_each=("x", "y", "z"),
    outputs_of=("c",),
    parameters={"p": "v"},
    container_overrides={"command": ["true"]},
    retry_strategy={"attempts": 2},
    timeout_seconds=60,
    priority=1,
    share_identifier="s",
    max_queue_seconds=7.0,
    fallback_queue="low",
)
INSTEAD = {"for_each_s3"}
"""A job has this or `for_each`."""
OF_EARLIER_RUNS = {"recorded_status", "recorded_id"}
"""What a document carries along of an earlier run: the start of a run reads it, and no row keeps it."""
INDEXES = [
    index["IndexName"]
    for resource in template()["Resources"].values()
    for index in resource.get("Properties", {}).get("GlobalSecondaryIndexes", ())
]


def source(name: str) -> str:
    return (ROOT / name).read_text()


def paths(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_there_are_ten_changes() -> None:
    assert len(CHANGES) == 10


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change[0])
def test_a_change_touches_few_files_and_they_exist(change: list[str]) -> None:
    _, files, page, tests = change
    assert len(paths(files)) <= FILES_LIMIT
    for path in [*paths(files), *paths(page), *paths(tests)]:
        place = ROOT / path
        assert place.parent.is_dir() if place.stem == "NAME" else place.is_file(), path


def test_every_folder_of_tests_is_named() -> None:
    folders = {path.parent for path in (ROOT / "tests").rglob("test_*.py")}
    assert {f"tests/{folder.name}" for folder in folders} <= set(paths(source("docs/contributing.md")))


def test_the_schema_has_every_rule() -> None:
    assert JOB_KEYS["runWhen"]["enum"] == [str(rule) for rule in RunWhen]


@pytest.mark.parametrize("rule", RunWhen)
def test_every_rule_decides_when_all_upstream_jobs_have_ended(rule: RunWhen) -> None:
    ends = [Edge.MET, Edge.FAILED, Edge.NOT_TAKEN]
    for edges in product(ends, repeat=2):
        assert judge(rule, edges).verdict is not Verdict.NOT_YET


def test_the_schema_has_every_trigger() -> None:
    options = {option for kind in TRIGGERS.values() for option in kind.options}
    assert SCHEMA["$defs"]["trigger"]["properties"].keys() == TRIGGERS.keys() | options


@pytest.mark.parametrize("verb", Verb)
def test_every_verb_has_a_command(verb: Verb) -> None:
    assert str(verb) in app.main.commands
    assert f"usched {verb}" in source("docs/cli.md")


def test_the_schema_has_every_kind_of_message() -> None:
    assert NOTIFICATION_KEYS["on"]["items"]["enum"] == [str(kind) for kind in Kind if kind is not Kind.TEST]


def test_every_kind_of_message_has_its_text() -> None:
    assert KIND_TEXTS.keys() == set(Kind)


def test_the_schema_has_every_channel() -> None:
    assert NOTIFICATION_KEYS.keys() - {"on", "secret"} == {str(service) for service in Service}


@pytest.mark.parametrize("key", JOB_KEYS)
def test_every_job_key_is_read(key: str) -> None:
    assert f'"{key}"' in source("universal_scheduler/domain/documents/jobs.py")


def test_the_row_of_a_job_keeps_every_key() -> None:
    for each in fields(Job):
        if each.name not in INSTEAD | OF_EARLIER_RUNS:
            default = each.default_factory() if each.default_factory is not MISSING else each.default
            assert getattr(EVERYTHING, each.name) != default, f"give {each.name} a value here"
    row = {key: value for key, value in job_to_row(EVERYTHING).items() if value is not None}
    assert job_from_row(row) == EVERYTHING


@pytest.mark.parametrize("index", INDEXES)
def test_every_index_is_read_and_documented(index: str) -> None:
    adapters = (ROOT / "universal_scheduler" / "adapters" / "dynamodb").glob("*.py")
    assert any(f'"{index}"' in path.read_text() for path in adapters)
    assert f"`{index}`" in source("docs/data.md")
