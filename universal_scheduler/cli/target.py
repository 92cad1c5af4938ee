"""Decides which scheduler a command talks to: an embedded engine, or the stage of the AWS SDK's configuration."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from universal_scheduler.cli.problems import Problem
from universal_scheduler.domain.documents.stage import Kind

if TYPE_CHECKING:
    from universal_scheduler.local.auth import Keys
    from universal_scheduler.local.engine import Engine
    from universal_scheduler.wiring import Wiring

KEY = "universal_scheduler.target."
"""Stands before the name of an option in the meta data of click's context."""
DEFAULT_STACK = "universal-scheduler"
START_ENGINE = "Start one with: usched local start"
QUEUES = ("high", "default", "low")
DEFINITIONS = ("shell",)
SHORT_NAMES = {Kind.QUEUE: QUEUES, Kind.DEFINITION: DEFINITIONS}
"""The short names that every stage has for its own queues and job definitions."""


@dataclass(frozen=True, slots=True)
class Target:
    """The scheduler that the options name."""

    local: bool = False
    port: int | None = None
    """The port of the embedded engine; None means the newest engine that runs."""
    stack: str | None = None


def chosen() -> Target:
    """The target in the options of the present command, before or after its name."""
    context = click.get_current_context(silent=True)
    meta = {} if context is None else context.meta
    return Target(**{name: meta[KEY + name] for name in ("local", "port", "stack") if KEY + name in meta})


def command(*words: str) -> str:
    """A command line for the reader to type next. It talks to the same scheduler as the present command."""
    target = chosen()
    given = ["--local"] if target.local and target.port is None and not os.environ.get("USCHED_LOCAL") else []
    given += ["--port", str(target.port)] if target.port is not None else []
    given += ["--stack", target.stack] if target.stack and target.stack != os.environ.get("USCHED_STACK") else []
    return shlex.join(["usched", *given, *words])


def connect(target: Target) -> Wiring:
    """The adapters of the target.

    The settings come from the engine; else from the named stack; else from the environment that `settings.py` reads;
    else from the stack `universal-scheduler`.
    """
    if target.local or target.port is not None:
        return of_engine(find_engine(target.port))
    from universal_scheduler.settings import from_environment
    from universal_scheduler.wiring import Wiring

    if target.stack is None and os.environ.get("STATE_MACHINE_ARN"):
        return Wiring(from_environment())
    return of_stack(target.stack or DEFAULT_STACK)


def find_engine(port: int | None) -> Engine:
    """The engine that runs on this port; without a port, the newest engine that runs."""
    from universal_scheduler.local import engine

    if port is not None:
        found = engine.status(port)
        if found is None:
            raise Problem(f"No embedded engine runs on port {port}.", f"{START_ENGINE} --port {port}")
        return found
    engines = engine.running()
    if not engines:
        raise Problem("No embedded engine runs.", START_ENGINE)
    return max(engines, key=lambda entry: (entry.state_dir / engine.INFO).stat().st_mtime)


def of_engine(engine: Engine) -> Wiring:
    """The adapters of an embedded engine. The user's own AWS configuration has no effect."""
    import boto3

    from universal_scheduler.settings import Settings
    from universal_scheduler.wiring import Wiring

    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):  # boto3 wants the profile to exist even where it is not used
        os.environ.pop(name, None)
    settings = Settings(
        schedules_table=_table(engine.tables["BatchSchedules"]),
        history_table=_table(engine.tables["BatchScheduleHistory"]),
        jobs_table=_table(engine.tables["BatchScheduleJobs"]),
        job_events_table=_table(engine.tables["BatchJobEvents"]),
        calendars_table=_table(engine.tables.get("BatchCalendars", "BatchCalendars")),
        state_machine_arn=engine.state_machine_arn,
        job_queues=engine.queues,
        job_definitions=engine.job_definitions,
        notifications_queue_url=f"{engine.endpoint}/{_account(engine)}/usched-notifications",
        engine_auth=engine.credentials is not None,
    )
    keys = keys_of(engine)
    session = boto3.Session(aws_access_key_id=keys.key_id, aws_secret_access_key=keys.secret, region_name="us-east-1")
    return Wiring(settings, session, engine.endpoint)


def keys_of(engine: Engine) -> Keys:
    """The keys that requests to an engine are signed with."""
    from universal_scheduler.local.auth import ANY, read_keys

    if engine.credentials is None:
        return ANY
    try:
        return read_keys(engine.credentials)
    except (OSError, ValueError) as error:
        message = f"The engine on port {engine.port} runs with --auth, and its keys cannot be read: {error}"
        advice = "Use the command as the user who started the engine, or as root."
        raise Problem(message, advice) from error


def of_stack(stack: str) -> Wiring:
    """The adapters of a CloudFormation stack, in the account and region of the AWS SDK's configuration."""
    from universal_scheduler.settings import Settings
    from universal_scheduler.wiring import Wiring

    outputs = _outputs(stack)
    try:
        settings = Settings(
            schedules_table=_table(outputs["SchedulesTableArn"]),
            history_table=_table(outputs["HistoryTableArn"]),
            jobs_table=_table(outputs["JobsTableArn"]),
            job_events_table=_table(outputs["JobEventsTableArn"]),
            calendars_table=_table(outputs["CalendarsTableArn"]),
            state_machine_arn=outputs["StateMachineArn"],
            job_queues={name: outputs[f"{name.title()}QueueArn"] for name in QUEUES},
            job_definitions={name: outputs[f"{name.title()}JobDefinitionArn"] for name in DEFINITIONS},
            notifications_queue_url=outputs["NotificationsQueueUrl"],
        )
    except KeyError as missing:
        message = f"The stack '{stack}' has no output {missing}: it is not a universal scheduler, or an older one."
        raise Problem(message, "Name the scheduler's stack with --stack, or deploy template.yaml again.") from None
    return Wiring(settings)


def _outputs(stack: str) -> Mapping[str, str]:
    import boto3
    from botocore.exceptions import ClientError

    try:
        [found] = boto3.Session().client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if "does not exist" not in error.response.get("Error", {}).get("Message", ""):
            raise
        message = f"There is no stack '{stack}' in this account and region."
        advice = "Deploy template.yaml, name its stack with --stack, or add --local for the embedded engine."
        raise Problem(message, advice) from error
    return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", [])}


def _account(engine: Engine) -> str:
    return engine.state_machine_arn.split(":")[4]


def _table(arn: str) -> str:
    return arn.rpartition("/")[2]
