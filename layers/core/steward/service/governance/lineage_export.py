"""Use cases: hand lineage on, to an OpenLineage backend and to SageMaker's own lineage."""

from __future__ import annotations

import hashlib

from steward.contracts.events import LineageEventWritten
from steward.contracts.incoming import Received
from steward.domain.errors import EvidenceIncompleteError
from steward.domain.sagemaker_lineage import association_of, entity_of
from steward.ports import LineageBackend, LineageTracking, ObjectStore
from steward.service.governance.lineage_facts import facts_of


def send_lineage(received: Received, *, objects: ObjectStore, backend: LineageBackend) -> str:
    """Send a written OpenLineage event to the backend and return its URI.

    A replayed event is sent again: that is how a new backend learns what was before.

    Raises:
        EvidenceIncompleteError: The object is gone or its bytes are others.
    """
    written: LineageEventWritten = received.detail
    content = objects.read(written.uri)
    digest = hashlib.sha256(content).hexdigest()
    if digest != written.sha256:
        raise EvidenceIncompleteError(
            f"{written.uri} is not what was written", field="sha256", value=digest,
            allowed=written.sha256,
        )  # fmt: skip
    backend.send(content)
    return written.uri


def export_lineage(
    received: Received, *, tracking: LineageTracking, stack: str, environment: str
) -> list[str]:
    """Make what an event tells known to SageMaker, and return the ARNs of the entities.

    Entities and associations follow from the nodes' names alone and are made once, so that
    neither order nor repetition of events matters.
    """
    facts = facts_of(received, environment)
    entities = {name: entity_of(name, stack) for name in facts.names()}
    arns = {name: tracking.ensure(entity) for name, entity in entities.items() if entity}
    for edge in facts.edges:
        parent, child = entities[edge.parent], entities[edge.child]
        if parent is not None and child is not None:
            kind = association_of(parent, child)
            tracking.associate(arns[edge.parent], arns[edge.child], kind)
    return sorted(arns.values())
