"""CloudFormation stacks that the command deploys: created or updated, and waited for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, WaiterError

from steward_cli.console import CommandError, Exit
from steward_cli.target import cost_tags

if TYPE_CHECKING:
    from steward_cli.target import Target

MOST_IN_REQUEST = 51_200
"""Bytes of a template that CreateStack takes in ``TemplateBody``."""

MOST_IN_BUCKET = 1_000_000
"""Bytes of a template that it takes from S3."""


def deploy(
    target: Target,
    name: str,
    project: str | None,
    template: str,
    parameters: Mapping[str, object],
    capabilities: tuple[str, ...] = (),
) -> str:
    """Create or update a stack and wait for it; return its name.

    Args:
        project: Whose stack it is; None for one of no project.

    Raises:
        CommandError: CloudFormation refused or rolled back.
    """
    request: dict[str, Any] = {
        "StackName": name,
        **template_source(target, project, template),
        "Parameters": [
            {"ParameterKey": key, "ParameterValue": str(value)} for key, value in parameters.items()
        ],
        "Tags": cost_tags(target, project),
    }
    if capabilities:
        request["Capabilities"] = list(capabilities)
    cloudformation = target.client("cloudformation")
    try:
        cloudformation.create_stack(**request)
        waiter = "stack_create_complete"
    except ClientError as error:
        if error.response["Error"]["Code"] != "AlreadyExistsException":
            raise
        try:
            cloudformation.update_stack(**request)
        except ClientError as unchanged:
            if "No updates are to be performed" in str(unchanged):
                return name
            raise
        waiter = "stack_update_complete"
    delay = 1 if target.engine else 5
    try:
        cloudformation.get_waiter(waiter).wait(
            StackName=name, WaiterConfig={"Delay": delay, "MaxAttempts": 120}
        )
    except WaiterError:
        events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        reasons = [e["ResourceStatusReason"] for e in events if "FAILED" in e["ResourceStatus"]]
        raise CommandError(
            f"stack {name} failed: {'; '.join(reasons) or 'see its events'}"
        ) from None
    return name


def template_source(target: Target, project: str | None, template: str) -> dict[str, str]:
    """Return how CloudFormation gets a template: with the request, or from the artifacts bucket.

    The bucket is where a template goes that is too large for a request, under its own digest, so
    that CloudFormation reads what was rendered and a repeat writes nothing else.

    Raises:
        CommandError: It is larger than CloudFormation takes from S3.
    """
    content = template.encode()
    if len(content) <= MOST_IN_REQUEST:
        return {"TemplateBody": template}
    if len(content) > MOST_IN_BUCKET:
        raise CommandError(
            f"the stack of {project or 'templates'} would have {len(content)} bytes of template",
            Exit.FAILED,
            f"CloudFormation takes {MOST_IN_BUCKET} at most: declare fewer feature groups",
        )  # fmt: skip
    bucket = target.output("ArtifactsBucketName")
    key = f"templates/{project or 'catalogue'}/{hashlib.sha256(content).hexdigest()}.yaml"
    target.client("s3").put_object(Bucket=bucket, Key=key, Body=content)
    return {"TemplateURL": f"https://s3.{target.region}.amazonaws.com/{bucket}/{key}"}
