"""SageMaker Model Registry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from steward.adapters.errors import translated
from steward.domain.errors import RejectedError

_MAX_DESCRIPTION = 1024


class SageMakerModelRegistry:
    """Model packages in groups."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def create_version(self, request: Mapping[str, Any]) -> tuple[str, int]:
        """Create a model package, pending; return its ARN and version number.

        Args:
            request: Arguments of ``CreateModelPackage``; botocore adds the client token that
                keeps a repeated request from making a second version.
        """
        wanted = {"ModelApprovalStatus": "PendingManualApproval", **request}
        with translated(f"create a version in {request.get('ModelPackageGroupName')}"):
            arn = str(self._client.create_model_package(**wanted)["ModelPackageArn"])
        return arn, int(arn.rpartition("/")[2])

    def set_status(self, arn: str, status: str, description: str) -> None:
        """Set ``ModelApprovalStatus``, with as much of the description as SageMaker takes."""
        with translated(f"set {arn} to {status}"):
            self._client.update_model_package(
                ModelPackageArn=arn,
                ModelApprovalStatus=status,
                ApprovalDescription=description[:_MAX_DESCRIPTION],
            )

    def set_labels(
        self, arn: str, stage: str, status: str, properties: Mapping[str, str], gone: Sequence[str]
    ) -> None:
        """Set ``ModelLifeCycle``, set some ``CustomerMetadataProperties`` and remove others."""
        request: dict[str, Any] = {"ModelLifeCycle": {"Stage": stage, "StageStatus": status}}
        if properties:
            request["CustomerMetadataProperties"] = dict(properties)
        if gone:
            request["CustomerMetadataPropertiesToRemove"] = list(gone)
        with translated(f"label {arn}"):
            self._client.update_model_package(ModelPackageArn=arn, **request)

    def set_card(self, arn: str, content: str, status: str) -> None:
        """Set the package's own model card, whose content has a schema of its own."""
        card = {"ModelCardContent": content, "ModelCardStatus": status}
        with translated(f"set the card of {arn}"):
            self._client.update_model_package(ModelPackageArn=arn, ModelCard=card)

    def describe(self, arn: str) -> Mapping[str, Any]:
        """Return the package as SageMaker describes it."""
        with translated(f"describe {arn}"):
            found: dict[str, Any] = self._client.describe_model_package(ModelPackageName=arn)
        return {name: value for name, value in found.items() if name != "ResponseMetadata"}

    def versions(self, group: str, status: str | None = None) -> Iterable[tuple[str, int]]:
        """Yield ARN and version number of a group's packages, newest first."""
        asked = {"ModelApprovalStatus": status} if status else {}
        pages = iter(
            self._client.get_paginator("list_model_packages").paginate(
                ModelPackageGroupName=group,
                SortBy="CreationTime",
                SortOrder="Descending",
                **asked,
            )
        )
        while True:
            try:
                with translated(f"list versions of {group}"):
                    page = next(pages, None)
            except RejectedError as error:
                if "does not exist" in error.message or error.value == "ResourceNotFound":
                    return
                raise
            if page is None:
                return
            for found in page["ModelPackageSummaryList"]:
                yield found["ModelPackageArn"], int(found["ModelPackageVersion"])
