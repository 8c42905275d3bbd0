"""Each function has an event to be invoked with, and it is the one that the contracts give."""

from __future__ import annotations

import json

import pytest

from support.invocations import FOLDER, Invocation, invocations, written

INVOCATIONS = list(invocations())


@pytest.mark.parametrize("invocation", INVOCATIONS, ids=[i.name for i in INVOCATIONS])
def test_each_function_has_an_event_and_it_is_up_to_date(invocation: Invocation) -> None:
    assert invocation.path.is_file(), "cd tests && python -m support.invocations"
    assert invocation.path.read_text(encoding="utf-8") == written(invocation.event())


def test_no_event_is_left_of_a_function_that_is_gone() -> None:
    assert set(FOLDER.rglob("*.json")) == {i.path for i in INVOCATIONS}


def test_events_are_json_objects() -> None:
    for invocation in INVOCATIONS:
        assert isinstance(json.loads(invocation.path.read_text(encoding="utf-8")), dict)
