"""Kept assignments: the first arm of a release stays whatever the shares become."""

from __future__ import annotations

from typing import Any

import pytest

from steward.domain.errors import (
    AccessDeniedError,
    DependencyError,
    RejectedError,
    StewardError,
    ThrottledError,
)
from steward.domain.exposures import hashed_entity
from steward.domain.release_declaration import MAX_DURATION_S
from steward.ports import Table
from steward.service.metric_lines import MetricLog
from steward.service.serving import assignments
from steward.service.serving.assignments import Assignments
from steward.service.serving.telemetry import Telemetry
from support.fake_state import FakeState
from support.gateway_scene import Counter
from support.serving_scene import PROJECT, Scene


def arms(candidate: float) -> list[dict[str, Any]]:
    return [
        {
            "version": 1,
            "endpoint": "dev-diabetes-v1-prod",
            "role": "stable",
            "share": 100 - candidate,
        },
        {"version": 2, "endpoint": "dev-diabetes-v2-prod", "role": "candidate", "share": candidate},
    ]


@pytest.fixture
def counter() -> Counter:
    """A bandit between versions 1 and 2 whose first batch has equal shares."""
    scene = Scene()
    scene.play(1)
    scene.begin(2)
    counter = Counter(scene)
    counter.route(arms=arms(50), assignment="stored", step_id="batch-1")
    return counter


def test_an_entity_keeps_its_arm_with_the_step_and_probability_of_its_first(
    counter: Counter,
) -> None:
    entities = [f"p{number}" for number in range(40)]
    before = {entity: counter.ask(entity)["version"] for entity in entities}
    assert set(before.values()) == {1, 2}
    counter.route(arms=arms(10), step_id="batch-2")
    counter.gateway = counter.another()
    after = {entity: counter.ask(entity)["version"] for entity in entities}
    assert after == before
    late = counter.captures()[40:]
    assert {(line["step_id"], line["assignment_probability"]) for line in late} == {
        ("batch-1", 0.5)
    }
    counter.ask("newcomer")
    newcomer = counter.captures()[-1]
    assert newcomer["step_id"] == "batch-2"
    assert newcomer["assignment_probability"] in (0.1, 0.9)


def test_without_keeping_them_the_same_change_of_shares_moves_entities(counter: Counter) -> None:
    counter.route(assignment="hash")
    entities = [f"p{number}" for number in range(40)]
    before = {entity: counter.ask(entity)["version"] for entity in entities}
    counter.route(arms=arms(10), step_id="batch-2")
    assert {entity: counter.ask(entity)["version"] for entity in entities} != before
    assert list(counter.scene.state.scan(Table.ASSIGNMENTS)) == []


def test_what_is_kept_names_release_arm_step_and_chance_and_expires(counter: Counter) -> None:
    version = counter.ask("p1")["version"]
    (item,) = counter.scene.state.scan(Table.ASSIGNMENTS)
    expires_at = item.pop("expires_at")
    assert item == {
        "project": PROJECT, "entity": hashed_entity(PROJECT, "p1"), "release_id": "00000002-1",
        "version": version, "role": "candidate" if version == 2 else "stable",
        "step_id": "batch-1", "probability": 0.5,
    }  # fmt: skip
    assert expires_at == int((counter.scene.clock.now() + assignments.RETENTION).timestamp())
    assert assignments.RETENTION.total_seconds() > MAX_DURATION_S


def test_a_process_asks_the_table_once_for_an_entity(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Table] = []
    get = counter.scene.state.get

    def counted(table: Table, key: Any) -> Any:
        read.append(table)
        return get(table, key)

    monkeypatch.setattr(counter.scene.state, "get", counted)
    for _ in range(5):
        counter.ask("p1")
    assert read.count(Table.ASSIGNMENTS) == 1


def test_the_first_of_two_processes_wins(counter: Counter) -> None:
    route = counter.scene.route()
    assert route is not None
    other = {**arms(50)[1], "share": 100.0}
    winner = route.model_copy(update={"step_id": "batch-0"})
    state = counter.scene.state
    entity = counter.entity_of("stable")

    def first() -> None:
        state.put(Table.ASSIGNMENTS, {
            "project": PROJECT, "entity": hashed_entity(PROJECT, entity),
            "release_id": winner.release_id, "version": other["version"], "role": "candidate",
            "step_id": "batch-0", "probability": 0.3, "expires_at": 1,
        })  # fmt: skip

    state.before_commit.append(first)
    assert counter.ask(entity)["version"] == 2
    (line,) = counter.captures()
    assert (line["step_id"], line["assignment_probability"]) == ("batch-0", 0.3)
    assert counter.counted("AssignmentFailures") == 0


def test_an_assignment_of_an_earlier_release_is_replaced(counter: Counter) -> None:
    counter.ask("p1")
    counter.route(release_id="00000003-1", step_id="batch-1")
    counter.ask("p1")
    (item,) = counter.scene.state.scan(Table.ASSIGNMENTS)
    assert item["release_id"] == "00000003-1"


class Refusing(FakeState):
    """A table that cannot be read or written."""

    def __init__(self, error: StewardError, *, readable: bool) -> None:
        super().__init__()
        self.error, self.readable = error, readable

    def get(self, table: Any, key: Any) -> Any:
        if not self.readable:
            raise self.error
        return super().get(table, key)

    def commit(self, changes: Any, events: Any = ()) -> None:
        raise self.error


@pytest.mark.parametrize("readable", [True, False])
@pytest.mark.parametrize("error", [
    ThrottledError("too many writes"), AccessDeniedError("no right"), DependencyError("late"),
    RejectedError("no such table"),
])  # fmt: skip
def test_a_table_that_fails_costs_no_answer_and_is_counted(
    counter: Counter, error: StewardError, readable: bool
) -> None:
    counter.kept = Refusing(error, readable=readable)
    for role, version in (("stable", 1), ("candidate", 2)):
        assert counter.ask(counter.entity_of(role))["version"] == version
    assert counter.counted("AssignmentFailures") == 2
    assert [line["assignment_probability"] for line in counter.captures()] == [0.5, 0.5]
    counter.kept = None
    counter.ask(counter.entity_of("stable"))
    assert len(list(counter.scene.state.scan(Table.ASSIGNMENTS))) == 1  # tried again


def test_what_a_process_remembers_is_bounded(counter: Counter) -> None:
    route = counter.scene.route()
    assert route is not None
    reads: list[str] = []

    class Counting(FakeState):
        def get(self, table: Any, key: Any) -> Any:
            reads.append(key["entity"])
            return super().get(table, key)

    state = Counting()
    kept = Assignments(
        lambda: state, Telemetry(MetricLog("dev", lambda _: None)), counter.scene.clock, capacity=2
    )
    for entity in ("a", "b", "a", "c", "a", "b"):
        kept.of(route, entity)
    names = {hashed_entity(PROJECT, entity): entity for entity in "abc"}
    assert "".join(names[entity] for entity in reads) == "abcb"
