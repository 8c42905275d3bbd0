"""Who may do what in the embedded AWS: principals, service roles and `iam:PassRole`.

MiniStack evaluates the policies of whoever signs a request. What a service then does on behalf
of its caller (take a role, act with it) is decided here, with MiniStack's own evaluator, so that
a role's policies bind a state machine, a job or an endpoint as they do on AWS.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from dataclasses import dataclass
from typing import Any

from ministack import app
from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.core.router import extract_access_key_id

SESSION_SECONDS = 12 * 3600


class AccessDeniedError(Exception):
    """A principal lacks a permission; the message is worded as AWS words it."""


class AssumeRoleError(Exception):
    """A service may not take the role: it does not exist or does not trust the service."""


@dataclass(frozen=True)
class RoleCredentials:
    """Temporary credentials of a role session that MiniStack accepts."""

    role_arn: str
    access_key: str
    secret_key: str
    session_token: str

    def environment(self) -> dict[str, str]:
        """The credentials as the variables that every AWS SDK reads."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_SESSION_TOKEN": self.session_token,
        }


@dataclass(frozen=True)
class Principal:
    """A caller: its ARN and what MiniStack's evaluator needs to judge its requests."""

    arn: str
    info: Any

    def denial(
        self, action: str, resource: str, context: dict[str, Any] | None = None
    ) -> str | None:
        """The message of the refusal, or None when the principal may do it."""
        if self.info is None or self.info.policies is None:
            return None
        lowered = {key.lower(): value for key, value in (context or {}).items()}
        lowered.setdefault("aws:tagkeys", None)
        ctx = iam_evaluator.EvalContext(
            principal_arn=self.info.arn,
            principal_type=self.info.type,
            principal_account=self.info.account,
            action=action,
            resource_arn=resource,
            region=get_region(),
            service_context=lowered,
            principal_keys=self.info.keys,
            secure_transport=True,  # what a service does for its caller it does over TLS
        )
        result = iam_evaluator.evaluate(ctx, self.info.policies, *self.info.limits)
        service = action.split(":", 1)[0]
        policy = iam_evaluator._resource_policy(service, resource)
        if policy is not None:
            result = iam_evaluator.combine_resource_policy(
                result, ctx, *policy, required=service == "kms", limits=self.info.limits
            )
        if result.decision == "Allow":
            return None
        reason = (
            "with an explicit deny in an identity-based policy"
            if result.decision == "Deny"
            else f"because no identity-based policy allows the {action} action"
        )
        on = "" if resource == "*" else f" on resource: {resource}"
        return f"User: {self.arn} is not authorized to perform: {action}{on} {reason}"

    def foreign_denial(
        self, action: str, resource: str, policy: Any, context: dict[str, Any]
    ) -> str | None:
        """The message of the refusal by the policy of another account's resource, or None."""
        question = iam_evaluator.EvalContext(
            principal_arn=self.arn,
            principal_type=self.info.type if self.info else "Root",
            principal_account=self.arn.split(":")[4],
            action=action,
            resource_arn=resource,
            region=get_region(),
            service_context={key.lower(): value for key, value in context.items()},
            secure_transport=True,
        )
        found = iam_evaluator.evaluate_resource_policy(policy, question) if policy else None
        if found is not None and found.decision == "Allow":
            return None
        return (
            f"User: {self.arn} is not authorized to perform: {action} on resource: {resource} "
            f"because no resource-based policy allows the {action} action"
        )

    def require(self, action: str, resource: str, context: dict[str, Any] | None = None) -> None:
        """Raise `AccessDeniedError` unless the principal may do `action` on `resource`."""
        message = self.denial(action, resource, context)
        if message:
            raise AccessDeniedError(message)

    def require_pass_role(self, role_arn: str, service: str) -> None:
        """Raise unless the principal may pass `role_arn` to `service` (`x.amazonaws.com`)."""
        self.require("iam:PassRole", role_arn, {"iam:PassedToService": service})


def account_root() -> Principal:
    """The account itself, which may do everything."""
    return Principal(f"arn:aws:iam::{get_account_id()}:root", None)


def caller_of(headers: dict[str, str], query: dict[str, Any] | None = None) -> Principal:
    """The principal whose key signed a request (verified before it is dispatched)."""
    if not app.AUTH:
        return account_root()
    key = extract_access_key_id(headers, query or {})
    info = iam_evaluator.resolve_principal(key, get_account_id()) if key else None
    if info is None or isinstance(info, iam_evaluator.AuthError):
        return account_root()
    return Principal(info.arn, info)


def _role(role_arn: str) -> dict[str, Any] | None:
    from ministack.services import iam

    parts = role_arn.split(":")
    if len(parts) < 6 or not parts[5].startswith("role/"):
        return None
    role: dict[str, Any] | None = iam._roles.get_scoped(parts[4], None, parts[5].rsplit("/", 1)[-1])
    return role if role and role.get("Arn") == role_arn else None


def role_exists(role_arn: str) -> bool:
    """Whether IAM has the role that this ARN names."""
    return _role(role_arn) is not None


def trusts(role_arn: str, service: str, context: dict[str, Any] | None = None) -> bool:
    """Whether the role exists and its trust policy lets `service` assume it.

    A deny wins over an allow; conditions see `aws:SourceAccount` and what `context` adds.
    """
    role = _role(role_arn)
    if role is None:
        return False
    document = role.get("AssumeRolePolicyDocument") or "{}"
    parsed = json.loads(document) if isinstance(document, str) else document
    statements = parsed.get("Statement", [])
    ctx = iam_evaluator.EvalContext(
        principal_arn=service,
        principal_type="Service",
        principal_account=get_account_id(),
        action="sts:AssumeRole",
        resource_arn=role_arn,
        region=get_region(),
        service_context={
            "aws:sourceaccount": get_account_id(),
            **{key.lower(): value for key, value in (context or {}).items()},
        },
    )
    allowed = False
    for statement in [statements] if isinstance(statements, dict) else statements:
        principal = statement.get("Principal", {})
        named = principal == "*" or iam_evaluator._service_principal_matches(principal, service)
        actions = statement.get("Action", [])
        listed = [actions] if isinstance(actions, str) else actions
        if (
            not named
            or not iam_evaluator._action_matches("sts:AssumeRole", listed, [])
            or not iam_evaluator._conditions_met(statement.get("Condition", {}), ctx)
        ):
            continue
        if statement.get("Effect") == "Deny":
            return False
        allowed = allowed or statement.get("Effect") == "Allow"
    return allowed


def assume_for_service(
    role_arn: str, service: str, session_name: str, context: dict[str, Any] | None = None
) -> RoleCredentials:
    """Take a role as an AWS service does and register its session with MiniStack's STS.

    Raises:
        AssumeRoleError: the role is missing or does not trust the service.
    """
    if app.AUTH and not trusts(role_arn, service, context):
        raise AssumeRoleError(
            f"The role '{role_arn}' does not exist or does not allow principal '{service}' to "
            "assume it (sts:AssumeRole in its trust policy)."
        )
    from ministack.services import sts

    account = role_arn.split(":")[4]
    name = role_arn.rsplit("/", 1)[-1]
    session = session_name[:64]
    role = _role(role_arn) or {}
    credentials = RoleCredentials(
        role_arn=role_arn,
        access_key="ASIA" + secrets.token_hex(8).upper(),
        secret_key=hashlib.sha256(secrets.token_bytes(32)).hexdigest()[:40],
        session_token=secrets.token_urlsafe(64),
    )
    sts.register_session(
        credentials.access_key,
        {
            "Arn": f"arn:aws:sts::{account}:assumed-role/{name}/{session}",
            "UserId": f"{role.get('RoleId', name)}:{session}",
            "SecretAccessKey": credentials.secret_key,
            "SessionToken": credentials.session_token,
            "Expiration": time.time() + SESSION_SECONDS,
            "AccountId": account,
            "PrincipalType": "AssumedRole",
        },
    )
    return credentials


def principal_of(credentials: RoleCredentials) -> Principal:
    """The principal behind a role session, with the role's policies as they are now."""
    if not app.AUTH:
        return account_root()
    info = iam_evaluator.resolve_principal(credentials.access_key, get_account_id())
    if isinstance(info, iam_evaluator.AuthError):
        raise AssumeRoleError(info.message)
    return Principal(info.arn, info)
