"""What a DAG of Airflow becomes. The importers of Python files and of dag-factory read DAGs; this makes the schedules.

https://airflow.apache.org/docs/apache-airflow/stable/core-concepts/dags.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from universal_scheduler.cli.importers.crontab import NICKNAMES
from universal_scheduler.cli.importers.found import (
    LONGEST_BATCH_RETRIES,
    MANUAL,
    SHORTEST_TIMEOUT,
    Collector,
    JobNames,
    Refused,
    command_job,
    described,
    missing_job,
    shell_job,
)
from universal_scheduler.domain.documents.values import shown

NOTIFICATIONS = "give the schedule notifications, so that somebody hears of it"
NOTED: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "on_failure_callback",
            "on_success_callback",
            "on_retry_callback",
            "on_execute_callback",
            "sla_miss_callback",
            "email",
            "email_on_failure",
            "email_on_retry",
            "sla",
        ),
        NOTIFICATIONS,
    ),
    "retry_delay": "Batch tries a job again at once",
    "retry_exponential_backoff": "Batch tries a job again at once",
    "max_retry_delay": "Batch tries a job again at once",
    "priority_weight": "the order of jobs that wait is a matter of the Batch queue",
    "weight_rule": "the order of jobs that wait is a matter of the Batch queue",
    "queue": "where a job runs is a matter of its jobQueue",
    "executor_config": "what a job gets is a matter of its jobDefinition",
}
DAG_KEPT = frozenset(
    {"dag_id", "schedule", "schedule_interval", "start_date", "end_date", "timezone", "description", "catchup"}
    | {"max_active_runs", "max_active_tasks", "concurrency", "dagrun_timeout", "default_args", "params"}
)
DAG_NO_MEANING = frozenset(
    {"tags", "doc_md", "default_view", "orientation", "owner_links", "is_paused_upon_creation", "dag_display_name"}
    | {"render_template_as_native_obj", "owner", "access_control"}
)
TASK_NO_MEANING = frozenset(
    {"task_id", "dag", "owner", "doc_md", "doc", "task_display_name", "do_xcom_push", "start_date", "end_date"}
    | {"timezone", "task_group", "output_encoding", "append_env", "skip_on_exit_code", "email_on_success"}
)
OF_BASH = frozenset({"bash_command", "env"})
OF_BATCH = frozenset(
    {"job_name", "job_definition", "job_queue", "container_overrides", "overrides", "parameters", "array_size"}
)
BATCH_NO_MEANING = frozenset(
    {"aws_conn_id", "region_name", "deferrable", "poll_interval", "max_retries", "status_retries", "awslogs_enabled"}
    | {"awslogs_fetch_interval", "waiters", "job_id"}
)
OF_ALL = frozenset({"retries", "execution_timeout", "trigger_rule", "depends_on_past", "wait_for_downstream", "pool"})
RULES = frozenset({"all_success", "all_done", "all_failed", "one_success", "one_failed", "none_failed", "always"})
MACRO = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
OF_PARAMS = re.compile(r"\{\{\s*params\.([A-Za-z_]\w*)\s*\}\}")
OF_TIMES = frozenset({"overlap", "maxConcurrentRuns", "catchUp"})
"""What only a schedule with a time trigger has: what people start always starts."""
LAST_TASKS = "Airflow judges a run by its last tasks; here a run has FAILED if one of its jobs has"
EXIT_99 = "a command of Airflow that exits with 99 is skipped; here it has FAILED"
CATCH_UP = (
    "catchup also makes up in Airflow for the time since start_date; here catchUp counts from when the schedule is "
    "stored. For earlier days there is: usched backfill"
)


@dataclass(frozen=True, slots=True)
class Unknown:
    """A value that is known only when the file runs."""

    text: str


@dataclass(frozen=True, slots=True)
class Span:
    """A length of time."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Moment:
    """A date, or a date and a time."""

    text: str
    zone: str | None = None


@dataclass(slots=True)
class Task:
    name: str
    line: int
    operator: str
    """The name of its class, without the module."""
    says: Mapping[str, Any]
    upstream: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Dag:
    name: str
    line: int
    says: Mapping[str, Any]
    """Its arguments."""
    lines: Mapping[str, int]
    """Of the arguments."""
    tasks: list[Task] = field(default_factory=list)

    @property
    def defaults(self) -> Mapping[str, Any]:
        given = self.says.get("default_args")
        return given if isinstance(given, dict) else {}


def add_schedule(dag: Dag, zone: str, found: Collector) -> None:
    """Make a schedule of a DAG. `zone` is the time zone of a DAG without one."""
    _Schedule(dag, zone, found).make()


class _Schedule:
    def __init__(self, dag: Dag, zone: str, found: Collector) -> None:
        self._dag, self._zone, self._found = dag, zone, found
        self._names = JobNames(found)
        params = dag.says.get("params")
        scalar = (str, int, float, bool)
        self._params = {
            key: value
            for key, value in (params if isinstance(params, dict) else {}).items()
            if isinstance(value, scalar)
        }

    def make(self) -> None:
        dag, found = self._dag, self._found
        if not dag.tasks:
            found.report(dag.line, f"no schedule: there is no task in the DAG {shown(dag.name)}")
            return
        for key in dag.says:
            self._explain(key)
        description = dag.says.get("description")
        trigger = self._trigger()
        document: dict[str, Any] = {
            "scheduleId": found.schedule_id(dag.name),
            **(described(description) if isinstance(description, str) else {}),
            "trigger": trigger,
            **{key: value for key, value in self._policies().items() if trigger != MANUAL or key not in OF_TIMES},
            **({"parameters": self._params} if self._params else {}),
            "jobList": [self._job(task) for task in dag.tasks],
        }
        found.add(dag.line, document)

    def _line(self, key: str) -> int:
        return self._dag.lines.get(key, self._dag.line)

    def _explain(self, key: str) -> None:
        if key in NOTED:
            self._found.note(self._line(key), f"{key}: {NOTED[key]}")
        elif key not in DAG_KEPT | DAG_NO_MEANING:
            self._found.report(self._line(key), f"{key} of the DAG {shown(self._dag.name)} is not imported")

    def _policies(self) -> dict[str, Any]:
        made: dict[str, Any] = {}
        says = self._dag.says
        for key in ("max_active_runs", "max_active_tasks", "concurrency", "dagrun_timeout", "catchup"):
            value = says.get(key)
            match key, value:
                case _, None:
                    pass
                case "max_active_runs", int() if 1 <= value <= 100:
                    made |= {"overlap": "queueAll", "maxConcurrentRuns": value}
                case (("max_active_tasks" | "concurrency"), int()) if 1 <= value <= 10_000:
                    made["maxConcurrentJobs"] = value
                case "dagrun_timeout", Span() if value.seconds >= 1:
                    made["maxDuration"] = int(value.seconds)
                    why = "dagrun_timeout is maxDuration: a run that takes longer goes on, and people get run_late"
                    self._found.note(self._line(key), why)
                case "catchup", bool():
                    made["catchUp"] = "all" if value else "last"
                    if value:
                        self._found.note(self._line(key), CATCH_UP)
                case _:
                    self._found.report(self._line(key), f"{key} is {_written(value)}, which is not imported")
        if "catchup" not in says:
            self._found.note(
                self._dag.line, "without catchup, what Airflow makes up for depends on its version; here nothing"
            )
        return made

    def _trigger(self) -> dict[str, Any]:
        says = self._dag.says
        key = "schedule" if "schedule" in says else "schedule_interval"
        try:
            if key not in says:
                raise Refused("it has no schedule, and what Airflow does then depends on its version")
            return self._times(says[key])
        except Refused as refused:
            self._found.report(self._line(key), f"{shown(self._dag.name)} starts only by hand: {refused}")
        return dict(MANUAL)

    def _times(self, schedule: object) -> dict[str, Any]:
        if schedule is None:
            return dict(MANUAL)
        start, end = self._moment("start_date"), self._moment("end_date")
        zone = (start.zone if start else None) or self._dag.says.get("timezone") or self._dag.defaults.get("timezone")
        if zone is not None and not isinstance(zone, str):
            raise Refused(f"its time zone is {_written(zone)}")
        bounds = {"timezone": zone or self._zone}
        bounds |= {"startDate": start.text} if start else {}
        bounds |= {"endDate": end.text} if end else {}
        match schedule:
            case Span() if start is not None and schedule.seconds >= 60 and schedule.seconds % 60 == 0:
                return {"rate": f"rate({int(schedule.seconds // 60)} minutes)"} | bounds
            case str() if schedule in NICKNAMES:
                return {"cron": NICKNAMES[schedule]} | bounds
            case str() if len(schedule.split()) == 5:
                return {"cron": schedule} | bounds
        raise Refused(f"its schedule is {_written(schedule)}")

    def _moment(self, key: str) -> Moment | None:
        value = self._dag.says.get(key, self._dag.defaults.get(key))
        if value is None or isinstance(value, Moment):
            return value
        raise Refused(f"its {key} is {_written(value)}")

    def _job(self, task: Task) -> dict[str, Any]:
        name = self._names.name(task.name, task.line)
        says = {**self._dag.defaults, **task.says}
        upstream = [self._names.name(each, task.line) for each in dict.fromkeys(task.upstream)]
        waits: dict[str, Any] = {"jobDependencies": upstream} if upstream else {}
        try:
            rule = says.get("trigger_rule", "all_success")
            if not isinstance(rule, str) or rule not in RULES:
                raise Refused(f"its trigger_rule is {_written(rule)}")
            made = self._work(task, name, says) | self._bounds(says) | waits
            if rule == "all_success":
                return made
            self._found.note(task.line, LAST_TASKS)
            return made | {"runWhen": rule}
        except Refused as refused:
            self._found.report(task.line, f"the task {shown(task.name)} has no work here, so it FAILS: {refused}")
            return missing_job(name, task.line, str(refused)) | waits

    def _work(self, task: Task, name: str, says: Mapping[str, Any]) -> dict[str, Any]:
        own: frozenset[str]
        match task.operator:
            case "BashOperator":
                own = OF_BASH
            case "EmptyOperator" | "DummyOperator":
                own = frozenset()
            case "BatchOperator" | "AwsBatchOperator":
                own = OF_BATCH | BATCH_NO_MEANING
            case _:
                raise Refused(f"what {task.operator or 'it'} does is Python code of Airflow, and no command")
        for key, value in says.items():
            if key in NOTED:
                self._found.note(task.line, f"{key}: {NOTED[key]}")
            elif key in task.says and key not in own | OF_ALL | TASK_NO_MEANING and value is not None:
                raise Refused(f"it has the argument {key}")
        for key in ("depends_on_past", "wait_for_downstream"):
            if says.get(key) not in (None, False):
                raise Refused(f"{key} is {_written(says[key])}")
        if says.get("pool") not in (None, "default_pool"):
            raise Refused(f"it needs the pool {_written(says['pool'])}, and there are none here")
        if not own:
            return command_job(name, ["true"])
        return self._bash(task, name, says) if own is OF_BASH else self._batch(name, says)

    def _bash(self, task: Task, name: str, says: Mapping[str, Any]) -> dict[str, Any]:
        command = says.get("bash_command")
        if not isinstance(command, str) or not command.strip():
            raise Refused(f"its bash_command is {_written(command)}")
        if command.endswith((".sh", ".bash")):
            raise Refused(f"its bash_command {shown(command)} is a file that Airflow fills in")
        made = shell_job(name, self._filled(command), "/bin/bash")
        environment = says.get("env") or {}
        if not isinstance(environment, dict) or not all(isinstance(value, str) for value in environment.values()):
            raise Refused("its env has values that are not in the file")
        if environment:
            entries = [{"name": str(key), "value": self._filled(value)} for key, value in environment.items()]
            made["containerOverrides"]["environment"] = entries
        self._found.note(task.line, EXIT_99)
        return made

    def _batch(self, name: str, says: Mapping[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = {"jobName": name}
        for key, ours in (("job_queue", "jobQueue"), ("job_definition", "jobDefinition")):
            value = says.get(key)
            if not isinstance(value, str) or MACRO.search(value):
                raise Refused(f"its {key} is {_written(value)}")
            made[ours] = value
        overrides = says.get("container_overrides", says.get("overrides")) or {}
        parameters = says.get("parameters") or {}
        if not isinstance(overrides, dict) or not isinstance(parameters, dict) or has_unknown([overrides, parameters]):
            raise Refused("its overrides or parameters have values that are not in the file")
        if overrides:
            made["containerOverrides"] = self._filled_in(overrides)
        if parameters:
            made["parameters"] = self._filled_in(parameters)
        size = says.get("array_size")
        if size is not None:
            if not isinstance(size, int):
                raise Refused(f"its array_size is {_written(size)}")
            made["arrayProperties"] = {"size": size}
        return made

    def _filled_in(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Overrides or parameters of Batch with the run's parameters: they have texts three levels deep at most."""
        made: dict[str, Any] = {}
        for key, value in given.items():
            if isinstance(value, str):
                made[key] = self._filled(value)
            elif isinstance(value, list):
                made[key] = [
                    self._filled(each)
                    if isinstance(each, str)
                    else {name: self._filled(text) if isinstance(text, str) else text for name, text in each.items()}
                    if isinstance(each, dict)
                    else each
                    for each in value
                ]
            else:
                made[key] = value
        return made

    def _filled(self, text: str) -> str:
        """The text, with references instead of `{{ params.NAME }}`."""

        def reference(macro: re.Match[str]) -> str:
            param = OF_PARAMS.fullmatch(macro[0])
            if param is None:
                raise Refused(
                    f"{shown(macro[0])} is filled in by Airflow. A day of the run is {{{{run.businessDate}}}} here"
                )
            if param[1] not in self._params:
                raise Refused(f"the DAG has no value for {shown(macro[0])}")
            return f"{{{{run.parameters.{param[1]}}}}}"

        return MACRO.sub(reference, text)

    def _bounds(self, says: Mapping[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = {}
        retries = says.get("retries") or 0
        if not isinstance(retries, int) or not 0 <= retries < LONGEST_BATCH_RETRIES:
            raise Refused(
                f"its retries are {_written(retries)}, and Batch tries a job at most {LONGEST_BATCH_RETRIES} times"
            )
        if retries:
            made["retryStrategy"] = {"attempts": int(retries) + 1}
        limit = says.get("execution_timeout")
        if limit is not None:
            if not isinstance(limit, Span) or limit.seconds < SHORTEST_TIMEOUT:
                raise Refused(f"its execution_timeout is {_written(limit)}, and that of Batch has at least 60 seconds")
            made["timeout"] = {"attemptDurationSeconds": int(limit.seconds)}
        return made


def has_unknown(values: Sequence[Any]) -> bool:
    """Whether there is a value in them that is known only when the file runs."""
    ahead = list(values)
    while ahead:
        value = ahead.pop()
        if isinstance(value, dict):
            ahead += value.values()
        elif isinstance(value, list):
            ahead += value
        elif isinstance(value, Unknown | Span | Moment):
            return True
    return False


def _written(value: object) -> str:
    match value:
        case Unknown():
            return f"{shown(value.text)}, which is known only when the file runs"
        case Span():
            return f"{value.seconds:g} seconds"
        case Moment():
            return value.text
        case None:
            return "missing"
    return shown(value)
