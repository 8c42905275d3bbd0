"""The lineage commands' answers, on a graph that the recorder wrote."""

from __future__ import annotations

import io
import json
import re
import xml.etree.ElementTree as ET
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from steward.domain.lineage import moment
from steward.ports import Table
from steward.service.governance.lineage import record_lineage
from steward_cli.commands.lineage import _render
from steward_cli.console import CommandError, Exit
from steward_cli.lineage_graph import LineageGraph, hours, short
from steward_cli.lineage_picture import picture
from steward_cli.lineage_text import document, mermaid, tree
from support.fakes import FakeObjects, FakeState
from support.histories import BEGAN, CAPTURE, captured, whole_life

SOURCE = "s3://data/deliveries/diabetes/d1.csv"
AT = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def state() -> FakeState:
    state, objects = FakeState(), FakeObjects()
    for event in whole_life().events:
        record_lineage(event, state=state, objects=objects, environment="dev")
    for version, hour in [(1, 0), *((2, hour) for hour in range(1, 15))]:
        at = AT + timedelta(hours=hour)
        seen = {"project": "diabetes", "answering_version": version, "time": at.isoformat()}
        line = json.dumps({"capture": seen}).encode()
        key = f"exposures/{hour:02d}"
        objects.write(f"s3://{CAPTURE}/{key}", b"\n".join([line] * (hour + 1)))
        record_lineage(captured(key, at), state=state, objects=objects, environment="dev")
    return state


@pytest.fixture
def graph(state: FakeState) -> LineageGraph:
    return LineageGraph(state)


def test_a_tree_leads_from_a_version_to_the_source_objects(graph: LineageGraph) -> None:
    text = tree(graph.walk("version:diabetes/1", "up"), graph)

    assert text.splitlines()[0] == "version:diabetes/1  [retained]"
    assert f"{SOURCE}?versionId=v-d1" in text
    assert "└─ run:diabetes/run1-1  [succeeded, no_champion]" in text
    assert "dataset:diabetes/set1  [88 + 66 rows]" in text


def test_a_tree_shows_what_was_shown_once_and_folds_many_siblings(graph: LineageGraph) -> None:
    text = tree(graph.walk(SOURCE + "?versionId=v-d1", "down"), graph)

    assert text.count("predictions:diabetes/v1/2026/01/05/10  [1 answer]") == 1
    assert "and 2 more" in text
    assert text.count("endpoint:dev-diabetes-v2-prod") == 1


def test_a_depth_is_said_to_have_cut(graph: LineageGraph) -> None:
    found = graph.walk("version:diabetes/1", "up", depth=1)

    assert list(found.steps) == ["version:diabetes/1", "run:diabetes/run1-1"]
    assert tree(found, graph).endswith("(cut at the depth that was asked for)")


def test_mermaid_points_from_sources_to_results_in_both_directions(graph: LineageGraph) -> None:
    text = mermaid(graph.walk("version:diabetes/1", "up"), graph)

    names = dict(re.findall(r'^    (n\d+)\["([^"<]+)', text, re.MULTILINE))
    arrows = {(names[a], names[b]) for a, b in re.findall(r"(n\d+) --> (n\d+)", text)}
    assert ("run:diabetes/run1-1", "version:diabetes/1") in arrows
    assert (f"{SOURCE}?versionId=v-d1", "delivery:diabetes/d1") in arrows
    assert text.startswith("flowchart LR\n")


def test_json_has_every_node_with_attributes_and_every_edge_with_times(graph: LineageGraph) -> None:
    found = document(graph.walk("version:diabetes/1", "up"), graph)

    assert json.loads(json.dumps(found)) == found
    version = next(node for node in found["nodes"] if node["kind"] == "version")
    assert version["attributes"]["approvers"] == ["ana"]
    assert all(edge["first_at"] <= edge["last_at"] for edge in found["edges"])


def test_the_unique_beginning_of_a_name_is_enough(graph: LineageGraph) -> None:
    assert graph.one("run:diabetes/run2") == "run:diabetes/run2-1"
    assert graph.one(SOURCE) == f"{SOURCE}?versionId=v-d1"
    assert graph.one("version:diabetes/1") == "version:diabetes/1"


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("run:diabetes/run", Exit.USAGE, "means 2 nodes"),
        ("run:diabetes/none", Exit.NOT_FOUND, "no node 'run:diabetes/none' is in the graph"),
        ("model:1", Exit.USAGE, "names no node"),
    ],
)
def test_an_unknown_or_ambiguous_name_is_one_clear_error(
    graph: LineageGraph, text: str, code: Exit, says: str
) -> None:
    with pytest.raises(CommandError, match=re.escape(says)) as refused:
        graph.one(text)
    assert refused.value.code == code
    assert refused.value.hint


def test_impact_names_versions_what_is_live_and_their_predictions(graph: LineageGraph) -> None:
    first, second = graph.impact(SOURCE).versions

    assert (first["version"], first["status"], first["share"]) == (
        "version:diabetes/1", "retained", 0.0,
    )  # fmt: skip
    assert first["predictions"] == {"predictions:diabetes/v1/2026/01/05/10": 1}
    assert (second["share"], len(second["predictions"])) == (100.0, 14)
    assert sum(second["predictions"].values()) == sum(range(2, 16))
    assert hours(second["predictions"]) == "2026-01-05 11h to 2026-01-06 00h"


def test_what_was_read_ahead_is_not_read_again(graph: LineageGraph, state: FakeState) -> None:
    found = graph.walk("version:diabetes/2", "down")
    graph.prefetch(found.steps)
    text, empty = tree(found, graph), FakeState()
    graph._store = empty

    assert tree(found, graph) == text
    assert "13 answers" in text
    assert list(empty.scan(Table.LINEAGE)) == []


def test_impact_is_told_a_line_a_version_however_narrow_the_screen(graph: LineageGraph) -> None:
    console = Console(width=40, record=True, file=io.StringIO())

    _render(graph.impact(SOURCE), console)

    lines = [line.strip() for line in console.export_text().splitlines()]
    assert "version:diabetes/1  retained, not live, 1 prediction partition, 1 answer, " in lines[3]
    assert lines[4] == (
        "version:diabetes/2  production, live 100 %, 14 prediction partitions, 119 answers, "
        "2026-01-05 11h to 2026-01-06 00h (UTC)"
    )


def test_impact_of_a_prefix_counts_all_objects_below_it(graph: LineageGraph) -> None:
    found = graph.impact("s3://data/deliveries/diabetes/")

    assert len(found.objects) == 4
    assert [len(version["sources"]) for version in found.versions] == [2, 4]


def test_impact_as_of_the_past_knows_nothing_of_the_future(state: FakeState) -> None:
    before = LineageGraph(state, moment((BEGAN - timedelta(hours=1)).isoformat()))
    promoted = next(
        event.time for event in whole_life().events if event.detail_type == "VersionPromoted"
    )
    then = LineageGraph(state, moment(promoted))

    assert before.impact(SOURCE).versions == []
    [version] = then.impact(SOURCE).versions
    assert (version["status"], version["share"], version["predictions"]) == (
        "production", 100.0, {},
    )  # fmt: skip


@pytest.mark.parametrize("text", ["version:diabetes/1", "s3://data/none.csv"])
def test_impact_of_what_is_no_known_object_is_refused(graph: LineageGraph, text: str) -> None:
    with pytest.raises(CommandError) as refused:
        graph.impact(text)
    assert refused.value.code == Exit.NOT_FOUND


def test_digests_are_cut_to_what_still_finds_them() -> None:
    assert short(f"delivery:p/{'a' * 64}") == f"delivery:p/{'a' * 12}"
    assert short(f"s3://b/k?versionId={'v' * 32}") == f"s3://b/k?versionId={'v' * 12}"
    assert short("version:p/1") == "version:p/1"


def test_a_picture_is_one_svg_with_sources_left_of_predictions(graph: LineageGraph) -> None:
    walks = [graph.walk("version:diabetes/2", way) for way in ("up", "down")]
    text = picture(walks, graph)
    root = ET.fromstring(text)
    space = "{http://www.w3.org/2000/svg}"
    left = {
        element.text: float(element.get("x", "0"))
        for element in root.iter(f"{space}text")
        if element.get("class") == "column"
    }

    assert left["Source objects"] < left["Datasets"] < left["Model versions"] < left["Predictions"]
    words = [element.text for element in root.iter(f"{space}text")]
    assert "14 hours, 119 answers" in words
    assert "diabetes v2" in words
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert text == picture(walks, graph)
