"""The pipeline's template: rendered for each kind of source, held to CodePipeline's own model."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from botocore.session import get_session
from botocore.validate import ParamValidator

from steward.contracts.pipeline import ActionParameters
from steward.domain.pipelines import pipeline_name
from steward_cli.pipeline_stack import LONGEST_APPROVAL_MINUTES
from steward_local.codepipeline.template import declaration
from support.templates import ROOT, as_list, load, of_type

TEMPLATE = load(ROOT / "projects" / "pipeline.yaml")
EXECUTION = "00000000-0000-4000-8000-000000000901"
KINDS: dict[str, dict[str, str]] = {
    "codecommit": {"Repository": "credit"},
    "connection": {"Repository": "acme/credit"},
    "s3": {"Repository": "sources/main.zip", "SourceBucket": "sources"},
}
GIVEN = {
    "Project": "a" + "b" * 18 + "c", "Environment": "staging", "ArtifactsBucket": "artifacts",
    "DrivePipelineFunctionArn": "arn:aws:lambda:us-east-1:000000000000:function:drive-pipeline",
    "AWS::Partition": "aws", "AWS::Region": "us-east-1", "AWS::AccountId": "000000000000",
    "AWS::StackName": "steward-staging-pipeline-x",
}  # fmt: skip


def render(value: Any, known: dict[str, Any]) -> Any:
    """Return a template's value as CloudFormation resolves it; unknown references stay names."""
    if isinstance(value, list):
        found = [render(one, known) for one in value]
        return [one for one in found if one is not None]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        [(name, given)] = value.items()
        if name == "Ref":
            return None if given == "AWS::NoValue" else known.get(given, given)
        if name == "Fn::GetAtt":
            return f"arn:aws:iam::000000000000:role/{given[0]}"
        if name == "Fn::If":
            condition, yes, no = given
            return render(yes if _holds(TEMPLATE["Conditions"][condition], known) else no, known)
        if name == "Fn::Sub":
            text, own = (given, {}) if isinstance(given, str) else given
            names = known | render(own, known)
            return re.sub(r"\$\{([\w:]+)\}", lambda m: str(names.get(m[1], m[1])), text)
        if name == "Fn::Split":
            return render(given[1], known).split(given[0])
        if name == "Fn::Select":
            return render(given[1], known)[given[0]]
    kept = {name: render(one, known) for name, one in value.items()}
    return {name: one for name, one in kept.items() if one is not None}


def _holds(condition: Any, known: dict[str, Any]) -> bool:
    [(name, given)] = condition.items()
    if name == "Condition":
        return _holds(TEMPLATE["Conditions"][given], known)
    if name == "Fn::Not":
        return not _holds(given[0], known)
    return bool(render(given[0], known) == render(given[1], known))


def pipeline(kind: str) -> dict[str, Any]:
    defaults = {n: p["Default"] for n, p in TEMPLATE["Parameters"].items() if "Default" in p}
    known = defaults | GIVEN | {"SourceKind": kind} | KINDS[kind]
    props = render(TEMPLATE["Resources"]["Pipeline"]["Properties"], known)
    return declaration(props["Name"], props)


def actions(kind: str = "s3") -> list[dict[str, Any]]:
    return [action for stage in pipeline(kind)["stages"] for action in stage["actions"]]


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_a_pipeline_that_the_service_model_takes(kind: str) -> None:
    model = get_session().get_service_model("codepipeline").operation_model("CreatePipeline")
    report = ParamValidator().validate({"pipeline": pipeline(kind)}, model.input_shape)
    assert not report.has_errors(), report.generate_report()


def test_the_stages_are_in_the_documented_order() -> None:
    assert [stage["name"] for stage in pipeline("s3")["stages"]] == [
        "Source", "Build", "Integrate", "Gate", "Staging", "Approve", "Release", "Watch",
    ]  # fmt: skip
    assert [one["name"] for one in pipeline("s3")["stages"][5]["actions"]] == ["Decide", "Verify"]


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_of_every_action_are_ours_within_a_thousand_characters(kind: str) -> None:
    told = {}
    for action in actions(kind):
        if action["actionTypeId"]["category"] != "Invoke":
            continue
        text = action["configuration"]["UserParameters"]
        assert len(text) + 3 * 64 < 1000
        real = re.sub(r"#\{codepipeline\.PipelineExecutionId\}", EXECUTION, text)
        parsed = ActionParameters.model_validate(json.loads(real))
        assert parsed.pipeline == pipeline_name("staging", GIVEN["Project"])
        assert action["configuration"]["FunctionName"] == "drive-pipeline"
        told[parsed.action] = parsed
    assert list(told) == ["integrate", "gate", "stage", "verify_approval", "release", "watch"]
    revision = "VersionId" if kind == "s3" else "CommitId"
    assert told["integrate"].commit_id == f"#{{Source.{revision}}}"
    assert told["integrate"].author == "unknown"


def test_nothing_that_a_committer_writes_gets_into_the_parameters() -> None:
    """A name with a quote would end the text and bring parameters of its own."""
    text = json.dumps(TEMPLATE["Resources"]["Pipeline"])
    assert set(re.findall(r"#\{Source\.([\w$\{\}]+?)\}+\"?", text)) <= {"${Revision", "${Revision}"}
    assert "Author" not in text
    assert "CommitMessage" not in text


def test_artifacts_are_encrypted_with_the_stacks_key_and_executions_as_declared() -> None:
    found = pipeline("codecommit")
    assert found["artifactStore"]["encryptionKey"]["type"] == "KMS"
    assert (found["pipelineType"], found["executionMode"]) == ("V2", "QUEUED")
    for action in actions("codecommit"):
        if action["actionTypeId"]["category"] == "Source":
            assert action["configuration"]["PollForSourceChanges"] == "false"


def test_a_connection_has_a_trigger_with_the_branch_and_no_rule() -> None:
    [trigger] = pipeline("connection")["triggers"]
    assert trigger["gitConfiguration"]["push"] == [{"branches": {"includes": ["main"]}}]
    assert "triggers" not in pipeline("s3")
    assert TEMPLATE["Resources"]["OnSourceChangeRule"]["Condition"] == "IsStartedByEvent"


def test_the_approval_waits_within_codepipelines_bounds() -> None:
    [decide] = [one for one in actions() if one["actionTypeId"]["category"] == "Approval"]
    assert 5 <= decide["timeoutInMinutes"] <= LONGEST_APPROVAL_MINUTES
    assert "does not count" in decide["configuration"]["CustomData"]
    assert len(decide["configuration"]["CustomData"]) < 1000


def test_each_kind_of_action_has_a_role_of_its_own_and_no_role_is_passed() -> None:
    roles = {one["actionTypeId"]["category"]: one.get("roleArn", "") for one in actions()}
    assert roles.pop("Approval") == ""
    assert len(set(roles.values())) == len(roles) == 3
    assert "iam:PassRole" not in json.dumps(TEMPLATE)
    for name, role in of_type(TEMPLATE, "AWS::IAM::Role").items():
        for policy in role["Properties"]["Policies"]:
            for statement in policy["PolicyDocument"]["Statement"]:
                options = statement.get("Fn::If", [statement])
                for one in options:
                    if isinstance(one, dict) and "Action" in one:
                        assert not any(a.endswith("*") for a in as_list(one["Action"])), name
                        assert one["Resource"] != "*", name


def test_only_the_invoking_role_may_ask_steward() -> None:
    text = {n: json.dumps(r) for n, r in of_type(TEMPLATE, "AWS::IAM::Role").items()}
    assert {n for n, t in text.items() if "lambda:InvokeFunction" in t} == {"InvokeRole"}


def test_logs_have_the_key_and_a_failure_is_mailed_with_a_queue_for_what_is_not() -> None:
    [group] = of_type(TEMPLATE, "AWS::Logs::LogGroup").values()
    assert set(group["Properties"]) == {"RetentionInDays", "KmsKeyId"}
    [target] = TEMPLATE["Resources"]["OnPipelineFailureRule"]["Properties"]["Targets"]
    assert target["Arn"] == {"Ref": "OwnerTopic"}
    for rule in of_type(TEMPLATE, "AWS::Events::Rule").values():
        for one in rule["Properties"]["Targets"]:
            assert one["DeadLetterConfig"]["Arn"] == {"Ref": "FailureQueueArn"}
