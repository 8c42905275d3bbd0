"""SageMaker ML Lineage Tracking: entities and associations, each made once."""

from __future__ import annotations

from typing import Any

from steward.adapters.errors import translated
from steward.domain.errors import RejectedError
from steward.domain.sagemaker_lineage import Entity

_TAKEN = frozenset({"ValidationException", "ResourceInUse", "ConflictException"})
"""What SageMaker says of what is there already; the first for other faults too."""


class SageMakerLineage:
    """Makes what is not there; what is there already is found and left as it is.

    Args:
        client: A boto3 SageMaker client.
    """

    def __init__(self, client: Any) -> None:
        self._client = client

    def ensure(self, entity: Entity) -> str:
        """Return the ARN of an entity, made if it is not there."""
        source: dict[str, Any] = {"SourceUri": entity.source_uri}
        request: dict[str, Any] = {"Source": source, "Properties": dict(entity.properties)}
        if entity.kind == "artifact" and entity.version_id:
            source["SourceTypes"] = [{"SourceIdType": "S3Version", "Value": entity.version_id}]
        word = entity.kind.capitalize()
        request |= {f"{word}Name": entity.name, f"{word}Type": entity.type}
        try:
            with translated(f"create {entity.kind} {entity.name}"):
                made = getattr(self._client, f"create_{entity.kind}")(**request)
            return str(made[f"{word}Arn"])
        except RejectedError as refused:
            found = self._find(entity) if refused.value in _TAKEN else None
            if found is None:
                raise
            return found

    def _find(self, entity: Entity) -> str | None:
        with translated(f"find {entity.kind} {entity.name}"):
            if entity.kind == "artifact":
                page = self._client.list_artifacts(SourceUri=entity.source_uri, MaxResults=1)
                arns = [str(item["ArtifactArn"]) for item in page["ArtifactSummaries"]]
                return arns[0] if arns else None
            word = entity.kind.capitalize()
            describe = getattr(self._client, f"describe_{entity.kind}")
            return str(describe(**{f"{word}Name": entity.name})[f"{word}Arn"])

    def associate(self, source_arn: str, destination_arn: str, association: str) -> None:
        """Connect two entities; what is connected already stays as it is."""
        ends = {"SourceArn": source_arn, "DestinationArn": destination_arn}
        try:
            with translated(f"associate {source_arn} with {destination_arn}"):
                self._client.add_association(**ends, AssociationType=association)
        except RejectedError as refused:
            if refused.value not in _TAKEN or not self._is_associated(ends):
                raise

    def _is_associated(self, ends: dict[str, str]) -> bool:
        with translated("list associations"):
            page = self._client.list_associations(**ends, MaxResults=1)
        return bool(page["AssociationSummaries"])
