"""SageMaker endpoints as they are described, and the calls that change them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from steward.adapters.cost_tags import CostTags
from steward.adapters.errors import message_of, translate
from steward.domain.errors import ConflictError, DependencyError, RejectedError
from steward.ports import ListedEndpoint

_GONE = ("Could not find", "does not exist")
_MOVING = ("in-progress", "in progress")
_EXISTS = "already existing"


class SageMakerHosting:
    """Describes, creates, updates and deletes endpoints.

    Args:
        client: boto3's ``sagemaker``; its retries take what throttling lets through.
        tags: What is created bears them; nothing where there are none.
    """

    def __init__(self, client: Any, tags: CostTags | None = None) -> None:
        self._client = client
        self._tags = tags

    def describe(self, endpoint: str) -> Mapping[str, Any] | None:
        """Return what ``DescribeEndpoint`` says, None where there is no such endpoint."""
        return self._unless_gone("describe_endpoint", EndpointName=endpoint)

    def config(self, name: str) -> Mapping[str, Any] | None:
        """Return what ``DescribeEndpointConfig`` says, None where there is none."""
        return self._unless_gone("describe_endpoint_config", EndpointConfigName=name)

    def model(self, name: str) -> Mapping[str, Any] | None:
        """Return what ``DescribeModel`` says, None where there is none."""
        return self._unless_gone("describe_model", ModelName=name)

    def listed(self, contains: str) -> Iterable[ListedEndpoint]:
        """Yield the endpoints whose name contains a text, page by page."""
        more: dict[str, Any] = {}
        while True:
            page = self._call("list_endpoints", NameContains=contains, MaxResults=100, **more)
            for told in page["Endpoints"]:
                yield ListedEndpoint(
                    told["EndpointName"], told["EndpointStatus"], told["CreationTime"]
                )
            if not page.get("NextToken"):
                return
            more = {"NextToken": page["NextToken"]}

    def ensure(self, models: Sequence[Mapping[str, Any]], config: Mapping[str, Any]) -> None:
        """Create the models and the configuration that are not there."""
        for model in models:
            if self.model(str(model["ModelName"])) is None:
                self._unless_there("create_model", self._tagged(model, "ModelName"))
        if self.config(str(config["EndpointConfigName"])) is None:
            tagged = self._tagged(config, "EndpointConfigName")
            self._unless_there("create_endpoint_config", tagged)

    def create(self, request: Mapping[str, Any]) -> None:
        """Create an endpoint.

        Raises:
            ConflictError: There is one of that name.
        """
        self._call("create_endpoint", **self._tagged(request, "EndpointName"))

    def _tagged(self, request: Mapping[str, Any], name: str) -> Mapping[str, Any]:
        if self._tags is None:
            return request
        return {**request, "Tags": self._tags.of(str(request[name]))}

    def update(self, endpoint: str, config: str) -> None:
        """Put an endpoint on a configuration."""
        self._call("update_endpoint", EndpointName=endpoint, EndpointConfigName=config)

    def set_variants(self, endpoint: str, wanted: Sequence[Mapping[str, Any]]) -> None:
        """Set weights and capacities of variants."""
        self._call(
            "update_endpoint_weights_and_capacities",
            EndpointName=endpoint, DesiredWeightsAndCapacities=list(wanted),
        )  # fmt: skip

    def remove(self, endpoint: str) -> None:
        """Delete an endpoint and leave its configuration and models; what is gone is fine."""
        self._unless_gone("delete_endpoint", EndpointName=endpoint)

    def remove_model(self, name: str) -> None:
        """Delete a model; what is gone is fine."""
        self._unless_gone("delete_model", ModelName=name)

    def stop_transforms(self, begins: str) -> None:
        """Stop the transform jobs under way whose name begins so; what has ended is fine."""
        found = self._call(
            "list_transform_jobs", NameContains=begins, StatusEquals="InProgress", MaxResults=100
        )
        for told in found["TransformJobSummaries"]:
            name = told["TransformJobName"]
            if not name.startswith(begins):
                continue
            with contextlib.suppress(RejectedError):  # it has ended since it was listed
                self._unless_gone("stop_transform_job", TransformJobName=name)

    def _unless_there(self, operation: str, request: Mapping[str, Any]) -> None:
        try:
            self._call(operation, **request)
        except ConflictError:
            return  # somebody made it meanwhile

    def _unless_gone(self, operation: str, **request: Any) -> dict[str, Any] | None:
        try:
            return self._call(operation, **request)
        except _GoneError:
            return None

    def _call(self, operation: str, **request: Any) -> dict[str, Any]:
        doing = f"{operation} {next(iter(request.values()))}"
        try:
            answer: dict[str, Any] = getattr(self._client, operation)(**request)
        except ClientError as error:
            text = message_of(error)
            if any(words in text for words in _GONE):
                raise _GoneError(f"{doing}: {text}") from error
            if _EXISTS in text:
                raise ConflictError(f"{doing}: {text}") from error
            if any(words in text for words in _MOVING):
                raise DependencyError(f"{doing}: {text}") from error
            raise translate(error, doing) from error
        except (BotoCoreError, HTTPClientError) as error:
            raise translate(error, doing) from error
        return answer


class _GoneError(DependencyError):
    """SageMaker has no such thing; where it was needed, another try may find it."""
