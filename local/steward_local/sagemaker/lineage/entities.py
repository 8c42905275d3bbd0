"""Lineage entities: artifacts by their source, actions and contexts by their name."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from steward_local.authority import Principal
from steward_local.sagemaker import jobs, store
from steward_local.sagemaker.errors import ApiError, invalid, limit_exceeded
from steward_local.sagemaker.store import now

Record = dict[str, Any]
MAX_PROPERTIES = 30
_CHANGEABLE = ("ArtifactName", "Description", "Status", "Properties")


def artifact_arn(source_uri: str) -> str:
    """The ARN of the one artifact that a source has."""
    return store.current().arn("artifact", hashlib.sha256(source_uri.encode()).hexdigest()[:32])


def find(arn: str) -> Record:
    """An entity by its ARN; AWS's error when there is none."""
    known: Record | None = store.current().lineage_entities.get(arn)
    if known is None:
        raise ApiError("ResourceNotFound", f"Resource Not Found: {arn} does not exist.")
    return known


def by(caller: Principal) -> Record:
    """Who made or changed something."""
    return {"IamIdentity": {"Arn": caller.arn, "PrincipalId": caller.arn.rsplit("/", 1)[-1]}}


@dataclass(frozen=True)
class EntityKind:
    """The operations on one kind of entity.

    Attributes:
        name: `Artifact`, `Action` or `Context`, also the entity's LineageType.
        most: How many an account may have in a region.
    """

    name: str
    most: int

    def arn_of(self, params: Record) -> str:
        """The ARN of the entity that a request names."""
        if self.name != "Artifact":
            given = str(params[f"{self.name}Name"])
            kind = self.name.lower()
            return given if given.startswith("arn:") else store.current().arn(kind, given)
        if "ArtifactArn" in params:
            return str(params["ArtifactArn"])
        if "Source" not in params:
            raise invalid("Either ArtifactArn or Source must be specified.")
        return artifact_arn(params["Source"]["SourceUri"])

    def create(self, params: Record, caller: Principal) -> Record:
        """`CreateArtifact`, `CreateAction`, `CreateContext`."""
        at = store.current()
        arn = self.arn_of(params)
        moment = now()
        record: Record = {
            **{key: value for key, value in params.items() if key != "Tags"},
            f"{self.name}Arn": arn,
            "CreationTime": moment,
            "CreatedBy": by(caller),
            "LastModifiedTime": moment,
            "LastModifiedBy": by(caller),
            "Properties": params.get("Properties", {}),
        }
        with at.lock:
            if arn in at.lineage_entities:
                what = "source" if self.name == "Artifact" else "name"
                raise invalid(f"{self.name} with the same {what} already exists: {arn}")
            same = [item for item in at.lineage_entities.values() if f"{self.name}Arn" in item]
            if len(same) >= self.most:
                raise limit_exceeded(
                    f"The account-level service limit of {self.most} for {self.name.lower()}s is "
                    "reached."
                )
            name = params.get("ArtifactName")
            if name and any(item.get("ArtifactName") == name for item in same):
                raise invalid(f"Artifact with the same name already exists: {name}")
            at.lineage_entities[arn] = record
        at.tag(arn, params.get("Tags"))
        return {f"{self.name}Arn": arn}

    def describe(self, params: Record, _caller: Principal) -> Record:
        """`DescribeArtifact`, `DescribeAction`, `DescribeContext`."""
        return find(self.arn_of(params))

    def update(self, params: Record, caller: Principal) -> Record:
        """`UpdateArtifact`, `UpdateAction`, `UpdateContext`: given properties replace all."""
        arn = self.arn_of(params)
        with store.current().lock:
            record = find(arn)
            record.update({key: params[key] for key in _CHANGEABLE if key in params})
            removed = params.get("PropertiesToRemove", [])
            kept = {key: item for key, item in record["Properties"].items() if key not in removed}
            record.update(Properties=kept, LastModifiedTime=now(), LastModifiedBy=by(caller))
        return {f"{self.name}Arn": arn}

    def delete(self, params: Record, _caller: Principal) -> Record:
        """`DeleteArtifact`, `DeleteAction`, `DeleteContext`: only without associations."""
        at = store.current()
        arn = self.arn_of(params)
        with at.lock:
            find(arn)
            if any(arn in pair for pair in at.lineage_associations):
                raise invalid(f"{arn} cannot be deleted while it has associations.")
            del at.lineage_entities[arn]
            at.tags.pop(arn, None)
        return {f"{self.name}Arn": arn}

    def list_all(self, params: Record, _caller: Principal) -> Record:
        """`ListArtifacts`, `ListActions`, `ListContexts`."""
        uri, kind = params.get("SourceUri"), params.get(f"{self.name}Type")
        with store.current().lock:
            kept = [
                item
                for item in store.current().lineage_entities.values()
                if f"{self.name}Arn" in item
                and uri in {None, item["Source"]["SourceUri"]}
                and kind in {None, item[f"{self.name}Type"]}
                and is_within(item["CreationTime"], params)
            ]
        order = f"{self.name}Name" if params.get("SortBy") == "Name" else "CreationTime"
        kept.sort(
            key=lambda item: item.get(order, ""), reverse=params.get("SortOrder") != "Ascending"
        )
        page, token = jobs.paged(kept, params)
        return {f"{self.name}Summaries": page, **({"NextToken": token} if token else {})}


def is_within(moment: float, params: Record, prefix: str = "Created") -> bool:
    """Whether a time is in the range that a list operation asks for, its ends included."""
    after, before = params.get(f"{prefix}After"), params.get(f"{prefix}Before")
    return (after is None or moment >= float(after)) and (before is None or moment <= float(before))


ARTIFACT = EntityKind("Artifact", 6_000)
ACTION = EntityKind("Action", 3_000)
CONTEXT = EntityKind("Context", 500)


def kind_of(record: Record) -> str:
    """`Artifact`, `Action` or `Context`."""
    return next(kind.name for kind in (ARTIFACT, ACTION, CONTEXT) if f"{kind.name}Arn" in record)


def type_of(record: Record) -> str:
    """What the maker calls the entity: a data set, a model, a deployment."""
    return str(record[f"{kind_of(record)}Type"])
