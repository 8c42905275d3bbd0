"""Least privilege: what no policy of a role may say, and the conditions that some must have."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from steward_cli.access import PERSONAS
from support.templates import (
    CHILDREN,
    as_list,
    identity_statements,
    load,
    load_child,
    of_type,
    transformed,
)

# Actions that AWS authorises without a resource.
_NO_RESOURCE_LEVEL = {
    "sagemaker:ListModelCardExportJobs",
    "cloudtrail:LookupEvents",
    "cloudwatch:GetMetricData",
    "cloudwatch:PutMetricData",
    "codepipeline:PutJobFailureResult",
    "codepipeline:PutJobSuccessResult",
    "ecr:GetAuthorizationToken",
    "logs:CreateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:DescribeLogGroups",
    "logs:DeleteQueryDefinition",
    "logs:DescribeQueryDefinitions",
    "logs:PutQueryDefinition",
    "logs:DescribeResourcePolicies",
    "logs:GetLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:UpdateLogDelivery",
    "sagemaker:ListArtifacts",
    "sagemaker:ListEndpointConfigs",
    "sagemaker:ListModels",
    "sagemaker:ListModelCards",
    "scheduler:ListSchedules",
    "sagemaker:ListAssociations",
    "sagemaker:ListEndpoints",
    "sagemaker:ListModelPackages",
    "sagemaker:ListTrainingJobs",
    "sagemaker:ListTransformJobs",
    "sagemaker:ListProcessingJobs",
    "sagemaker:ListHyperParameterTuningJobs",
}
# SAM attaches these to functions and machines: write logs, write trace segments, read streams
# and queues.
_AWS_MANAGED = (
    "AWSLambdaBasicExecutionRole",
    "AWSLambdaDynamoDBExecutionRole",
    "AWSLambdaSQSQueueExecutionRole",
    "AWSXRayDaemonWriteAccess",
    "AWSXrayWriteOnlyAccess",
)

_SCHEDULING = {
    "AdministratorPolicy": "BatchScheduleRole",  # with a project\'s stack
    "ScheduleTicksFunctionRole": "ScheduleRole",
    "ScheduleRemindersFunctionRole": "ReminderRole",
}

by_child = pytest.mark.parametrize("path", CHILDREN, ids=lambda path: path.stem)


def _statements(path: Path) -> list[tuple[str, dict[str, Any]]]:
    return list(identity_statements(transformed(path)))


@by_child
def test_no_identity_policy_allows_all_actions_of_a_service(path: Path) -> None:
    for name, statement in _statements(path):
        for action in as_list(statement["Action"]):
            assert not action.endswith(":*"), (name, action)
            assert action != "*", name
            assert "NotAction" not in statement, name


@by_child
def test_only_actions_without_resource_level_have_no_resource(path: Path) -> None:
    for name, statement in _statements(path):
        if statement["Effect"] == "Allow" and "*" in as_list(statement["Resource"]):
            assert set(as_list(statement["Action"])) <= _NO_RESOURCE_LEVEL, (name, statement)


@by_child
def test_a_role_is_passed_to_one_service_alone(path: Path) -> None:
    for name, statement in _statements(path):
        if "iam:PassRole" in as_list(statement["Action"]):
            assert as_list(statement["Action"]) == ["iam:PassRole"], name
            service = statement["Condition"]["StringEquals"]["iam:PassedToService"]
            stores = statement["Resource"] == {"Ref": "FeatureStoreRoleArn"}
            passed = None if stores else _SCHEDULING.get(name)
            assert service == ("scheduler" if passed else "sagemaker") + ".amazonaws.com", name
            if passed:
                given = statement["Resource"]
                assert given in ({"Fn::GetAtt": [passed, "Arn"]}, {"Ref": f"{passed}Arn"})


@by_child
def test_metrics_are_put_into_sagemakers_namespace_alone(path: Path) -> None:
    for name, statement in _statements(path):
        if "cloudwatch:PutMetricData" in as_list(statement["Action"]):
            allowed = statement["Condition"]["StringLike"]["cloudwatch:namespace"]
            assert allowed == "/aws/sagemaker/*", name


def test_one_function_puts_events_and_only_our_own() -> None:
    putting = {
        (path.stem, name): statement
        for path in CHILDREN
        for name, statement in _statements(path)
        if "events:PutEvents" in as_list(statement["Action"])
    }
    assert set(putting) == {
        ("foundation", "PublishOutboxFunctionRole"),
        ("foundation", "ForwardRole"),  # of EventBridge itself: from the default bus to ours
        ("foundation", "OfferRole"),  # of EventBridge: to the next environment
        ("foundation", "AnswerRole"),  # of EventBridge: to the environment before
        ("serving", "ClientPolicy"),  # of people's applications: single outcomes
        ("access", "OperatorPolicy"),  # asks for rollback, reaping and scores of files
        ("access", "ScientistPolicy"),  # asks for scores of files
        ("access", "AuditorPolicy"),  # denies it
    }
    assert putting.pop(("serving", "ClientPolicy")) == {
        "Effect": "Allow",
        "Action": "events:PutEvents",
        "Resource": {
            "Fn::Sub": "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:"
            "event-bus/${BusName}"
        },
        "Condition": {
            "StringEquals": {
                "events:source": "steward.serving",
                "events:detail-type": "OutcomeObserved",
            }
        },
    }
    asking = putting.pop(("access", "OperatorPolicy"))
    assert asking["Condition"]["StringEquals"] == {
        "events:source": "steward.serving",
        "events:detail-type": ["RollbackRequested", "ReapingRequested", "BatchScoringRequested"],
    }
    scientist = putting.pop(("access", "ScientistPolicy"))
    assert scientist["Condition"]["StringEquals"] == {
        "events:source": "steward.serving", "events:detail-type": "BatchScoringRequested",
    }  # fmt: skip
    assert scientist["Resource"] == {"Ref": "BusArn"}
    assert putting.pop(("access", "AuditorPolicy"))["Effect"] == "Deny"
    publisher = putting["foundation", "PublishOutboxFunctionRole"]
    assert publisher["Condition"] == {"ForAllValues:StringLike": {"events:source": "steward.*"}}
    assert putting.pop(("foundation", "OfferRole"))["Resource"][0] == {"Ref": "FirstBus"}
    assert putting.pop(("foundation", "AnswerRole"))["Resource"] == {"Ref": "PromoteFrom"}
    for statement in putting.values():
        assert statement["Resource"] == {"Fn::GetAtt": ["Bus", "Arn"]}


def test_only_those_that_must_may_change_a_package() -> None:
    allowed = {
        name
        for path in CHILDREN
        for name, statement in _statements(path)
        if "sagemaker:UpdateModelPackage" in as_list(statement["Action"])
    }
    assert allowed == {
        "ApplyDecisionFunctionRole",  # sets Approved and Rejected, after the record says so
        "ReconcileApprovalFunctionRole",  # sets back what was set around it
        "ExpireApprovalsFunctionRole",  # the same, for what an event missed
        "MirrorVersionFunctionRole",  # life cycle and properties; denied every status
        "PublishCardFunctionRole",  # writes the package's card; a status is denied, see below
    }


def test_who_writes_a_packages_card_is_denied_to_name_a_status() -> None:
    (path,) = [child for child in CHILDREN if child.stem == "registry"]
    resource = transformed(path)["Resources"]["PublishCardFunctionRole"]
    denied = [
        statement
        for policy in resource["Properties"]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny"
    ]
    assert denied == [
        {
            "Effect": "Deny",
            "Action": "sagemaker:UpdateModelPackage",
            "Resource": "*",
            "Condition": {"Null": {"sagemaker:ModelApprovalStatus": "false"}},
        }
    ]


@by_child
def test_every_function_and_machine_has_a_role_of_its_own(path: Path) -> None:
    template = transformed(path)
    roles = [
        json.dumps(
            resource["Properties"]["Role" if "Role" in resource["Properties"] else "RoleArn"]
        )
        for resource in of_type(
            template, "AWS::Lambda::Function", "AWS::StepFunctions::StateMachine"
        ).values()
    ]
    assert len(set(roles)) == len(roles)


@by_child
def test_no_managed_policy_of_aws_beyond_logs_and_traces(path: Path) -> None:
    for name, role in of_type(transformed(path), "AWS::IAM::Role").items():
        for policy in role["Properties"].get("ManagedPolicyArns", []):
            if "Ref" not in policy:
                assert json.dumps(policy).strip('"}]').endswith(_AWS_MANAGED), (name, policy)


@by_child
def test_services_assume_roles_for_this_account_alone(path: Path) -> None:
    """SAM's own roles are of Lambda and Step Functions, which no other account can point here."""
    for name, role in of_type(load(path), "AWS::IAM::Role").items():
        for statement in role["Properties"]["AssumeRolePolicyDocument"]["Statement"]:
            assert statement["Action"] == "sts:AssumeRole", name
            assert "Condition" in statement, name


def test_the_approver_role_fixes_the_session_name_to_the_person() -> None:
    [statement] = load_child("registry")["Resources"]["ApproverRole"]["Properties"][
        "AssumeRolePolicyDocument"
    ]["Statement"]
    assert statement["Condition"] == {"StringEquals": {"sts:RoleSessionName": "${aws:username}"}}


@pytest.mark.parametrize(
    ("domain", "policy", "functions"),
    [
        (
            "access",
            "ApproverPolicy",
            {
                "DecideVersionFunctionArn",
                "WaiveRuleFunctionArn",
                "RecordReviewFunctionArn",
                "PrintCardFunctionArn",
            },
        ),
        (
            "access",
            "ScientistPolicy",
            {"PushSourceFunctionArn", "ChangeRunFunctionArn", "PrintCardFunctionArn"},
        ),
        ("access", "OperatorPolicy", {"ChangeRunFunctionArn"}),
        ("registry", "PolicyOwnerPolicy", {"DeployPolicyFunction"}),
        ("serving", "ClientPolicy", {"AnswerRequestFunction", "RecordOutcomesFunction"}),
        ("data", "FeatureReaderPolicy", {"ReadFeaturesFunction"}),
        ("data", "DataEraserPolicy", {"DeleteDeliveryFunction"}),
    ],
)
def test_who_may_call_a_function_url_has_both_permissions_and_through_the_url_only(
    domain: str, policy: str, functions: set[str]
) -> None:
    conditions = {
        "lambda:InvokeFunctionUrl": {"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}},
        "lambda:InvokeFunction": {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}},
    }
    document = load_child(domain)["Resources"][policy]["Properties"]["PolicyDocument"]
    found = {}
    for statement in document["Statement"]:
        if statement["Effect"] == "Deny":
            continue
        for action in set(as_list(statement["Action"])) & set(conditions):
            assert as_list(statement["Action"]) == [action]
            assert statement["Condition"] == conditions[action]
            found[action] = {
                resource["Ref"] if "Ref" in resource else resource["Fn::GetAtt"][0]
                for resource in as_list(statement["Resource"])
            }
    assert found == dict.fromkeys(conditions, functions)


def test_the_key_lets_services_of_this_account_reach_queues_topics_and_logs() -> None:
    policy = load_child("foundation")["Resources"]["Key"]["Properties"]["KeyPolicy"]
    by_sid = {statement["Sid"]: statement for statement in policy["Statement"]}
    services = by_sid["ServicesOfThisAccountReachQueuesAndTopics"]
    assert {"cloudwatch.amazonaws.com", "events.amazonaws.com", "sns.amazonaws.com"} <= set(
        services["Principal"]["Service"]
    )
    assert set(services["Action"]) == {"kms:Decrypt", "kms:GenerateDataKey*"}
    assert "aws:SourceAccount" in services["Condition"]["StringEquals"]
    logs = by_sid["LogGroupsOfThisAccount"]
    assert "kms:EncryptionContext:aws:logs:arn" in logs["Condition"]["ArnLike"]


@by_child
def test_who_reads_objects_may_learn_that_one_is_missing(path: Path) -> None:
    """S3 answers 403 instead of 404 to a role that may not list the bucket."""
    reading: dict[str, set[str]] = {}
    listing: dict[str, set[str]] = {}
    for name, statement in _statements(path):
        for resource in as_list(statement["Resource"]):
            found = re.search(r":s3:::\$\{(\w+)\}", json.dumps(resource))
            if not name.endswith("FunctionRole") or not found:
                continue
            if "s3:GetObject" in as_list(statement["Action"]):
                reading.setdefault(name, set()).add(found[1])
            if "s3:ListBucket" in as_list(statement["Action"]) and "Condition" not in statement:
                listing.setdefault(name, set()).add(found[1])
    listing.pop("PlanWindowFunctionRole", None)  # it lists what others read
    assert reading == listing


def test_who_reads_experiments_changes_nothing() -> None:
    policy = load_child("serving")["Resources"]["ExperimentReaderPolicy"]
    statements = policy["Properties"]["PolicyDocument"]["Statement"]
    actions = {action for statement in statements for action in as_list(statement["Action"])}
    assert actions == {
        "cloudformation:DescribeStacks", "dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan",
        "s3:GetObject", "kms:Decrypt",
    }  # fmt: skip


def test_no_role_of_a_function_or_machine_may_decide() -> None:
    """The approval URL is for people: its two actions are named in no other policy."""
    deciding = {
        name
        for path in CHILDREN
        for name, statement in _statements(path)
        if statement["Effect"] == "Allow" and "DecideVersionFunction" in json.dumps(statement)
    }
    assert deciding <= {"ApproverPolicy"}


@pytest.mark.parametrize("persona", PERSONAS)
def test_a_personas_policy_fits_into_one_managed_policy(persona: str) -> None:
    """IAM takes 6,144 characters without white space; names here are as long as they may be."""
    policy = load_child("access")["Resources"][f"{persona.title()}Policy"]
    text = json.dumps(policy["Properties"]["PolicyDocument"], separators=(",", ":"))
    names = {"Partition": "aws-us-gov", "Region": "ap-southeast-1", "AccountId": "0" * 12}
    for name, value in names.items():
        text = text.replace(f"${{AWS::{name}}}", value)
    text = re.sub(r'\{"Fn::Sub":"([^"]*)"\}', r'"\1"', text)
    text = re.sub(r'\{"Ref":"\w+"\}', f'"{"x" * 140}"', text)
    text = text.replace("${StewardStack}", "steward-production").replace(" ", "")
    text = re.sub(r"\$\{\w+\}", "x" * 63, text)
    assert len(text) <= 6144


@pytest.mark.parametrize("persona", sorted(set(PERSONAS) - {"approver"}))
def test_every_persona_but_the_approver_is_denied_the_approval_url(persona: str) -> None:
    """A Deny beats every Allow: who has a second policy beside this one decides nothing."""
    policy = load_child("access")["Resources"][f"{persona.title()}Policy"]
    denied = [
        statement
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny"
        and "lambda:InvokeFunctionUrl" in as_list(statement["Action"])
    ]
    [statement] = denied
    reach = json.dumps(statement["Resource"])
    assert "DecideVersionFunctionArn" in reach or "function:${StewardStack}-*" in reach
    assert "Condition" not in statement


_IN_A_PROJECTS_STACK = {
    "AWS::CloudWatch::Alarm": (
        "cloudwatch:PutMetricAlarm", "cloudwatch:DescribeAlarms", "cloudwatch:DeleteAlarms",
        "cloudwatch:TagResource", "cloudwatch:UntagResource", "cloudwatch:ListTagsForResource",
    ),
    "AWS::CloudWatch::CompositeAlarm": (
        "cloudwatch:PutCompositeAlarm", "cloudwatch:DescribeAlarms", "cloudwatch:DeleteAlarms",
        "cloudwatch:TagResource", "cloudwatch:UntagResource", "cloudwatch:ListTagsForResource",
    ),
    "AWS::CloudWatch::Dashboard": (
        "cloudwatch:PutDashboard", "cloudwatch:GetDashboard", "cloudwatch:DeleteDashboards",
    ),
    "AWS::Logs::QueryDefinition": (
        "logs:PutQueryDefinition", "logs:DescribeQueryDefinitions", "logs:DeleteQueryDefinition",
    ),
    "AWS::SageMaker::FeatureGroup": (
        "sagemaker:CreateFeatureGroup", "sagemaker:DescribeFeatureGroup",
        "sagemaker:UpdateFeatureGroup", "sagemaker:DeleteFeatureGroup", "sagemaker:AddTags",
        "sagemaker:ListTags", "iam:PassRole",
    ),
    "AWS::SageMaker::ModelPackageGroup": (
        "sagemaker:CreateModelPackageGroup", "sagemaker:DescribeModelPackageGroup",
        "sagemaker:DeleteModelPackageGroup", "sagemaker:AddTags", "sagemaker:ListTags",
        "sagemaker:DeleteTags",
    ),
    "AWS::Scheduler::Schedule": (
        "scheduler:CreateSchedule", "scheduler:GetSchedule", "scheduler:UpdateSchedule",
        "scheduler:DeleteSchedule", "iam:PassRole",
    ),
}  # fmt: skip
"""What CloudFormation calls with the person's rights, by resource type: handlers of the schemas."""


def test_the_administrator_may_make_change_and_delete_all_of_a_projects_stack() -> None:
    text = (Path(__file__).parents[2] / "projects" / "project-stack.yaml").read_text(
        encoding="utf-8"
    )
    rendered = {"AWS::CloudWatch::Dashboard", "AWS::SageMaker::FeatureGroup",
                "AWS::Scheduler::Schedule"}  # fmt: skip
    kinds = set(re.findall(r"(?m)^    Type: (AWS::\S+)$", text)) | rendered
    assert kinds == set(_IN_A_PROJECTS_STACK)
    policy = load_child("access")["Resources"]["AdministratorPolicy"]["Properties"]
    allowed = {
        action
        for statement in policy["PolicyDocument"]["Statement"] if statement["Effect"] == "Allow"
        for action in as_list(statement["Action"])
    }  # fmt: skip
    assert {action for actions in _IN_A_PROJECTS_STACK.values() for action in actions} <= allowed


def test_who_counts_the_ledgers_records_may_not_filter_them_by_what_they_say() -> None:
    policy = load_child("access")["Resources"]["AdministratorPolicy"]
    [counting] = [
        statement
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if "LedgerTable" in json.dumps(statement["Resource"])
    ]
    assert counting["Action"] == "dynamodb:Query"
    assert counting["Condition"] == {
        "StringEquals": {"dynamodb:Select": "COUNT"},
        "ForAllValues:StringEquals": {"dynamodb:Attributes": ["project", "item"]},
    }
