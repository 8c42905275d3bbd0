"""Endpoints, configurations, models and schedules: listed by name, deleted one by one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from steward.adapters.errors import code_of, message_of, translate, translated

if TYPE_CHECKING:
    from steward.domain.belongings import Kind

# Kind: operation that lists, key of the list, key of a name, operation that deletes.
_SAGEMAKER: dict[str, tuple[str, str, str, str]] = {
    "endpoints": ("list_endpoints", "Endpoints", "EndpointName", "delete_endpoint"),
    "endpoint_configs": (
        "list_endpoint_configs", "EndpointConfigs", "EndpointConfigName", "delete_endpoint_config",
    ),
    "models": ("list_models", "Models", "ModelName", "delete_model"),
}  # fmt: skip
_GONE = ("Could not find", "does not exist")
_MOVING = ("in-progress", "in progress")


class AwsProjectResources:
    """What SageMaker and EventBridge Scheduler hold.

    Args:
        sagemaker: boto3's ``sagemaker``.
        scheduler: boto3's ``scheduler``.
    """

    def __init__(self, sagemaker: Any, scheduler: Any) -> None:
        self._sagemaker, self._scheduler = sagemaker, scheduler

    def names(self, kind: Kind, search: str) -> Iterator[str]:
        """Yield names that contain a text; ``GROUP/NAME`` of schedules that begin with it."""
        if kind == "schedules":
            pages = self._scheduler.get_paginator("list_schedules").paginate(NamePrefix=search)
            for page in self._read(pages, "list_schedules"):
                for item in page["Schedules"]:
                    yield f"{item['GroupName']}/{item['Name']}"
            return
        listing, listed, name, _ = _SAGEMAKER[kind]
        pages = self._sagemaker.get_paginator(listing).paginate(NameContains=search)
        for page in self._read(pages, listing):
            for item in page[listed]:
                yield str(item[name])

    def delete(self, kind: Kind, name: str) -> Literal["deleted", "gone", "moving"]:
        """Delete one; return whether that was done, or it was gone, or cannot be done yet."""
        try:
            if kind == "schedules":
                group, _, schedule = name.partition("/")
                self._scheduler.delete_schedule(GroupName=group, Name=schedule)
            else:
                _, _, key, deleting = _SAGEMAKER[kind]
                getattr(self._sagemaker, deleting)(**{key: name})
        except ClientError as error:
            text = message_of(error)
            if code_of(error) == "ResourceNotFoundException" or any(w in text for w in _GONE):
                return "gone"
            if any(words in text for words in _MOVING):
                return "moving"
            raise translate(error, f"delete {name}") from error
        except (BotoCoreError, HTTPClientError) as error:
            raise translate(error, f"delete {name}") from error
        return "deleted"

    @staticmethod
    def _read(pages: Any, doing: str) -> Iterator[dict[str, Any]]:
        pages = iter(pages)
        while True:
            with translated(doing):
                page = next(pages, None)
            if page is None:
                return
            yield page
