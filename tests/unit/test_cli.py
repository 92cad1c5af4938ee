"""What all of `usched` has in common: which scheduler it talks to, errors, help, and that it is documented."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError, NoCredentialsError
from click.testing import CliRunner

from tests.usched import Stage, usched
from universal_scheduler.cli import app, target
from universal_scheduler.cli.problems import between_words
from universal_scheduler.cli.unknown import ADVICE


def test_without_an_engine_the_user_is_told_to_start_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("USCHED_STATE_DIR", str(tmp_path))
    for words in (["runs", "--local"], ["--local", "runs"], ["--port", "9", "runs"], ["local", "status"]):
        result = usched(*words)
        assert result.exit_code == 2
        assert "No embedded engine runs" in result.stderr
        assert "usched local start" in result.stderr
    assert usched("local", "stop").exit_code == 0


def test_the_environment_chooses_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[target.Target] = []
    monkeypatch.setattr(target, "connect", lambda chosen: asked.append(chosen) or Stage())
    monkeypatch.setenv("USCHED_LOCAL", "1")
    usched("runs")
    usched("runs", "--port", "4000")
    monkeypatch.setenv("USCHED_LOCAL", "0")
    monkeypatch.setenv("USCHED_STACK", "theirs")
    usched("runs")
    usched("--stack", "mine", "runs")
    assert asked == [
        target.Target(local=True),
        target.Target(local=True, port=4000),
        target.Target(stack="theirs"),
        target.Target(stack="mine"),
    ]


def test_the_settings_come_from_the_stacks_outputs(monkeypatch: pytest.MonkeyPatch) -> None:
    outputs = {
        "NotificationsQueueUrl": "https://sqs/q",
        "StateMachineArn": "arn:aws:states:eu-west-1:123456789012:stateMachine:schedule_runner",
        **{
            f"{name}TableArn": f"arn:aws:dynamodb:::table/x{name}"
            for name in ("Schedules", "History", "Jobs", "JobEvents", "Calendars")
        },
        **{f"{name}Arn": f"arn:{name}" for name in ("HighQueue", "DefaultQueue", "LowQueue", "ShellJobDefinition")},
    }
    monkeypatch.setattr(target, "_outputs", lambda _: outputs)
    monkeypatch.delenv("STATE_MACHINE_ARN", raising=False)
    settings = target.connect(target.Target()).settings
    assert (settings.schedules_table, settings.history_table) == ("xSchedules", "xHistory")
    assert settings.job_queues == {"high": "arn:HighQueue", "default": "arn:DefaultQueue", "low": "arn:LowQueue"}
    del outputs["HistoryTableArn"]
    assert "no output 'HistoryTableArn'" in usched("runs", "--stack", "other").stderr


def test_the_settings_come_from_the_environment_where_no_stack_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_MACHINE_ARN", "arn:mine")
    monkeypatch.setenv("JOBS_TABLE", "MyJobs")
    settings = target.connect(target.Target()).settings
    assert (settings.state_machine_arn, settings.jobs_table) == ("arn:mine", "MyJobs")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NoCredentialsError(), ["Unable to locate credentials", "--local"]),
        (
            ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "Query"),
            ["AWS refused Query", "permission"],
        ),
        (ClientError({"Error": {"Code": "Odd", "Message": "no"}}, "Query"), ["AWS refused Query: Odd: no"]),
    ],
)
def test_what_the_sdk_raises_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, error: Exception, words: list[str]
) -> None:
    def fail(_: target.Target) -> Any:
        raise error

    monkeypatch.setattr(target, "connect", fail)
    result = usched("runs", "--json")
    assert result.exit_code == 2
    assert all(word in result.stderr for word in words)
    assert "error" in json.loads(result.stdout)


def test_a_long_message_is_folded_between_words() -> None:
    errors = "$.jobList[0].containerOverrides.command: found nothing, expected a command with its words"
    assert between_words(f"The schedule is not valid.\n         {errors}\n         $: short", 60).splitlines() == [
        "The schedule is not valid.",
        "         $.jobList[0].containerOverrides.command: found",
        "           nothing, expected a command with its words",
        "         $: short",
    ]
    assert between_words("one two three four five six", 27).splitlines() == ["one two three four", "       five six"]
    assert between_words("x" * 100, 80) == "x" * 100


def test_a_defect_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target, "connect", lambda _: 1 / 0)
    assert isinstance(CliRunner().invoke(app.main, ["runs"]).exception, ZeroDivisionError)


def test_an_interrupted_command_exits_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: target.Target) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(target, "connect", interrupt)
    assert usched("runs").exit_code == 130


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["shwo"], ["Did you mean 'usched show'?"]),
        (["local", "sttus"], ["Did you mean 'usched local status'?"]),
        (["delete", "nightly"], ["No command deletes a schedule.", "usched pause nightly"]),
        (["list"], ["usched runs", "usched jobs"]),
        (["ls"], ["usched runs"]),
        (["start", "nightly"], ["usched run nightly", "usched local start"]),
        (["stop"], ["usched cancel ID", "usched local stop"]),
        (["status", "--json", "nightly"], ["usched show nightly"]),
        (["get", "nightly"], ["usched show nightly"]),
        (["create", "a.yaml"], ["usched apply a.yaml"]),
        (["retry", "nightly"], ["usched restart nightly", "usched rerun nightly JOB"]),
        (["frobnicate"], ["The commands are apply, audit, backfill,"]),
        (["local", "list"], ["The commands are backup, install,"]),
        (["[red]\x1b[31m"], [r"'usched [red]\x1b[31m'"]),
    ],
)
def test_a_command_that_there_is_not(words: list[str], told: list[str]) -> None:
    result = usched(*words)
    assert result.exit_code == 2
    assert all(each in result.stderr for each in ["There is no command", *told])
    assert ("Did you mean" in result.stderr) is ("Did you mean" in told[0])


def test_other_tools_words_lead_to_commands_that_there_are() -> None:
    for word, lines in ADVICE.items():
        assert word not in app.main.commands
        for line in lines:
            for path in re.findall(r"usched ([a-z-]+)(?: ([a-z]+)\b)?", line):
                command = app.main.commands[path[0]] if not path[0].startswith("-") else app.main
                assert not path[1] or path[1] in getattr(command, "commands", ()), line


def test_the_list_of_commands_has_whole_sentences() -> None:
    for words in (["--help"], ["local", "--help"], ["notify", "--help"], ["import", "--help"]):
        [commands] = re.findall(r"(?s)Commands:\n(.*?)\n\n", usched(*words).stdout)
        assert all(line.endswith(".") and not line.endswith("...") for line in commands.splitlines())


def test_every_command_and_option_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    groups = {"usched": app.main, "usched local": app.local}
    for prefix, group in groups.items():
        for name, command in group.commands.items():
            assert f"`{prefix} {name}" in page, name
            for option in (option for parameter in command.params for option in parameter.opts if option[0] == "-"):
                assert option in page, f"{name} {option}"
