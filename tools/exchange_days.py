"""Makes the tables of exchange days in universal_scheduler/domain/time/exchange_days/, one JSON file for each exchange.

    python3 -m venv /tmp/exchanges && /tmp/exchanges/bin/pip install exchange_calendars==4.13.2
    /tmp/exchanges/bin/python tools/exchange_days.py

It needs the package exchange_calendars (https://github.com/gerrymanoim/exchange_calendars), which needs pandas. The
scheduler itself needs neither: it reads the tables. Run this again with a newer version of the package when the
exchanges have published another year: raise `HORIZON` to the last day that they have published. A table is written
only if every session that the package knows can be read back from it.
"""

from __future__ import annotations

import json
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import exchange_calendars
import pandas

FOLDER = Path(__file__).parents[1] / "universal_scheduler" / "domain" / "time" / "exchange_days"
FIRST = date(2010, 1, 1)
HORIZON = date(2028, 12, 31)
"""The New York Stock Exchange publishes its days for so long: https://www.nyse.com/markets/hours-calendars."""
NAMES = {
    "BVMF": "B3, Sao Paulo",
    "XAMS": "Euronext Amsterdam",
    "XASX": "Australian Securities Exchange",
    "XBOM": "BSE, Mumbai",
    "XBRU": "Euronext Brussels",
    "XCSE": "Nasdaq Copenhagen",
    "XDUB": "Euronext Dublin",
    "XETR": "Xetra",
    "XFRA": "Frankfurt Stock Exchange",
    "XHEL": "Nasdaq Helsinki",
    "XHKG": "Hong Kong Stock Exchange",
    "XJSE": "Johannesburg Stock Exchange",
    "XKRX": "Korea Exchange",
    "XLIS": "Euronext Lisbon",
    "XLON": "London Stock Exchange",
    "XMAD": "Bolsa de Madrid",
    "XMEX": "Bolsa Mexicana de Valores",
    "XMIL": "Borsa Italiana",
    "XNAS": "Nasdaq",
    "XNYS": "New York Stock Exchange",
    "XNZE": "New Zealand's Exchange",
    "XOSL": "Oslo Bors",
    "XPAR": "Euronext Paris",
    "XSES": "Singapore Exchange",
    "XSHG": "Shanghai Stock Exchange",
    "XSTO": "Nasdaq Stockholm",
    "XSWX": "SIX Swiss Exchange",
    "XTAI": "Taiwan Stock Exchange",
    "XTKS": "Tokyo Stock Exchange",
    "XTSE": "Toronto Stock Exchange",
    "XWBO": "Wiener Boerse",
}
"""By market identifier code: https://www.iso20022.org/market-identifier-codes."""
PREDICTED = {"XTAI": date(2026, 12, 31)}
"""Where the days of a year are decided by decree, but the package goes on without: the last day that is decided."""
CLOSED = "the exchange is closed"


def table(code: str) -> dict[str, Any]:
    """The table of one exchange. Times are local: the first moment of the session and the first after it."""
    known = type(exchange_calendars.get_calendar(code)).bound_max()
    horizon = min(HORIZON, PREDICTED.get(code, HORIZON), known.date() if known is not None else HORIZON)
    calendar = exchange_calendars.get_calendar(code, start=str(FIRST), end=str(horizon))
    sessions = {
        session.date(): (_local(row.open, calendar.tz), _local(row.close, calendar.tz))
        for session, row in calendar.schedule.iterrows()
    }
    weekend = [day for day, mask in enumerate(calendar.weekmask) if mask == "0"]
    hours = _usual_hours(calendar)
    names = _names(calendar, horizon)
    days = [FIRST + timedelta(days=day) for day in range((horizon - FIRST).days + 1)]
    made = {
        "code": code,
        "name": NAMES[code],
        "zone": str(calendar.tz),
        "first": str(FIRST),
        "horizon": str(horizon),
        "weekend": weekend,
        "hours": [[str(since), *times] for since, times in hours],
        "closed": {
            str(day): names.get(day, CLOSED) for day in days if day.weekday() not in weekend and day not in sessions
        },
        "open": [str(day) for day in days if day.weekday() in weekend and day in sessions],
        "short": {str(day): list(times) for day, times in sessions.items() if times != _usual(hours, day)},
    }
    assert _sessions(made) == sessions, code
    return made


def _local(moment: pandas.Timestamp, zone: Any) -> str:
    return moment.tz_convert(zone).strftime("%H:%M")


def _usual_hours(calendar: Any) -> list[tuple[date, tuple[str, str]]]:
    """Since when the exchange has had which hours."""
    opens = [(_since(since), time.strftime("%H:%M")) for since, time in calendar.open_times]
    closes = [(_since(since), time.strftime("%H:%M")) for since, time in calendar.close_times]
    changes = sorted({since for since, _ in (*opens, *closes)})
    hours = [(since, (_at(opens, since), _at(closes, since))) for since in changes]
    return [entry for entry, following in pairwise([*hours, None]) if following is None or following[0] > FIRST]


def _since(since: pandas.Timestamp | None) -> date:
    return FIRST if since is None else max(FIRST, since.date())


def _at(changes: list[tuple[date, str]], day: date) -> str:
    return [time for since, time in changes if since <= day][-1]


def _usual(hours: list[tuple[date, tuple[str, str]]], day: date) -> tuple[str, str]:
    return [times for since, times in hours if since <= day][-1]


def _names(calendar: Any, horizon: date) -> dict[date, str]:
    """The names of the holidays. Days that were closed once, by a decision, have none."""
    if calendar.regular_holidays is None:
        return {}
    found = calendar.regular_holidays.holidays(str(FIRST), str(horizon), return_name=True)
    return {day.date(): name for day, name in found.items() if name}


def _sessions(made: dict[str, Any]) -> dict[date, tuple[str, str]]:
    """The sessions of a table, in the way in which the scheduler reads it."""
    found = {}
    day, horizon = date.fromisoformat(made["first"]), date.fromisoformat(made["horizon"])
    hours = [(date.fromisoformat(since), (opens, closes)) for since, opens, closes in made["hours"]]
    while day <= horizon:
        if str(day) in made["open"] or (day.weekday() not in made["weekend"] and str(day) not in made["closed"]):
            found[day] = tuple(made["short"].get(str(day), _usual(hours, day)))
        day += timedelta(days=1)
    return found


def main() -> None:
    for code in NAMES:
        made = table(code)
        (FOLDER / f"{code}.json").write_text(json.dumps(made, indent=1, ensure_ascii=True) + "\n")
        print(f"{code}: until {made['horizon']}, {len(made['closed'])} days closed, {len(made['short'])} short")


if __name__ == "__main__":
    main()
