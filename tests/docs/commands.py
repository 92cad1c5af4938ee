"""Looks at every command line of a page: parsed as the program itself parses it, and run where no stage is needed."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, chdir
from functools import cache
from itertools import takewhile
from typing import Any
from unittest.mock import patch
from urllib.parse import urlsplit

import botocore
import click
from click.testing import CliRunner, Result

from tests.docs.desk import ROOT, Desk, Wrong, aws_service, check_aws_input
from tests.docs.documents import check_document
from tests.docs.markdown import Example
from tests.rest_api import Backends, call, openapi, rest_api
from tests.tables import template
from universal_scheduler.cli import app
from universal_scheduler.cli.documents import SUFFIXES
from universal_scheduler.domain.documents.message import read_message
from universal_scheduler.domain.documents.request import read_request
from universal_scheduler.domain.errors import InvalidSchedule

API_PATH = "/api/v1/"
AWS_OPTIONS = frozenset({"region", "profile", "output", "query", "cli-input-json", "endpoint-url"})
"""What every command of the AWS CLI takes beside its operation's own input."""
CURL_VALUES = frozenset({"--aws-sigv4", "--user", "-o"})
CURL_FLAGS = frozenset({"-s", "-S", "-f", "-i", "-sS", "-fsS"})


def check_console(example: Example, desk: Desk) -> None:
    """Lines behind `$ ` are commands, others are what they print; what `usched next` prints for a file is compared."""
    _check_lines(example.text, "$ ", desk)


def check_sh(example: Example, desk: Desk) -> None:
    _check_lines(example.text, "", desk)


def command_lines(text: str, prompt: str) -> Iterator[tuple[int, str]]:
    """Each command with the number of its line; one goes on behind a backslash, or inside a quotation."""
    pending, began = "", 0
    for number, line in enumerate(text.splitlines()):
        if pending:
            pending += f"\n{line}"
        elif line.startswith(prompt) and line.strip() and not line.lstrip().startswith("#"):
            pending, began = line.removeprefix(prompt), number
        if pending.endswith("\\"):
            pending = pending.removesuffix("\\").rstrip()
        elif pending and _complete(pending):
            yield began, pending
            pending = ""
    if pending:
        raise Wrong("a quotation without an end", began)


def _complete(command: str) -> bool:
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return False
    return True


def _check_lines(text: str, prompt: str, desk: Desk) -> None:
    count = 0
    for below, command in command_lines(text, prompt):
        count += 1
        desk.printed = _printed(text, below, prompt)
        try:
            _check(command, desk)
        except Wrong as wrong:
            raise Wrong(str(wrong), below) from None
    if not count:
        raise Wrong(f"no command is in it: none of its lines begins with '{prompt}'")


def _printed(text: str, below: int, prompt: str) -> str:
    """What stands below a command that is one line, up to the next command."""
    lines = takewhile(lambda line: not prompt or not line.startswith(prompt), text.splitlines()[below + 1 :])
    return "\n".join(lines).strip()


def _check(text: str, desk: Desk) -> None:
    for command in _piped([_expanded(word, desk) for word in shlex.split(text, comments=True)]):
        words = list(command)
        while words and (found := re.fullmatch(r"([A-Z_][A-Z0-9_]*)=(.*)", words[0], re.DOTALL)):
            desk.variables[found[1]] = found[2]
            del words[0]
        if not words:
            continue
        if words[0] not in PROGRAMS:
            raise Wrong(f"no test looks at the command '{words[0]}'; they look at {', '.join(PROGRAMS)}")
        PROGRAMS[words[0]](words[1:], desk)


def _piped(words: Sequence[str]) -> Iterator[list[str]]:
    command: list[str] = []
    for word in words:
        if word in ("|", "&&", "||", ";"):
            yield command
            command = []
        else:
            command.append(word)
    yield command


def _expanded(word: str, desk: Desk) -> str:
    """A word that begins with a variable; a `$` inside a document, or a job's command, is not for this shell."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in desk.variables:
            raise Wrong(f"the variable {found[0]}, which no command before it has set")
        return desk.variables[found[1]]

    return re.sub(r"^\$([A-Z_]+)(?=/|$)", value, word)


# The command `usched`


def leaves(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by its words: `apply`, `local start`."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


def options(command: click.Command) -> dict[str, int]:
    """The long options of a command, with how many words each takes."""
    given = [each for each in command.params if isinstance(each, click.Option)]
    return {"--help": 0} | {name: 0 if each.is_flag else 1 for each in given for name in each.opts if name[:2] == "--"}


def _usched(words: Sequence[str], desk: Desk) -> None:
    """Parsed by the command itself; what needs no stage, and has its files here, is run."""
    result, name, given = _parsed(words)
    if result.exit_code:
        raise Wrong(f"usched {shlex.join(words)}: {' '.join(result.output.split())}")
    read = "file" in given and not name.startswith("local ")  # and not a backup
    files = [given["file"]] if read else list(given.get("files", ()))
    files += [given["what"]] if str(given.get("what", "")).endswith(SUFFIXES) else []
    paths = [desk.file(file) for file in files if file != "-"]
    runs = name in ("simulate", "try") or name.startswith("import ") or (name == "next" and files)
    if runs and all(path.is_relative_to(desk.directory) for path in paths):
        with chdir(desk.directory):
            result = CliRunner().invoke(app.main, list(words))
        if result.exit_code != (1 if given.get("fail") else 0):
            raise Wrong(f"usched {shlex.join(words)}: exit code {result.exit_code}: {result.output} {result.exception}")
        if name == "next" and desk.printed and desk.printed != (printed := _without_version(result.stdout)):
            raise Wrong(f"usched {shlex.join(words)} prints\n{printed}")


def _without_version(printed: str) -> str:
    """What `usched next` prints, without the version of the time zones."""
    return "\n".join(line for line in printed.splitlines() if not line.startswith("Time zones:")).strip()


def _parsed(words: Sequence[str]) -> tuple[Result, str, dict[str, Any]]:
    """How the parsing of a command line ends, the command's name, and what it would be given."""
    seen: list[tuple[str, dict[str, Any]]] = []

    def remember(name: str) -> Callable[..., None]:
        return lambda **given: seen.append((name, given))

    with ExitStack() as patches:
        for name, command in leaves(app.main):
            patches.enter_context(patch.object(command, "callback", remember(name)))
        result = CliRunner().invoke(app.main, list(words))
    name, given = seen[0] if seen else ("", {})
    return result, name, given


def _check_name_and_options(words: Sequence[str]) -> None:
    """Of a command in the running text, which may have placeholders in the place of arguments."""
    command: click.Command = app.main
    known = options(command)
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word.startswith("--"):
            if word not in known:
                raise Wrong(f"usched {' '.join(words)}: there is no option '{word}'")
            del rest[: known[word]]
        elif isinstance(command, click.Group):
            if word not in command.commands:
                raise Wrong(f"usched {' '.join(words)}: there is no command '{word}'")
            command = command.commands[word]
            known |= options(command)


def check_inline(example: Example, desk: Desk) -> bool:
    """Whether code in the running text is a command or a route; then it is there, and so is each of its options."""
    if found := re.fullmatch(r"(POST|GET) (?:/api)?(?:/v1)?(/\S+)", example.text):
        if found[1].lower() not in openapi()["paths"].get(f"/v1{found[2]}", {}):
            raise Wrong(f"{example.text}: api_gateway/openapi.yaml has no such route")
        return True
    program, *words = re.sub(r"[\[\]…]|\.\.\.", "", example.text).split() or [""]
    if program == "usched":
        _check_name_and_options(words)
    elif program == "make":
        _make(words, desk)
    else:
        return False
    return True


# The REST API


def _curl(words: Sequence[str], desk: Desk) -> None:
    method, url, body, headers = "", "", None, {}
    rest = list(words)
    while rest:
        match rest.pop(0):
            case "-X" | "--request":
                method = rest.pop(0)
            case "-H" | "--header":
                name, _, value = rest.pop(0).partition(":")
                headers[name] = value.strip()
            case "-d" | "--data":
                body = rest.pop(0)
            case option if option in CURL_VALUES:
                rest.pop(0)
            case option if option.startswith("-") and option not in CURL_FLAGS:
                raise Wrong(f"curl {option}: an option that no test knows")
            case word if not word.startswith("-"):
                url = word
    if body is not None and body.startswith("@"):
        body = desk.file(body[1:]).read_text()
    path = urlsplit(url).path
    if not path.startswith(API_PATH):
        raise Wrong(f"curl {url}: the paths of the REST API begin with {API_PATH}")
    _request(method or ("GET" if body is None else "POST"), path, body, headers)
    if body is not None and path.endswith("/executions"):
        _check_start(body)
    elif body is not None and path.endswith("/schedules"):
        check_document(json.loads(body), desk)


def _request(method: str, path: str, body: str | None, headers: Mapping[str, str]) -> None:
    """It passes the REST API as it is deployed, and reaches what is behind it."""
    backends = Backends()
    answer = call(rest_api(backends), method, path, body, headers=headers)
    if not (backends.requests or backends.events):
        raise Wrong(f"{method} {path} is answered with {answer.status} {answer.body.decode()}")


def _check_start(body: str) -> None:
    """It says what to run, as the function behind the route reads it; a document that comes along is a valid one."""
    try:
        read_message(read_request(body).message)
    except InvalidSchedule as error:
        raise Wrong(f"{body} is answered with 400 {error}") from None


# Other programs


def _make(words: Sequence[str], _: Desk) -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    for word in words:
        variable, given, _ = word.partition("=")
        if given and f"$({variable})" not in makefile:
            raise Wrong(f"make {word}: the Makefile reads no variable {variable}")
        if not given and word not in targets:
            raise Wrong(f"make {word}: the Makefile has no such target")


def _aws(words: Sequence[str], desk: Desk) -> None:
    """Command and options as the AWS CLI makes them of botocore's models, and nothing that is needed is missing."""
    service, command, *rest = words
    model = aws_service(service)
    names = {botocore.xform_name(name, "-"): name for name in model.operation_names}
    if command not in names:
        raise Wrong(f"aws {service} {command}: there is no such command")
    shape = model.operation_model(names[command]).input_shape
    members = {botocore.xform_name(name, "-"): name for name in shape.members} if shape else {}
    given = {
        word.removeprefix("--"): value for word, value in zip(rest, [*rest[1:], ""], strict=True) if word[0] == "-"
    }
    for option in given.keys() - members.keys() - AWS_OPTIONS:
        raise Wrong(f"aws {service} {command} --{option}: there is no such option")
    if "cli-input-json" in given:
        document = json.loads(desk.file(given["cli-input-json"].removeprefix("file://")).read_text())
        check_aws_input(service, names[command], document)
    elif missing := {*(shape.required_members if shape else ())} - {members.get(option) for option in given}:
        raise Wrong(f"aws {service} {command}: {', '.join(sorted(missing))} is missing")


def _sam(words: Sequence[str], desk: Desk) -> None:
    for word in words:
        name, equals, _value = word.partition("=")
        if equals and name not in template()["Parameters"]:
            raise Wrong(f"sam: template.yaml has no parameter {name}")
        if word.endswith(".yaml"):
            desk.file(word)


def _docker(words: Sequence[str], desk: Desk) -> None:
    if words[0] not in ("build", "push", "tag"):
        raise Wrong(f"docker {words[0]}: no test knows it")
    if words[0] == "build":
        desk.file(f"{words[-1]}/Dockerfile")


def _python_module(words: Sequence[str], _: Desk) -> None:
    option, module, *rest = words
    if option != "-m" or importlib.util.find_spec(module) is None:
        raise Wrong(f"python {' '.join(words)}: there is no such module")
    for word in rest:
        if word.startswith("-") and not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", _help(module)):
            raise Wrong(f"python -m {module} {word}: it has no such option")


@cache
def _help(module: str) -> str:
    command = [sys.executable, "-m", module, "--help"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout


def _pip(words: Sequence[str], _: Desk) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    name, _, extras = words[-1].rstrip("]").partition("[")
    if name != project["name"] or not set(extras.split(",")) <= {"", *project["optional-dependencies"]}:
        raise Wrong(f"pip install {words[-1]}: pyproject.toml has no such project or extra")


def _export(words: Sequence[str], desk: Desk) -> None:
    for word in words:
        name, _, desk.variables[name] = word.partition("=")
        if not name.startswith("AWS_") and name not in _names_in_code():
            raise Wrong(f"export {name}: nothing reads this variable")


@cache
def _names_in_code() -> frozenset[str]:
    code = "\n".join(file.read_text() for file in (ROOT / "universal_scheduler").rglob("*.py"))
    return frozenset(re.findall(r"\b[A-Z][A-Z0-9_]+\b", code))


def _source(words: Sequence[str], _: Desk) -> None:
    if list(words) != [".venv/bin/activate"]:
        raise Wrong(f"source {' '.join(words)}: `make setup` makes .venv/bin/activate alone")


PROGRAMS: Mapping[str, Callable[[Sequence[str], Desk], None]] = {
    "usched": _usched,
    "make": _make,
    "curl": _curl,
    "aws": _aws,
    "sam": _sam,
    "docker": _docker,
    "python": _python_module,
    "pip": _pip,
    "export": _export,
    "source": _source,
}
