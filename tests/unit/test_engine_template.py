"""The template as it is deployed: local files in their places, functions in their long form, definitions that fit."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from universal_scheduler.local import deploy, package

CODE = "s3://bucket/code.zip"
TEMPLATE = deploy.packaged(deploy.TEMPLATE, code_uri=CODE)


def of_type(kind: str) -> dict[str, Any]:
    return {name: it["Properties"] for name, it in TEMPLATE["Resources"].items() if it["Type"] == kind}


def test_short_functions_become_long_ones(tmp_path: Path) -> None:
    (tmp_path / "part.yaml").write_text("b: !GetAtt A.Arn\n")
    (tmp_path / "t.yaml").write_text(
        "Resources:\n"
        "  A: {Type: T, Properties: {x: !Ref B, y: !Sub '${B}', z: !If [C, !Ref D, !Ref AWS::NoValue]}}\n"
        "  E: {Type: T, Properties: {Fn::Transform: {Name: AWS::Include, Parameters: {Location: part.yaml}}, c: 1}}\n"
    )
    resources = deploy.packaged(tmp_path / "t.yaml", code_uri=CODE)["Resources"]
    assert resources["A"]["Properties"] == {
        "x": {"Ref": "B"},
        "y": {"Fn::Sub": "${B}"},
        "z": {"Fn::If": ["C", {"Ref": "D"}, {"Ref": "AWS::NoValue"}]},
    }
    assert resources["E"]["Properties"] == {"b": {"Fn::GetAtt": ["A", "Arn"]}, "c": 1}


def test_no_local_file_is_left_to_look_for() -> None:
    assert "AWS::Include" not in json.dumps(TEMPLATE)
    assert all(function["CodeUri"] == CODE for function in of_type("AWS::Serverless::Function").values())
    assert all("DefinitionUri" not in machine for machine in of_type("AWS::Serverless::StateMachine").values())


def test_every_placeholder_of_a_definition_is_filled() -> None:
    for name, machine in of_type("AWS::Serverless::StateMachine").items():
        text = json.dumps(machine["Definition"])
        used = {part.split("}")[0] for part in text.split("${")[1:]}
        assert used == set(machine["DefinitionSubstitutions"]), name


def test_every_handler_is_a_file_and_every_file_a_function() -> None:
    files = {path.stem for path in (package.ROOT / "lambdas").glob("*.py") if "def handler(" in path.read_text()}
    handlers = {function["Handler"] for function in of_type("AWS::Serverless::Function").values()}
    assert handlers == {f"lambdas.{name}.handler" for name in files}


def test_every_function_has_a_log_group_of_its_name_that_forgets() -> None:
    groups = {name: group["LogGroupName"]["Fn::Sub"] for name, group in of_type("AWS::Logs::LogGroup").items()}
    for function in of_type("AWS::Serverless::Function").values():
        group = groups[function["LoggingConfig"]["LogGroup"]["Ref"]]
        assert group == "/aws/lambda/" + function["FunctionName"]["Fn::Sub"]
    assert all("RetentionInDays" in group for group in of_type("AWS::Logs::LogGroup").values())


def test_no_function_may_do_everything_to_anything() -> None:
    for name, function in of_type("AWS::Serverless::Function").items():
        for statement in function["Policies"][0]["Statement"]:
            actions = statement.get("Action", [])
            for action in [actions] if isinstance(actions, str) else actions:
                assert "*" not in action, name
            if statement.get("Resource") == "*":  # calls that know no resource
                known = ("batch:ListJobs", "batch:DescribeJobs", "scheduler:ListSchedules")
                assert statement["Action"] in known, name


def test_no_start_is_lost_to_a_passing_outage_and_none_goes_unnoticed() -> None:
    mappings = [
        event["Properties"]
        for function in of_type("AWS::Serverless::Function").values()
        for event in function.get("Events", {}).values()
        if event["Type"] == "DynamoDB"
    ]
    assert len(mappings) == 2
    for mapping in mappings:
        assert (mapping["MaximumRetryAttempts"], mapping["MaximumRecordAgeInSeconds"]) == (-1, 6 * 3600)
        assert mapping["BisectBatchOnFunctionError"]
        assert mapping["DestinationConfig"]["OnFailure"]["Destination"] == {"Fn::GetAtt": ["StreamDeadLetters", "Arn"]}


def test_every_queue_has_dead_letters_and_they_have_an_alarm() -> None:
    watched = [
        dimension["Value"]["Fn::GetAtt"][0]
        for alarm in of_type("AWS::CloudWatch::Alarm").values()
        for dimension in alarm.get("Dimensions", ())
        if alarm["MetricName"] == "ApproximateNumberOfMessagesVisible"
    ]
    queues = of_type("AWS::SQS::Queue")
    assert watched == [name for name, queue in queues.items() if "RedrivePolicy" not in queue]


@pytest.mark.parametrize(
    ("name", "fed_by"),
    [("JobEvents", ("JobEventsRule", "ExecutionEventsRule")), ("Arrivals", ("ObjectsRule", "ApplicationEventsRule"))],
)
def test_an_event_that_cannot_be_handled_is_given_up_after_some_time_and_kept(name: str, fed_by: list[str]) -> None:
    queue = of_type("AWS::SQS::Queue")[f"{name}Queue"]
    rules = {rule: of_type("AWS::Events::Rule")[rule] for rule in fed_by}
    [statement] = of_type("AWS::SQS::QueuePolicy")[f"{name}QueuePolicy"]["PolicyDocument"]["Statement"]
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert statement["Condition"] == {"ArnEquals": {"aws:SourceArn": [{"Fn::GetAtt": [name, "Arn"]} for name in rules]}}
    for rule in rules.values():
        [target] = rule["Targets"]
        assert target["DeadLetterConfig"]["Arn"] == queue["RedrivePolicy"]["deadLetterTargetArn"]


@pytest.mark.parametrize(
    ("others", "queues"),
    [("", 3), ("arn:aws:batch:us-east-1:1:job-queue/big,arn:aws:batch:us-east-1:1:job-definition/x:*", 5)],
)
def test_job_events_are_those_of_the_queues_that_schedules_may_name(others: str, queues: int) -> None:
    from ministack.services.cloudformation import engine

    conditions = {"AllowOthers": bool(others)}
    parameters = {"OtherBatchArns": {"Value": others.split(",")}}
    made = {name: {"PhysicalResourceId": f"arn:{name}"} for name in ("HighQueue", "DefaultQueue", "LowQueue")}
    pattern = of_type("AWS::Events::Rule")["JobEventsRule"]["EventPattern"]["detail"]["jobQueue"]
    resolved = engine._resolve_refs(pattern, made, parameters, conditions, {}, "stack", "id")
    assert len(resolved) == queues
    assert set(others.split(",")) - {""} <= set(resolved)


def test_queues_give_their_functions_time_and_keep_what_failed() -> None:
    functions = list(of_type("AWS::Serverless::Function").values())
    for function, event in ((it, event) for it in functions for event in it.get("Events", {}).values()):
        if event["Type"] == "SQS":
            queue = of_type("AWS::SQS::Queue")[event["Properties"]["Queue"]["Fn::GetAtt"][0]]
            assert queue["VisibilityTimeout"] >= 6 * function["Timeout"]
            assert event["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
            assert queue["RedrivePolicy"]["maxReceiveCount"] >= 8, "pauses that double outlast a job's intent"


def test_indexes_hold_keys_only() -> None:
    indexes = [
        index for table in of_type("AWS::DynamoDB::Table").values() for index in table.get("GlobalSecondaryIndexes", ())
    ]
    assert [index["Projection"] for index in indexes] == [{"ProjectionType": "KEYS_ONLY"}] * 6


@pytest.mark.parametrize(
    ("subnets", "groups", "taken"), [("", "", True), ("subnet-1", "", False), ("subnet-1", "sg-1", True)]
)
def test_subnets_need_security_groups(subnets: str, groups: str, taken: bool) -> None:
    from ministack.services.cloudformation import engine

    given = {"SubnetIds": subnets, "SecurityGroupIds": groups}
    rules = {key: TEMPLATE[key] for key in ("Parameters", "Rules")}
    engine._check_rules_section(rules)
    values = {name: {"Value": value} for name, value in given.items()}
    refused = nullcontext() if taken else pytest.raises(ValueError, match="Give SecurityGroupIds with SubnetIds")
    with refused:
        engine._evaluate_rules(rules, values, {})


MAY = {
    "usched-start-run": {
        "NotificationsQueue: sqs:SendMessage",
        "SchedulesTable CalendarsTable: dynamodb:GetItem",
        "HistoryTable: dynamodb:GetItem dynamodb:PutItem dynamodb:UpdateItem",
        "JobsTable: dynamodb:BatchWriteItem dynamodb:DeleteItem dynamodb:GetItem dynamodb:PutItem dynamodb:Query",
        "execution:schedule_runner:*: states:DescribeExecution",
        "*: batch:ListJobs",
    },
    "usched-submit-jobs": {
        "NotificationsQueue: sqs:SendMessage",
        "HistoryTable: dynamodb:GetItem",
        "JobsTable: dynamodb:BatchGetItem dynamodb:GetItem dynamodb:PutItem dynamodb:Query dynamodb:UpdateItem",
        "HighQueue DefaultQueue LowQueue job-definition/shell job-definition/shell:*: batch:SubmitJob",
        "OtherBatchArns: batch:SubmitJob",
        "job/*: batch:CancelJob batch:TagResource batch:TerminateJob",
        "*: batch:ListJobs",
        "*: batch:DescribeJobs",
        "OutputsBucket/*: s3:GetObject",
        "OtherObjectArns: s3:GetObject",
    },
    "usched-job-status-poller": {
        "NotificationsQueue: sqs:SendMessage",
        "HistoryTable: dynamodb:GetItem",
        "JobsTable: dynamodb:GetItem dynamodb:Query dynamodb:UpdateItem",
        "*: batch:DescribeJobs",
    },
    "usched-wait-for-change": {"JobsTable: dynamodb:UpdateItem"},
    "usched-record-result": {
        "HistoryTable: dynamodb:GetItem dynamodb:PutItem dynamodb:UpdateItem",
        "JobsTable: dynamodb:Query dynamodb:UpdateItem",
        "JobsTable #days: dynamodb:BatchWriteItem",
        "job/*: batch:TerminateJob",
        "*: batch:ListJobs",
    },
    "usched-schedule-stream": {
        "CalendarsTable: dynamodb:GetItem",
        "SchedulesTable: dynamodb:BatchGetItem dynamodb:ConditionCheckItem dynamodb:GetItem dynamodb:UpdateItem",
        "JobsTable: dynamodb:DeleteItem dynamodb:GetItem dynamodb:PutItem",
        "JobsTable #after#* #upstream#* #listeners#*: dynamodb:BatchWriteItem dynamodb:DeleteItem dynamodb:Query",
        "ScheduleRunner: states:StartExecution",
        "schedule/ScheduleGroup/*: scheduler:CreateSchedule scheduler:DeleteSchedule scheduler:UpdateSchedule",
        "DueRole: iam:PassRole",
    },
    "usched-history-stream": {
        "SchedulesTable: dynamodb:BatchGetItem dynamodb:GetItem dynamodb:Scan",
        "JobsTable: dynamodb:GetItem dynamodb:PutItem dynamodb:Query",
        "ScheduleRunner: states:StartExecution",
        "NotificationsQueue: sqs:SendMessage",
    },
    "usched-job-events": {
        "JobEventsTable: dynamodb:BatchWriteItem",
        "JobEventsQueue: sqs:ChangeMessageVisibility",
        "HistoryTable: dynamodb:GetItem dynamodb:UpdateItem",
        "HistoryTable/index/executionName-index: dynamodb:Query",
        "JobsTable: dynamodb:BatchGetItem dynamodb:Query dynamodb:UpdateItem",
        "job/*: batch:TerminateJob",
        "*: batch:ListJobs",
        "*: batch:DescribeJobs",
        "NotificationsQueue: sqs:SendMessage",
        "JobsTable/index/jobId-index: dynamodb:Query",
        "stateMachine:schedule_runner: states:SendTaskSuccess",
    },
    "usched-sweep": {
        "HistoryTable: dynamodb:GetItem dynamodb:Scan dynamodb:UpdateItem",
        "HistoryTable/index/watch-index HistoryTable/index/executionName-index: dynamodb:Query",
        "ScheduleRunner: states:StartExecution",
        "SchedulesTable: dynamodb:BatchGetItem dynamodb:Scan",
        "CalendarsTable: dynamodb:GetItem",
        "schedule/ScheduleGroup/*: scheduler:CreateSchedule scheduler:DeleteSchedule scheduler:GetSchedule"
        " scheduler:UpdateSchedule",
        "*: scheduler:ListSchedules",
        "DueRole: iam:PassRole",
        "JobsTable: dynamodb:BatchGetItem dynamodb:BatchWriteItem dynamodb:GetItem dynamodb:PutItem dynamodb:Query"
        " dynamodb:UpdateItem",
        "JobEventsTable: dynamodb:Query",
        "*: batch:DescribeJobs",
        "*: batch:ListJobs",
        "job/*: batch:TerminateJob",
        "execution:schedule_runner:*: states:DescribeExecution",
        "stateMachine:schedule_runner: states:SendTaskSuccess",
        "NotificationsQueue: sqs:SendMessage",
    },
    "usched-starter": {
        "ScheduleRunner: states:StartExecution",
        "SchedulesTable: dynamodb:GetItem",
        "JobsTable: dynamodb:GetItem dynamodb:PutItem dynamodb:UpdateItem",
        "HistoryTable: dynamodb:GetItem dynamodb:UpdateItem",
        "HistoryTable/index/executionName-index: dynamodb:Query",
        "execution:schedule_runner:*: states:DescribeExecution",
        "stateMachine:schedule_runner: states:SendTaskSuccess",
        "CalendarsTable: dynamodb:GetItem",
        "schedule/ScheduleGroup/*: scheduler:CreateSchedule scheduler:UpdateSchedule",
        "DueRole: iam:PassRole",
    },
    "usched-arrivals": {
        "ScheduleRunner: states:StartExecution",
        "SchedulesTable: dynamodb:BatchGetItem",
        "JobsTable: dynamodb:GetItem dynamodb:Query",
        "JobsTable #objects#*: dynamodb:UpdateItem",
        "schedule/ScheduleGroup/*: scheduler:CreateSchedule scheduler:UpdateSchedule",
        "DueRole: iam:PassRole",
    },
    "usched-notify": {
        "SchedulesTable HistoryTable: dynamodb:GetItem",
        "JobsTable: dynamodb:BatchGetItem dynamodb:Query",
        "*: batch:DescribeJobs",
        "*: batch:ListJobs",
        "log-group:/aws/batch/*: logs:GetLogEvents",
        "NotificationsQueue: sqs:ChangeMessageVisibility",
        "NotificationDeadLetters: sqs:SendMessage",
        "NotificationTopicArns or all topics: sns:Publish",
        "parameter/usched/*: ssm:GetParameter",
        "secret:usched/*: secretsmanager:GetSecretValue",
    },
    "usched-check-start": {"SchedulesTable: dynamodb:GetItem", "HistoryTable: dynamodb:GetItem"},
    "usched-get-execution": {
        "HistoryTable: dynamodb:GetItem",
        "HistoryTable/index/executionName-index: dynamodb:Query",
        "JobsTable: dynamodb:Query",
        "execution:schedule_runner:*: states:DescribeExecution",
    },
    "usched-put-schedule": {
        "CalendarsTable: dynamodb:GetItem",
        "SchedulesTable: dynamodb:BatchGetItem dynamodb:GetItem dynamodb:PutItem",
        "JobsTable #after#*: dynamodb:BatchWriteItem",
    },
    "usched-get-schedule": {
        "SchedulesTable: dynamodb:GetItem",
        "HistoryTable: dynamodb:Query",
        "JobsTable: dynamodb:GetItem",
    },
    "usched-get-next-starts": {
        "SchedulesTable CalendarsTable: dynamodb:GetItem",
        "JobsTable: dynamodb:GetItem",
    },
}
"""Every call that each function makes, and on what; whoever adds a call adds it here."""


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def named(resource: Any) -> str:
    """A resource without account and region: what the template calls it, or the end of its ARN."""
    match resource:
        case {"Fn::GetAtt": [str(name), "Arn"]} | {"Ref": str(name)}:
            return name
        case {"Fn::If": [_, given, {"Fn::Sub": "arn:${AWS::Partition}:sns:*:${AWS::AccountId}:*"}]}:
            return f"{named(given)} or all topics"
        case {"Fn::Sub": str(text)}:
            text = text.replace("${NamePrefix}", "").replace(".Arn}", "}")
            return re.sub(r"^arn:.*?\$\{AWS::AccountId}:|\$\{|}", "", text)
        case _:
            return str(resource)


def partitions(statement: dict[str, Any]) -> list[str]:
    """Of a table the only partition keys that the statement is for."""
    given = [of_key.get("dynamodb:LeadingKeys", []) for of_key in statement.get("Condition", {}).values()]
    return [key for keys in given for key in listed(keys)]


def statements(function: dict[str, Any]) -> set[str]:
    """The policy, a line for each statement; those that are made on a condition, too."""
    lines = set()
    for statement in function["Policies"][0]["Statement"]:
        allowed = statement["Fn::If"][1] if "Fn::If" in statement else statement
        resources = " ".join([*map(named, listed(allowed["Resource"])), *partitions(allowed)])
        lines.add(f"{resources}: {' '.join(sorted(listed(allowed['Action'])))}")
    return lines


@pytest.mark.parametrize("name", MAY)
def test_a_function_may_do_what_it_does_and_no_more(name: str) -> None:
    functions = {
        function["FunctionName"]["Fn::Sub"].removeprefix("${NamePrefix}"): function
        for function in of_type("AWS::Serverless::Function").values()
    }
    assert functions.keys() == MAY.keys()
    assert statements(functions[name]) == MAY[name]


def test_only_eventbridge_scheduler_gets_the_role_that_functions_may_pass() -> None:
    passed = [
        statement["Condition"]
        for function in of_type("AWS::Serverless::Function").values()
        for statement in function["Policies"][0]["Statement"]
        if statement.get("Action") == "iam:PassRole"
    ]
    assert passed == [{"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}}] * 4


MANAGED = {
    "AWSLambdaBasicExecutionRole",
    "AWSLambdaDynamoDBExecutionRole",
    "AWSLambdaSQSQueueExecutionRole",
    "AWSXrayWriteOnlyAccess",
}
"""What SAM gives a function besides: to write its log, to read its stream or queue, to send its traces."""


def translated(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The template's resources as SAM makes them."""
    from samtranslator.translator.transform import transform  # half a second, which no other test has to wait for

    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")

    class NoPolicies:
        def load(self) -> dict[str, str]:
            return {}

    document: dict[str, Any] = transform(json.loads(json.dumps(TEMPLATE)), {}, NoPolicies())["Resources"]
    return document


def test_functions_machines_and_api_are_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """https://docs.aws.amazon.com/xray/latest/devguide/xray-services-lambda.html"""
    resources = translated(monkeypatch)
    functions = [it["Properties"] for it in resources.values() if it["Type"] == "AWS::Lambda::Function"]
    assert all(function["TracingConfig"] == {"Mode": "Active"} for function in functions)
    machines = [it["Properties"] for it in resources.values() if it["Type"] == "AWS::StepFunctions::StateMachine"]
    assert [machine["TracingConfiguration"] for machine in machines] == [{"Enabled": True}] * 2
    [stage] = [it["Properties"] for it in resources.values() if it["Type"] == "AWS::ApiGateway::Stage"]
    assert stage["TracingEnabled"]
    for function in functions:
        role = resources[function["Role"]["Fn::GetAtt"][0]]["Properties"]
        added = {arn.rpartition("/")[2] for arn in role["ManagedPolicyArns"]}
        assert {"AWSLambdaBasicExecutionRole", "AWSXrayWriteOnlyAccess"} <= added, "by SAM, to the table above"
        assert added <= MANAGED


def test_alarms_and_dashboard_name_what_there_is() -> None:
    emitted = {"Runs", "RunTime", "EndToWake", "Retries", "QueueTime", "Breaches", "FunctionErrors"}
    emitted |= {"Firings", "UnexpectedFirings", "EntriesMended"}
    [board] = of_type("AWS::CloudWatch::Dashboard").values()
    body = json.loads(board["DashboardBody"]["Fn::Sub"])
    shown = [metric for widget in body["widgets"] for metric in widget["properties"]["metrics"]]
    own = "${NamePrefix}UniversalScheduler"
    assert {metric[1] for metric in shown if metric[0] == own} == emitted - {"RunTime"}
    places = [(widget["x"], widget["y"]) for widget in body["widgets"]]
    assert len(set(places)) == len(places)
    for name in re.findall(r"\$\{(\w+)(?:\.\w+)?}", board["DashboardBody"]["Fn::Sub"]):
        assert name in TEMPLATE["Resources"] or name in TEMPLATE["Parameters"], name
    alarms = of_type("AWS::CloudWatch::Alarm").values()
    assert {alarm["MetricName"] for alarm in alarms if alarm["Namespace"] == {"Fn::Sub": own}} <= emitted
    assert all(alarm["AlarmDescription"] and alarm["TreatMissingData"] for alarm in alarms)


def test_every_function_outside_the_state_machine_and_the_api_has_an_alarm_on_lambdas_count_of_errors() -> None:
    """Those inside raise to tell their state of something; here an error is one, even of a function that was killed."""
    watched: dict[str, set[str]] = {}
    for alarm in of_type("AWS::CloudWatch::Alarm").values():
        if alarm["Namespace"] == "AWS/Lambda" and "Dimensions" in alarm:
            [dimension] = alarm["Dimensions"]
            watched.setdefault(alarm["MetricName"], set()).add(dimension["Value"]["Ref"])
    driven = {name: it["Events"] for name, it in of_type("AWS::Serverless::Function").items() if "Events" in it}
    assert watched["Errors"] == driven.keys()
    streams = {name for name, it in driven.items() if any(event["Type"] == "DynamoDB" for event in it.values())}
    assert watched["IteratorAge"] == streams


def test_api_gateway_can_take_the_roles_of_its_integrations() -> None:
    """It names no source account then, so a condition on one would refuse every call."""
    trusts = [role["AssumeRolePolicyDocument"]["Statement"] for role in of_type("AWS::IAM::Role").values()]
    of_api = [it for [it] in trusts if it["Principal"] == {"Service": "apigateway.amazonaws.com"}]
    assert len(of_api) == 2
    for [statement] in trusts:
        assert ("Condition" in statement) == (statement not in of_api)


def test_the_dashboard_is_named_for_its_region() -> None:
    """Two stacks of one account would otherwise write one dashboard."""
    [board] = of_type("AWS::CloudWatch::Dashboard").values()
    assert board["DashboardName"] == {"Fn::Sub": "${NamePrefix}universal-scheduler-${AWS::Region}"}


def test_sam_takes_the_template(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = [resource["Type"] for resource in translated(monkeypatch).values()]
    assert kinds.count("AWS::Lambda::Function") == len(of_type("AWS::Serverless::Function"))
    events = [each for it in of_type("AWS::Serverless::Function").values() for each in it.get("Events", {}).values()]
    mappings = [each for each in events if each["Type"] in ("DynamoDB", "SQS")]
    assert kinds.count("AWS::Lambda::EventSourceMapping") == len(mappings)
