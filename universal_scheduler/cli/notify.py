"""`usched notify test`: tries whether the channels of a schedule take messages."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rich.text import Text

from universal_scheduler.cli.console import make_console, put_json
from universal_scheduler.cli.problems import Problem
from universal_scheduler.cli.tables import Table, prose
from universal_scheduler.usecases.delivery import try_channels

if TYPE_CHECKING:
    from universal_scheduler.wiring import Wiring


def test_command(stage: Wiring, schedule_id: str, as_json: bool) -> int:
    """Exit code 1 if a channel did not take the message."""
    tried: list[dict[str, Any]] = [
        {"channel": channel.label, "on": [*kinds], "delivered": not problem, **({"reason": problem} if problem else {})}
        for channel, kinds, problem in try_channels(
            stage.store, stage.log_tails, stage.notifier, schedule_id, now=time.time(), api=stage.local_api
        )
    ]
    if not tried:
        advice = "Give it notifications, or a scheduleSnsTopic; see docs/notifications.md."
        raise Problem(f"The schedule '{schedule_id}' has no channels: nobody is told of its runs.", advice)
    if as_json:
        put_json({"scheduleId": schedule_id, "channels": tried})
    else:
        table = Table("channel", "test message", prose("messages"), prose("why"))
        for each in tried:
            outcome = Text("delivered", style="green") if each["delivered"] else Text("not taken", style="red")
            table.add_row(each["channel"], outcome, ", ".join(each["on"]), each.get("reason", ""))
        make_console().print(table)
    return 0 if all(each["delivered"] for each in tried) else 1
