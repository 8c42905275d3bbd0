"""SageMaker ML Lineage Tracking in memory."""

from __future__ import annotations

from steward.domain.errors import RejectedError
from steward.domain.sagemaker_lineage import Entity

_ARN = "arn:aws:sagemaker:us-east-1:000000000000:{}/{}"


class FakeLineageTracking:
    """Entities by what makes them one, and the associations between them."""

    def __init__(self) -> None:
        self.entities: dict[str, Entity] = {}
        self.associations: dict[tuple[str, str], str] = {}

    def ensure(self, entity: Entity) -> str:
        identity = entity.source_uri if entity.kind == "artifact" else entity.name
        arn = _ARN.format(entity.kind, identity.lower())
        self.entities.setdefault(arn, entity)
        return arn

    def associate(self, source_arn: str, destination_arn: str, association: str) -> None:
        for arn in (source_arn, destination_arn):
            if arn not in self.entities:
                raise RejectedError(f"there is no {arn}", field="arn", value=arn)
        if source_arn == destination_arn:
            raise RejectedError("an association has two ends", field="arn", value=source_arn)
        self.associations.setdefault((source_arn, destination_arn), association)
