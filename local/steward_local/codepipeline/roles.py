"""The roles of a pipeline and of its actions, taken as AWS takes them."""

from __future__ import annotations

import functools
from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

from steward_local import authority
from steward_local.authority import Principal, RoleCredentials
from steward_local.sagemaker import settings

SERVICE = "codepipeline.amazonaws.com"


class RefusedError(Exception):
    """An action cannot go on; ``code`` is CodePipeline's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@functools.cache
def _session() -> Any:
    return botocore.session.get_session()


def client(service: str, credentials: RoleCredentials, region: str) -> Any:
    """An AWS client with a role's credentials alone."""
    return _session().create_client(
        service,
        region_name=region,
        endpoint_url=settings.current().endpoint,
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        aws_session_token=credentials.session_token,
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2}, proxies={}),
    )


def of_action(pipeline_role: str, action_role: str | None, region: str) -> RoleCredentials:
    """The credentials that an action works with: its own role's, or the pipeline's.

    Raises:
        RefusedError: A role does not exist or does not trust who takes it.
    """
    try:
        first = authority.assume_for_service(pipeline_role, SERVICE, "pipeline")
        if not action_role:
            return first
        taken = client("sts", first, region).assume_role(
            RoleArn=action_role, RoleSessionName="action"
        )["Credentials"]
    except (authority.AssumeRoleError, ClientError) as error:
        raise RefusedError("PermissionError", str(error)) from error
    return RoleCredentials(
        action_role, taken["AccessKeyId"], taken["SecretAccessKey"], taken["SessionToken"]
    )


def principal(credentials: RoleCredentials) -> Principal:
    """The principal behind an action's credentials."""
    return authority.principal_of(credentials)
