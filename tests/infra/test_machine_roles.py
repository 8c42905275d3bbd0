"""A machine's role holds what its integrations need, by AWS's documented list, and no more."""

from __future__ import annotations

import fnmatch
import json
from pathlib import Path
from typing import Any

import pytest

from support.definitions import FILES, State, declarations, definition, states
from support.templates import as_list, identity_statements, of_type, transformed

# https://docs.aws.amazon.com/step-functions/latest/dg/sagemaker-iam.html and the pages beside it.
_NEEDS: dict[str, set[str]] = {
    "lambda:invoke": {"lambda:InvokeFunction"},
    "states:startExecution": {"states:StartExecution"},
    "states:startExecution.sync:2": {
        "states:StartExecution", "states:DescribeExecution", "states:StopExecution",
        "events:PutTargets", "events:PutRule", "events:DescribeRule",
    },
    "sagemaker:createTrainingJob.sync": {
        "sagemaker:CreateTrainingJob", "sagemaker:DescribeTrainingJob",
        "sagemaker:StopTrainingJob", "sagemaker:ListTags", "sagemaker:AddTags", "iam:PassRole",
        "events:PutTargets", "events:PutRule", "events:DescribeRule",
    },
    "sagemaker:createHyperParameterTuningJob.sync": {
        "sagemaker:CreateHyperParameterTuningJob", "sagemaker:DescribeHyperParameterTuningJob",
        "sagemaker:StopHyperParameterTuningJob", "sagemaker:ListTags", "sagemaker:AddTags",
        "iam:PassRole",
    },
    "sagemaker:createProcessingJob.sync": {
        "sagemaker:CreateProcessingJob", "sagemaker:DescribeProcessingJob",
        "sagemaker:StopProcessingJob", "sagemaker:ListTags", "sagemaker:AddTags", "iam:PassRole",
        "events:PutTargets", "events:PutRule", "events:DescribeRule",
    },
    "sagemaker:createTransformJob.sync": {
        "sagemaker:CreateTransformJob", "sagemaker:DescribeTransformJob",
        "sagemaker:StopTransformJob", "sagemaker:ListTags", "sagemaker:AddTags",
        "events:PutTargets", "events:PutRule", "events:DescribeRule",
    },
    "sagemaker:createModel": {"sagemaker:CreateModel", "sagemaker:AddTags", "iam:PassRole"},
    "sagemaker:createEndpointConfig": {"sagemaker:CreateEndpointConfig", "sagemaker:AddTags"},
    "sagemaker:createEndpoint": {"sagemaker:CreateEndpoint", "sagemaker:AddTags"},
    # Without Lake Formation, and with buckets that are there.
    "athena:startQueryExecution.sync": {
        "athena:StartQueryExecution", "athena:StopQueryExecution", "athena:GetQueryExecution",
        "athena:GetDataCatalog", "glue:GetDatabase", "glue:GetTable", "glue:GetPartition",
        "glue:GetPartitions", "glue:BatchGetPartition", "s3:GetBucketLocation", "s3:GetObject",
        "s3:ListBucket", "s3:ListBucketMultipartUploads", "s3:ListMultipartUploadParts",
        "s3:AbortMultipartUpload", "s3:PutObject", "glue:CreateTable", "glue:DeleteTable",
    },
    "athena:getQueryResults": {"athena:GetQueryResults", "s3:GetObject"},
    "databrew:startJobRun.sync": {
        "databrew:StartJobRun", "databrew:StopJobRun", "databrew:ListJobRuns",
    },
}  # fmt: skip
_RULES = {
    "sagemaker:createTrainingJob.sync": "StepFunctionsGetEventsForSageMakerTrainingJobsRule",
    "sagemaker:createProcessingJob.sync": "StepFunctionsGetEventsForSageMakerProcessingJobsRule",
    "sagemaker:createTransformJob.sync": "StepFunctionsGetEventsForSageMakerTransformJobsRule",
    "sagemaker:createHyperParameterTuningJob.sync": (
        "StepFunctionsGetEventsForSageMakerTuningJobsRule"
    ),
    "states:startExecution.sync:2": "StepFunctionsGetEventsForStepFunctionsExecutionRule",
}
# Not of an integration: log delivery, traces, the key.
_BESIDES = ("logs:", "xray:", "kms:")

by_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.split(".")[0])


def _integration(state: State) -> str:
    return str(state["Resource"]).removeprefix("arn:aws:states:::")


def _needs(integration: str) -> set[str]:
    if integration.startswith("aws-sdk:"):
        _, service, action = integration.split(":")
        return {f"{service}:{action[0].upper()}{action[1:]}"}
    return _NEEDS[integration]


def _tasks(path: Path) -> list[tuple[str, State]]:
    return [(name, state) for name, state in states(definition(path)) if state["Type"] == "Task"]


def _statements(path: Path) -> list[dict[str, Any]]:
    [(template, name, _)] = declarations(path)
    role = f"{name}Role"
    return [found for owner, found in identity_statements(transformed(template)) if owner == role]


@by_file
def test_the_role_allows_each_integration(path: Path) -> None:
    allowed = {action for found in _statements(path) for action in as_list(found["Action"])}
    for name, state in _tasks(path):
        missing = {
            need
            for need in _needs(_integration(state))
            if not any(fnmatch.fnmatch(need, action) for action in allowed)
        }
        assert missing == set(), name


def _of_distributed_maps(path: Path) -> set[str]:
    """What a Distributed Map needs: its manifest, and its children as executions of itself."""
    if not any(_is_distributed(state) for _, state in states(definition(path))):
        return set()
    return {
        "s3:GetObject", "states:StartExecution", "states:DescribeExecution",
        "states:StopExecution",
    }  # fmt: skip


def _is_distributed(state: State) -> bool:
    config = (state.get("ItemProcessor") or {}).get("ProcessorConfig") or {}
    return bool(config.get("Mode") == "DISTRIBUTED")


@by_file
def test_the_role_allows_what_distributed_maps_need(path: Path) -> None:
    allowed = {action for found in _statements(path) for action in as_list(found["Action"])}
    assert allowed >= _of_distributed_maps(path)


@by_file
def test_the_role_allows_nothing_else(path: Path) -> None:
    needed = {need for _, state in _tasks(path) for need in _needs(_integration(state))}
    needed |= _of_distributed_maps(path)
    for found in _statements(path):
        for action in as_list(found["Action"]):
            assert action in needed or action.startswith(_BESIDES), action


@by_file
def test_jobs_that_are_waited_for_may_use_their_managed_rule(path: Path) -> None:
    wanted = {_RULES[_integration(s)] for _, s in _tasks(path) if _integration(s) in _RULES}
    resources = {
        resource["Fn::Sub"].rpartition("rule/")[2]
        for found in _statements(path)
        if "events:PutRule" in as_list(found["Action"])
        for resource in as_list(found["Resource"])
    }
    assert resources == wanted


@by_file
def test_the_role_may_invoke_exactly_the_functions_that_the_machine_names(path: Path) -> None:
    [(_, _, properties)] = declarations(path)
    substitutions = properties.get("DefinitionSubstitutions", {})
    wanted = set()
    for _, state in _tasks(path):
        if _integration(state) == "lambda:invoke":
            name = state["Arguments"]["FunctionName"].strip("${}")
            wanted.add(_target(substitutions[name]))
    granted = {
        _target(resource)
        for found in _statements(path)
        if "lambda:InvokeFunction" in as_list(found["Action"])
        for resource in as_list(found["Resource"])
    }
    assert granted == wanted


def _target(node: Any) -> str:
    """Return the function or parameter that an ARN in a template names."""
    if "Ref" in node:
        return str(node["Ref"])
    if "Fn::GetAtt" in node:
        return str(node["Fn::GetAtt"][0])
    _, names = node["Fn::Sub"]
    return str(names["functionName"]["Ref"])


@by_file
def test_machines_have_the_names_that_forwarding_and_costs_rely_on(path: Path) -> None:
    [(template, name, properties)] = declarations(path)
    kebab = path.name.split(".")[0].replace("_", "-")
    assert properties["Name"] == {"Fn::Sub": f"${{StewardStack}}-{kebab}"}
    machines = of_type(transformed(template), "AWS::StepFunctions::StateMachine")
    assert name in machines
    forwarded = json.dumps(transformed(template.with_name("foundation.yaml")))
    assert f"stateMachine:${{StewardStack}}-{kebab}" in forwarded
