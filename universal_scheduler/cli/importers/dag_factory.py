"""Reads the YAML of dag-factory, which makes DAGs of Airflow. Each DAG becomes a schedule.

https://astronomer.github.io/dag-factory/latest/configuration/configuring_workflows/
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from universal_scheduler.cli.importers.dags import Dag, Moment, Span, Task, Unknown, add_schedule
from universal_scheduler.cli.importers.found import Collector, Found, Refused
from universal_scheduler.cli.yaml_text import read_yaml, yaml_positions
from universal_scheduler.domain.documents.values import shown, step

DEFAULT = "default"
DAY = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?)?")
SECONDS = re.compile(r"(.+)_secs?")
STRUCTURE = frozenset({"tasks", "task_groups"})


def read(text: str, *, zone: str = "UTC") -> Found:
    """Make schedules of the DAGs. `zone` is the time zone of a DAG without one.

    Raises:
        UnreadableDocument: it is no YAML.
    """
    found = Collector(text)
    for content, positions in zip(read_yaml(text), yaml_positions(text), strict=True):
        if not isinstance(content, dict):
            found.report(1, "this is no object with DAGs")
            continue
        given = content.get(DEFAULT)
        defaults = given if isinstance(given, dict) else {}
        for name, says in content.items():
            place = f"${step(name)}"
            line = positions.get(place, (1, 1))[0]
            if name == DEFAULT:
                continue
            if not isinstance(says, dict):
                found.report(line, f"{shown(name)} is no DAG")
                continue
            try:
                dag = _dag(name, _merged(defaults, says), place, positions)
            except Refused as refused:
                found.report(line, f"no schedule of the DAG {shown(name)}: {refused}")
                continue
            add_schedule(dag, zone, found)
    return found.found("DAG")


def _merged(defaults: Mapping[str, Any], says: Mapping[str, Any]) -> dict[str, Any]:
    made = {**defaults, **says}
    both = [each["default_args"] for each in (defaults, says) if isinstance(each.get("default_args"), dict)]
    if both:
        made["default_args"] = {key: value for each in both for key, value in each.items()}
    return made


def _dag(name: str, says: Mapping[str, Any], place: str, positions: Mapping[str, tuple[int, int]]) -> Dag:
    """The DAG.

    Raises:
        Refused: its tasks and their order cannot be read.
    """

    def line(path: str) -> int:
        return positions.get(path, positions.get(place, (1, 1)))[0]

    own = {key: value for key, value in says.items() if key not in STRUCTURE}
    lines = {_key(key): line(place + step(key)) for key in own}
    dag = Dag(name, line(place), _values(own), lines)
    groups = _groups(says.get("task_groups"))
    members: dict[str, list[str]] = {group: [] for group in groups}
    written = [(task, values, f"{place}.tasks{at}") for task, values, at in _tasks(says.get("tasks"))]
    for task, values, _ in written:
        group = values.get("task_group_name")
        if group is not None:
            if not isinstance(group, str) or group not in members:
                raise Refused(f"there is no task group {shown(group)}")
            members[group].append(task)
    for task, values, path in written:
        names = _names(values.get("dependencies"), task)
        if (group := values.get("task_group_name")) is not None:
            names += groups[group]
        upstream = [each for named in names for each in members.get(named, [named])]
        if unknown := [each for each in upstream if each not in {known for known, _, _ in written}]:
            raise Refused(f"the task {shown(task)} depends on {shown(unknown[0])}, which is no task")
        operator = values.get("operator")
        rest = {
            key: value for key, value in values.items() if key not in ("operator", "dependencies", "task_group_name")
        }
        kind = operator if isinstance(operator, str) else ""
        kind = kind.rpartition(".")[2] if kind.startswith("airflow.") else kind
        dag.tasks.append(Task(task, line(path), kind, _values(rest), upstream))
    return dag


def _tasks(given: object) -> list[tuple[str, dict[str, Any], str]]:
    """The tasks: a name, what it says, and where it stands among the tasks."""
    found: list[tuple[Any, Any, str]] = []
    if isinstance(given, dict):
        found = [(key, value, step(key)) for key, value in given.items()]
    elif isinstance(given, list):
        entries = [each if isinstance(each, dict) else {} for each in given]
        found = [(each.get("task_id", ""), each, f"[{number}]") for number, each in enumerate(entries)]
    for name, value, _ in found:
        if not isinstance(name, str) or not name or not isinstance(value, dict):
            raise Refused(f"the task {shown(name)} cannot be read")
    if len({name for name, _, _ in found}) < len(found) or not found:
        raise Refused("it has no tasks, or two with one name")
    return found


def _groups(given: object) -> dict[str, list[str]]:
    """For each task group the tasks and groups that it depends on."""
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise Refused("its task_groups cannot be read")
    groups: dict[str, list[str]] = {}
    for name, says in given.items():
        values = says if isinstance(says, dict) else {}
        if "parent_group_name" in values:
            raise Refused(f"the task group {shown(name)} is inside another one")
        groups[name] = _names(values.get("dependencies"), name)
    return groups


def _names(given: object, name: str) -> list[str]:
    names = [] if given is None else given
    if not isinstance(names, list) or not all(isinstance(each, str) for each in names):
        raise Refused(f"the dependencies of {shown(name)} cannot be read")
    return list(names)


def _key(key: str) -> str:
    """`retry_delay_sec` says the same as `retry_delay`, in seconds."""
    seconds = SECONDS.fullmatch(key)
    return seconds[1] if seconds else key


def _values(given: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in given.items():
        if SECONDS.fullmatch(key):
            made[_key(key)] = Span(value) if isinstance(value, int | float) else Unknown(str(value))
        elif key == "default_args" and isinstance(value, dict):
            made[key] = {inner: _plain(inner, each) for inner, each in value.items()}
            made[key] = {
                _key(inner): Span(each) if SECONDS.fullmatch(inner) and isinstance(each, int | float) else each
                for inner, each in made[key].items()
            }
        else:
            made[key] = _plain(key, value)
    return made


def _plain(key: str, value: Any) -> Any:
    """A date becomes a moment; the word None of Python nothing."""
    if key in ("start_date", "end_date"):
        known = isinstance(value, str) and DAY.fullmatch(value)
        return Moment(value.replace(" ", "T")) if known else Unknown(str(value))
    if key in ("schedule", "schedule_interval") and isinstance(value, str) and value.lower() == "none":
        return None
    return value
