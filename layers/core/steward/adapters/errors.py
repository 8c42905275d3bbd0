"""The one translation of what AWS and the network say into our own error tree."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    ParamValidationError,
)

from steward.domain.errors import (
    AccessDeniedError,
    ConflictError,
    DependencyError,
    RejectedError,
    StewardError,
    ThrottledError,
)

THROTTLED = frozenset({
    "ConditionalRequestConflict",
    "EC2ThrottledException",
    "ExecutionLimitExceeded",
    "KMSThrottlingException",
    "LimitExceededException",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "Throttled",
    "ThrottledException",
    "Throttling",
    "ThrottlingError",
    "ThrottlingException",
    "TooManyRequestsException",
    "TransactionConflict",
    "TransactionConflictException",
    "TransactionInProgressException",
})  # fmt: skip
DENIED = frozenset({
    "403",
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "KMSAccessDenied",
    "KMSAccessDeniedException",
    "NotAuthorized",
    "SignatureDoesNotMatch",
    "UnauthorizedOperation",
    "UnrecognizedClientException",
})  # fmt: skip
LOST = frozenset({
    "ConditionalCheckFailed", "ConditionalCheckFailedException", "PreconditionFailed",
})  # fmt: skip


def code_of(error: ClientError) -> str:
    """Return the error code, such as ``ThrottlingException``."""
    return str(error.response.get("Error", {}).get("Code", "Unknown"))


def message_of(error: ClientError) -> str:
    """Return AWS's message."""
    return str(error.response.get("Error", {}).get("Message") or error)


def translate(error: ClientError | BotoCoreError | HTTPClientError, doing: str) -> StewardError:
    """Return the error of ours that says whether trying again helps.

    Throttling and lost transactions: ``ThrottledError``. Missing rights and credentials:
    ``AccessDeniedError``. A condition that did not hold: ``ConflictError``. The network and
    AWS's own faults (5xx): ``DependencyError``. Everything else that AWS refuses:
    ``RejectedError``, whose ``value`` is AWS's error code.

    Args:
        error: What botocore raised.
        doing: What was tried, such as ``start execution r1``; the message begins with it.
    """
    if isinstance(error, ClientError):
        return _of_answer(error, doing)
    if isinstance(error, NoCredentialsError | CredentialRetrievalError):
        return AccessDeniedError(f"{doing}: {error}")
    if isinstance(error, ParamValidationError):
        return RejectedError(f"{doing}: {error}", value="ParamValidation")
    return DependencyError(f"{doing}: {error}")


def _of_answer(error: ClientError, doing: str) -> StewardError:
    code, text = code_of(error), f"{doing}: {code_of(error)}: {message_of(error)}"
    metadata: dict[str, Any] = error.response.get("ResponseMetadata", {})
    status = int(metadata.get("HTTPStatusCode", 400))
    if code in THROTTLED or status == 429:
        return ThrottledError(text)
    if code in DENIED:
        return AccessDeniedError(text)
    if code in LOST:
        return ConflictError(text)
    if status >= 500:
        return DependencyError(text)
    return RejectedError(text, value=code)


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """Raise our errors instead of botocore's in the block."""
    try:
        yield
    except (ClientError, BotoCoreError, HTTPClientError) as error:
        raise translate(error, doing) from error
