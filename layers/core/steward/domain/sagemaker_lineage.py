"""The lineage graph in the words of SageMaker ML Lineage Tracking.

Prediction partitions stay out: an account has room for 6,000 artifacts and 6,000 associations.
Source: https://docs.aws.amazon.com/sagemaker/latest/dg/lineage-tracking-entities.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from steward.domain.digests import digest_of
from steward.domain.lineage import kind_of, project_of

EntityKind = Literal["artifact", "action", "context"]

_KINDS: dict[str, tuple[EntityKind, str]] = {
    "object": ("artifact", "DataSet"),
    "delivery": ("artifact", "Delivery"),
    "features": ("artifact", "FeatureGroup"),
    "dataset": ("artifact", "DataSet"),
    "run": ("action", "ModelTraining"),
    "version": ("artifact", "Model"),
    "release": ("action", "ModelDeployment"),
    "endpoint": ("context", "Endpoint"),
}
_LONGEST_NAME, _DIGITS, _LONGEST_PROPERTY = 120, 12, 256


@dataclass(frozen=True)
class Entity:
    """An artifact, action or context.

    Attributes:
        name: Unique in the account.
        type: What it is, in SageMaker's words where it has one.
        source_uri: What it stands for; an artifact's identity.
        version_id: S3's version of a source object.
    """

    kind: EntityKind
    name: str
    type: str
    source_uri: str
    version_id: str | None = None
    properties: Mapping[str, str] = field(default_factory=dict)


def entity_of(node: str, stack: str) -> Entity | None:
    """Return a node as an entity, None for what stays out.

    Everything follows from the node's name, so that no order of events makes another entity.

    Args:
        node: A node of the graph.
        stack: Tells the nodes of several stacks of an account apart.
    """
    known = _KINDS.get(kind_of(node))
    if known is None:
        return None
    kind, type_ = known
    is_object = kind_of(node) == "object"
    uri = node if is_object else f"steward://{stack}/{node}"
    words = re.sub(r"[^a-zA-Z0-9]+", "-", f"{stack} {node}").strip("-")
    room = _LONGEST_NAME - _DIGITS - 1
    name = f"{words[:room].rstrip('-')}-{digest_of(uri)[:_DIGITS]}"
    properties = {"stack": stack, "node": node[:_LONGEST_PROPERTY]}
    project = project_of(node)
    if project:
        properties["project"] = project
    version = node.partition("?versionId=")[2] if is_object else ""
    return Entity(kind, name, type_, uri, version or None, properties)


def association_of(parent: Entity, child: Entity) -> str:
    """Return how SageMaker names what the parent is to the child."""
    if "context" in (parent.kind, child.kind):
        return "AssociatedWith"
    if parent.kind == "action":
        return "Produced"
    return "ContributedTo" if child.kind == "action" else "DerivedFrom"
