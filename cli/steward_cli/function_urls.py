"""Signed requests to Lambda function URLs; boto3 has no client for them.

Source: https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from steward_cli.console import CommandError, Exit
from steward_cli.target import Target, credentials_file, read_profiles

_POOL = urllib3.PoolManager(maxsize=16, retries=False)


def code_of(status: int) -> Exit:
    """Return what a command ends with after a refusal of that HTTP status."""
    codes = {403: Exit.DENIED, 404: Exit.NOT_FOUND, 409: Exit.CONFLICT}
    return codes.get(status, Exit.FAILED)


@dataclass(frozen=True)
class Reply:
    """What a function URL answered.

    Attributes:
        others: As whom the call could be tried, in words.
    """

    status: int
    body: Any
    others: str = ""

    def raise_for_status(self) -> Reply:
        """Return the reply if it is a success.

        Raises:
            CommandError: The function refused; the code says which kind of refusal.
        """
        if self.status < 300:
            return self
        body = self.body if isinstance(self.body, dict) else {"message": str(self.body)}
        message = body.get("message") or body.get("Message") or body.get("detail") or str(body)
        refused = CommandError(
            f"{body.get('error', self.status)}: {message}",
            code_of(self.status),
            refusal=body,
        )
        if self.status == 403 and self.others:
            refused.hint = "\n       ".join(filter(None, [refused.hint, self.others]))
        raise refused


def call(
    target: Target, url: str, method: str = "POST", body: Any = None, timeout_s: float = 30.0
) -> Reply:
    """Send a SigV4-signed request (service ``lambda``) and return the parsed answer.

    On the embedded AWS the request goes to its one port with the function's host name in the
    Host header, which is also what is signed.

    Raises:
        CommandError: The URL cannot be reached.
    """
    content = b"" if body is None else json.dumps(body).encode()
    request = AWSRequest(
        method=method, url=url, data=content, headers={"content-type": "application/json"}
    )
    credentials = target.session.get_credentials().get_frozen_credentials()
    parts = urlsplit(url)
    request.headers["host"] = parts.netloc
    SigV4Auth(credentials, "lambda", target.region).add_auth(request)
    address = url
    if target.engine is not None:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        address = target.engine.endpoint.rstrip("/") + path
    try:
        answer = _POOL.request(
            method, address, body=content, headers=dict(request.headers.items()), timeout=timeout_s
        )
    except urllib3.exceptions.HTTPError as error:
        raise CommandError(f"cannot reach {url}: {error}", Exit.UNREACHABLE) from None
    raw = answer.data
    try:
        parsed = json.loads(raw) if raw else None
    except ValueError:
        parsed = raw.decode(errors="replace")
    return Reply(answer.status, parsed, as_whom(target) if answer.status == 403 else "")


def as_whom(target: Target) -> str:
    """Return as whom a refused call could be tried; who decides has to be a person."""
    if target.engine is None:
        return "as somebody else: steward --profile NAME, an IAM user or a session in one's name"
    people = read_profiles(credentials_file(target.engine.state_dir))
    return f"as somebody else: steward --profile NAME, here {', '.join(people) or 'nobody'}"
