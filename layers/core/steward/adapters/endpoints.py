"""Inference endpoints on SageMaker: asked once each, within the caller's time."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from steward.adapters.clients import Clients
from steward.adapters.errors import DENIED, code_of, message_of, translate
from steward.domain.errors import AccessDeniedError, DependencyError, RejectedError
from steward.ports import Answer


class SageMakerEndpoints:
    """Calls, describes and deletes endpoints."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def invoke(
        self, endpoint: str, body: bytes, *, content_type: str, accept: str, timeout_s: float,
        inference_id: str | None = None,
    ) -> Answer:  # fmt: skip
        """Ask an endpoint once, without retries.

        Only a container's own 4xx is the caller's fault (429 is not); an endpoint that is
        missing, failing, late or throttled is a ``DependencyError`` whatever AWS calls it.

        Args:
            inference_id: What data capture keeps of it; outcomes are joined by it.
        """
        client = self._runtime(timeout_s)
        try:
            answer = client.invoke_endpoint(
                EndpointName=endpoint, Body=body, ContentType=content_type, Accept=accept,
                **({"InferenceId": inference_id} if inference_id else {}),
            )  # fmt: skip
            content = answer["Body"].read()
        except ClientError as error:
            raise _of_invocation(error, endpoint) from error
        except (BotoCoreError, HTTPClientError) as error:
            raise DependencyError(f"endpoint {endpoint}: {error}") from error
        return Answer(
            body=content,
            content_type=answer.get("ContentType", accept),
            variant=answer.get("InvokedProductionVariant"),
        )

    def prepare(self, timeout_s: float) -> None:
        """Make the client that asks with this timeout, so that no request waits for it."""
        self._runtime(timeout_s)

    def _runtime(self, timeout_s: float) -> Any:
        return self._clients.get("sagemaker-runtime", read_timeout_s=timeout_s, attempts=1)

    def status(self, endpoint: str) -> str | None:
        """Return ``EndpointStatus``, or None where there is no such endpoint."""
        found = self._unless_gone("describe_endpoint", EndpointName=endpoint)
        return str(found["EndpointStatus"]) if found else None

    def delete(self, endpoint: str, parts: str | None = None) -> None:
        """Delete the endpoint with its configuration and models; what is gone is fine.

        A configuration that does not bear the endpoint's name is of whoever put the endpoint on
        it, and stays.

        Args:
            endpoint: Name of the endpoint.
            parts: Name of a configuration and model to delete even where the endpoint was
                never made from them.

        Raises:
            DependencyError: The endpoint is being created or updated; SageMaker deletes it
                only afterwards.
        """
        found = self._unless_gone("describe_endpoint", EndpointName=endpoint)
        if parts is not None and (not found or found.get("EndpointConfigName") != parts):
            self._unless_gone("delete_endpoint_config", EndpointConfigName=parts)
            self._unless_gone("delete_model", ModelName=parts)
        if not found:
            return
        name = str(found.get("EndpointConfigName"))
        ours = name.startswith(f"{endpoint}-")
        config = ours and self._unless_gone("describe_endpoint_config", EndpointConfigName=name)
        if found["EndpointStatus"] != "Deleting":
            self._unless_gone("delete_endpoint", EndpointName=endpoint)
        if config:
            self._unless_gone("delete_endpoint_config", EndpointConfigName=name)
            for variant in config.get("ProductionVariants", []):
                if "ModelName" in variant:
                    self._unless_gone("delete_model", ModelName=variant["ModelName"])

    def _unless_gone(self, operation: str, **request: Any) -> dict[str, Any] | None:
        call = getattr(self._clients.get("sagemaker"), operation)
        doing = f"{operation} {next(iter(request.values()))}"
        try:
            answer: dict[str, Any] = call(**request)
        except (ClientError, BotoCoreError, HTTPClientError) as error:
            if isinstance(error, ClientError):
                text = message_of(error)
                if "Could not find" in text or "does not exist" in text:
                    return None
                if "in-progress" in text or "in progress" in text:
                    raise DependencyError(f"{doing}: {text}") from error
            raise translate(error, doing) from error
        return answer


def _of_invocation(error: ClientError, endpoint: str) -> Exception:
    code, text = code_of(error), f"endpoint {endpoint}: {code_of(error)}: {message_of(error)}"
    if code == "ModelError":
        status = int(error.response.get("OriginalStatusCode", 500))
        said = str(error.response.get("OriginalMessage") or message_of(error))
        if 400 <= status < 500 and status != 429:
            return _rejection(said)
        return DependencyError(f"endpoint {endpoint}: the container answered {status}: {said}")
    if code in DENIED:
        return AccessDeniedError(text)
    if code == "ValidationError" and "'body'" in text:
        return RejectedError(text, field="body", allowed="a body that SageMaker takes")
    return DependencyError(text)


def _rejection(said: str) -> RejectedError:
    """Return the container's refusal; ours are ``{"error": {"field", "value", ...}}``."""
    try:
        told = json.loads(said)["error"]
        return RejectedError(
            str(told["message"]),
            field=told.get("field"), value=told.get("value"), allowed=told.get("allowed"),
        )  # fmt: skip
    except (ValueError, TypeError, KeyError, AttributeError):
        return RejectedError(said)
