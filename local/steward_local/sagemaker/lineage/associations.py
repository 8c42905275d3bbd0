"""Associations between lineage entities, and `QueryLineage` over them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

from steward_local.authority import Principal
from steward_local.sagemaker import jobs, store
from steward_local.sagemaker.errors import ApiError, invalid, limit_exceeded
from steward_local.sagemaker.lineage import entities
from steward_local.sagemaker.lineage.entities import Record
from steward_local.sagemaker.store import now

MAX_ASSOCIATIONS = 6_000
MAX_DEPTH = 10
MAX_PAGE = 50
Pair = tuple[str, str]
_SORTED_BY = {"SourceArn", "DestinationArn", "SourceType", "DestinationType"}


def add(params: Record, caller: Principal) -> Record:
    """`AddAssociation`."""
    at = store.current()
    source, destination = params["SourceArn"], params["DestinationArn"]
    caller.require("sagemaker:AddAssociation", destination)
    with at.lock:
        ends = [entities.find(source), entities.find(destination)]
        if source == destination:
            raise invalid("An association needs a source and a destination that differ.")
        if (source, destination) in at.lineage_associations:
            raise invalid(f"An association from {source} to {destination} already exists.")
        if len(at.lineage_associations) >= MAX_ASSOCIATIONS:
            raise limit_exceeded(
                f"The account-level service limit of {MAX_ASSOCIATIONS} for associations is "
                "reached."
            )
        at.lineage_associations[source, destination] = {
            **params,
            **_about("Source", ends[0]),
            **_about("Destination", ends[1]),
            "CreationTime": now(),
            "CreatedBy": entities.by(caller),
        }
    return {"SourceArn": source, "DestinationArn": destination}


def _about(end: str, record: Record) -> Record:
    name = record.get(f"{entities.kind_of(record)}Name")
    about = {f"{end}Type": entities.type_of(record)}
    return {**about, f"{end}Name": name} if name else about


def delete(params: Record, caller: Principal) -> Record:
    """`DeleteAssociation`."""
    at = store.current()
    source, destination = params["SourceArn"], params["DestinationArn"]
    caller.require("sagemaker:DeleteAssociation", destination)
    with at.lock:
        if at.lineage_associations.pop((source, destination), None) is None:
            raise ApiError(
                "ResourceNotFound",
                f"Resource Not Found: no association from {source} to {destination} exists.",
            )
    return {"SourceArn": source, "DestinationArn": destination}


def list_all(params: Record, _caller: Principal) -> Record:
    """`ListAssociations`."""
    members = ("SourceArn", "DestinationArn", "SourceType", "DestinationType", "AssociationType")
    with store.current().lock:
        kept = [
            item
            for item in store.current().lineage_associations.values()
            if all(params.get(member) in {None, item.get(member)} for member in members)
            and entities.is_within(item["CreationTime"], params)
        ]
    wanted = params.get("SortBy", "CreationTime")
    order = wanted if wanted in _SORTED_BY else "CreationTime"
    kept.sort(key=lambda item: item[order], reverse=params.get("SortOrder") != "Ascending")
    page, token = jobs.paged(kept, params)
    return {"AssociationSummaries": page, **({"NextToken": token} if token else {})}


def query(params: Record, _caller: Principal) -> Record:
    """`QueryLineage`: what leads to the start, what comes of it, or both."""
    filters = params.get("Filters", {})
    starts = params.get("StartArns", [])
    if not starts and not filters:
        raise invalid("Either StartArns or Filters must be given.")
    for arn in starts:
        entities.find(arn)
    at = store.current()
    with at.lock:
        pairs = dict(at.lineage_associations)
        known = dict(at.lineage_entities)
    walked: set[Pair] = set()
    reached = dict.fromkeys(starts or known, 0)
    if starts:
        depth = params.get("MaxDepth", MAX_DEPTH)
        for direction in _directions(params.get("Direction", "Both")):
            found, passed = _walk(starts, pairs, direction, depth)
            walked |= passed
            for arn, steps in found.items():
                reached[arn] = min(steps, reached.get(arn, steps))
    matching = [arn for arn in reached if arn not in starts and _matches(known.get(arn), filters)]
    edges: list[Record] = []
    if params.get("IncludeEdges", True):
        if filters and starts:
            walked = _leading_to(matching, walked, reached)
        edges = [pairs[pair] for pair in sorted(walked)]
        ends = dict.fromkeys(arn for pair in sorted(walked) for arn in pair)
        matching = list(dict.fromkeys([*matching, *ends]))
    matching.sort(key=lambda arn: (reached[arn], arn))
    page, token = jobs.paged(
        [_vertex(arn, known[arn]) for arn in matching if arn in known],
        {"MaxResults": MAX_PAGE, **params},
    )
    return {"Vertices": page, "Edges": edges, **({"NextToken": token} if token else {})}


def _directions(direction: str) -> tuple[str, ...]:
    return ("Ascendants", "Descendants") if direction == "Both" else (direction,)


def _walk(
    starts: list[str], pairs: Iterable[Pair], direction: str, depth: int
) -> tuple[dict[str, int], set[Pair]]:
    """What can be reached one way in so many steps, and the associations on the ways."""
    up = direction == "Ascendants"
    following: dict[str, list[Pair]] = defaultdict(list)
    for pair in pairs:
        following[pair[1] if up else pair[0]].append(pair)
    found, walked, frontier = dict.fromkeys(starts, 0), set[Pair](), list(starts)
    for steps in range(1, depth + 1):
        reached = []
        for arn in frontier:
            for pair in following[arn]:
                walked.add(pair)
                other = pair[0] if up else pair[1]
                if other not in found:
                    found[other] = steps
                    reached.append(other)
        frontier = reached
    return found, walked


def _leading_to(targets: list[str], walked: set[Pair], steps: dict[str, int]) -> set[Pair]:
    """The associations on ways from the start to the targets that never lead back."""
    kept: set[Pair] = set()
    waiting = list(targets)
    while waiting:
        arn = waiting.pop()
        for pair in walked - kept:
            other = pair[0] if pair[1] == arn else pair[1]
            if arn in pair and steps[other] < steps[arn]:
                kept.add(pair)
                waiting.append(other)
    return kept


def _matches(record: Record | None, filters: Record) -> bool:
    if record is None:
        return False
    properties = filters.get("Properties", {})
    checks: tuple[tuple[str, Callable[[], bool]], ...] = (
        ("Types", lambda: entities.type_of(record) in filters["Types"]),
        ("LineageTypes", lambda: entities.kind_of(record) in filters["LineageTypes"]),
        (
            "Properties",
            lambda: any(record["Properties"].get(key) == item for key, item in properties.items()),
        ),
    )
    return (
        all(check() for member, check in checks if filters.get(member))
        and entities.is_within(record["CreationTime"], filters)
        and entities.is_within(record["LastModifiedTime"], filters, "Modified")
    )


def _vertex(arn: str, record: Record) -> dict[str, Any]:
    return {
        "Arn": arn,
        "Type": entities.type_of(record),
        "LineageType": entities.kind_of(record),
    }
