"""What stays of a project in the lineage graph is counted to the last item."""

from __future__ import annotations

from typing import Any

from steward.domain.lineage import Report, edge
from steward.domain.lineage_items import edge_item, name_item
from steward.ports import Table
from steward_cli.commands.project_remove import _lineage_items
from support.fake_state import FakeState

AT = Report("2026-11-30T04:00:00Z", "ExposuresWritten", "e1")
PREDICTIONS = "predictions:tumours/v1/2026/11/30/04"
CAPTURES = "s3://captures/exposures/2026/11/30/stream-1"


def test_an_edge_to_what_projects_share_is_counted_at_both_ends() -> None:
    store, put = FakeState(), []
    edges = [
        edge("endpoint:tumours-v1-prod", PREDICTIONS, AT), edge(PREDICTIONS, CAPTURES, AT),
        edge("predictions:churn/v1/2026/11/30/04", CAPTURES, AT),
    ]  # fmt: skip
    names = {node for one in edges for node in (one.parent, one.child)}
    put += [name_item(node) for node in names]
    put += [edge_item(one, way) for one in edges for way in ("up", "down")]
    for item in put:
        store.put(Table.LINEAGE, item)

    def names_it(item: dict[str, Any]) -> bool:
        return "tumours" in f"{item['node']} {item['item']}"

    assert _lineage_items(store, "tumours") == sum(map(names_it, put)) == 6
