"""Roots of accounts: a random key for the engine's own, their numbers for others; all signed."""

import os
import re
import time
from collections.abc import Callable
from typing import Any

from ministack.core import iam_evaluator
from ministack.services import sts

Check = Callable[[str], bool]
_ACCOUNT = re.compile(r"\d{12}")


def only_signed_roots(_original: Check) -> Check:
    """Take the configured key for the root's, and another account's number for that one's root.

    Both sign with the engine's secret. MiniStack also accepts an absent key, `test` and the own
    account's number, and asks none of them for a signature.
    """

    def is_root_access_key(access_key_id: str) -> bool:
        if access_key_id == os.environ["AWS_ACCESS_KEY_ID"]:
            return bool(access_key_id)
        other = access_key_id != os.environ.get("MINISTACK_ACCOUNT_ID", "000000000000")
        return other and bool(_ACCOUNT.fullmatch(access_key_id))

    return is_root_access_key


def no_key_is_exempt(_original: Check) -> Check:
    """Check the root's signature like any other's: MiniStack passes root keys unsigned."""

    def is_root_key(_access_key_id: str) -> bool:
        return False

    return is_root_key


def serve_unsigned_links(original: Callable[..., Any]) -> Callable[..., Any]:
    """Let the actions through that AWS serves without credentials, such as SNS's mail links."""

    def enforce(access_key_id: str, iam_action: str, service: str, *rest: Any, **named: Any) -> Any:
        unsigned = iam_evaluator._anonymous.get() and not access_key_id
        if unsigned and iam_evaluator._served_unsigned(service, iam_action):
            return None
        return original(access_key_id, iam_action, service, *rest, **named)

    return enforce


def forget_expired_sessions(_original: Callable[[], None]) -> Callable[[], None]:
    """Drop expired sessions while other threads add theirs: MiniStack iterates the live table."""

    def evict_expired_sessions() -> None:
        now = time.time()
        for key, session in sts._sessions.copy().items():
            expires = session.get("Expiration")
            if isinstance(expires, int | float) and now > expires:
                sts._sessions.pop(key, None)

    return evict_expired_sessions


def resolve_as_aws_does(original: Callable[..., Any]) -> Callable[..., Any]:
    """Give `aws:PrincipalArn` of a role session as the role's ARN, and a bucket's own account.

    MiniStack takes the caller's account for `aws:ResourceAccount` of every bucket.

    Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
    """

    def resolve_condition_key(key: str, ctx: Any) -> Any:
        value = original(key, ctx)
        name = key.lower()
        if name in ("aws:resourceaccount", "s3:resourceaccount"):
            return _owner_of_bucket(ctx.resource_arn) or value
        if name != "aws:principalarn" or ":assumed-role/" not in str(value):
            return value
        from ministack.services import iam

        account, role_name = str(value).split(":")[4], str(value).split("/")[1]
        role = iam._roles.get_scoped(account, None, role_name)
        return role["Arn"] if role else value

    return resolve_condition_key


def _owner_of_bucket(arn: str) -> str | None:
    if not arn.startswith("arn:aws:s3:::"):
        return None
    from ministack.services import s3

    owner: str | None = s3._bucket_owner_account(arn.split(":::")[1].partition("/")[0])
    return owner
