"""The lineage of a node as one SVG file: columns by kind, sources left, predictions right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from steward.domain.lineage import KINDS, kind_of
from steward.domain.lineage_walk import Found
from steward_cli.lineage_graph import LineageGraph, hours, short
from steward_cli.lineage_text import colour_of, remarks

_WIDE, _HIGH, _LANE, _ACROSS, _DOWN = 236, 56, 8, 74, 16
_MARGIN, _HEAD = 32, 92
_TITLES = {
    "object": "Source objects", "delivery": "Deliveries", "features": "Feature groups",
    "dataset": "Datasets", "run": "Training runs", "version": "Model versions",
    "release": "Releases", "endpoint": "Endpoints", "predictions": "Predictions",
}  # fmt: skip
_TOGETHER = 4
"""More siblings than this that hang together in the same way are drawn as one box."""
_LETTERS = 29

_STYLE = """
svg { font-family: system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
.paper { fill: #ffffff; } .title { fill: #0f172a; font-size: 19px; font-weight: 650; }
.sub { fill: #526077; font-size: 12.5px; } .column { fill: #526077; font-size: 11.5px;
font-weight: 650; letter-spacing: .06em; text-transform: uppercase; }
.box { fill: #ffffff; stroke: #d3dae5; stroke-width: 1; } .start { stroke-width: 2.5; }
.name { fill: #0f172a; font-size: 13px; font-weight: 600; }
.words { fill: #526077; font-size: 11.5px; }
.way { fill: none; stroke: #a3b0c2; stroke-width: 1.4; } .tip { fill: #a3b0c2; }
@media (prefers-color-scheme: dark) {
.paper { fill: #0f172a; } .title, .name { fill: #f1f5f9; } .sub, .words, .column { fill: #a3b0c2; }
.box { fill: #1c2940; stroke: #3a4a66; } .way { stroke: #5b6b86; } .tip { fill: #5b6b86; } }
"""


@dataclass(frozen=True)
class _Box:
    """One node, or several that hang together in the same way."""

    members: tuple[str, ...]

    @property
    def first(self) -> str:
        return self.members[0]

    @property
    def kind(self) -> str:
        return kind_of(self.first)


@dataclass(frozen=True)
class _Lane:
    """Where the ways to a box pass through a column that they skip."""

    child: _Box
    kind: str


_Spot = _Box | _Lane


def picture(walks: Sequence[Found], graph: LineageGraph) -> str:
    """Return the picture of what walks from one node have found, as a self-contained SVG."""
    start = walks[0].start
    ways = {(edge.parent, edge.child) for found in walks for edge in found.edges}
    boxes = _boxes({node for found in walks for node in found.steps}, ways, start)
    of_node = {node: box for box in boxes for node in box.members}
    links = {(of_node[parent], of_node[child]) for parent, child in ways}
    spots, pieces = _with_lanes(boxes, links)
    columns = _ordered(spots, pieces)
    tallest = max(map(_height, columns.values()))
    height = _HEAD + 22 + tallest + _MARGIN
    width = 2 * _MARGIN + len(columns) * (_WIDE + _ACROSS) - _ACROSS
    places = _places(columns, tallest)
    parts = [_head(start, graph, len(of_node), width)]
    parts += [
        f'<text class="column" x="{x}" y="{_HEAD}">{_TITLES[kind]}</text>'
        for kind, x in zip(columns, _lefts(len(columns)), strict=True)
    ]
    order = sorted(pieces, key=lambda piece: (places[piece[0]], places[piece[1]]))
    parts += [_way(near, far, places) for near, far in order]
    parts += [
        _drawn(box, places[box], graph, start in box.members)
        for column in columns.values()
        for box in column
        if isinstance(box, _Box)
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" style="max-width:100%;height:auto" '
        f'role="img" aria-label="Lineage of {_xml(start)}">'
        f"<style>{_STYLE}</style>"
        f'<rect class="paper" width="{width}" height="{height}"/>{"".join(parts)}</svg>\n'
    )


def _boxes(nodes: set[str], ways: set[tuple[str, str]], start: str) -> list[_Box]:
    """Put siblings with the same parents and children together where they are many."""
    alike: dict[tuple[str, frozenset[str], frozenset[str]], list[str]] = {}
    for node in sorted(nodes):
        above = frozenset(parent for parent, child in ways if child == node)
        below = frozenset(child for parent, child in ways if parent == node)
        alike.setdefault((kind_of(node), above, below), []).append(node)
    boxes = []
    for siblings in alike.values():
        if len(siblings) > _TOGETHER and start not in siblings:
            boxes.append(_Box(tuple(siblings)))
        else:
            boxes += [_Box((node,)) for node in siblings]
    return boxes


def _with_lanes(
    boxes: list[_Box], links: set[tuple[_Box, _Box]]
) -> tuple[list[_Spot], set[tuple[_Spot, _Spot]]]:
    """Lead each way that skips columns through a lane in each; ways to one box share it."""
    used = [kind for kind in KINDS if any(box.kind == kind for box in boxes)]
    spots: dict[_Spot, None] = dict.fromkeys(boxes)
    pieces: set[tuple[_Spot, _Spot]] = set()
    for parent, child in links:
        near: _Spot = parent
        for kind in used[used.index(parent.kind) + 1 : used.index(child.kind)]:
            lane = _Lane(child, kind)
            spots[lane] = None
            pieces.add((near, lane))
            near = lane
        pieces.add((near, child))
    return list(spots), pieces


def _name(spot: _Spot) -> str:
    return spot.first if isinstance(spot, _Box) else spot.child.first


def _ordered(spots: Iterable[_Spot], pieces: set[tuple[_Spot, _Spot]]) -> dict[str, list[_Spot]]:
    """Return the spots by column; each stands near the middle of what it hangs on."""
    columns = {
        kind: sorted((spot for spot in spots if spot.kind == kind), key=_name) for kind in KINDS
    }
    columns = {kind: column for kind, column in columns.items() if column}
    near: dict[_Spot, list[_Spot]] = {}
    for parent, child in pieces:
        near.setdefault(parent, []).append(child)
        near.setdefault(child, []).append(parent)
    for sweep in range(6):
        levels = {
            spot: (index + 0.5) / len(column)
            for column in columns.values()
            for index, spot in enumerate(column)
        }
        for kind in columns if sweep % 2 == 0 else reversed(columns):
            columns[kind].sort(key=lambda spot: (_middle(spot, near, levels), _name(spot)))
            for index, spot in enumerate(columns[kind]):
                levels[spot] = (index + 0.5) / len(columns[kind])
    return columns


def _middle(spot: _Spot, near: Mapping[_Spot, list[_Spot]], levels: Mapping[_Spot, float]) -> float:
    around = [levels[other] for other in near.get(spot, [])]
    return round(sum(around) / len(around), 6) if around else levels[spot]


def _lefts(columns: int) -> list[int]:
    return [_MARGIN + index * (_WIDE + _ACROSS) for index in range(columns)]


def _high(spot: _Spot) -> int:
    return _HIGH if isinstance(spot, _Box) else _LANE


def _height(column: Sequence[_Spot]) -> int:
    return sum(_high(spot) + _DOWN for spot in column)


def _places(
    columns: Mapping[str, Sequence[_Spot]], tallest: int
) -> dict[_Spot, tuple[float, float]]:
    places: dict[_Spot, tuple[float, float]] = {}
    for left, column in zip(_lefts(len(columns)), columns.values(), strict=True):
        top = _HEAD + 22 + (tallest - _height(column)) / 2
        for spot in column:
            places[spot] = (left, top)
            top += _high(spot) + _DOWN
    return places


def _head(start: str, graph: LineageGraph, nodes: int, width: int) -> str:
    when = f"as of {graph.as_of}" if graph.as_of else "as known now"
    room = max(30, width // 10)
    return (
        f'<text class="title" x="{_MARGIN}" y="38">Lineage of {_xml(_cut(short(start), room))}'
        f'</text><text class="sub" x="{_MARGIN}" y="60">{nodes} nodes, {when}</text>'
    )


def _way(near: _Spot, far: _Spot, places: Mapping[_Spot, tuple[float, float]]) -> str:
    ends = isinstance(far, _Box)
    x1, y1 = places[near][0] + _WIDE, places[near][1] + _high(near) / 2
    x2, y2 = places[far][0] - (7 if ends else 0), places[far][1] + _high(far) / 2
    bend = _ACROSS * 0.6
    curve = f"M{x1:g} {y1:g} C{x1 + bend:g} {y1:g} {x2 - bend:g} {y2:g} {x2:g} {y2:g}"
    if not ends:
        return f'<path class="way" d="{curve} h{_WIDE}"/>'
    tip = f"M{x2:g} {y2 - 4:g} l7 4 l-7 4 z"
    return f'<path class="way" d="{curve}"/><path class="tip" d="{tip}"/>'


def _drawn(box: _Box, place: tuple[float, float], graph: LineageGraph, is_start: bool) -> str:
    x, y = place
    colour = colour_of(box.first)
    name, words = _label(box, graph)
    marked = f' start" stroke="{colour}" style="stroke:{colour}' if is_start else ""
    deck = ""
    if len(box.members) > 1:
        deck = (
            f'<rect class="box" x="{x + 5:g}" y="{y + 5:g}" width="{_WIDE}" height="{_HIGH}" '
            'rx="9"/>'
        )
    return (
        f"<g><title>{_xml(chr(10).join(box.members[:40]))}</title>{deck}"
        f'<rect class="box{marked}" x="{x:g}" y="{y:g}" width="{_WIDE}" height="{_HIGH}" rx="9"/>'
        f'<rect x="{x + 8:g}" y="{y + 10:g}" width="4" height="{_HIGH - 20}" rx="2" '
        f'fill="{colour}"/>'
        f'<svg x="{x + 22:g}" y="{y:g}" width="{_WIDE - 30}" height="{_HIGH}">'
        f'<text class="name" y="24">{_xml(_cut(name, _LETTERS))}</text>'
        f'<text class="words" y="42">{_xml(_cut(words, _LETTERS + 5))}</text></svg></g>'
    )


def _label(box: _Box, graph: LineageGraph) -> tuple[str, str]:
    """Return the two lines of a box."""
    node, kind = box.first, box.kind
    if len(box.members) > 1:
        several = f"{len(box.members)} {_TITLES[kind].lower()}"
        if kind != "predictions":
            return several, f"{_own_name(box.members[0])} to {_own_name(box.members[-1])}"
        answers = sum(graph.answers(member) for member in box.members)
        return f"{len(box.members)} hours, {answers:,} answers", hours(box.members)
    if kind == "object":
        folder, _, name = node.partition("?versionId=")[0].removeprefix("s3://").rpartition("/")
        return name, folder.partition("/")[2] or folder
    return _own_name(node), remarks(graph, node)


def _own_name(node: str) -> str:
    """Return a node's name without its kind."""
    kind = kind_of(node)
    if kind == "object":
        return node.partition("?versionId=")[0].rpartition("/")[2]
    name = short(node).partition(":")[2]
    if kind == "version":
        return " v".join(name.rsplit("/", 1))
    if kind == "predictions":
        project, version, *hour = name.split("/")
        return f"{project} {version} {'-'.join(hour[:3])} {hour[3]}h"
    if kind in ("delivery", "dataset", "run", "release", "features"):
        return name.partition("/")[2]
    return name


def _cut(text: str, letters: int) -> str:
    """Return a text that fits, its middle left out where it is too long."""
    if len(text) <= letters:
        return text
    kept = letters - 1
    return f"{text[: kept - kept // 2]}…{text[-(kept // 2) :]}"


def _xml(text: str) -> str:
    return escape(text, {'"': "&quot;"})
