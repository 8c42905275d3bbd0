"""Questions to the lineage graph, read with the CLI caller's own rights."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from steward.domain.errors import RejectedError
from steward.domain.lineage import (
    Direction,
    Edge,
    attributes_at,
    kind_of,
    live_shares,
    project_of,
)
from steward.domain.lineage_items import (
    FACTS,
    SHIFTS,
    edge_of,
    fact_of,
    key_of,
    names_partition,
    route_partition,
    shift_of,
)
from steward.domain.lineage_walk import Found, walk
from steward.ports import StateStore, Table
from steward_cli.console import CommandError, Exit, rejected

_SHOWN = 8
_AT_PREDICTIONS = frozenset({"predictions"})
_DIGITS = 12
_AT_ONCE = 8


@dataclass
class Impact:
    """What became of source objects.

    Attributes:
        versions: For each version that was trained on them: status, run, share of traffic,
            prediction partitions with the number of answers in each.
    """

    objects: list[str]
    versions: list[dict[str, Any]] = field(default_factory=list)


class LineageGraph:
    """The graph as of a time.

    Args:
        store: Holds the lineage table.
        as_of: A ``moment``; None for now.
    """

    def __init__(self, store: StateStore, as_of: str | None = None) -> None:
        self._store = store
        self.as_of = as_of
        self.edges = cache(self._edges)
        self.attributes = cache(self._attributes)

    def _edges(self, node: str, direction: Direction) -> list[Edge]:
        """Return the edges of a node in a direction, of any time."""
        items = self._store.query(Table.LINEAGE, key_of(node), prefix=f"{direction}#")
        return [edge_of(item) for item in items]

    def _attributes(self, node: str) -> dict[str, Any]:
        """Return what is known of a node at the graph's time."""
        items = self._store.query(Table.LINEAGE, key_of(node), prefix=FACTS)
        return attributes_at(map(fact_of, items), self.as_of)

    def walk(self, start: str, direction: Direction, depth: int | None = None) -> Found:
        """Return what a node leads to; what predictions are stored in, only from predictions."""
        return walk(
            start, direction, self.edges, depth=depth, as_of=self.as_of, until=_AT_PREDICTIONS
        )

    def prefetch(self, nodes: Iterable[str]) -> None:
        """Read side by side what is shown of nodes, so that many of them take no long time."""
        wanted = list(nodes)
        partitions = [node for node in wanted if kind_of(node) == "predictions"]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(pool.map(self.attributes, wanted))
            list(pool.map(lambda node: self.edges(node, "down"), partitions))

    def find(self, text: str) -> list[str]:
        """Return the nodes that a name means: the very one, else all that begin like it.

        An object without ``?versionId=`` means all its versions.

        Raises:
            CommandError: The text cannot be the beginning of a node's name.
        """
        try:
            kind = kind_of(text)
        except RejectedError as error:
            raise rejected(error, Exit.USAGE) from None
        items = self._store.query(Table.LINEAGE, names_partition(kind), prefix=key_of(text))
        names = [str(item["name"]) for item in items]
        same = [name for name in names if name == text]
        versions = [name for name in names if name.startswith(f"{text}?versionId=")]
        return same or versions or names

    def one(self, text: str) -> str:
        """Return the one node that a name or its unique beginning means.

        Raises:
            CommandError: There is none, or there are several.
        """
        found = self.find(text)
        if len(found) == 1:
            return found[0]
        if not found:
            raise CommandError(f"no node {text!r} is in the graph", Exit.NOT_FOUND, _near(text))
        shown = ", ".join(found[:_SHOWN]) + (" ..." if len(found) > _SHOWN else "")
        raise CommandError(f"{text!r} means {len(found)} nodes", Exit.USAGE, f"they are: {shown}")

    def shares(self, project: str) -> dict[int, float]:
        """Return who answers which share of a project's requests at the graph's time."""
        partition = route_partition(project)
        items = self._store.query(Table.LINEAGE, partition, prefix=SHIFTS)
        return live_shares(map(shift_of, items), self.as_of)

    def answers(self, partition: str) -> int:
        """Return the number of answers that a prediction partition is known to have."""
        edges = self.edges(partition, "down")
        return sum(
            edge.counts.get("answers", 0)
            for edge in edges
            if self.as_of is None or edge.first.at <= self.as_of
        )

    def impact(self, text: str) -> Impact:
        """Return which versions were trained on objects, which are live, what they predicted.

        Args:
            text: An object, all versions of one, or all objects below a prefix.

        Raises:
            CommandError: It is no object, or none that is known.
        """
        objects = self.find(text)
        if not text.startswith("s3://") or not objects:
            hint = "give a source object or a prefix: s3://bucket/deliveries/..."
            raise CommandError(f"no source object {text!r} is known", Exit.NOT_FOUND, hint)
        trained: dict[str, list[str]] = {}
        for source in objects:
            for version in self.walk(source, "down").of("version"):
                trained.setdefault(version, []).append(source)
        found = Impact(objects)
        found.versions = [
            self._touched(version, sources)
            for version, sources in sorted(trained.items(), key=lambda entry: _order(entry[0]))
        ]
        return found

    def _touched(self, version: str, sources: list[str]) -> dict[str, Any]:
        project, number = str(project_of(version)), int(version.rpartition("/")[2])
        partitions = self.walk(version, "down").of("predictions")
        self.prefetch(partitions)
        runs = [edge.parent for edge in self.edges(version, "up")]
        return {
            "version": version,
            "status": self.attributes(version).get("status"),
            "run": runs[0] if runs else None,
            "share": self.shares(project).get(number, 0.0),
            "sources": sources,
            "predictions": {partition: self.answers(partition) for partition in partitions},
        }


def short(node: str) -> str:
    """Return a node's name with its digests cut to what still finds it."""
    kind = kind_of(node)
    if kind == "object":
        key, mark, version = node.partition("?versionId=")
        return f"{key}{mark}{version[:_DIGITS]}"
    if kind in ("delivery", "dataset"):
        place, _, digest = node.rpartition("/")
        return f"{place}/{digest[:_DIGITS]}"
    return node


def _order(version: str) -> tuple[str, int]:
    project, _, number = version.rpartition("/")
    return project, int(number)


def _near(text: str) -> str:
    return f"is the project right? `steward lineage down {text.partition('/')[0]}/` lists some"


def hours(partitions: Iterable[str]) -> str:
    """Return the first and last hour of prediction partitions in words."""
    names = sorted("/".join(partition.split("/")[2:]) for partition in partitions)
    if not names:
        return ""
    first, last = (name[::-1].replace("/", " ", 1)[::-1].replace("/", "-") for name in
                   (names[0], names[-1]))  # fmt: skip
    return f"{first}h" if first == last else f"{first}h to {last}h"
