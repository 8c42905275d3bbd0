"""Use case: record what an event tells of lineage, in any order and however often it comes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from steward.contracts.events import DatasetBuilt
from steward.contracts.incoming import ObjectCreated, Received
from steward.domain.errors import ConflictError
from steward.domain.lineage import Direction, Edge, Facts, Report, merged, moment, object_node
from steward.domain.lineage_items import (
    edge_digest,
    edge_item,
    edge_key,
    edge_of,
    fact_item,
    name_item,
    shift_item,
)
from steward.ports import Absent, Change, Condition, Equals, ObjectStore, Put, StateStore, Table
from steward.service.governance.lineage_facts import exposure_facts, facts_of

TRIES = 5
EXPOSURES = "exposures/"
_PER_COMMIT = 40
_WAYS: tuple[Direction, ...] = ("down", "up")


def record_lineage(
    received: Received, *, state: StateStore, objects: ObjectStore, environment: str
) -> Facts:
    """Write the facts of an event into the graph and return them.

    Facts of nodes, names and shifts are written under keys that follow from their content. An
    edge is merged with what is known of it and written only if nobody changed it meanwhile.

    Raises:
        ConflictError: Others changed the same edge five times in a row; AWS tries again.
        MalformedEventError: An object of exposures holds something else.
        EvidenceIncompleteError: A manifest that names more deliveries than its event is gone.
    """
    facts = told(received, objects, environment)
    for put in _blind(facts):
        state.commit([put])
    for start in range(0, len(facts.edges), _PER_COMMIT):
        _write_edges(state, facts.edges[start : start + _PER_COMMIT])
    return facts


def told(received: Received, objects: ObjectStore, environment: str) -> Facts:
    """Return what an event tells: one of ours by itself, an object's by what it holds."""
    if isinstance(received.detail, DatasetBuilt) and received.detail.more_deliveries:
        return facts_of(_completed(received, received.detail, objects), environment)
    if not isinstance(received.detail, ObjectCreated):
        return facts_of(received, environment)
    created = received.detail
    bucket, key = created.bucket.name, created.object.key
    if not key.startswith(EXPOSURES):
        return Facts()
    source = object_node(bucket, key, created.object.version_id)
    report = Report(moment(received.time), received.detail_type, received.source)
    with objects.open(f"s3://{bucket}/{key}") as lines:
        return exposure_facts(lines, source, report, environment)


def _completed(received: Received, built: DatasetBuilt, objects: ObjectStore) -> Received:
    """Return the event with every delivery of the manifest, more than an event may name."""
    manifest = json.loads(objects.read(built.manifest_uri))
    every = [str(source["sha256"]) for source in manifest["sources"]]
    detail = built.model_copy(update={"deliveries": every, "more_deliveries": 0})
    return received.model_copy(update={"detail": detail})


def _blind(facts: Facts) -> Iterator[Put]:
    """Yield the writes that need no look at what is there."""
    for fact in {fact.digest + fact.node: fact for fact in facts.nodes}.values():
        yield Put(Table.LINEAGE, fact_item(fact))
    for name in facts.names():
        yield Put(Table.LINEAGE, name_item(name))
    for shift in facts.shifts:
        yield Put(Table.LINEAGE, shift_item(shift))


def _write_edges(state: StateStore, edges: Sequence[Edge]) -> None:
    for attempt in range(TRIES):
        changes = [change for told_edge in edges for change in _changes(state, told_edge)]
        try:
            state.commit(changes)
            return
        except ConflictError:
            if attempt == TRIES - 1:
                raise


def _changes(state: StateStore, told_edge: Edge) -> list[Change]:
    item = state.get(Table.LINEAGE, edge_key(told_edge, "down"))
    known = edge_of(item) if item is not None else None
    now = merged(known, told_edge)
    if now == known:
        return []
    unchanged: Condition = Absent() if known is None else Equals("digest", edge_digest(known))
    return [Put(Table.LINEAGE, edge_item(now, way), expect=(unchanged,)) for way in _WAYS]
