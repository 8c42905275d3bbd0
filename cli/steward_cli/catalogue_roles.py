"""What the catalogue's stack may do: the role that launches products, the function they call."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_ACCOUNT = "${AWS::Region}:${AWS::AccountId}"


def launch_role(bucket: str, key_policy: str) -> dict[str, Any]:
    """Return the role that launches products: a repository, a project's pipeline and its roles.

    Args:
        bucket: Holds seeds and templates.
        key_policy: The one managed policy that roles of pipelines may get.
    """
    statements = [
        _allow(_arn("codecommit", "steward-*"), "codecommit", "CreateCommit", "CreateRepository",
               "DeleteRepository", "GetRepository", "ListTagsForResource", "TagResource",
               "UntagResource"),
        _allow({"Fn::Sub": f"arn:${{AWS::Partition}}:s3:::{bucket}/catalogue/*"}, "s3",
               "GetObject", "GetObjectVersion"),
        _allow(_arn("cloudformation", "stack/SC-*"), "cloudformation", "CreateStack",
               "DeleteStack", "DescribeStackEvents", "DescribeStacks", "SetStackPolicy",
               "UpdateStack"),
        _allow("*", "cloudformation", "GetTemplateSummary", "ValidateTemplate"),
        _allow({"Fn::GetAtt": ["RenderSeed", "Arn"]}, "lambda", "InvokeFunction"),
        _allow(_arn("codepipeline", "steward-*"), "codepipeline", "CreatePipeline",
               "DeletePipeline", "GetPipeline", "GetPipelineState", "ListTagsForResource",
               "TagResource", "UntagResource", "UpdatePipeline"),
        _allow(_arn("codebuild", "project/steward-*"), "codebuild", "BatchGetProjects",
               "CreateProject", "DeleteProject", "UpdateProject"),
        _allow(_arn("events", "rule/SC-*"), "events", "DeleteRule", "DescribeRule",
               "ListTargetsByRule", "PutRule", "PutTargets", "RemoveTargets", "TagResource",
               "UntagResource"),
        _allow(_arn("logs", "log-group:SC-*"), "logs", "AssociateKmsKey", "CreateLogGroup",
               "DeleteLogGroup", "ListTagsForResource", "PutRetentionPolicy", "TagResource",
               "UntagResource"),
        _allow("*", "logs", "DescribeLogGroups"),
        _allow(_role(), "iam", "CreateRole", "DeleteRole", "DeleteRolePolicy", "GetRole",
               "GetRolePolicy", "ListAttachedRolePolicies", "ListRolePolicies", "ListRoleTags",
               "PutRolePolicy", "TagRole", "UntagRole", "UpdateAssumeRolePolicy"),
        {
            **_allow(_role(), "iam", "AttachRolePolicy", "DetachRolePolicy"),
            "Condition": {"ArnEquals": {"iam:PolicyARN": key_policy}},
        },
        {
            **_allow(_role(), "iam", "PassRole"),
            "Condition": {"StringEquals": {"iam:PassedToService": [
                "codebuild.amazonaws.com", "codepipeline.amazonaws.com", "events.amazonaws.com",
            ]}},
        },
    ]  # fmt: skip
    return _trusted("servicecatalog.amazonaws.com", "LaunchProjects", statements, [key_policy])


def renderer(bucket: str, catalogue: str, key_policy: str) -> dict[str, Any]:
    """Return the function that gives seeds their project's name, with role and log."""
    rendered = {"Fn::Sub": f"arn:${{AWS::Partition}}:s3:::{bucket}/catalogue/rendered/*"}
    seeds = {"Fn::Sub": f"arn:${{AWS::Partition}}:s3:::{bucket}/catalogue/*"}
    statements = [
        _allow(seeds, "s3", "GetObject"),
        _allow(rendered, "s3", "DeleteObject", "PutObject"),
        _allow({"Fn::GetAtt": ["RenderSeedLogGroup", "Arn"]}, "logs", "CreateLogStream",
               "PutLogEvents"),
    ]  # fmt: skip
    return {
        "RenderSeedLogGroup": {
            "Type": "AWS::Logs::LogGroup", "Properties": {"RetentionInDays": 30},
        },
        "RenderSeedRole": _trusted("lambda.amazonaws.com", "Render", statements, [key_policy]),
        "RenderSeed": {
            "Type": "AWS::Lambda::Function",
            "Properties": {
                "Description": f"Names the projects that products of {catalogue} make.",
                "Runtime": "python3.11",
                "Handler": "index.handler",
                "Timeout": 60,
                "MemorySize": 512,
                "Role": {"Fn::GetAtt": ["RenderSeedRole", "Arn"]},
                "LoggingConfig": {"LogGroup": {"Ref": "RenderSeedLogGroup"}},
                "Code": {"ZipFile": _source()},
            },
        },
    }  # fmt: skip


def _source() -> str:
    return Path(__file__).with_name("seed_renderer.py").read_text(encoding="utf-8")


def _allow(resource: Any, service: str, *actions: str) -> dict[str, Any]:
    named = [f"{service}:{action}" for action in actions]
    return {"Effect": "Allow", "Resource": resource, "Action": named}


def _arn(service: str, rest: str) -> dict[str, str]:
    return {"Fn::Sub": f"arn:${{AWS::Partition}}:{service}:{_ACCOUNT}:{rest}"}


def _role() -> dict[str, str]:
    return {"Fn::Sub": "arn:${AWS::Partition}:iam::${AWS::AccountId}:role/SC-*"}


def _trusted(
    service: str, name: str, statements: list[dict[str, Any]], managed: list[str]
) -> dict[str, Any]:
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": service}}
    document = {"Version": "2012-10-17", "Statement": statements}
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {
            "AssumeRolePolicyDocument": {"Version": "2012-10-17", "Statement": [trust]},
            "ManagedPolicyArns": managed,
            "Policies": [{"PolicyName": name, "PolicyDocument": document}],
        },
    }
