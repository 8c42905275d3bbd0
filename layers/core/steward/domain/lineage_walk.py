"""Walking the graph: everything a node was made of, and everything that was made of it.

A feature group version grows: a dataset that was built of it on Monday holds nothing of Tuesday's
delivery. A walk therefore passes through one only from what came in before to what was made
after. All other nodes are fixed once they are made and are passed freely.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from steward.domain.lineage import Direction, Edge, kind_of

Neighbours = Callable[[str, Direction], Iterable[Edge]]

_GROWING = "features"


@dataclass
class Found:
    """What a walk found.

    Attributes:
        start: Where it began.
        steps: Number of steps to each node, the start included, in order of discovery.
        edges: The edges that were walked, each once, in order of discovery.
        cut: Whether the depth ended it before the graph did.
    """

    start: str
    direction: Direction
    steps: dict[str, int] = field(default_factory=dict)
    edges: list[Edge] = field(default_factory=list)
    cut: bool = False

    def of(self, kind: str) -> list[str]:
        """Return the nodes of a kind that were found, sorted."""
        return sorted(node for node in self.steps if kind_of(node) == kind)


def walk(
    start: str,
    direction: Direction,
    neighbours: Neighbours,
    *,
    depth: int | None = None,
    as_of: str | None = None,
    until: frozenset[str] = frozenset(),
) -> Found:
    """Return all that can be reached from a node in a direction.

    Args:
        start: A node.
        direction: ``up`` to what it was made of, ``down`` to what was made of it.
        neighbours: Gives the edges of a node in a direction.
        depth: Most steps; None for no limit.
        as_of: A ``moment``: edges that were not known then do not count.
        until: Kinds of nodes that are found but not walked through.
    """
    found = Found(start, direction, {start: 0})
    walked: dict[tuple[str, str], Edge] = {}
    waiting: deque[tuple[str, int, str | None]] = deque([(start, 0, None)])
    best: dict[str, str | None] = {start: None}
    while waiting:
        node, steps, came = waiting.popleft()
        if came != best[node] or (node != start and kind_of(node) in until):
            continue
        for edge in sorted(neighbours(node, direction), key=lambda known: known.end(direction)):
            if as_of is not None and edge.first.at > as_of:
                continue
            if not _passes(node, came, edge, direction):
                continue
            if depth is not None and steps >= depth:
                found.cut = True
                continue
            end, at = edge.end(direction), _arrival(edge, direction)
            walked[edge.parent, edge.child] = edge
            if end not in best or _opens_more(best[end], at, direction):
                best[end] = at
                found.steps.setdefault(end, steps + 1)
                waiting.append((end, found.steps[end], at))
    found.edges = list(walked.values())
    return found


def _arrival(edge: Edge, direction: Direction) -> str | None:
    """Return the time that matters on arrival; none does at a node that never changes."""
    return edge.first.at if kind_of(edge.end(direction)) == _GROWING else None


def _passes(node: str, came: str | None, edge: Edge, direction: Direction) -> bool:
    if came is None or kind_of(node) != _GROWING:
        return True
    return edge.first.at >= came if direction == "down" else edge.first.at <= came


def _opens_more(known: str | None, at: str | None, direction: Direction) -> bool:
    """Return whether arriving at this time opens ways that the known arrival does not."""
    if known is None or at is None:
        return False
    return at < known if direction == "down" else at > known
