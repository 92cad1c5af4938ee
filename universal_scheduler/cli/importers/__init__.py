"""Readers of other schedulers' files: a module a format, with a pure function `read` from a text to what was found.

`FORMATS` is the registry: a new format is its module and one entry here.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from universal_scheduler.cli.importers.found import Found


@dataclass(frozen=True, slots=True)
class Format:
    """A kind of file that `usched import NAME` reads."""

    name: str
    module: str
    """In this folder. It is loaded when a file is read."""
    help: str
    zone: str = ""
    """What `--timezone` means for it; empty where the format has no use for it."""
    user_column: bool = False
    named: bool = False
    """Whether the schedule gets the name of the file."""

    def read(self, text: str, **options: Any) -> Found:
        """Make schedules of a text. Each passes the check of documents.

        Raises:
            UnreadableDocument: it is no text of this format.
        """
        module = import_module(f"{__name__}.{self.module}")
        return cast("Found", module.read(text, **options))


FORMATS = (
    Format(
        "crontab",
        "crontab",
        "Make a schedule of every line of a crontab.\n\nFILE is a crontab, or - for standard input: crontab -l | "
        "usched import crontab -. A line that cannot become a schedule is reported with its number and why; the exit "
        "code is then 1. Nothing is stored.",
        zone="The time zone of the machine of the crontab. A line CRON_TZ=ZONE changes it for the lines below.",
        user_column=True,
    ),
    Format(
        "autosys",
        "autosys",
        "Make schedules of a JIL file of AutoSys.\n\nFILE is what autorep -q prints. A box with "
        "its jobs becomes a schedule, and so does a job outside of boxes. What cannot be imported is reported with its "
        "line and why; the exit code is then 1. Nothing is stored.",
        zone="The time zone of start times without an attribute timezone.",
    ),
    Format(
        "control-m",
        "control_m",
        "Make schedules of a JSON file of Control-M.\n\nFILE is of the Automation API: what ctm deploy "
        "jobs::get prints. A folder with its jobs and sub-folders becomes a schedule. What cannot be imported is "
        "reported with its line and why; the exit code is then 1. Nothing is stored.",
        zone="The time zone of the Control-M server.",
    ),
    Format(
        "dag-factory",
        "dag_factory",
        "Make schedules of the DAGs in a YAML file of dag-factory.\n\nWhat cannot be imported is reported with its "
        "line and why; the exit code is then 1. Nothing is stored.",
        zone="The time zone of DAGs without one: Airflow's default_timezone.",
    ),
    Format(
        "airflow",
        "airflow",
        "Make schedules of the DAGs in a Python file of Airflow.\n\nThe file is read, not run, so Airflow need not be "
        "there. It needs the package libcst: pip install 'universal-scheduler[airflow]'. What cannot be imported is "
        "reported with its line and why; the exit code is then 1. Nothing is stored.",
        zone="The time zone of DAGs without one: Airflow's default_timezone.",
    ),
    Format(
        "step-functions",
        "step_functions",
        "Make a schedule of a state machine of Batch jobs.\n\nFILE is its definition for Step Functions in "
        "JSON; the schedule gets the name of the file. What cannot be imported is reported with its line and why; the "
        "exit code is then 1. Nothing is stored.",
        named=True,
    ),
)
