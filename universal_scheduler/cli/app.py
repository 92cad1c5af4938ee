"""The commands of `usched` and what they take. What each does is in the module of its name, loaded when it runs."""

from __future__ import annotations

import functools
import io
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec

import click

from universal_scheduler.cli import target
from universal_scheduler.cli.importers import FORMATS, Format
from universal_scheduler.cli.problems import explain
from universal_scheduler.cli.target import Target
from universal_scheduler.cli.unknown import Commands

if TYPE_CHECKING:
    from universal_scheduler.wiring import Wiring

P = ParamSpec("P")
Command = Callable[P, int]
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
LOCAL_SECONDS, AWS_SECONDS = 0.3, 2.0
INTERRUPTED = 130
BATCH_STATES = ("PENDING", "RUNNABLE", "STARTING", "RUNNING", "SUCCEEDED", "FAILED")
EPILOG = (
    "Exit codes: 0 done; 1 it was tried and did not succeed (a run FAILED, a file was not stored, the engine did not "
    "start); 2 nothing was done (wrong usage, nobody to ask, no such schedule, run or job); 130 interrupted."
)


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value is not None:
        context.meta[f"{target.KEY}{parameter.name}"] = value


def _target_options(*, of_command: bool) -> Decorator:
    """`--local`, `--port` and `--stack`: before or after the command's name, and from the environment."""
    environment: dict[str, Any] = {} if of_command else {"envvar": "USCHED_LOCAL"}
    stack_environment: dict[str, Any] = {} if of_command else {"envvar": "USCHED_STACK"}
    remembered: dict[str, Any] = {"expose_value": False, "callback": _remember}
    options = (
        click.option(
            "--local",
            is_flag=True,
            default=None,
            help="Talk to the embedded engine (or set USCHED_LOCAL=1).",
            **environment,
            **remembered,
        ),
        click.option("--port", type=int, help="The embedded engine on this port.", **remembered),
        click.option(
            "--stack",
            metavar="NAME",
            help=f"The CloudFormation stack, on AWS (or set USCHED_STACK; default {target.DEFAULT_STACK}).",
            **stack_environment,
            **remembered,
        ),
    )
    return lambda function: functools.reduce(lambda made, option: option(made), reversed(options), function)


def _command(function: Command[P]) -> Callable[P, None]:
    """Make the answer of a command its exit code. Show expected errors in two lines, without a traceback."""

    @functools.wraps(function)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> None:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # what the terminal's encoding cannot say
        try:
            code = function(*args, **kwargs)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        except Exception as error:
            problem = explain(error)
            if problem is None:
                raise
            problem.as_json = bool(kwargs.get("as_json"))
            raise problem from error
        sys.exit(code)

    return guarded


def _connect() -> Wiring:
    return target.connect(target.chosen())


def _interval(chosen: Target) -> float:
    """Seconds between two looks at a run that is followed."""
    return LOCAL_SECONDS if chosen.local or chosen.port is not None else AWS_SECONDS


_stage = _target_options(of_command=True)
_param = click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="Give the run this parameter.")
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document and nothing else.")


@click.group(cls=Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="universal-scheduler")
@_target_options(of_command=False)
def main() -> None:
    """Run schedules of batch jobs, on AWS or on this machine."""


@main.command("apply", epilog=EPILOG)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@_json
@_stage
@_command
def apply_(files: tuple[str, ...], as_json: bool) -> int:
    """Check schedules and store them.

    FILE is YAML or JSON with one or several schedules, a directory of such files, or - for standard input. If a file
    has an error, nothing of it is stored. The other files are stored.
    """
    from universal_scheduler.cli.apply import apply_command

    return apply_command(_connect(), files, as_json)


@main.command(epilog=EPILOG)
@click.argument("schedule_id", metavar="ID")
@click.option("--wait", is_flag=True, help="Show its progress until it ends; exit with 1 when it does not succeed.")
@click.option("--name", help="The execution's name; no two runs may have the same.")
@click.option("--restart", metavar="START", help="Restart the run of START: only jobs that did not succeed run.")
@_param
@_json
@_stage
@_command
def run(
    schedule_id: str, wait: bool, name: str | None, restart: str | None, params: tuple[str, ...], as_json: bool
) -> int:
    """Start a run of schedule ID."""
    from universal_scheduler.cli.run import run_command

    chosen = target.chosen()
    return run_command(
        target.connect(chosen),
        schedule_id,
        name=name,
        restart=restart,
        params=params,
        wait=wait,
        interval=_interval(chosen),
        as_json=as_json,
    )


@main.command(epilog=EPILOG)
@click.argument("schedule_id", metavar="[ID]", required=False)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="List at most so many.")
@click.option(
    "--since",
    help="Only runs that started since then: 30m, 2h, 1d, 1w ago, or an ISO 8601 time (UTC where it has no zone).",
)
@_json
@_stage
@_command
def runs(schedule_id: str | None, limit: int, since: str | None, as_json: bool) -> int:
    """List the newest runs, of schedule ID or of all."""
    from universal_scheduler.cli.show import runs_command

    return runs_command(_connect().store, schedule_id, limit, since, as_json)


@main.command(epilog=EPILOG)
@click.argument("schedule_id", metavar="ID")
@click.argument("start", metavar="[START]", required=False)
@click.option("--job", metavar="JOB[:INDEX]", help="This job of the run, or child of an array job, with each attempt.")
@_json
@_stage
@_command
def show(schedule_id: str, start: str | None, job: str | None, as_json: bool) -> int:
    """Show a run of schedule ID with its jobs.

    It is the run that started at START, or the newest. If the schedule has never run, or its row is not valid, the
    schedule itself is shown.
    """
    if job is not None:
        from universal_scheduler.cli.job_detail import show_job_command

        return show_job_command(_connect(), schedule_id, start, job, as_json)
    from universal_scheduler.cli.show import show_command

    return show_command(_connect(), schedule_id, start, as_json)


@main.command(epilog=EPILOG)
@click.argument("schedule_id", metavar="ID")
@click.argument("job", metavar="JOB[:INDEX]")
@click.option("--start", metavar="START", help="The run that started at START. Without it: the newest run.")
@click.option("--attempt", type=click.IntRange(1), metavar="N", help="Its Nth attempt, counted over restarts.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job has ended.")
@_json
@_stage
@_command
def logs(schedule_id: str, job: str, start: str | None, attempt: int | None, follow: bool, as_json: bool) -> int:
    """Print what JOB of schedule ID printed.

    That is its last attempt, or the one that --attempt names. Of an array job, the children are listed. JOB:INDEX
    prints what one child printed.
    """
    from universal_scheduler.cli.logs import logs_command

    chosen = target.chosen()
    return logs_command(
        target.connect(chosen),
        schedule_id,
        job,
        start,
        attempt=attempt,
        follow=follow,
        interval=_interval(chosen),
        as_json=as_json,
    )


@main.command(epilog=EPILOG)
@click.argument("job_id", metavar="[JOBID]", required=False)
@click.option(
    "--queue",
    metavar="QUEUE",
    help="Only the jobs of this queue: short name, name or ARN. Without it: of all queues of the stage.",
)
@click.option("--status", type=click.Choice(BATCH_STATES, case_sensitive=False), help="Only jobs in this state now.")
@click.option(
    "--since",
    default="1d",
    show_default=True,
    help="Only jobs that changed since then: 30m, 2h, 1d, 1w ago, or an ISO 8601 time (UTC where it has no zone).",
)
@click.option("--name", help="Only jobs of this name: in their schedule, or in Batch where no run submitted them.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="List at most so many.")
@_json
@_stage
@_command
def jobs(
    job_id: str | None,
    queue: str | None,
    status: str | None,
    since: str,
    name: str | None,
    limit: int,
    as_json: bool,
) -> int:
    """List the jobs of the queues, or show every change of job JOBID.

    The list has all jobs, whoever submitted them. The job that changed last comes first.
    """
    from universal_scheduler.cli.jobs import job_command, jobs_command

    stage = _connect()
    if job_id is not None:
        return job_command(stage, job_id, as_json)
    return jobs_command(stage, queue=queue, status=status, since=since, name=name, limit=limit, as_json=as_json)


_reason = click.option("--reason", metavar="TEXT", default="", help="Why; kept in the audit trail.")
_of_start = click.option("--start", metavar="START", help="The run that started at START. Without it: the newest run.")


def _job_verb(verb: str, what: str) -> None:
    """A command that does one verb to jobs of a run."""

    @main.command(verb, epilog=EPILOG, help=what)
    @click.argument("schedule_id", metavar="ID")
    @click.argument("jobs", metavar="JOB...", nargs=-1, required=True)
    @_of_start
    @_reason
    @_json
    @_stage
    @_command
    def command(schedule_id: str, jobs: tuple[str, ...], start: str | None, reason: str, as_json: bool) -> int:
        from universal_scheduler.cli.verbs import jobs_command
        from universal_scheduler.domain.runs.model import Verb

        return jobs_command(_connect(), Verb(verb), schedule_id, jobs, start, reason, as_json)


_job_verb("hold", "Hold jobs of schedule ID that have not started. They do not start until they are released.")
_job_verb("release", "Release held jobs of schedule ID: they run as soon as they can.")
_job_verb("skip", "Skip jobs of schedule ID that have not started or have failed. The jobs after them go on.")
_job_verb("force-ok", "Mark failed jobs of schedule ID as SUCCEEDED. The jobs after them go on.")
_job_verb("rerun", "Run ended jobs of schedule ID again. Where their run has ended, these jobs alone run.")


@main.command(epilog=EPILOG)
@click.argument("schedule_id", metavar="ID")
@click.argument("jobs", metavar="[JOB]...", nargs=-1)
@_of_start
@_reason
@_json
@_stage
@_command
def cancel(schedule_id: str, jobs: tuple[str, ...], start: str | None, reason: str, as_json: bool) -> int:
    """Cancel jobs of schedule ID, or without JOB its whole run."""
    from universal_scheduler.cli.verbs import cancel_command, jobs_command
    from universal_scheduler.domain.runs.model import Verb

    if jobs:
        return jobs_command(_connect(), Verb.CANCEL, schedule_id, jobs, start, reason, as_json)
    return cancel_command(_connect(), schedule_id, start, reason, as_json)


@main.command(epilog=EPILOG)
@click.argument("schedule_id", metavar="ID")
@click.argument("start", metavar="[START]", required=False)
@click.option("--from", "start_from", metavar="JOB", multiple=True, help="Run this job and all downstream of it again.")
@click.option("--skip", metavar="JOB[:3,7-9]", multiple=True, help="Skip this job, or children of it.")
@click.option("--newest", is_flag=True, help="With the jobs as the schedule has them now.")
@click.option("--param", metavar="NAME=VALUE", multiple=True, help="Change a parameter of the run.")
@click.option("--wait", is_flag=True, help="Show its progress until it ends; exit with 1 when it does not succeed.")
@_reason
@_json
@_stage
@_command
def restart(
    schedule_id: str,
    start: str | None,
    start_from: tuple[str, ...],
    skip: tuple[str, ...],
    newest: bool,
    param: tuple[str, ...],
    wait: bool,
    reason: str,
    as_json: bool,
) -> int:
    """Restart a run of schedule ID that has ended.

    It is the run that started at START, or the newest. Jobs that succeeded or were skipped stay as they are, the
    others run. With --from only these jobs and the jobs downstream of them run.
    """
    from universal_scheduler.cli.options import pairs
    from universal_scheduler.cli.verbs import restart_command
    from universal_scheduler.domain.runs.restart import Variant

    variant = Variant(start_from, skip=skip, newest=newest, parameters=pairs(param, "--param", "NAME=VALUE"))
    chosen = target.chosen()
    return restart_command(
        target.connect(chosen),
        schedule_id,
        start,
        variant,
        reason,
        wait=wait,
        interval=_interval(chosen),
        as_json=as_json,
    )


def _schedule_verb(verb: str, what: str) -> None:
    """A command that does one verb to a schedule."""

    @main.command(verb, epilog=EPILOG, help=what)
    @click.argument("schedule_id", metavar="ID")
    @_reason
    @_json
    @_stage
    @_command
    def command(schedule_id: str, reason: str, as_json: bool) -> int:
        from universal_scheduler.cli.verbs import pause_command
        from universal_scheduler.domain.runs.model import Verb

        return pause_command(_connect(), Verb(verb), schedule_id, reason, as_json)


_schedule_verb("pause", "Stop the triggers of schedule ID until it is resumed. People can still start it.")
_schedule_verb(
    "resume",
    "Let triggers start schedule ID again. Its catchUp says what becomes of starts that were due in the pause.",
)


@main.command(epilog=EPILOG)
@click.argument("schedule_id", metavar="ID")
@click.argument("start", metavar="[START]", required=False)
@_json
@_stage
@_command
def audit(schedule_id: str, start: str | None, as_json: bool) -> int:
    """Show what operators did to schedule ID and its newest runs.

    With START: what they did to the run that started then.
    """
    from universal_scheduler.cli.verbs import audit_command

    return audit_command(_connect(), schedule_id, start, as_json)


@main.command("next", epilog=EPILOG)
@click.argument("what", metavar="ID|FILE")
@click.option("-n", "--count", type=click.IntRange(1, 10_000), help="So many starts; without --to: 10.")
@click.option(
    "--from", "first", metavar="TIME", help="From then on: a day, or an ISO 8601 time. Without it: from now on."
)
@click.option("--to", "last", metavar="TIME", help="Until the end of this day, or until just before this time.")
@_json
@_stage
@_command
def next_(what: str, count: int | None, first: str | None, last: str | None, as_json: bool) -> int:
    """Show when a schedule starts next, and why.

    It is the stored schedule ID, or every schedule of FILE, which needs no engine and no AWS. Starts that are left out
    are shown with the reason. A day is a local day of the trigger's time zone; a time without a zone is UTC.
    """
    from universal_scheduler.cli.next_starts import next_command

    return next_command(_connect, what, count, first, last, as_json)


@main.command(epilog=EPILOG)
@click.argument("schedule_id", metavar="ID")
@click.option("--from", "first", metavar="TIME", required=True, help="The first day, or an ISO 8601 time.")
@click.option("--to", "last", metavar="TIME", required=True, help="The last day, or an ISO 8601 time just after it.")
@click.option("--parallel", type=click.IntRange(1, 1000), default=1, show_default=True, help="So many runs at a time.")
@click.option(
    "--order", type=click.Choice(("oldest", "newest")), default="oldest", show_default=True, help="Which date is first."
)
@click.option("--again", is_flag=True, help="Run the dates too for which a run has succeeded.")
@_reason
@_json
@_stage
@_command
def backfill(
    schedule_id: str, first: str, last: str, parallel: int, order: str, again: bool, reason: str, as_json: bool
) -> int:
    """Run schedule ID for every date of a span of time.

    The dates are those at which its time triggers would have started it, from --from to --to. One run starts for each
    date, and has this date as its scheduled time. Dates for which a run has succeeded are
    skipped. After an interruption, the same command goes on where it was.
    """
    from universal_scheduler.cli.backfill import backfill_command

    chosen = target.chosen()
    return backfill_command(
        target.connect(chosen),
        schedule_id,
        first,
        last,
        parallel=parallel,
        newest_first=order == "newest",
        again=again,
        reason=reason,
        interval=_interval(chosen),
        as_json=as_json,
    )


@main.command(epilog=EPILOG)
@click.option("--to-stack", metavar="NAME", required=True, help="The CloudFormation stack, on AWS, to which all moves.")
@click.option("--yes", is_flag=True, help="Do it. Without it, the command only shows what it would do.")
@_json
@_stage
@_command
def migrate(to_stack: str, yes: bool, as_json: bool) -> int:
    """Move everything from this machine's engine to AWS.

    That is: calendars, schedules with their pauses, and the history of runs. Every schedule that has moved is paused
    here. Without --yes nothing is changed. After an interruption, give the same command again.
    """
    from universal_scheduler.cli.migrate import migrate_command

    return migrate_command(target.chosen(), to_stack, yes, as_json)


@main.command("try", epilog=EPILOG)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--dir", "directory", metavar="DIR", help="Keep the jobs' files in DIR, else they are deleted.")
@_param
@_json
@_command
def try_(files: tuple[str, ...], directory: str | None, params: tuple[str, ...], as_json: bool) -> int:
    """Run schedules here and now: real processes, no engine, no AWS.

    Queues and definitions need not exist; a job runs its containerOverrides.command. Nothing is stored.
    """
    from pathlib import Path

    from universal_scheduler.cli.trial import try_command

    return try_command(files, Path(directory) if directory else None, params, as_json)


@main.command(epilog=EPILOG)
@click.argument("file", metavar="FILE")
@click.option("--fail", multiple=True, metavar="JOB[=CODE]", help="This job fails, with exit code 1 or CODE.")
@click.option("--duration", multiple=True, metavar="JOB=SECONDS", help="This job takes SECONDS, others a minute.")
@click.option("--output", multiple=True, metavar="JOB.NAME=VALUE", help="This job puts out this value.")
@_param
@_json
@_command
def simulate(
    file: str,
    fail: tuple[str, ...],
    duration: tuple[str, ...],
    output: tuple[str, ...],
    params: tuple[str, ...],
    as_json: bool,
) -> int:
    """Show what a run would do: what runs when, what does not and why. Nothing is run."""
    from universal_scheduler.cli.simulation import simulate_command

    return simulate_command(file, fail, duration, output, params, as_json)


@main.group("import", cls=Commands, epilog=EPILOG)
def import_() -> None:
    """Make schedules of the files of other schedulers."""


def _importer(form: Format) -> None:
    """The command that reads one format."""

    @import_.command(form.name, epilog=EPILOG, help=form.help)
    @click.argument("file", metavar="FILE")
    @click.option(
        "--out", metavar="DIR", help="Write a file for each schedule into DIR. Without it: print the schedules."
    )
    @_json
    @_command
    def command(file: str, out: str | None, as_json: bool, **options: Any) -> int:
        from universal_scheduler.cli.importing import import_command

        return import_command(form, file, out, as_json, **options)

    if form.zone:
        command.params.insert(
            2, click.Option(["--timezone", "zone"], metavar="ZONE", default="UTC", show_default=True, help=form.zone)
        )
    if form.user_column:
        text = "A user stands before each command, as in /etc/crontab."
        command.params.insert(3, click.Option(["--user-column"], is_flag=True, help=text))


for _form in FORMATS:
    _importer(_form)


@main.command(epilog=EPILOG)
@click.argument("what", metavar="[NAME|FILE|ID]", required=False)
@click.option("--month", metavar="YYYY-MM", help="This month. Without it: the present one.")
@_json
@_stage
@_command
def calendar(what: str | None, month: str | None, as_json: bool) -> int:
    """Draw a month: which days are closed, why, and what starts.

    NAME is a stored calendar, a country (US, US-CA), a financial market (ECB) or an exchange (XNYS). ID is a schedule.
    FILE has calendars or schedules, and needs no engine if it has all calendars that it names. Without any of them,
    the stored calendars are listed.
    """
    from universal_scheduler.cli.calendar import calendar_command, calendars_command

    if what is None:
        return calendars_command(_connect(), as_json)
    return calendar_command(_connect, what, month, as_json)


@main.group(cls=Commands, epilog=EPILOG)
def notify() -> None:
    """Test the channels of a schedule."""


@notify.command("test", epilog=EPILOG)
@click.argument("schedule_id", metavar="ID")
@_json
@_stage
@_command
def notify_test(schedule_id: str, as_json: bool) -> int:
    """Send a test message to every channel of schedule ID.

    It says which channels took it. This machine sends it, with your credentials. The exit code is 1 if a channel did
    not take it.
    """
    from universal_scheduler.cli.notify import test_command

    return test_command(_connect(), schedule_id, as_json)


@main.group(cls=Commands, epilog=EPILOG)
def local() -> None:
    """Start, stop, install and back up embedded engines."""


def _port(text: str) -> Decorator:
    return click.option("--port", type=click.IntRange(0, 65535), help=text, expose_value=False, callback=_remember)


@local.command("start", epilog=EPILOG)
@_port("The port of the engine (default 4566). 0 takes a free one.")
@click.option("--vcpus", type=click.IntRange(1), help="How many vCPUs all running jobs may have together.")
@click.option("--ephemeral", is_flag=True, help="Keep nothing when the engine stops: for tests and CI.")
@click.option(
    "--safety",
    type=click.Choice(("process", "power")),
    help="What survives a power cut: with power all that was answered, with process (the default) all but the last "
    "second or two.",
)
@click.option(
    "--foreground", is_flag=True, help="Be the engine until a signal ends it, and print its log: for services."
)
@click.option("--run-as", metavar="USER", help="Run jobs and functions as this user. Only root can.")
@click.option("--auth", is_flag=True, help="Answer only who has the engine's keys: for machines with several users.")
@_json
@_command
def local_start(
    vcpus: int | None,
    ephemeral: bool,
    safety: str | None,
    foreground: bool,
    run_as: str | None,
    auth: bool,
    as_json: bool,
) -> int:
    """Start an engine. One that already runs on the port stays as it is."""
    from universal_scheduler.cli.local import start_command
    from universal_scheduler.local.state import Safety

    if ephemeral and safety:
        raise click.UsageError("--ephemeral keeps nothing: give it, or --safety, but not both.")
    wanted = Safety.EPHEMERAL if ephemeral else Safety(safety or Safety.PROCESS)
    return start_command(target.chosen().port, vcpus, wanted, run_as, auth, foreground, as_json)


@local.command("stop", epilog=EPILOG)
@_port("The port of the engine. Without it: the only engine that runs.")
@click.option("--keep-jobs", is_flag=True, help="Let its jobs run on. The engine that starts next takes them over.")
@_json
@_command
def local_stop(keep_jobs: bool, as_json: bool) -> int:
    """Stop an engine and its jobs.

    It also ends what a killed engine has left behind.
    """
    from universal_scheduler.cli.local import stop_command

    return stop_command(target.chosen().port, keep_jobs, as_json)


@local.command("status", epilog=EPILOG)
@_port("The port of the engine. Without it: the newest engine that runs.")
@_json
@_command
def local_status(as_json: bool) -> int:
    """Describe the engine that runs. The exit code is 2 if none runs."""
    from universal_scheduler.cli.local import status_command

    return status_command(target.chosen().port, as_json)


@local.command("backup", epilog=EPILOG)
@click.argument("file", metavar="FILE")
@_port("The port of the engine. Without it: the newest engine that runs.")
@_json
@_command
def local_backup(file: str, as_json: bool) -> int:
    """Write the whole state of a durable engine into FILE.

    The engine works on meanwhile. FILE has everything as it was at one moment. The files that jobs wrote below
    USCHED_DATA are not in it.
    """
    from universal_scheduler.cli.local_backup import backup_command

    return backup_command(target.chosen().port, file, as_json)


@local.command("restore", epilog=EPILOG)
@click.argument("file", metavar="FILE")
@_port("The port of the engine. Without it: the newest engine that runs.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@_json
@_command
def local_restore(file: str, yes: bool, as_json: bool) -> int:
    """Replace the whole state of a durable engine by a backup.

    The engine ends its jobs and starts again with what is in FILE. What it had before is put aside.
    """
    from universal_scheduler.cli.local_backup import restore_command

    return restore_command(target.chosen().port, file, yes, as_json)


@local.command("install", epilog=EPILOG)
@_port("The port of the engine (default 4566).")
@click.option("--system", is_flag=True, help="A service of the system. Without it: of your own user.")
@click.option("--dry-run", is_flag=True, help="Print the file, and write nothing.")
@click.option("--vcpus", type=click.IntRange(1), help="How many vCPUs all running jobs may have together.")
@click.option(
    "--safety",
    type=click.Choice(("process", "power")),
    default="process",
    show_default=True,
    help="What survives a power cut: with power all that was answered, with process all but the last second or two.",
)
@click.option("--run-as", metavar="USER", help="Run jobs and functions as this user. With --system it must be given.")
@click.option("--auth", is_flag=True, help="Answer only who has the engine's keys: for machines with several users.")
@_json
@_command
def local_install(
    system: bool, dry_run: bool, vcpus: int | None, safety: str, run_as: str | None, auth: bool, as_json: bool
) -> int:
    """Make a durable engine a service of this machine.

    It writes a unit of systemd, on macOS a file of launchd, and says which commands start the service.
    """
    from universal_scheduler.cli.local_install import install_command
    from universal_scheduler.local.state import Safety

    return install_command(
        target.chosen().port, vcpus, Safety(safety), run_as, auth=auth, system=system, dry_run=dry_run, as_json=as_json
    )
