"""The graph as items of one table: adjacency in both directions, facts, an index of names.

Partition of a node: ``fact#<time>#<event>#<digest>``, ``down#<child>`` and ``up#<parent>``.
Partition ``nodes#<kind>`` lists the names of a kind, so that a prefix finds them. Partition
``route#<project>`` has ``shift#<route version>``: who answered how many from when on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steward.domain.digests import digest_of
from steward.domain.lineage import Direction, Edge, NodeFact, Report, Shift, kind_of

Item = dict[str, Any]

FACTS, SHIFTS = "fact#", "shift#"
_LONGEST_KEY = 900
"""DynamoDB's sort keys have 1,024 bytes; an S3 key alone may have them."""


def key_of(node: str) -> str:
    """Return a node's name as a key: itself, or its beginning and its digest if it is long."""
    encoded = node.encode()
    if len(encoded) <= _LONGEST_KEY:
        return node
    return f"{encoded[: _LONGEST_KEY - 65].decode(errors='ignore')}~{digest_of(node)}"


def fact_item(fact: NodeFact) -> Item:
    """Return the item of a fact; the same fact has the same key and content."""
    return {
        "node": key_of(fact.node),
        "item": f"{FACTS}{fact.at}#{fact.what}#{fact.digest}",
        "name": fact.node, "at": fact.at, "what": fact.what, "cause": fact.cause,
        "attributes": dict(fact.attributes),
    }  # fmt: skip


def fact_of(item: Mapping[str, Any]) -> NodeFact:
    """Return the fact of an item."""
    return NodeFact(item["name"], item["at"], item["what"], item["cause"], item["attributes"])


def edge_key(known: Edge, direction: Direction) -> dict[str, str]:
    """Return the key of an edge as its parent (``down``) or its child (``up``) holds it."""
    near = known.parent if direction == "down" else known.child
    return {"node": key_of(near), "item": f"{direction}#{key_of(known.end(direction))}"}


def edge_item(known: Edge, direction: Direction) -> Item:
    """Return an edge as one of its ends holds it."""
    return {
        **edge_key(known, direction),
        "parent": known.parent, "child": known.child,
        "first_at": known.first.at, "first_event": known.first.what,
        "first_cause": known.first.cause,
        "last_at": known.last.at, "last_event": known.last.what, "last_cause": known.last.cause,
        "counts": dict(known.counts), "digest": edge_digest(known),
    }  # fmt: skip


def edge_of(item: Mapping[str, Any]) -> Edge:
    """Return the edge of an item."""
    first = Report(item["first_at"], item["first_event"], item["first_cause"])
    last = Report(item["last_at"], item["last_event"], item["last_cause"])
    return Edge(item["parent"], item["child"], first, last, item["counts"])


def edge_digest(known: Edge) -> str:
    """Return what guards a write against one that came between."""
    reports = [[r.at, r.what, r.cause] for r in (known.first, known.last)]
    return digest_of([known.parent, known.child, *reports, dict(known.counts)])


def name_item(node: str) -> Item:
    """Return the item by which a node's name is found."""
    return {"node": names_partition(kind_of(node)), "item": key_of(node), "name": node}


def names_partition(kind: str) -> str:
    """Return the partition that lists the nodes of a kind."""
    return f"nodes#{kind}"


def route_partition(project: str) -> str:
    """Return the partition of a project's shifts of traffic."""
    return f"route#{project}"


def shift_item(shift: Shift) -> Item:
    """Return the item of a shift."""
    return {
        "node": route_partition(shift.project), "item": f"{SHIFTS}{shift.route_version:08d}",
        "project": shift.project, "route_version": shift.route_version, "at": shift.at,
        "shares": dict(shift.shares), "release_id": shift.release_id,
    }  # fmt: skip


def shift_of(item: Mapping[str, Any]) -> Shift:
    """Return the shift of an item."""
    return Shift(
        item["project"], item["route_version"], item["at"], item["shares"], item["release_id"]
    )
