"""Reads the DAGs in a Python file of Airflow without running it. Each DAG becomes a schedule.

What is known only when the file runs (loops, calls of functions, variables of Airflow) is not read. A DAG that has such
a thing among its tasks or dependencies becomes no schedule. libcst reads Python of any version, also a newer one than
this interpreter's. https://libcst.readthedocs.io/en/latest/
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from universal_scheduler.cli.importers.dags import Dag, Moment, Span, Task, Unknown, add_schedule
from universal_scheduler.cli.importers.found import Collector, Found, Refused
from universal_scheduler.cli.problems import Problem
from universal_scheduler.domain.documents.values import shown
from universal_scheduler.domain.errors import DocumentError, UnreadableDocument

if TYPE_CHECKING:
    import libcst as cst

DEEPEST = 60
"""How many brackets may be open in each other."""
LONGEST_CHAIN = 3000
"""How many signs may stand in one statement."""
TOKEN = re.compile(
    r'"""(?:[^\\]|\\.)*?"""|'
    r"'''(?:[^\\]|\\.)*?'''|"
    r'"(?:[^"\\\n]|\\.)*"|'
    r"'(?:[^'\\\n]|\\.)*'|#[^\n]*|"
    r"\n|[^\w\s,:]|\b(?:elif|not|lambda|await|if|and|or|in|is)\b",
    re.DOTALL,
)
"""Texts, comments, ends of lines, and signs that can stand in a chain."""
SPANS = {"weeks": 604800, "days": 86400, "hours": 3600, "minutes": 60, "seconds": 1}
MOMENT = ("year", "month", "day", "hour", "minute", "second")
READING = frozenset({"get", "getenv", "format", "join", "strip", "split", "replace", "lower", "upper"})
"""Calls that make no task."""
PARTS_OF_A_DAG = frozenset({"set_downstream", "set_upstream", "chain", "cross_downstream", "expand", "expand_kwargs"})


def read(text: str, *, zone: str = "UTC") -> Found:
    """Make schedules of the DAGs. `zone` is the time zone of a DAG without one.

    Raises:
        Problem: libcst is not installed.
        UnreadableDocument: it is no Python.
    """
    try:
        import libcst as cst
        from libcst.metadata import MetadataWrapper, PositionProvider
    except ImportError:
        advice = "Install it: pip install 'universal-scheduler[airflow]'"
        raise Problem("To read Python files of Airflow, usched needs the package libcst.", advice) from None
    try:
        _refuse_depth(text)
        wrapper = MetadataWrapper(cst.parse_module(text), unsafe_skip_copy=True)
        positions = wrapper.resolve(PositionProvider)
        found = Collector(text)
        _File(wrapper.module, positions, found).read(zone)
    except cst.ParserSyntaxError as error:
        line, column = error.raw_line, error.raw_column + 1
        wrong = DocumentError("$", "no Python", "Python", error.message, line=line, column=column)
        raise UnreadableDocument([wrong]) from None
    except RecursionError:
        raise UnreadableDocument([_too_deep(1)]) from None
    return found.found("DAG")


def _too_deep(line: int) -> DocumentError:
    return DocumentError("$", "expressions in each other without end", "a file that people write", line=line, column=1)


def _refuse_depth(text: str) -> None:
    """libcst goes down by recursion, its parser without a limit: a long chain of signs would end the process."""
    depth = chain = branches = 0
    for token in TOKEN.finditer(text):
        sign = token[0]
        if sign == "\n":
            chain = chain if depth else 0
        elif sign in ("(", "[", "{"):
            depth += 1
        elif sign in (")", "]", "}"):
            depth = max(0, depth - 1)
        branches += sign == "elif"
        chain += 1
        if depth > DEEPEST or chain > LONGEST_CHAIN or branches > DEEPEST:
            raise UnreadableDocument([_too_deep(text.count("\n", 0, token.start()) + 1)])


@dataclass(slots=True, eq=False)
class _Group:
    """A task group, with the names of its tasks."""

    name: str
    """What stands before the names of its tasks."""
    above: _Group | None = None
    tasks: list[str] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class _Read:
    """A DAG as far as it is read."""

    dag: Dag
    tasks: dict[str, Task] = field(default_factory=dict)
    unread: dict[int, str] = field(default_factory=dict)
    """By line: what of it is not read."""


Members = list["str | _Group"]
"""Names of tasks, and groups: what stands beside an arrow."""


class _File:
    """Goes through the statements of a file in their order, as Python would run them."""

    def __init__(self, module: cst.Module, positions: Mapping[Any, Any], found: Collector) -> None:
        self._module, self._positions, self._found = module, positions, found
        self._constants: dict[str, Any] = {}
        self._imports: dict[str, tuple[str, str]] = {}
        """By the name in the file: the module and the name there."""
        self._dags: dict[str, _Read] = {}
        """By the variable."""
        self._all: list[_Read] = []
        self._members: dict[str, Members] = {}
        """By the variable: tasks, lists of tasks, groups."""
        self._homes: dict[str, _Read] = {}
        """By the variable of a member: its DAG."""

    def read(self, zone: str) -> None:
        ahead: deque[tuple[Any, _Read | None, _Group | None]] = deque((each, None, None) for each in self._module.body)
        while ahead:
            statement, home, group = ahead.popleft()
            inner = self._statement(statement, home, group)
            ahead.extendleft(reversed(inner))
        for read in self._all:
            if read.unread:
                for line, why in read.unread.items():
                    self._found.report(line, f"no schedule of the DAG {shown(read.dag.name)}: {why}")
                continue
            read.dag.tasks = list(read.tasks.values())
            add_schedule(read.dag, zone, self._found)

    def _line(self, node: cst.CSTNode) -> int:
        place = self._positions.get(node)
        return place.start.line if place is not None else 1

    def _code(self, node: cst.CSTNode) -> str:
        return self._module.code_for_node(node).strip()

    def _statement(self, node: Any, home: _Read | None, group: _Group | None) -> list[tuple[Any, Any, Any]]:
        """Read a statement. The answer is those that stand inside it."""
        import libcst as cst

        if isinstance(node, cst.SimpleStatementLine):
            for small in node.body:
                try:
                    self._small(small, home, group)
                except Refused as refused:
                    self._block(home, node, str(refused))
            return []
        if isinstance(node, cst.With) and len(node.items) == 1:
            try:
                inside = self._with(node, home, group)
            except Refused as refused:
                self._block(home, node, str(refused))
                return []
            if inside is not None:
                return [(each, *inside) for each in node.body.body]
        if isinstance(node, cst.FunctionDef) and home is None:
            for decorator in node.decorators:
                call = decorator.decorator
                if _name(call.func if isinstance(call, cst.Call) else call) == "dag":
                    why = "what stands in a function is not read"
                    self._found.report(self._line(node), f"no schedule of the DAG {shown(node.name.value)}: {why}")
            return []
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self._imports[node.name.value] = ("this file", node.name.value)
            return []
        self._compound(node, home)
        return []

    def _compound(self, node: Any, home: _Read | None) -> None:
        """A loop, a condition or the like: what it does is known only when the file runs."""
        import libcst as cst

        if isinstance(node, cst.If) and "__name__" in self._code(node.test):
            return
        for name in _assigned(node):
            self._constants[name] = Unknown(name)
        if home is not None or self._matters(node):
            self._block(home, node, "this is known only when the file runs")
            for inner in _walk(node):
                if isinstance(inner, cst.Call) and _name(inner.func) == "DAG":
                    self._found.report(self._line(inner), "no schedule of this DAG: it is made only when the file runs")

    def _matters(self, node: Any) -> bool:
        """Whether a statement outside of DAGs can have to do with them."""
        import libcst as cst

        for inner in _walk(node):
            if isinstance(inner, cst.Name) and (inner.value in self._dags or inner.value in self._members):
                return True
            if isinstance(inner, cst.Call) and (_makes_task(inner) or _name(inner.func) in ("DAG", *PARTS_OF_A_DAG)):
                return True
        return False

    def _block(self, home: _Read | None, node: Any, why: str) -> None:
        """A DAG is not read in full; outside of DAGs, none of those before is."""
        line = self._line(node)
        for read in [home] if home is not None else self._all:
            read.unread[line] = why
        if home is None and not self._all:
            self._found.report(line, why)

    def _with(self, node: cst.With, home: _Read | None, group: _Group | None) -> tuple[_Read, _Group | None] | None:
        """The DAG and the group that the statement opens."""
        import libcst as cst

        call, name = node.items[0].item, node.items[0].asname
        variable = name.name.value if name is not None and isinstance(name.name, cst.Name) else ""
        if isinstance(call, cst.Name) and call.value in self._dags:
            return self._dags[call.value], None
        if not isinstance(call, cst.Call):
            return None
        if _name(call.func) == "DAG" and home is None:
            return self._new_dag(call, variable), None
        if _name(call.func) == "TaskGroup" and home is not None:
            return home, self._new_group(call, variable, home, group)
        return None

    def _new_dag(self, call: cst.Call, variable: str) -> _Read:
        says, lines = self._arguments(call, "dag_id")
        name = says.get("dag_id")
        if not isinstance(name, str) or not name:
            self._found.report(self._line(call), "no schedule of this DAG: its dag_id is known only when the file runs")
            name = "unnamed"
        made = _Read(Dag(name, self._line(call), says, lines))
        if says.get("dag_id") != name:
            made.unread[self._line(call)] = "its name is not known"
        given = says.get("default_args", {})
        if not isinstance(given, dict):
            made.unread[self._line(call)] = "its default_args are known only when the file runs"
        self._all.append(made)
        if variable:
            self._dags[variable] = made
        return made

    def _new_group(self, call: cst.Call, variable: str, home: _Read, above: _Group | None) -> _Group:
        says, _ = self._arguments(call, "group_id")
        name = says.get("group_id")
        if (
            not isinstance(name, str)
            or "default_args" in says
            or not isinstance(says.get("prefix_group_id", True), bool)
        ):
            raise Refused("this task group is known only when the file runs")
        before = above.name if above is not None else ""
        made = _Group(before if says.get("prefix_group_id") is False else f"{before}{name}.", above)
        if variable:
            self._members[variable], self._homes[variable] = [made], home
        return made

    def _arguments(self, call: cst.Call, first: str) -> tuple[dict[str, Any], dict[str, int]]:
        """The arguments of a call, with their lines. Only the first may stand without its name."""
        says: dict[str, Any] = {}
        lines: dict[str, int] = {}
        for number, argument in enumerate(call.args):
            key = argument.keyword.value if argument.keyword is not None else first
            if argument.star or (argument.keyword is None and (number or not first)):
                raise Refused(f"the argument {shown(self._code(argument))} has no name")
            says[key], lines[key] = self._value(argument.value), self._line(argument)
        return says, lines

    def _small(self, node: Any, home: _Read | None, group: _Group | None) -> None:
        import libcst as cst

        if isinstance(node, cst.ImportFrom):
            self._remember_import(node)
        if isinstance(node, cst.Import | cst.ImportFrom | cst.Pass):
            return
        if isinstance(node, cst.AnnAssign) and node.value is not None:
            self._assign([node.target], node.value, home, group)
        elif isinstance(node, cst.Assign):
            self._assign([target.target for target in node.targets], node.value, home, group)
        elif isinstance(node, cst.Expr):
            self._expression(node.value, home, group)
        elif home is not None or self._matters(node):
            raise Refused("this is known only when the file runs")
        for name in _assigned(node) if isinstance(node, cst.AugAssign) else ():
            self._constants[name] = Unknown(name)

    def _remember_import(self, node: cst.ImportFrom) -> None:
        import libcst as cst

        module = self._code(node.module) if node.module is not None else "."
        for alias in node.names if not isinstance(node.names, cst.ImportStar) else ():
            name = _name(alias.name)
            known = alias.asname.name if alias.asname is not None else alias.name
            self._imports[_name(known)] = (module, name)

    def _operator(self, func: Any) -> str:
        """The name of an operator's class; with its module, if that is not of Airflow."""
        import libcst as cst

        name, first = _name(func), func
        while isinstance(first, cst.Attribute):
            first = first.value
        module, original = self._imports.get(_name(first), ("airflow", _name(first)))
        if module.split(".")[0] != "airflow":
            return f"{name} of {module}"
        return original if first is func else name

    def _may_change(self, node: Any) -> None:
        """A call may change the lists and objects that it gets."""
        import libcst as cst

        for inner in _walk(node):
            if isinstance(inner, cst.Name) and isinstance(self._constants.get(inner.value), dict | list):
                self._constants[inner.value] = Unknown(inner.value)

    def _assign(self, targets: Sequence[Any], value: Any, home: _Read | None, group: _Group | None) -> None:
        import libcst as cst

        names = [target.value for target in targets if isinstance(target, cst.Name)]
        for name in names:
            for known in (self._constants, self._members, self._dags, self._homes):
                known.pop(name, None)
        if isinstance(value, cst.Call) and _name(value.func) == "DAG" and home is None and len(names) == 1:
            self._new_dag(value, names[0])
            return
        if len(names) < len(targets):
            if all(isinstance(each, cst.Attribute) and each.attr.value in ("doc_md", "doc") for each in targets):
                return
            if home is not None or self._matters(value) or any(map(self._matters, targets)):
                raise Refused("this is known only when the file runs")
            for target in targets:
                for name in _assigned(target):
                    self._constants[name] = Unknown(name)
            return
        if self._is_about_tasks(value):
            members, where = self._chain(value, home, group)
            for name in names:
                self._members[name], self._homes[name] = members, where
            return
        if self._matters(value):
            raise Refused("this is known only when the file runs")
        made = self._value(value)
        if isinstance(value, cst.Call) and isinstance(made, Unknown):
            if home is not None and _name(value.func) not in READING:
                raise Refused(f"what {shown(self._code(value))} does is known only when the file runs")
            self._may_change(value)
        for name in names:
            self._constants[name] = made

    def _is_about_tasks(self, node: Any) -> bool:
        import libcst as cst

        if isinstance(node, cst.List | cst.Tuple):
            return any(self._matters(element) for element in node.elements)
        if isinstance(node, cst.Name):
            return node.value in self._members
        return (isinstance(node, cst.Call) and _makes_task(node)) or _is_arrow(node)

    def _expression(self, node: Any, home: _Read | None, group: _Group | None) -> None:
        import libcst as cst

        if isinstance(node, cst.SimpleString | cst.ConcatenatedString | cst.Name | cst.Ellipsis):
            return
        if self._is_about_tasks(node):
            self._chain(node, home, group)
            return
        name = _name(node.func) if isinstance(node, cst.Call) else ""
        if name in ("chain", "cross_downstream", "set_downstream", "set_upstream"):
            self._call(node, name, home, group)
        elif home is not None or self._matters(node):
            raise Refused(f"what {shown(self._code(node))} does is known only when the file runs")
        else:
            self._may_change(node)

    def _call(self, node: Any, name: str, home: _Read | None, group: _Group | None) -> None:
        """`chain(a, b)` and the like."""
        if any(argument.star or argument.keyword is not None for argument in node.args):
            raise Refused(f"what {shown(self._code(node))} does is known only when the file runs")
        nodes = [argument.value for argument in node.args]
        if name in ("set_downstream", "set_upstream"):
            nodes.insert(0, node.func.value)
        sides = [self._side(each, home, group) for each in nodes]
        where = self._home_of(sides, home)
        lists = [self._is_list(each) for each in nodes]
        for (before, one), (after, other) in pairwise(zip([side for side, _ in sides], lists, strict=True)):
            if name == "chain" and one and other:
                if len(before) != len(after):
                    raise Refused("chain() has lists of different lengths")
                for left, right in zip(before, after, strict=True):
                    _connect(where, [left], [right])
            elif name == "set_upstream":
                _connect(where, after, before)
            else:
                _connect(where, before, after)

    def _is_list(self, node: Any) -> bool:
        import libcst as cst

        return isinstance(node, cst.List | cst.Tuple) or (
            isinstance(node, cst.Name) and len(self._members.get(node.value, ())) > 1
        )

    def _chain(self, node: Any, home: _Read | None, group: _Group | None) -> tuple[Members, _Read]:
        """Tasks with arrows between them. The answer is the last of them, as of the expression in Python."""
        import libcst as cst

        sides, arrows = [], []
        while _is_arrow(node):
            sides.append(node.right)
            arrows.append(isinstance(node.operator, cst.RightShift))
            node = node.left
        sides.append(node)
        known = [self._side(each, home, group) for each in reversed(sides)]
        where = self._home_of(known, home)
        for ((before, _), (after, _)), forward in zip(pairwise(known), reversed(arrows), strict=True):
            _connect(where, *((before, after) if forward else (after, before)))
        return known[-1][0], where

    def _home_of(self, sides: Sequence[tuple[Members, _Read | None]], home: _Read | None) -> _Read:
        homes = {id(read): read for _, read in sides if read is not None}
        if len(homes) > 1:
            raise Refused("tasks of different DAGs stand beside an arrow")
        found = next(iter(homes.values()), home)
        if found is None:
            raise Refused("no DAG of this task is known")
        return found

    def _side(self, node: Any, home: _Read | None, group: _Group | None) -> tuple[Members, _Read | None]:
        """The tasks that an expression stands for."""
        import libcst as cst

        if isinstance(node, cst.Name) and node.value in self._members:
            return self._members[node.value], self._homes[node.value]
        if isinstance(node, cst.List | cst.Tuple):
            sides = [self._side(element.value, home, group) for element in node.elements]
            members = [member for side, _ in sides for member in side]
            return members, self._home_of(sides, home) if sides else home
        if isinstance(node, cst.Call) and _makes_task(node):
            return self._task(node, home, group)
        raise Refused(f"which task {shown(self._code(node))} is, is known only when the file runs")

    def _task(self, node: cst.Call, home: _Read | None, group: _Group | None) -> tuple[Members, _Read]:
        import libcst as cst

        operator, call = self._operator(node.func), node
        if _name(node.func) in ("expand", "expand_kwargs"):
            operator, call = "expand()", cst.ensure_type(cst.ensure_type(node.func, cst.Attribute).value, cst.Call)
        for argument in call.args:
            if (
                argument.keyword is not None
                and argument.keyword.value == "dag"
                and isinstance(argument.value, cst.Name)
            ):
                home = self._dags.get(argument.value.value, home)
        if home is None:
            raise Refused("the DAG of this task is known only when the file runs")
        try:
            says, _ = self._arguments(call, "")
        except Refused as refused:
            home.unread[self._line(node)] = str(refused)
            return [], home
        task_id = says.get("task_id")
        if not isinstance(task_id, str) or not task_id:
            home.unread[self._line(node)] = "the task_id is known only when the file runs"
            return [], home
        name = f"{group.name if group is not None else ''}{task_id}"
        if name in home.tasks:
            home.unread[self._line(node)] = f"the task {shown(name)} is there twice"
        home.tasks[name] = Task(name, self._line(node), operator, says)
        above = group
        while above is not None:
            above.tasks.append(name)
            above = above.above
        return [name], home

    def _value(self, node: Any) -> Any:
        """The value of a literal, of a name for one, and of the few calls that are as good as literals."""
        import libcst as cst

        if isinstance(node, cst.SimpleString | cst.ConcatenatedString | cst.Integer | cst.Float):
            value = node.evaluated_value
            return Unknown(self._code(node)) if value is None or isinstance(value, bytes) else value
        if isinstance(node, cst.Name):
            words = {"True": True, "False": False, "None": None}
            return words[node.value] if node.value in words else self._constants.get(node.value, Unknown(node.value))
        if isinstance(node, cst.List | cst.Tuple):
            if any(isinstance(element, cst.StarredElement) for element in node.elements):
                return Unknown(self._code(node))
            return [self._value(element.value) for element in node.elements]
        if isinstance(node, cst.Dict):
            return self._dict(node)
        if isinstance(node, cst.UnaryOperation) and isinstance(node.operator, cst.Minus):
            number = self._value(node.expression)
            return -number if isinstance(number, int | float) else Unknown(self._code(node))
        if isinstance(node, cst.Attribute) and _name(node.value) == "TriggerRule":
            return node.attr.value.lower()
        if isinstance(node, cst.Call):
            try:
                return self._called(node)
            except (Refused, ValueError, TypeError, KeyError, OverflowError):
                return Unknown(self._code(node))
        return Unknown(self._code(node))

    def _dict(self, node: cst.Dict) -> Any:
        import libcst as cst

        made: dict[str, Any] = {}
        for element in node.elements:
            key = self._value(element.key) if isinstance(element, cst.DictElement) else None
            if isinstance(element, cst.StarredDictElement):
                other = self._value(element.value)
                if not isinstance(other, dict):
                    return Unknown(self._code(node))
                made |= other
            elif isinstance(key, str):
                made[key] = self._value(element.value)
            else:
                return Unknown(self._code(node))
        return made

    def _called(self, node: cst.Call) -> Any:
        name = _name(node.func)
        positional = [self._value(each.value) for each in node.args if each.keyword is None and not each.star]
        named = {each.keyword.value: self._value(each.value) for each in node.args if each.keyword is not None}
        if any(each.star for each in node.args):
            raise Refused("a star")
        if name == "timedelta":
            given = dict(zip(("days", "seconds"), positional, strict=False)) | named
            return Span(sum(SPANS[key] * value for key, value in given.items() if key in SPANS or _unknown(key)))
        if name == "datetime":
            of_pendulum = "pendulum" in self._code(node.func)
            zone = named.pop("tz" if of_pendulum else "tzinfo", "UTC" if of_pendulum else None)
            given = dict(zip(MOMENT, positional, strict=False)) | named
            if not set(given) <= set(MOMENT) or not all(type(each) is int for each in given.values()):
                raise Refused("a part that is not known")
            if zone is not None and not isinstance(zone, str):
                raise Refused("a zone that is not known")
            return _moment(given, zone)
        if name in ("timezone", "ZoneInfo") and len(positional) == 1 and not named and isinstance(positional[0], str):
            return positional[0]
        if name == "days_ago":
            return None  # a day of the past bounds no start
        if name == "Param":
            default = positional[0] if positional else named.get("default")
            if isinstance(default, str | int | float | bool):
                return default
        if name == "dict" and not positional:
            return named
        raise Refused("no call that is known")


def _unknown(key: str) -> bool:
    raise Refused(key)


def _moment(given: Mapping[str, int], zone: str | None) -> Moment:
    hour, minute, second = (given.get(part, 0) for part in MOMENT[3:])
    when = datetime(given["year"], given["month"], given["day"], hour, minute, second)
    return Moment(when.isoformat() if any(given.get(part) for part in MOMENT[3:]) else when.date().isoformat(), zone)


def _connect(home: _Read, before: Members, after: Members) -> None:
    """An arrow. Of a group it leads to the first tasks, and from the last ones."""
    ends = [name for each in before for name in _ends(home, each)]
    for each in after:
        for name in _starts(home, each):
            home.tasks[name].upstream += ends


def _starts(home: _Read, member: str | _Group) -> list[str]:
    if isinstance(member, str):
        return [member]
    return [name for name in member.tasks if not set(home.tasks[name].upstream) & set(member.tasks)]


def _ends(home: _Read, member: str | _Group) -> list[str]:
    if isinstance(member, str):
        return [member]
    inner = {above for name in member.tasks for above in home.tasks[name].upstream}
    return [name for name in member.tasks if name not in inner]


def _name(node: Any) -> str:
    """The last part of a name: `BashOperator` of `bash.BashOperator`."""
    import libcst as cst

    if isinstance(node, cst.Attribute):
        return node.attr.value
    return node.value if isinstance(node, cst.Name) else ""


def _makes_task(call: cst.Call) -> bool:
    import libcst as cst

    name = _name(call.func)
    if name in ("expand", "expand_kwargs") and isinstance(call.func, cst.Attribute):
        inner = call.func.value
        return isinstance(inner, cst.Call) and _name(inner.func) == "partial" and _has_id(inner)
    return name.endswith(("Operator", "Sensor")) or _has_id(call)


def _has_id(call: cst.Call) -> bool:
    return any(each.keyword is not None and each.keyword.value == "task_id" for each in call.args)


def _is_arrow(node: Any) -> bool:
    import libcst as cst

    return isinstance(node, cst.BinaryOperation) and isinstance(node.operator, cst.RightShift | cst.LeftShift)


def _walk(node: Any) -> Iterator[Any]:
    ahead = [node]
    while ahead:
        each = ahead.pop()
        yield each
        ahead += reversed(each.children)


def _assigned(node: Any) -> list[str]:
    """The names to which something inside is assigned."""
    import libcst as cst

    targets: list[Any] = []
    for inner in _walk(node):
        if isinstance(inner, cst.AssignTarget | cst.AnnAssign | cst.AugAssign | cst.For | cst.NamedExpr):
            targets.append(inner.target)
        elif isinstance(inner, cst.AsName):
            targets.append(inner.name)
    if isinstance(node, cst.BaseExpression):
        targets.append(node)
    return [each.value for target in targets for each in _walk(target) if isinstance(each, cst.Name)]
