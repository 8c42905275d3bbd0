"""A copy of a request on its way to a shadow version."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from steward.domain.routes import ServedFeatures


class MirroredRequest(BaseModel):
    """What the shadow is asked, and what its exposure says.

    Attributes:
        probability: Chance that an entity is assigned stable and mirrored at this step.
        features: As the request gave them; the shadow completes them as its own views pin.
        inference_id: Of the answer that the caller got.
        sent_at: ISO 8601, when it was copied.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    project: str
    route_version: int
    step_id: str
    release_id: str | None
    version: int = Field(ge=1)
    endpoint: str
    served_features: ServedFeatures | None = None
    slow_ms: int | None = None
    probability: float = Field(ge=0, le=1)
    entity_id: str = Field(min_length=1, max_length=256)
    features: dict[str, Any]
    inference_id: str
    sent_at: str
