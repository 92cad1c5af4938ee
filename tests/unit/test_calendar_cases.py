"""Cases of calendars with their sources: our own, and those of a folder beside the project where there is one."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from universal_scheduler.domain.time.starts import between
from universal_scheduler.domain.time.triggers import read_triggers

ROOT = Path(__file__).parents[2]
OURS = ROOT / "tests" / "cases" / "calendars.jsonl"
SHARED = ROOT.parent / "shared" / "cases" / "time_triggers.jsonl"
KINDS = {"calendar", "nth-business-day", "exchange-close"}


def cases(path: Path) -> Iterator[Mapping[str, Any]]:
    if path.exists():
        yield from map(json.loads, path.read_text().splitlines())


def starts(trigger: Mapping[str, Any], first: str, before: str) -> list[str]:
    found = between(read_triggers(trigger, "", {}), datetime.fromisoformat(first), datetime.fromisoformat(before))
    return [start.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") for start in found if not start.left_out]


def as_trigger(case: Mapping[str, Any]) -> dict[str, Any]:
    """A case of the shared file as a document writes it."""
    if case["kind"] == "exchange-close":
        minutes = re.fullmatch(r"(\d+) minutes after the close", case["expr"])
        assert minutes
        return {"exchange": {"close": case["calendar"], "offset": f"PT{minutes[1]}M"}}
    days = {"on" if key == "workdays" else key: value for key, value in case["calendar"].items()}
    common = {"timezone": case["tz"], "calendar": days}
    if case["kind"] == "nth-business-day":
        found = re.fullmatch(r"business day (-?\d+) of the month, (\d\d:\d\d)", case["expr"])
        assert found
        return {"businessDay": int(found[1]), "time": found[2], **common}
    return {"cron": case["expr"], "roll": case["roll"], **common}


@pytest.mark.parametrize("case", list(cases(OURS)), ids=lambda case: case["id"])
def test_our_own_cases(case: Mapping[str, Any]) -> None:
    assert starts(case["trigger"], case["from"], case["to"]) == case["expect"]


@pytest.mark.skipif(not SHARED.exists(), reason="there is no folder of cases beside the project")
def test_the_cases_beside_the_project() -> None:
    wrong = {
        case["id"]: found
        for case in cases(SHARED)
        if case["kind"] in KINDS and (found := starts(as_trigger(case), case["from"], case["to"])) != case["expect"]
    }
    assert not wrong


LIBRARIES = {"holidays US": {"holidays": "US"}, "holidays GB-ENG": {"holidays": "GB-ENG"}}
LIBRARIES |= {"holidays CN is_working_day": {"holidays": "CN"}, "exchange_calendars XNYS": {"exchange": "XNYS"}}


@pytest.mark.skipif(not SHARED.exists(), reason="there is no folder of cases beside the project")
def test_published_days_give_the_answers_of_the_days_that_the_cases_list() -> None:
    named = [case for case in cases(SHARED) if case.get("library", "").partition(",")[0] in LIBRARIES]
    assert len(named) > 9
    wrong = {
        case["id"]: found
        for case in named
        if (
            found := starts(
                as_trigger(case) | {"calendar": LIBRARIES[case["library"].partition(",")[0]]}, case["from"], case["to"]
            )
        )
        != case["expect"]
    }
    assert not wrong
