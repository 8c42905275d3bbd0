"""Who else may look at a project's versions: the accounts of the next environments."""

from __future__ import annotations

import json

from botocore.exceptions import ClientError

from steward.domain.names import package_group
from steward_cli.target import Target


def share_versions(target: Target, project: str) -> None:
    """Let the next environments' accounts describe versions of a project, or nobody any more.

    They ask whether a version that is offered was approved. Within one account IAM decides alone.
    The model package group outlives the project's stack, so its policy is not that stack's.
    """
    group = package_group(target.environment_name, project)
    own = target.identity().split(":")
    named = set(target.output("NextAccounts").split(",")) - {own[4]}
    accounts = sorted(account for account in named if account.isdigit())
    if not accounts:
        withdraw_versions(target, project)
        return
    statement = {
        "Sid": "NextEnvironmentsReadApprovals",
        "Effect": "Allow",
        "Principal": {"AWS": [f"arn:{own[1]}:iam::{account}:root" for account in accounts]},
        "Action": "sagemaker:DescribeModelPackage",
        "Resource": f"arn:{own[1]}:sagemaker:{target.region}:{own[4]}:model-package/{group}/*",
    }
    target.client("sagemaker").put_model_package_group_policy(
        ModelPackageGroupName=group,
        ResourcePolicy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}),
    )


def withdraw_versions(target: Target, project: str) -> None:
    """Take the policy of a project's model package group away; none is fine."""
    group = package_group(target.environment_name, project)
    try:
        target.client("sagemaker").delete_model_package_group_policy(ModelPackageGroupName=group)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("ValidationException", "ResourceNotFound"):
            raise
