"""`usched migrate`: moves everything from an embedded engine to a stack on AWS."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console

from universal_scheduler.cli import target
from universal_scheduler.cli.console import make_console, put_json, say
from universal_scheduler.cli.operator import operator
from universal_scheduler.cli.problems import Problem
from universal_scheduler.cli.tables import Table, prose
from universal_scheduler.cli.target import Target
from universal_scheduler.domain.documents.stage import Kind
from universal_scheduler.domain.errors import DocumentError
from universal_scheduler.usecases.migrate import Fate, Migration, Stage, migrate
from universal_scheduler.usecases.stage_check import check_names

if TYPE_CHECKING:
    from universal_scheduler.wiring import Wiring

DONE, NOT_ALL = 0, 1


def migrate_command(source: Target, stack: str, yes: bool, as_json: bool) -> int:
    """Exit code 1 if something is not moved yet, or cannot be.

    Raises:
        Problem: there is no engine, or no such stack, or it is the same. Nothing was changed.
    """
    there = target.of_stack(stack)
    address = there.dynamodb.meta.endpoint_url  # makes a client: an engine's wiring forgets the profile of the user
    here = target.connect(source if source.stack else Target(local=True, port=source.port))
    same_machine = here.settings.state_machine_arn == there.settings.state_machine_arn
    if here.dynamodb.meta.endpoint_url == address and same_machine:
        raise Problem(f"The stack '{stack}' is where everything is already.", "Name another stack with --to-stack.")

    def check(row: Mapping[str, Any]) -> Sequence[DocumentError]:
        short = {Kind.QUEUE: there.settings.job_queues, Kind.DEFINITION: there.settings.job_definitions}
        errors, warnings = check_names(row, short, there.batch_names)
        return [*errors, *warnings]

    old = _stage(f"the stack '{source.stack}'" if source.stack else "the embedded engine", here)
    done = migrate(old, _stage(f"the stack '{stack}'", there), operator(here), time.time, check, dry=not yes)
    if as_json:
        put_json(_view(done))
    else:
        _show(make_console(), done)
    return DONE if done.complete else NOT_ALL


def _stage(name: str, wiring: Wiring) -> Stage:
    return Stage(name, wiring.store, wiring.recordings, wiring.workflow, wiring.calendars)


def _view(done: Migration) -> dict[str, Any]:
    return {
        "dryRun": done.dry,
        "complete": done.complete,
        "entries": [
            {"kind": each.kind, "name": each.name, "state": str(each.fate)} | ({"why": each.why} if each.why else {})
            for each in done.entries
        ],
        "runs": {"copied": done.runs, "there": done.runs_there, "goingOn": done.runs_going_on},
    }


def _show(console: Console, done: Migration) -> None:
    said = {Fate.MOVED: "moves"} if done.dry else {}
    if done.entries:
        table = Table("name", "kind", "state", prose("why"))
        for each in done.entries:
            table.add_row(each.name, each.kind, said.get(each.fate, str(each.fate)), each.why)
        console.print(table)
        console.print()
    kinds = Counter((each.kind, said.get(each.fate, str(each.fate))) for each in done.entries)
    for (kind, state), count in sorted(kinds.items()):
        say(console, f"{count:,} {kind}{'s' if count > 1 else ''}: {state}")
    copied = "to be copied" if done.dry else "copied"
    say(console, f"{done.runs:,} runs {copied}, {done.runs_there:,} there already, {done.runs_going_on:,} go on here")
    if done.dry:
        say(console, "This was a dry run: nothing was changed. Do it with --yes.", "yellow")
    elif done.complete:
        say(console, "Everything has moved. The schedules here are paused.", "green")
    else:
        say(console, "Not everything has moved. Give the same command again when the reasons are gone.", "yellow")
