"""Requests to the function URL that deletes deliveries and inputs of batches."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

BATCH_ID = "^[0-9a-f]{12}-[1-9][0-9]{0,3}$"


class ShowDelivery(BaseModel):
    """``GET ?project=&delivery=``: what is kept of a delivery.

    Attributes:
        delivery: Its id, or the beginning that no other has.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    project: str = Field(min_length=1, max_length=20)
    delivery: str = Field(pattern="^[0-9a-f]{4,64}$")


class DeleteDelivery(BaseModel):
    """``POST``: delete a delivery, named by its whole id.

    Attributes:
        reason: Why; it stays, so it names nobody.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    project: str = Field(min_length=1, max_length=20)
    delivery_id: str = Field(pattern="^[0-9a-f]{64}$")
    reason: str = Field(min_length=3, max_length=500)


class ShowBatchInput(BaseModel):
    """``GET ?project=&batch=``: what is kept of the files of a batch."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    project: str = Field(min_length=1, max_length=20)
    batch: str = Field(pattern=BATCH_ID)


class DeleteBatchInput(BaseModel):
    """``POST``: delete the files of a batch, and what batches made of them.

    Attributes:
        reason: Why; it stays, so it names nobody.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    project: str = Field(min_length=1, max_length=20)
    batch_id: str = Field(pattern=BATCH_ID)
    reason: str = Field(min_length=3, max_length=500)
