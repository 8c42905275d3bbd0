"""Requests to the approval function URL."""

from __future__ import annotations

from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from steward.domain.approvals import Decision
from steward.domain.errors import MalformedEventError

ModelT = TypeVar("ModelT", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class ShowVersion(_Strict):
    """``GET ?project=&version=``: what is to be decided."""

    project: str
    version: int = Field(ge=1)


class DecideVersion(_Strict):
    """``POST``: one person's decision on exactly this evidence."""

    project: str
    version: int = Field(ge=1)
    evidence_digest: str
    decision: Decision
    comment: str = Field(default="", max_length=2000)


class RecordReview(_Strict):
    """``POST`` to the review URL: a person has reviewed a model."""

    project: str
    note: str = Field(min_length=1, max_length=2000)


class PrintCard(_Strict):
    """``POST`` or ``GET`` to the card URL: a version's card as PDF.

    Attributes:
        by: Who makes it: the job image from the whole card, or SageMaker from the card that it
            keeps.
    """

    project: str
    version: int = Field(ge=1)
    by: Literal["job_image", "sagemaker"] = "job_image"


def parse_request(model: type[ModelT], value: object) -> ModelT:
    """Return a request, typed.

    Raises:
        MalformedEventError: It does not fit; ``field`` names the first value at fault.
    """
    try:
        return model.model_validate(value)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False)[0]
        path = ".".join(str(part) for part in first["loc"]) or "body"
        raise MalformedEventError(
            f"{path}: {first['msg']}", field=path, value=first["input"], allowed=first["msg"]
        ) from None
