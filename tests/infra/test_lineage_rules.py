"""The recorders of lineage are sent exactly the events that tell of it."""

from __future__ import annotations

import pytest

from steward.contracts.events import PAYLOADS
from steward.service.governance.lineage_facts import TELLING
from support.templates import CHILDREN, load


@pytest.mark.parametrize("function", ["RecordLineageFunction", "ExportLineageFunction"])
def test_the_rule_names_every_event_that_tells_of_lineage(function: str) -> None:
    template = load(next(path for path in CHILDREN if path.stem == "governance"))
    events = template["Resources"][function]["Properties"]["Events"]
    pattern = events["OnLineageEventRule"]["Properties"]["Pattern"]

    assert sorted(pattern["detail-type"]) == sorted(TELLING)
    assert set(pattern["source"]) == {PAYLOADS[name].source for name in TELLING}


def test_exports_are_off_unless_a_parameter_turns_them_on() -> None:
    template = load(next(path for path in CHILDREN if path.stem == "governance"))
    states = {
        name: event["Properties"]["State"]
        for name in ("SendLineageFunction", "ExportLineageFunction")
        for event in template["Resources"][name]["Properties"]["Events"].values()
    }

    assert states["SendLineageFunction"]["Fn::If"] == ["SendsLineage", "ENABLED", "DISABLED"]
    assert states["ExportLineageFunction"]["Fn::If"] == ["ExportsLineage", "ENABLED", "DISABLED"]
