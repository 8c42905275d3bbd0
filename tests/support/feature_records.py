"""Records of the Feature Store's runtime, for tests."""

from typing import Any

import pytest
from botocore.exceptions import ClientError


def values(**features: Any) -> list[dict[str, str]]:
    """Features in the shape of the API."""
    return [{"FeatureName": name, "ValueAsString": str(value)} for name, value in features.items()]


def put(runtime: Any, group: str, entity: str, at: str, **features: Any) -> None:
    """Put one record."""
    runtime.put_record(
        FeatureGroupName=group, Record=values(entity=entity, event_time=at, **features)
    )


def read(runtime: Any, group: str, entity: str, **options: Any) -> dict[str, str]:
    """The features of a record; empty when there is none."""
    answer = runtime.get_record(
        FeatureGroupName=group, RecordIdentifierValueAsString=entity, **options
    )
    return {item["FeatureName"]: item["ValueAsString"] for item in answer.get("Record", [])}


def refusal(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, str, int]:
    """Code, message and HTTP status of a refusal."""
    answer = error.value.response
    status = answer["ResponseMetadata"]["HTTPStatusCode"]
    return answer["Error"]["Code"], answer["Error"]["Message"], status
