"""What users can say and see is in the docs: keys, commands, options, routes, parameters, states, verbs, alarms."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from typing import Any

import pytest

from tests.docs.commands import leaves, options
from tests.docs.desk import ROOT
from tests.docs.documents import SCHEMA
from tests.docs.markdown import examples
from tests.rest_api import openapi
from tests.tables import template
from universal_scheduler.cli import app
from universal_scheduler.domain.documents.calendars import ROW_KEYS as CALENDAR_KEYS
from universal_scheduler.domain.messages.notifications import Kind, Service
from universal_scheduler.domain.runs.model import JobStatus, RunStatus, RunWhen, Verb
from universal_scheduler.domain.time.exchanges import exchange_codes
from universal_scheduler.local.service.settings import Retention

RECORDED = {"scheduleStatus", "startDateTime", "lastDateTime", "scheduleErrors", "jobId"}
"""Keys that rows of runs have, and that a document may carry along."""


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def code_in(name: str) -> set[str]:
    """The words of code in the running text of a page."""
    code = [each.text for each in examples(ROOT / "docs" / name) if each.language == "inline"]
    return set(re.findall(r"[\w-]+", " ".join(code)))


@pytest.mark.parametrize("keys", [SCHEMA["properties"], SCHEMA["$defs"]["job"]["properties"]], ids=["schedule", "job"])
def test_every_key_of_a_document_is_documented(keys: dict[str, Any]) -> None:
    assert keys.keys() - RECORDED <= code_in("schedules.md")


@pytest.mark.parametrize("name", [name for name, _ in leaves(app.main)])
def test_every_command_is_documented(name: str) -> None:
    assert re.search(rf"`usched {name}[ `]", page("cli.md"))


def test_every_option_is_documented() -> None:
    known = {option for _, command in leaves(app.main) for option in options(command)}
    assert known <= set(re.findall(r"--[a-z-]+", page("cli.md")))


def test_every_route_is_documented() -> None:
    for path, methods in openapi()["paths"].items():
        for method in methods:
            assert f"## `{method.upper()} {path}`" in page("api.md")


@pytest.mark.parametrize(("name", "parameter"), template()["Parameters"].items())
def test_every_parameter_of_the_template_is_documented_with_its_default(name: str, parameter: dict[str, Any]) -> None:
    [line] = [
        line for line in page("stages.md").splitlines() if line.startswith("| ") and f"`{name}`" in line.split("|")[1]
    ]
    assert line.split("|")[2].strip(" `") == str(parameter["Default"] or "none")


def test_every_alarm_is_documented() -> None:
    alarms = {name for name, each in template()["Resources"].items() if each["Type"] == "AWS::CloudWatch::Alarm"}
    assert alarms <= code_in("operations.md")


def test_every_state_and_verb_is_in_the_glossary() -> None:
    words = set(re.findall(r"[\w-]+", page("glossary.md")))
    assert {*RunStatus, *JobStatus, *Verb} <= words


def test_every_key_of_a_calendar_and_every_exchange_is_documented() -> None:
    assert {*CALENDAR_KEYS, *exchange_codes()} <= code_in("calendars.md")


def test_every_rule_and_every_kind_of_message_is_documented() -> None:
    assert set(RunWhen) <= code_in("schedules.md")
    assert ({*Kind} - {Kind.TEST}) | {*Service} <= code_in("notifications.md")


def test_every_setting_of_an_engine_is_documented() -> None:
    [block] = [each.text for each in examples(ROOT / "docs" / "one-machine.md") if each.language == "toml"]
    assert len(tomllib.loads(block)["retention"]) == len(fields(Retention))
