"""The cases of when triggers start that lie beside the repository, where they are there."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from universal_scheduler.domain.time.policies import due, read_policies
from universal_scheduler.domain.time.starts import between, coming
from universal_scheduler.domain.time.triggers import read_triggers, time_errors

FILE = Path(__file__).parents[2].parent / "shared/cases/time_triggers.jsonl"
CASES = [json.loads(line) for line in FILE.read_text().splitlines()] if FILE.exists() else []


def trigger_of(case: dict[str, Any]) -> dict[str, Any]:
    """What a user writes for the case."""
    text, zone = case["expr"], {"timezone": case["tz"]}
    match case["kind"]:
        case "aws-at":
            return {"at": text} | zone
        case "nth-business-day":
            found = re.fullmatch(r"business day (-?\d+) of the month, (\S+)", text)
            assert found is not None
            given: dict[str, Any] = {"businessDay": int(found[1]), "time": found[2]} | zone
        case "exchange-close":
            return {"exchange": {"close": case["calendar"], "offset": "30m"}}
        case _:
            given = {"rate" if text.startswith("rate") else "cron": text} | zone
    given |= {key: case[key] for key in ("startDate", "roll") if key in case}
    if isinstance(case.get("calendar"), dict):
        own = case["calendar"]
        given["calendar"] = {"weekend": own["weekend"], "off": own.get("off", []), "on": own.get("workdays", [])}
    return given


@pytest.mark.parametrize("case", CASES, ids=[case["id"] for case in CASES])
def test_a_case(case: dict[str, Any]) -> None:
    given = trigger_of(case)
    if case["kind"].startswith("invalid") or case.get("refuse"):
        assert any(case.get("error", "never comes") in str(error) for error in time_errors("$.trigger", given))
        return
    first = datetime.fromisoformat(case.get("from", case.get("pausedAt", "2010-01-01T00:00:00Z")))
    triggers = read_triggers(given, "", {})
    until = datetime.fromisoformat(case["to"]) if "to" in case else first + timedelta(days=366 * 20)
    if case["kind"] == "catch-up":
        policies = read_policies({"catchUp": {key: case[key] for key in ("policy", "window") if key in case}})
        made_up_for = due(triggers, policies, first, datetime.fromisoformat(case["resumedAt"]), on_time=0.0)
        assert [f"{start.at:%Y-%m-%dT%H:%M:%SZ}" for start, reason in made_up_for if not reason] == case["expect"]
        return
    starts = between(triggers, first, until) if "to" in case else coming(triggers, first, until)
    assert [f"{start.at:%Y-%m-%dT%H:%M:%SZ}" for start in starts if not start.left_out] == case["expect"]
