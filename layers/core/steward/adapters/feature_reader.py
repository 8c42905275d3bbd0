"""Asking the function that reads features, once and within the caller's time."""

from __future__ import annotations

import json

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from pydantic import ValidationError

from steward.adapters.clients import Clients
from steward.adapters.errors import DENIED, code_of, message_of
from steward.contracts.steps.features import FeaturesRead, ReadFeatures
from steward.domain.errors import AccessDeniedError, DependencyError, RejectedError


class LambdaFeatureReader:
    """Invokes ``data/read_features``.

    Args:
        function: Its name or ARN.
    """

    def __init__(self, clients: Clients, function: str) -> None:
        self._clients = clients
        self._function = function

    def read(self, command: ReadFeatures, *, timeout_s: float) -> FeaturesRead:
        """Return feature values; a failing, late or throttled function is ``DependencyError``."""
        client = self._clients.get("lambda", read_timeout_s=timeout_s, attempts=1)
        payload = json.dumps(command.model_dump(mode="json", exclude_defaults=True))
        try:
            answer = client.invoke(FunctionName=self._function, Payload=payload.encode())
            body = answer["Payload"].read()
        except ClientError as error:
            text = f"read features: {code_of(error)}: {message_of(error)}"
            raise (AccessDeniedError if code_of(error) in DENIED else DependencyError)(
                text
            ) from error
        except (BotoCoreError, HTTPClientError) as error:
            raise DependencyError(f"read features: {error}") from error
        if "FunctionError" in answer:
            raise DependencyError(f"read features: {_said(body)}")
        return _reading(body)


def _reading(body: bytes) -> FeaturesRead:
    try:
        reading = FeaturesRead.model_validate_json(body)
    except ValidationError as invalid:
        raise DependencyError(f"read features answered something else: {invalid}") from None
    if reading.refused is not None:
        told = reading.refused
        raise RejectedError(
            str(told.get("message", "refused")),
            field=told.get("field"), value=told.get("value"), allowed=told.get("allowed"),
        )  # fmt: skip
    return reading


def _said(body: bytes) -> str:
    try:
        told = json.loads(body)
        return f"{told['errorType']}: {told['errorMessage']}"
    except (ValueError, TypeError, KeyError):
        return body[:300].decode(errors="replace")
