"""What becomes of each line of a crontab."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.usched import usched
from universal_scheduler.cli.importers.crontab import read as read_crontab
from universal_scheduler.cli.importing import yaml_of
from universal_scheduler.cli.yaml_text import read_yaml
from universal_scheduler.domain.documents.check import find_errors


def only(text: str, **options: Any) -> dict[str, Any]:
    [found] = read_crontab(text, **options).schedules
    return dict(found.document)


def command(document: dict[str, Any]) -> list[str]:
    return list(document["jobList"][0]["containerOverrides"]["command"])


def environment(document: dict[str, Any]) -> dict[str, str]:
    entries = document["jobList"][0]["containerOverrides"].get("environment", [])
    return {entry["name"]: entry["value"] for entry in entries}


def test_a_line_becomes_a_schedule_that_passes_the_check() -> None:
    document = only("30 6 * * 1-5  /usr/local/bin/backup.sh --full\n")
    assert not find_errors(document)
    assert document["scheduleId"].startswith("backup-")
    assert document["trigger"] == {"cron": "30 6 * * 1-5", "timezone": "UTC"}
    assert command(document) == ["/bin/sh", "-c", "/usr/local/bin/backup.sh --full"]
    assert document["description"] == "Line 1 of the crontab: 30 6 * * 1-5  /usr/local/bin/backup.sh --full"


@pytest.mark.parametrize(
    ("nickname", "times"),
    [
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
    ],
)
def test_nicknames_stand_for_five_fields(nickname: str, times: str) -> None:
    assert only(f"{nickname} tidy")["trigger"]["cron"] == times


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("@reboot start-me", "does not know when a machine starts"),
        ("@every5 run", '"@every5" is none of @yearly'),
        ("* * * * *", "there is no command"),
        ("@daily", "there is no command"),
        ("* * * run", "it has 4 words"),
        ("0~59 3 * * * run", "random time of cronie"),
        ("* * * * * %in", "there is no command before the %"),
        ("60 * * * * run", "$.trigger"),
        ("0 0 * * 8 run", "$.trigger"),
        ("0 0 ? * * run", "$.trigger"),
        ("AWS_BATCH_X=1", "AWS_BATCH"),
    ],
)
def test_a_line_that_cannot_become_a_schedule_is_reported(line: str, why: str) -> None:
    found = read_crontab(f"# a comment\n\n{line}\n@daily fine\n")
    [reported] = found.reported
    assert (reported.line, reported.text) == (3, line)
    assert why in reported.why
    assert len(found.schedules) == 1


def test_settings_hold_for_the_lines_below() -> None:
    text = "@daily a\nPATH = /opt/bin:/bin\nNAME='with blank '\n@daily b\nPATH=\"/bin\"\n@daily c\n"
    first, second, third = (dict(each.document) for each in read_crontab(text).schedules)
    assert environment(first) == {}
    assert environment(second) == {"PATH": "/opt/bin:/bin", "NAME": "with blank "}
    assert environment(third) == {"PATH": "/bin", "NAME": "with blank "}


def test_the_shell_of_the_crontab_runs_the_command() -> None:
    assert command(only("SHELL=/bin/bash\n@daily a && b")) == ["/bin/bash", "-c", "a && b"]


def test_an_assignment_before_a_command_is_no_setting() -> None:
    document = only("5 4 * * * LANG=C sort x")
    assert command(document)[2] == "LANG=C sort x"
    assert document["jobList"][0]["jobName"] == "sort"


def test_cron_tz_sets_the_zone_of_the_lines_below() -> None:
    text = "@daily a\nCRON_TZ=Europe/Zurich\n@daily b\nCRON_TZ=UTC\n@daily c\n"
    triggers = [each.document["trigger"] for each in read_crontab(text, zone="Asia/Tokyo").schedules]
    assert [trigger["timezone"] for trigger in triggers] == ["Asia/Tokyo", "Europe/Zurich", "UTC"]
    assert [trigger.get("onDst") for trigger in triggers] == ["cron", "cron", None]


def test_an_unknown_zone_is_reported_for_every_line() -> None:
    found = read_crontab("CRON_TZ=Europe/Zurch\n@daily a\n@daily b\n")
    assert [each.line for each in found.reported] == [2, 3]
    assert "Europe/Zurich" in found.reported[0].why


def test_tz_is_for_the_commands_alone() -> None:
    found = read_crontab("TZ=Europe/Zurich\n@daily a\n")
    document = dict(found.schedules[0].document)
    assert document["trigger"]["timezone"] == "UTC"
    assert environment(document) == {"TZ": "Europe/Zurich"}
    assert [note.line for note in found.notes] == [1]


def test_mailto_is_reported_unless_nobody_gets_mail() -> None:
    assert [note.line for note in read_crontab("MAILTO=ann@example.org\nMAILTO=''\n").notes] == [1]
    assert environment(only("MAILTO=ann@example.org\n@daily a")) == {}


@pytest.mark.parametrize(
    ("line", "printed"),
    [
        ("@daily cat%one%two", "one\ntwo\n"),
        ("@daily cat; date +\\%\\%%one", "one\n%\n"),
        ("@daily sed 's/a/b/'%a\\%a", "b%a\n"),
        ("@daily echo 100\\%", "100%\n"),
        ("@daily cat%", ""),
    ],
)
def test_what_stands_behind_a_percent_sign_is_the_input(line: str, printed: str) -> None:
    done = subprocess.run(command(only(line)), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    assert done.stdout == printed


def test_the_exit_code_is_that_of_the_command_with_an_input() -> None:
    assert subprocess.run(command(only("@daily exit 3%input")), check=False).returncode == 3


def test_a_random_delay_spreads_the_starts() -> None:
    found = read_crontab("RANDOM_DELAY=45\n@daily a\nRANDOM_DELAY=0\n@daily b\nRANDOM_DELAY=x\n")
    assert [each.document.get("spread") for each in found.schedules] == ["45m", None]
    assert [each.line for each in found.reported] == [5]


def test_a_column_of_users_is_read_if_it_is_said() -> None:
    document = only("17 *\t* * *\troot    cd / && run-parts --report /etc/cron.hourly", user_column=True)
    assert command(document)[2] == "cd / && run-parts --report /etc/cron.hourly"
    assert document["jobList"][0]["jobName"] == "run-parts"
    assert "(user root)" in document["description"]
    [reported] = read_crontab("* * * * * root", user_column=True).reported
    assert "behind the name of the user" in reported.why


def test_a_user_that_is_taken_for_a_command_is_noticed() -> None:
    [note] = read_crontab("17 * * * * root run-parts /etc/cron.hourly").notes
    assert "--user-column" in note.why


def test_a_text_that_is_not_unicode_is_refused(tmp_path: Path) -> None:
    crontab = tmp_path / "crontab"
    crontab.write_bytes(b"NAME=\xe9\n@daily a\n")
    done = usched("import", "crontab", str(crontab))
    assert done.exit_code == 2
    assert "is not a text in UTF-8" in done.stderr
    assert "iconv" in done.stderr


def test_a_line_keeps_its_id_where_others_come_and_go() -> None:
    line = "5 4 * * * report"
    found = read_crontab(f"@daily first\n{line}\n{line}\n").schedules
    assert only(line)["scheduleId"] == found[1].document["scheduleId"]
    assert found[2].document["scheduleId"] == f"{found[1].document['scheduleId']}-2"


def test_yaml_says_what_the_schedule_says() -> None:
    document = only("@daily echo '1e3' 'on' \"ü \u2028 \U0001f600 \x07 \x85\"%~%0o7")
    assert read_yaml(yaml_of(document)) == [document]


def test_files_can_be_applied(tmp_path: Path) -> None:
    crontab = tmp_path / "crontab"
    crontab.write_text("MAILTO=ann@example.org\n@daily one\n@reboot two\n")
    done = usched("import", "crontab", str(crontab), "--out", str(tmp_path / "made"), "--json")
    assert done.exit_code == 1
    answer = json.loads(done.stdout)
    assert [each["line"] for each in answer["reported"]] == [3]
    assert [each["line"] for each in answer["notes"]] == [1]
    [made] = answer["schedules"]
    assert read_yaml(Path(made["file"]).read_text()) == [made["schedule"]]
    shown = usched("import", "crontab", str(crontab), "--out", str(tmp_path / "made"))
    assert "Not imported: line 3: the scheduler does not know when a machine starts" in shown.stdout
    assert f"usched apply {tmp_path / 'made'}" in shown.stdout


def test_schedules_are_printed_where_no_directory_is_named() -> None:
    done = usched("import", "crontab", "-", text="@daily one\n@hourly two\n")
    assert done.exit_code == 0
    assert [each["trigger"]["cron"] for each in read_yaml(done.stdout)] == ["0 0 * * *", "0 * * * *"]


def test_a_crontab_that_is_not_there_is_said(tmp_path: Path) -> None:
    done = usched("import", "crontab", str(tmp_path / "none"))
    assert done.exit_code == 2
    assert "cannot be read: No such file" in done.stderr
