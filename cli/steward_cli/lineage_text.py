"""What a walk found, as a tree for people, as Mermaid for documents and as JSON for scripts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from steward.domain.lineage import kind_of
from steward.domain.lineage_walk import Found
from steward_cli.lineage_graph import LineageGraph, short

_SIBLINGS = 12
_COLOURS = {
    "object": "#64748b", "delivery": "#0e7490", "features": "#7c3aed", "dataset": "#2563eb",
    "run": "#b45309", "version": "#15803d", "release": "#be185d", "endpoint": "#9f1239",
    "predictions": "#475569",
}  # fmt: skip
"""Colour of each kind of node; white text on each has a contrast of at least 4.5."""


def colour_of(node: str) -> str:
    """Return the colour of a node's kind."""
    return _COLOURS[kind_of(node)]


def remarks(graph: LineageGraph, node: str) -> str:
    """Return the few words that a person wants beside a node's name."""
    known, kind = graph.attributes(node), kind_of(node)
    words = [str(known["status"])] if "status" in known else []
    if kind == "delivery" and "rows" in known:
        words.append(f"{known['rows']} rows")
    if kind == "dataset" and "train_rows" in known:
        words.append(f"{known['train_rows']} + {known['heldout_rows']} rows")
    if kind == "run" and known.get("verdict"):
        words.append(str(known["verdict"]))
    if kind == "release" and known.get("strategy"):
        words.append(str(known["strategy"]))
    if kind == "endpoint" and known.get("stage"):
        words.append(str(known["stage"]))
    if kind == "predictions":
        words.append(counted(graph.answers(node), "answer"))
    return ", ".join(words)


def counted(number: int, what: str) -> str:
    """Return a number with its noun."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def tree(found: Found, graph: LineageGraph) -> str:
    """Return the found nodes as an indented tree; what was shown once is not repeated."""
    children: dict[str, list[str]] = {}
    for edge in found.edges:
        near = edge.parent if found.direction == "down" else edge.child
        children.setdefault(near, []).append(edge.end(found.direction))
    lines, shown = [_line(found.start, graph)], {found.start}

    def add(node: str, indent: str) -> None:
        below = sorted(set(children.get(node, [])))
        rest = len(below) - _SIBLINGS if len(below) > _SIBLINGS + 1 else 0
        listed = below[: len(below) - rest]
        for index, child in enumerate(listed):
            last = index == len(listed) - 1 and not rest
            again = child in shown and child in children
            mark = "  (see above)" if again else ""
            lines.append(f"{indent}{'└─ ' if last else '├─ '}{_line(child, graph)}{mark}")
            if not again:
                shown.add(child)
                add(child, indent + ("   " if last else "│  "))
        if rest:
            lines.append(f"{indent}└─ and {rest} more, {below[-1]} the last")

    _with_room(len(found.steps), lambda: add(found.start, ""))
    if found.cut:
        lines.append("(cut at the depth that was asked for)")
    return "\n".join(lines)


def _with_room(nodes: int, act: Callable[[], None]) -> None:
    """Run something that recurses as deep as the graph may be long."""
    import sys

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, nodes + 1_000))
    try:
        act()
    finally:
        sys.setrecursionlimit(limit)


def _line(node: str, graph: LineageGraph) -> str:
    words = remarks(graph, node)
    return f"{short(node)}  [{words}]" if words else short(node)


def mermaid(found: Found, graph: LineageGraph) -> str:
    """Return the found graph as a Mermaid flow chart, from sources to predictions."""
    ids = {node: f"n{index}" for index, node in enumerate(found.steps)}
    lines = ["flowchart LR"]
    for node, name in ids.items():
        words = remarks(graph, node)
        label = f"{short(node)}<br/>{words}" if words else short(node)
        quoted = label.replace('"', "#quot;")
        lines.append(f'    {name}["{quoted}"]:::{kind_of(node)}')
    lines += [f"    {ids[edge.parent]} --> {ids[edge.child]}" for edge in found.edges]
    for kind in dict.fromkeys(kind_of(node) for node in found.steps):
        lines.append(f"    classDef {kind} fill:{_COLOURS[kind]},color:#fff,stroke:none")
    return "\n".join(lines)


def document(found: Found, graph: LineageGraph) -> dict[str, Any]:
    """Return all that was found, with times and causes, for scripts."""
    return {
        "start": found.start,
        "direction": found.direction,
        "as_of": graph.as_of,
        "cut": found.cut,
        "nodes": [
            {
                "node": node, "kind": kind_of(node), "steps": steps,
                "attributes": graph.attributes(node),
            }
            for node, steps in found.steps.items()
        ],
        "edges": [
            {
                "parent": edge.parent, "child": edge.child, "first_at": edge.first.at,
                "last_at": edge.last.at, "event": edge.first.what, "cause": edge.first.cause,
                "counts": dict(edge.counts),
            }
            for edge in found.edges
        ],
    }  # fmt: skip
