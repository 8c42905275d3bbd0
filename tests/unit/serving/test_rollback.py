"""Rolling back: one write, once, whoever asks."""

from __future__ import annotations

import pytest

from steward.contracts.events import RollbackRequested
from steward.contracts.steps.serving import Failure, RemoveEndpoint, RestoreRoute
from steward.domain.errors import ReleaseEndedError, ReleaseNotAllowedError, ThrottledError
from steward.ports import Table
from steward.service.serving.rollback import remove_endpoint, rollback_that_ended
from support.serving_scene import ERRORS, PROJECT, Scene

SECOND, THIRD = "00000002-1", "00000003-1"


@pytest.fixture
def serving() -> Scene:
    """Version 1 is in production."""
    scene = Scene()
    scene.play(1)
    return scene


def asked(scene: Scene) -> dict[str, object]:
    return scene.start_rollback(scene.received(RollbackRequested(reason="it looks wrong")))


def rolled_back(scene: Scene, started: dict[str, object]) -> RestoreRoute:
    command = scene.rollback_command(started)
    result = scene.restore(command)
    scene.conclude_rollback(command, str(started["started"]), result)
    return command


def test_an_alarm_takes_the_canary_out_and_tells_when(serving: Scene) -> None:
    serving.begin(2)
    serving.clock.advance(5)
    rolled_back(serving, serving.start_rollback(serving.alarm()))
    assert serving.shares() == {1: 100}
    assert serving.release(SECOND)["status"] == "rolled_back"
    assert serving.lock() is None
    (told,) = serving.told("ReleaseRolledBack")
    assert (told.version, told.stable_version) == (2, 1)
    assert ERRORS in told.cause
    assert told.triggered_at == serving.clock.now().isoformat(timespec="milliseconds")
    assert told.restored_at == serving.clock.now().isoformat(timespec="milliseconds")


def test_an_endpoint_that_somebody_removed_is_told_with_the_rollback(serving: Scene) -> None:
    serving.begin(2)
    serving.endpoints.delete("dev-diabetes-v2-prod")
    rolled_back(serving, serving.start_rollback(serving.alarm()))
    (told,) = serving.told("ReleaseRolledBack")
    said = "; endpoint dev-diabetes-v2-prod does not exist: somebody removed it"
    assert ERRORS in told.cause
    assert told.cause.endswith(said)
    assert serving.release(SECOND)["cause"] == told.cause


def test_an_endpoint_that_cannot_be_described_is_no_reason_to_wait(
    serving: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def throttled(_endpoint: str) -> str:
        raise ThrottledError("too many")

    serving.begin(2)
    monkeypatch.setattr(serving.endpoints, "status", throttled)
    rolled_back(serving, serving.start_rollback(serving.alarm()))
    assert serving.release(SECOND)["status"] == "rolled_back"
    assert "endpoint" not in serving.told("ReleaseRolledBack")[0].cause


def test_a_second_alarm_during_a_rollback_changes_nothing(serving: Scene) -> None:
    serving.begin(2)
    started = serving.start_rollback(serving.alarm())
    latency = ERRORS.replace("errors", "latency")
    assert "ignored" in serving.start_rollback(serving.alarm(latency))
    command = serving.rollback_command(started)
    first = serving.restore(command)
    commits = serving.state.commits
    again = serving.restore(command)
    assert (first.moved, again.moved) == (True, False)
    assert again.restored_at == first.restored_at
    assert serving.state.commits == commits
    assert "ignored" in serving.start_rollback(serving.alarm(latency))


@pytest.mark.parametrize(
    ("name", "value"),
    [(ERRORS, "OK"), (ERRORS, "INSUFFICIENT_DATA"), ("steward-prod-diabetes-candidate-errors",
     "ALARM"), ("steward-dev-diabetes-cost", "ALARM")],
)  # fmt: skip
def test_what_is_no_guardrail_in_alarm_is_ignored_with_a_reason(
    serving: Scene, name: str, value: str
) -> None:
    serving.begin(2)
    result = serving.start_rollback(serving.alarm(name, value))
    assert name in str(result["ignored"])


def test_an_alarm_without_a_release_in_flight_is_ignored(serving: Scene) -> None:
    assert "no release in flight" in serving.start_rollback(serving.alarm())["ignored"]


def test_an_alarm_before_the_candidate_has_traffic_is_ignored(serving: Scene) -> None:
    serving.approve(2)
    serving.start_release(2)
    assert "no traffic yet" in serving.start_rollback(serving.alarm())["ignored"]


def test_a_late_alarm_of_an_earlier_release_does_not_end_the_next(serving: Scene) -> None:
    serving.begin(2)
    late = serving.alarm(ERRORS.replace("errors", "latency"))
    rolled_back(serving, serving.start_rollback(serving.alarm()))
    serving.clock.advance(2)
    serving.begin(3)
    assert "rang before" in serving.start_rollback(late)["ignored"]
    assert serving.shares() == {1: 90, 3: 10}


def test_after_the_restore_the_release_machine_moves_no_traffic(serving: Scene) -> None:
    serving.begin(2)
    serving.restore(serving.rollback_command(serving.start_rollback(serving.alarm())))
    with pytest.raises(ReleaseEndedError):
        serving.shift(SECOND, 1)
    assert serving.conclude(SECOND, "ReleaseEndedError").status == "running"
    assert serving.shares() == {1: 100}


def test_a_restore_wins_against_a_traffic_shift_at_the_same_moment(serving: Scene) -> None:
    serving.begin(2)
    command = serving.rollback_command(serving.start_rollback(serving.alarm()))

    def shift() -> None:
        serving.shift(SECOND, 1)

    serving.state.before_commit.append(shift)
    assert serving.restore(command).moved
    assert serving.shares() == {1: 100}


def test_a_person_may_take_back_a_completed_release(serving: Scene) -> None:
    serving.play(2)
    rolled_back(serving, asked(serving))
    assert serving.shares() == {1: 100}
    assert serving.release(SECOND)["status"] == "rolled_back"
    assert serving.told("ReleaseRolledBack")[-1].stable_version == 1


def test_a_person_may_go_back_further_after_a_candidate_was_rolled_back(serving: Scene) -> None:
    serving.play(2)
    serving.begin(3)
    rolled_back(serving, serving.start_rollback(serving.alarm()))
    assert serving.shares() == {2: 100}
    rolled_back(serving, asked(serving))
    assert serving.shares() == {1: 100}
    assert serving.release(SECOND)["status"] == "rolled_back"
    with pytest.raises(ReleaseNotAllowedError):
        asked(serving)


def test_an_alarm_of_monitoring_takes_the_last_release_back(serving: Scene) -> None:
    serving.play(2)
    told = serving.received(RollbackRequested(reason="drift of version 2"))
    by_itself = told.model_copy(
        update={"meta": told.own.model_copy(update={"actor": "monitoring"})}
    )
    rolled_back(serving, serving.start_rollback(by_itself))
    assert serving.shares() == {1: 100}


def test_an_alarm_of_monitoring_without_anything_to_go_back_to_is_no_fault(
    serving: Scene,
) -> None:
    told = serving.received(RollbackRequested(reason="drift of version 1"))
    by_itself = told.model_copy(
        update={"meta": told.own.model_copy(update={"actor": "monitoring"})}
    )
    assert "no release that could be taken back" in str(serving.start_rollback(by_itself))


def test_a_person_without_anything_to_go_back_to_is_told_so(serving: Scene) -> None:
    with pytest.raises(ReleaseNotAllowedError):
        asked(serving)


def test_a_rollback_before_any_traffic_stops_the_release(serving: Scene) -> None:
    serving.approve(2)
    serving.start_release(2)
    rolled_back(serving, asked(serving))
    with pytest.raises(ReleaseEndedError):
        serving.plan(SECOND)
    assert serving.shares() == {1: 100}


def test_the_waiting_release_begins_after_a_rollback(serving: Scene) -> None:
    serving.begin(2)
    serving.approve(3)
    serving.start_release(3)
    rolled_back(serving, serving.start_rollback(serving.alarm()))
    assert serving.release(THIRD)["status"] == "running"


def test_a_rollback_is_concluded_once(serving: Scene) -> None:
    serving.begin(2)
    started = serving.start_rollback(serving.alarm())
    command = rolled_back(serving, started)
    serving.conclude_rollback(command, str(started["started"]), serving.restore(command))
    assert len(serving.told("ReleaseRolledBack")) == 1


def test_a_failed_rollback_is_told_and_makes_room_for_another(serving: Scene) -> None:
    serving.begin(2)
    started = serving.start_rollback(serving.alarm())
    failure = Failure(state="RestoreRoute", error="States.Timeout", cause="no answer")
    command = serving.rollback_command(started)
    for _ in range(2):
        serving.conclude_rollback(command, str(started["started"]), failure=failure)
    (told,) = serving.told("RollbackFailed")
    assert (told.error, told.cause) == ("States.Timeout", "no answer")
    again = serving.start_rollback(serving.alarm())
    assert str(again["started"]).endswith("rollback-2")


def test_a_rollback_that_died_after_the_restore_is_one_all_the_same(serving: Scene) -> None:
    serving.begin(2)
    started = serving.start_rollback(serving.alarm())
    serving.restore(serving.rollback_command(started))
    received = serving.ended(str(started["started"]), "ABORTED")
    command = rollback_that_ended(received, state=serving.state)
    assert command is not None
    assert serving.conclude_rollback_as(command).status == "rolled_back"
    assert serving.told("RollbackFailed") == []
    assert rollback_that_ended(received, state=serving.state) is None


def test_an_endpoint_that_a_route_needs_is_not_removed(serving: Scene) -> None:
    def remove(name: str) -> bool:
        command = RemoveEndpoint(project=PROJECT, endpoint=name)
        return remove_endpoint(command, state=serving.state, endpoints=serving.endpoints).removed

    assert not remove("dev-diabetes-v1-prod")
    serving.begin(2)
    rolled_back(serving, serving.start_rollback(serving.alarm()))
    assert remove("dev-diabetes-v2-prod")
    assert serving.endpoints.deleted[-1] == "dev-diabetes-v2-prod"


def test_a_project_without_a_route_cannot_be_restored(serving: Scene) -> None:
    serving.begin(2)
    command = serving.rollback_command(serving.start_rollback(serving.alarm()))
    serving.state._tables[Table.ROUTES].clear()
    with pytest.raises(ReleaseNotAllowedError):
        serving.restore(command)


def by_monitoring(scene: Scene, version: int) -> dict[str, object]:
    told = scene.received(RollbackRequested(reason="drift", version=version))
    meta = told.own.model_copy(update={"actor": "monitoring"})
    return scene.start_rollback(told.model_copy(update={"meta": meta}))


def test_a_request_about_a_version_takes_no_other_version_s_release_back(serving: Scene) -> None:
    serving.play(2)
    serving.begin(3)
    assert "no release of version 1 that could be taken" in str(by_monitoring(serving, 1))
    assert "no release of version 2 that could be taken" in str(by_monitoring(serving, 2))
    assert serving.release(THIRD)["status"] == "running"
    rolled_back(serving, by_monitoring(serving, 3))
    assert serving.shares() == {2: 100}
    rolled_back(serving, by_monitoring(serving, 2))
    assert serving.shares() == {1: 100}
