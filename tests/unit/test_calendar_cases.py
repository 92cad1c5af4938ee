"""Cases of calendars with their sources: our own, and those beside the repository with the days that are published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_shared_cases import CASES, trigger_of
from universal_scheduler.domain.time.starts import between
from universal_scheduler.domain.time.triggers import read_triggers

ROOT = Path(__file__).parents[2]
OURS = [json.loads(line) for line in (ROOT / "tests" / "cases" / "calendars.jsonl").read_text().splitlines()]


def starts(trigger: Mapping[str, Any], first: str, before: str) -> list[str]:
    found = between(read_triggers(trigger, "", {}), datetime.fromisoformat(first), datetime.fromisoformat(before))
    return [start.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for start in found if not start.left_out]


@pytest.mark.parametrize("case", OURS, ids=lambda case: case["id"])
def test_our_own_cases(case: Mapping[str, Any]) -> None:
    assert starts(case["trigger"], case["from"], case["to"]) == case["expect"]


LIBRARIES = {
    "holidays US": {"holidays": "US"},
    "holidays GB-ENG": {"holidays": "GB-ENG"},
    "holidays CN is_working_day": {"holidays": "CN"},
    "exchange_calendars XNYS": {"exchange": "XNYS"},
}
NAMED = [case for case in CASES if case.get("library", "").partition(",")[0] in LIBRARIES]


@pytest.mark.parametrize("case", NAMED, ids=lambda case: case["id"])
def test_published_days_give_the_answers_of_the_days_that_a_case_lists(case: Mapping[str, Any]) -> None:
    published = LIBRARIES[case["library"].partition(",")[0]]
    assert starts(trigger_of(dict(case)) | {"calendar": published}, case["from"], case["to"]) == case["expect"]
