"""Records of the outbox table's stream.

Shape: https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class _Received(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)


class _Text(_Received):
    text: str = Field(alias="S", min_length=1)


class OutboxItem(_Received):
    """The attributes of an outbox item that the bus needs."""

    source: _Text
    detail_type: _Text
    detail: _Text
    time: _Text


class _Change(_Received):
    item: OutboxItem = Field(alias="NewImage")


class InsertedEvent(_Received):
    """An event that a transaction has put into the outbox."""

    event_name: Literal["INSERT"] = Field(alias="eventName")
    change: _Change = Field(alias="dynamodb")

    @property
    def item(self) -> OutboxItem:
        """The new item."""
        return self.change.item
