"""Reads a crontab and makes a schedule of every line that starts a command. It is pure.

The rules are those of Vixie cron, from which Debian's cron and cronie come:
https://manpages.debian.org/bookworm/cron/crontab.5.en.html, https://man7.org/linux/man-pages/man5/crontab.5.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from universal_scheduler.cli.importers.found import Found, Imported, Refused, Reported, unused
from universal_scheduler.domain.documents.check import find_errors
from universal_scheduler.domain.documents.values import shown
from universal_scheduler.domain.names import digest

NICKNAMES: Mapping[str, str] = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
SHELL = "/bin/sh"
WITH_INPUT = 'printf "%s" "$1" | "$0" -c "$2"'
"""What `/bin/sh -c` does with the shell, the input and the command of a line that has its input behind a `%`."""
SETTING = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([^\s="'#]+))\s*=\s*(.*?)\s*""", re.DOTALL)
ZONE = "CRON_TZ"
OF_MAIL = ("MAILTO", "MAILFROM", "CONTENT_TYPE", "CONTENT_TRANSFER_ENCODING")
NO_MAIL = (
    "nobody gets the output by mail: usched logs shows it. For messages about failures give the schedules notifications"
)
USER_NOTE = "the command is 'root': if that is a user, as in /etc/crontab, give --user-column"
TZ_NOTE = f"the commands get TZ, but their times do not follow it, as in cron: {ZONE} sets the zone of the times"
DELAY = "RANDOM_DELAY"
"""Of cronie: so many minutes at most a command may start after its time."""
LONGEST_DELAY = 1440
REBOOT = "the scheduler does not know when a machine starts. Run the command as a service of that machine"
FIVE_FIELDS = "five fields (minute, hour, day of month, month, weekday)"
DESCRIPTION_LIMIT = 4096
NAME_LIMIT = 40
BEFORE_THE_PROGRAM = frozenset({"cd", "test", "[", "[[", "sleep", "export", ".", "source", "set", "umask", "ulimit"})
"""Commands that only prepare a line's real command; no job is called after them."""
RUN_ANOTHER = frozenset({"exec", "nice", "ionice", "nohup", "sudo", "env", "time", "flock", "timeout", "chronic"})


@dataclass(slots=True)
class _Settings:
    """What the lines above have set."""

    zone: str
    delay: int = 0
    """Minutes."""
    environment: dict[str, str] = field(default_factory=dict)


def read(text: str, *, zone: str = "UTC", user_column: bool = False) -> Found:
    """Make a schedule of every line. Each schedule passes the check of documents.

    `zone` is the time zone of the lines above the first `CRON_TZ`. `user_column` says that the name of a user stands
    before each command, as in `/etc/crontab`.
    """
    settings = _Settings(zone)
    schedules: list[Imported] = []
    reported: list[Reported] = []
    notes: list[Reported] = []
    known: set[str] = set()
    for number, line in enumerate(text.split("\n"), start=1):
        written = line.strip()
        if not written or written.startswith("#"):
            continue
        try:
            if found := SETTING.fullmatch(line):
                notes += [Reported(number, written, note) for note in _set(settings, found)]
                continue
            document = _document(written, number, settings, user_column)
        except Refused as refused:
            reported.append(Reported(number, written, str(refused)))
            continue
        document["scheduleId"] = unused(document["scheduleId"], known)
        if errors := find_errors(document):
            known.discard(document["scheduleId"])
            reported.append(Reported(number, written, "; ".join(f"{each.path}: {each.problem}" for each in errors)))
            continue
        if not user_column and document["jobList"][0]["jobName"] == "root":
            notes.append(Reported(number, written, USER_NOTE))
        schedules.append(Imported(number, document))
    return Found(schedules, reported, notes)


def _set(settings: _Settings, found: re.Match[str]) -> Iterator[str]:
    """Do what a line `NAME=VALUE` says. Yields what of it has another meaning here."""
    name, value = found[1] or found[2] or found[3] or "", _unquoted(found[4])
    if name == ZONE:
        settings.zone = value
    elif name in OF_MAIL:
        if name == "MAILTO" and value:
            yield NO_MAIL
    elif name == DELAY:
        if not re.fullmatch("[0-9]{1,4}", value) or int(value) > LONGEST_DELAY:
            raise Refused(f"{shown(value)} is no number of minutes from 0 to {LONGEST_DELAY}")
        settings.delay = int(value)
    elif name.startswith("AWS_BATCH"):
        raise Refused("AWS Batch keeps variables whose names start with AWS_BATCH to itself")
    else:
        settings.environment[name] = value
        if name == "TZ":
            yield TZ_NOTE


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value


def _document(line: str, number: int, settings: _Settings, user_column: bool) -> dict[str, Any]:
    times, rest = _times(line)
    user = ""
    if user_column:
        user, rest = _cut(rest)
    if not rest:
        raise Refused("there is no command" + (" behind the name of the user" if user else ""))
    command, given = _command_and_input(rest)
    if not command.strip():
        raise Refused("there is no command before the %")
    environment = dict(settings.environment)
    shell = environment.get("SHELL") or SHELL
    words = [shell, "-c", command]
    if given:
        words = [SHELL, "-c", WITH_INPUT, shell, given, command]
    overrides: dict[str, Any] = {"command": words}
    if environment:
        overrides["environment"] = [{"name": name, "value": value} for name, value in environment.items()]
    name = _job_name(command)
    trigger = {"cron": times, "timezone": settings.zone}
    # Where clocks change, a crontab means what cron does then, which is not what AWS does.
    trigger |= {} if settings.zone == "UTC" else {"onDst": "cron"}
    of_user = f" (user {user})" if user else ""
    return {
        "scheduleId": f"{name}-{digest(times, settings.zone, user, rest, length=6)}",
        "description": f"Line {number} of the crontab{of_user}: {line}"[:DESCRIPTION_LIMIT],
        "trigger": trigger,
        **({"spread": f"{settings.delay}m"} if settings.delay else {}),
        "jobList": [
            {"jobName": name, "jobQueue": "default", "jobDefinition": "shell", "containerOverrides": overrides}
        ],
    }


def _cut(text: str) -> tuple[str, str]:
    """The first word, and what stands behind it."""
    first, *rest = [*text.split(None, 1), ""]
    return first, rest[0]


def _times(line: str) -> tuple[str, str]:
    """The five fields of a line, and what stands behind them."""
    line = line.removeprefix("-").lstrip() if line.startswith("-") else line  # only keeps cronie's log silent
    if line.startswith("@"):
        nickname, rest = _cut(line)
        if nickname == "@reboot":
            raise Refused(REBOOT)
        if nickname.lower() not in NICKNAMES:
            raise Refused(f"{shown(nickname)} is none of {', '.join(NICKNAMES)}")
        return NICKNAMES[nickname.lower()], rest
    words = line.split(None, 5)
    if len(words) < 5:
        raise Refused(f"it has {len(words)} words, and a line has {FIVE_FIELDS} and a command")
    random = next((word for word in words[:5] if "~" in word), None)
    if random is not None:
        raise Refused(f"{shown(random)} is a random time of cronie: choose a time, or use the key spread")
    return " ".join(words[:5]), words[5] if len(words) == 6 else ""


def _command_and_input(text: str) -> tuple[str, str]:
    """The command, and what it reads from its standard input: what stands behind the first `%`, with a line break for
    every other `%`. `\\%` is a `%`."""
    parts = [part.replace("\\%", "%") for part in re.split(r"(?<!\\)%", text)]
    given = "\n".join(parts[1:])
    return parts[0], given if not given or given.endswith("\n") else f"{given}\n"


def _job_name(command: str) -> str:
    """A name for the command: that of its program, without folder and suffix."""
    for part in re.split(r"&&|\|\||[;|\n]", command):
        words = part.split()
        while words and (re.match(r"[A-Za-z_]\w*=", words[0]) or words[0] in RUN_ANOTHER or words[0].startswith("-")):
            del words[0]
        if not words or words[0] in BEFORE_THE_PROGRAM:
            continue
        program = words[0].strip("\"'(){}").rpartition("/")[2]
        name = re.sub(r"[^A-Za-z0-9_]+", "-", re.sub(r"\.\w{1,4}$", "", program)).strip("-_")
        if name:
            return name[:NAME_LIMIT]
    return "job"
