"""The envelope of our own events, version 1, and what all payloads have in common."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict

from steward.domain.digests import canonical_json
from steward.domain.errors import RejectedError

SCHEMA_VERSION = "1"


MAX_EVENT_BYTES = 64 * 1024


_LONGEST_CAUSE = 8_000


def _beginning(text: str) -> str:
    return text if len(text) <= _LONGEST_CAUSE else text[: _LONGEST_CAUSE - 4] + " ..."


Told = Annotated[str, AfterValidator(_beginning)]
"""What a machine says of a failure: Step Functions' causes have up to 32,768 characters."""


class _Wire(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Meta(_Wire):
    """Who caused what: the same in every event."""

    schema_version: str = SCHEMA_VERSION
    correlation_id: str
    causation_id: str
    project: str
    actor: str


class Payload(_Wire):
    """Base of all payloads; the class name is the detail-type."""

    source: ClassVar[str]


class Event(_Wire):
    """One event of ours: what ``PutEvents`` carries, typed."""

    event_id: str
    time: str
    meta: Meta
    data: Payload

    @property
    def detail_type(self) -> str:
        """The class name of the payload."""
        return type(self.data).__name__

    @property
    def source(self) -> str:
        """The emitting domain."""
        return self.data.source

    def detail(self) -> dict[str, Any]:
        """Return the ``detail`` object; its meta carries no event id, AWS's ``id`` is another."""
        return {
            "meta": {**self.meta.model_dump(mode="json")},
            "data": self.data.model_dump(mode="json"),
        }

    def detail_json(self) -> str:
        """Return ``detail`` as canonical JSON.

        Raises:
            RejectedError: It is above ``MAX_EVENT_BYTES`` or holds a number that JSON has not.
                What is large lies in S3, and an event carries its URI.
        """
        try:
            text = canonical_json(self.detail())
        except ValueError as error:
            raise RejectedError(
                f"{self.detail_type} is not JSON: {error}", field="detail.data", allowed="JSON"
            ) from None
        if len(text) > MAX_EVENT_BYTES:
            raise RejectedError(
                f"{self.detail_type} has {len(text)} bytes of detail; what is large goes to S3",
                field="detail", value=len(text), allowed=f"at most {MAX_EVENT_BYTES} bytes",
            )  # fmt: skip
        return text.decode()
