"""A delivery, a request or a schedule begins, queues or suppresses exactly one run."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from steward.contracts.steps.training import RecordTrainingOutcome, ResolveRun
from steward.domain.errors import DependencyError, ProjectNotFoundError
from steward.domain.policy.platform import PLATFORM
from steward.domain.policy.waivers import waiver_digest
from steward.domain.project import parse_project
from steward.ports import Equals, Table, Update
from steward.service.delivery_lists import write_list
from steward.service.policy_in_force import POLICY_KEY
from steward.service.training.ledger import judged_by
from steward.service.training.outcome import record_training_outcome
from steward.service.training.resolve import resolve_run
from steward.service.training.triggers import Trigger, TriggerKind
from support.training_scene import ARTIFACTS, Scene, csv_of, declaration

FIRST, SECOND, THIRD = csv_of(1, 30), csv_of(31, 60), csv_of(61, 90)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def succeed(scene: Scene, run_id: str, deliveries: list[str] | None = None) -> None:
    run = scene.run(run_id)
    trained_on = run["deliveries"]
    if deliveries is not None:
        trained_on = write_list(scene.objects, ARTIFACTS, "diabetes", deliveries)
    command = RecordTrainingOutcome(
        project="diabetes", run_id=run_id, correlation_id=run_id, outcome="succeeded",
        execution_arn=run["execution_arn"], version=1, deliveries=trained_on,
    )  # fmt: skip
    record_training_outcome(
        command, state=scene.state, objects=scene.objects, clock=scene.clock, ids=scene.ids
    )


def test_the_first_delivery_starts_a_run_with_lock_event_and_pinned_configuration(
    scene: Scene,
) -> None:
    begun = scene.deliver(FIRST)

    run = scene.run(begun["run_id"])
    delivery_id = hashlib.sha256(FIRST).hexdigest()
    assert begun["outcome"] == "started"
    assert scene.deliveries(run["run_id"]) == [delivery_id]
    assert run["config"] == scene.project.model_dump(mode="json")
    assert run["author"] == "000000000000/tess"
    assert run["trigger"] == {
        "kind": "delivery", "event_id": "event-1", "actor": "000000000000",
        "cause": "deliveries/diabetes/1.csv",
    }  # fmt: skip
    lock = scene.lock()
    assert lock is not None
    assert lock["owner"] == begun["run_id"]
    assert lock["lease_expires_at"] > scene.clock.now().timestamp() + 3600
    execution = scene.workflows.executions[run["execution_arn"]]
    assert execution.payload == {
        "project": "diabetes", "run_id": begun["run_id"], "correlation_id": begun["run_id"],
        "causation_id": "event-1", "actor": "000000000000",
    }  # fmt: skip
    assert [e.detail_type for e in scene.state.events] == ["DeliveryReceived", "TrainingStarted"]


def test_the_same_event_twice_changes_nothing(scene: Scene) -> None:
    trigger = scene.delivery(FIRST)
    first = scene.start(trigger)
    events = list(scene.state.events)

    again = scene.start(trigger)

    assert again == {"outcome": "started", "run_id": first["run_id"], "again": True}
    assert scene.state.events == events
    assert len(scene.workflows.executions) == 1


def test_a_crash_before_the_execution_starts_is_healed_by_the_retried_event(scene: Scene) -> None:
    trigger = scene.delivery(FIRST)
    scene.workflows.fails = DependencyError("Step Functions is away")
    with pytest.raises(DependencyError):
        scene.start(trigger)
    assert scene.workflows.executions == {}

    healed = scene.start(trigger)

    assert scene.run(healed["run_id"])["execution_arn"] in scene.workflows.executions
    assert len(scene.state.named("TrainingStarted")) == 1


def test_a_crash_is_healed_by_any_later_event_for_the_project(scene: Scene) -> None:
    scene.workflows.fails = DependencyError("Step Functions is away")
    with pytest.raises(DependencyError):
        scene.deliver(FIRST)

    scene.deliver(SECOND)

    assert len(scene.workflows.executions) == 1


def test_the_same_bytes_again_while_they_are_trained_are_suppressed(scene: Scene) -> None:
    first = scene.deliver(FIRST)
    again = scene.deliver(FIRST)

    assert again["outcome"] == "suppressed"
    assert again["existing_run_id"] == first["run_id"]
    assert again["existing_status"] == "running"
    [suppressed] = scene.state.query(Table.RUNS, "diabetes", prefix="suppressed#")
    assert suppressed["existing_run_id"] == first["run_id"]
    [event] = scene.state.named("TrainingSuppressed")
    assert event.meta.correlation_id == first["run_id"]


def test_a_suppressed_event_delivered_twice_is_recorded_once(scene: Scene) -> None:
    scene.deliver(FIRST)
    trigger = scene.delivery(FIRST)
    scene.start(trigger)
    scene.start(trigger)
    assert len(scene.state.named("TrainingSuppressed")) == 1


def held(scene: Scene) -> str:
    run_id = str(scene.deliver(FIRST)["run_id"])
    scene.mark("accepted", FIRST)
    run = scene.run(run_id)
    command = RecordTrainingOutcome(
        project="diabetes", run_id=run_id, correlation_id=run_id, outcome="held",
        execution_arn=run["execution_arn"], version=None, verdict="hold",
        deliveries=run["deliveries"],
    )  # fmt: skip
    record_training_outcome(
        command, state=scene.state, objects=scene.objects, clock=scene.clock, ids=scene.ids
    )
    scene.end(run_id)
    return run_id


def waive(scene: Scene, seconds: int = 3600) -> None:
    waiver = {
        "project": "diabetes", "item": "waiver#0a1b2c3d4e5f", "waiver_id": "0a1b2c3d4e5f",
        "rule": "champion", "reason": "known", "granted_by": "1/ana", "principal_arn": "arn",
        "granted_at": scene.clock.now().isoformat(timespec="milliseconds"), "digest": "d" * 64,
        "expires_at": (scene.clock.now() + timedelta(seconds=seconds)).isoformat(),
    }  # fmt: skip
    scene.state.put(Table.VERSIONS, {**waiver, "digest": waiver_digest(waiver)})


def test_what_was_held_is_tried_again_once_a_waiver_was_granted_since(scene: Scene) -> None:
    first = held(scene)
    scene.clock.advance(5)
    waive(scene)
    scene.clock.advance(5)
    again = scene.deliver(FIRST)
    assert (again["outcome"], again["run_id"]) == ("started", first.replace("-1", "-2"))


def test_a_waiver_from_before_or_that_ended_brings_no_further_attempt(scene: Scene) -> None:
    waive(scene, seconds=60)
    scene.clock.advance(5)
    held(scene)
    assert scene.deliver(FIRST)["outcome"] == "suppressed"
    scene.clock.advance(5)
    waive(scene, seconds=60)
    scene.clock.advance(61)
    assert scene.deliver(FIRST)["outcome"] == "suppressed"


def test_what_was_held_is_tried_again_under_another_policy(scene: Scene) -> None:
    held(scene)
    document = copy.deepcopy(PLATFORM)
    document["tiers"]["limited"]["performance"]["inconclusive"] = "quorum"
    document["tiers"]["minimal"]["performance"]["inconclusive"] = "pass"
    scene.state.put(Table.VERSIONS, {**POLICY_KEY, "document": document, "digest": "d" * 64})
    again = scene.deliver(FIRST)
    assert again["outcome"] == "started"
    assert scene.run(again["run_id"])["policy"]["source"] == "organisation"


def test_a_policy_that_refuses_the_project_by_now_fails_the_run_at_once(scene: Scene) -> None:
    document = copy.deepcopy(PLATFORM)
    for tier in document["tiers"].values():
        tier["strategies"] = ["shadow"]
    scene.state.put(Table.VERSIONS, {**POLICY_KEY, "document": document, "digest": "d" * 64})
    failed = scene.deliver(FIRST)
    assert failed["outcome"] == "failed"
    assert scene.run(failed["run_id"])["error"] == "InvalidProjectError"
    assert "strategy" in failed["reason"]


@pytest.mark.parametrize("status", ["succeeded", "held"])
def test_what_succeeded_or_was_held_is_suppressed(scene: Scene, status: str) -> None:
    first = scene.deliver(FIRST)
    scene.mark("accepted", FIRST)
    run = scene.run(first["run_id"])
    command = RecordTrainingOutcome(
        project="diabetes", run_id=run["run_id"], correlation_id=run["run_id"], outcome=status,
        execution_arn=run["execution_arn"], version=1, verdict="hold",
        deliveries=run["deliveries"],
    )  # fmt: skip
    record_training_outcome(
        command, state=scene.state, objects=scene.objects, clock=scene.clock, ids=scene.ids
    )
    scene.end(first["run_id"])

    again = scene.deliver(FIRST)

    assert (again["outcome"], again["existing_status"]) == ("suppressed", status)
    assert scene.lock() is None


def test_accepted_bytes_are_recognised_after_a_run_that_lost_another_delivery(
    scene: Scene,
) -> None:
    broken = b"patient_id\np1\n"
    scene.deliver(broken)
    run_id = scene.deliver(FIRST)["run_id"]
    first_run = scene.workflows.executions.popitem()[1].name
    scene.mark("rejected", broken)
    ended = scene.end(first_run, "FAILED")
    run_id = ended["run_id"] if ended.get("outcome") == "started" else run_id
    current = scene.lock()
    assert current is not None
    scene.mark("accepted", FIRST)
    succeed(scene, current["owner"])
    scene.end(current["owner"])

    assert scene.deliver(FIRST)["outcome"] == "suppressed"


def test_a_run_that_trained_on_less_than_it_began_with_is_recognised_by_what_it_used(
    scene: Scene,
) -> None:
    scene.deliver(FIRST)
    first = scene.run(scene.lock()["owner"])  # type: ignore[index]
    scene.end(first["run_id"], "FAILED")
    broken = b"patient_id\np1\n"
    both = scene.deliver(broken)
    scene.mark("accepted", FIRST)
    scene.mark("rejected", broken)
    succeed(scene, both["run_id"], [hashlib.sha256(FIRST).hexdigest()])
    scene.end(both["run_id"])

    assert scene.deliver(FIRST)["existing_run_id"] == both["run_id"]


def test_a_failed_run_is_tried_again_as_the_next_attempt(scene: Scene) -> None:
    first = scene.deliver(FIRST)
    scene.end(first["run_id"], "FAILED")

    second = scene.start(scene.request())

    assert second["outcome"] == "started"
    assert second["run_id"] == first["run_id"].removesuffix("-1") + "-2"
    assert scene.run(second["run_id"])["attempt"] == 2


def test_the_late_retry_of_an_event_does_not_repeat_the_run_that_failed(scene: Scene) -> None:
    trigger = scene.delivery(FIRST)
    first = scene.start(trigger)
    scene.end(first["run_id"], "FAILED")
    assert scene.start(trigger) == {"outcome": "failed", "run_id": first["run_id"], "again": True}


def test_a_second_delivery_waits_and_begins_with_all_deliveries(scene: Scene) -> None:
    first = scene.deliver(FIRST)
    second = scene.deliver(SECOND)
    assert second["outcome"] == "queued"
    assert second["behind"] == first["run_id"]
    assert scene.run(second["run_id"])["status"] == "waiting"
    scene.mark("accepted", FIRST)
    succeed(scene, first["run_id"])

    concluded = scene.end(first["run_id"])

    assert concluded["lock"] == "passed on"
    run = scene.run(second["run_id"])
    assert run["status"] == "running"
    assert run["deliveries"]["count"] == 2
    assert run["execution_arn"] in scene.workflows.executions
    assert scene.lock()["owner"] == second["run_id"]  # type: ignore[index]


def test_of_waiting_runs_the_latest_wins_and_no_delivery_is_lost(scene: Scene) -> None:
    first = scene.deliver(FIRST)
    second = scene.deliver(SECOND)
    third = scene.deliver(THIRD)

    assert third["superseded"] == second["run_id"]
    assert scene.run(second["run_id"])["status"] == "superseded"
    assert len(scene.deliveries(third["run_id"])) == 3
    scene.end(first["run_id"], "FAILED")
    assert scene.run(third["run_id"])["status"] == "running"


def test_the_waiting_runs_key_is_computed_anew_when_it_begins(scene: Scene) -> None:
    first = scene.deliver(FIRST)
    waiting = scene.deliver(SECOND)
    scene.mark("rejected", FIRST)

    concluded = scene.end(first["run_id"], "FAILED")

    assert concluded["outcome"] == "started"
    assert scene.run(waiting["run_id"])["status"] == "superseded"
    assert scene.deliveries(concluded["run_id"]) == [hashlib.sha256(SECOND).hexdigest()]


def test_a_waiting_run_whose_work_is_done_ends_and_the_lock_is_freed(scene: Scene) -> None:
    scene.deliver(FIRST)
    first = scene.lock()["owner"]  # type: ignore[index]
    broken = b"patient_id\np1\n"
    waiting = scene.deliver(broken)
    scene.mark("accepted", FIRST)
    scene.mark("rejected", broken)
    succeed(scene, first)

    concluded = scene.end(first)

    assert (concluded["outcome"], concluded["lock"]) == ("suppressed", "freed")
    assert scene.run(waiting["run_id"])["status"] == "superseded"
    assert scene.lock() is None


def test_new_code_is_new_work(scene: Scene) -> None:
    first = scene.deliver(FIRST)
    scene.mark("accepted", FIRST)
    succeed(scene, first["run_id"])
    scene.end(first["run_id"])
    scene.configure(scene.project, b"other code")

    assert scene.start(scene.request())["outcome"] == "started"


BESIDE = [
    {"batch": {"input": {"prefix": "daily"}}}, {"alarms": {"errors": {"threshold": 9}}},
    {"budget": {"per_month_usd": 900}}, {"integration": {"branch": "release"}},
    {"monitoring": {"minimum_rows": 77}},
]  # fmt: skip


@pytest.mark.parametrize("changed", BESIDE, ids=lambda changed: next(iter(changed)))
def test_a_change_that_concerns_no_run_makes_no_other_one(
    scene: Scene, changed: dict[str, Any]
) -> None:
    first = scene.deliver(FIRST)
    scene.mark("accepted", FIRST)
    succeed(scene, first["run_id"])
    scene.end(first["run_id"])
    before = scene.project.digest
    scene.configure(parse_project(declaration(**changed)))
    assert scene.project.digest != before
    again = scene.start(scene.request())
    assert (again["outcome"], again["existing_run_id"]) == ("suppressed", first["run_id"])
    # A file that is rejected then leaves the earlier deliveries without a reason to train anew.
    second = scene.deliver(SECOND)
    found = resolve_run(
        ResolveRun(
            project="diabetes", run_id=second["run_id"], correlation_id="c", causation_id="e",
            actor="tess",
        ),
        state=scene.state, objects=scene.objects, environment="dev", artifacts_bucket=ARTIFACTS,
    )  # fmt: skip
    assert not found.trains_without_new_data
    assert scene.run(second["run_id"])["config_digest"] == scene.project.digest


@pytest.mark.parametrize(
    "changed",
    [{"description": "another"}, {"training": {"entry_point": "other.py"}},
     {"monitoring": {"unit": "event"}}],
    ids=lambda changed: next(iter(changed)),
)  # fmt: skip
def test_a_change_of_what_a_version_is_made_of_is_new_work(
    scene: Scene, changed: dict[str, Any]
) -> None:
    first = scene.deliver(FIRST)
    succeed(scene, first["run_id"])
    scene.end(first["run_id"])
    scene.configure(parse_project(declaration(**changed)))
    assert scene.start(scene.request())["outcome"] == "started"


def test_a_run_from_before_keeps_the_key_that_it_had(scene: Scene) -> None:
    run_id = scene.deliver(FIRST)["run_id"]
    old = {**scene.run(run_id)}
    del old["training_digest"]
    assert judged_by(old) == old["config_digest"]


def test_rejected_bytes_again_are_suppressed_under_the_same_rules_and_tried_under_others(
    scene: Scene,
) -> None:
    first = scene.deliver(FIRST)
    scene.mark("rejected", FIRST)
    scene.end(first["run_id"], "FAILED")

    again = scene.deliver(FIRST)
    assert (again["outcome"], again["existing_run_id"]) == ("suppressed", "earlier-1")
    assert "rejected" in again["reason"]

    scene.configure(parse_project(declaration(description="other rules")))
    assert scene.deliver(FIRST)["outcome"] == "started"


def test_a_request_without_any_delivery_is_suppressed_with_a_reason(scene: Scene) -> None:
    answer = scene.start(scene.request())
    assert answer["outcome"] == "suppressed"
    assert "no delivery" in answer["reason"]


def test_without_a_job_image_the_run_fails_clearly_and_the_delivery_waits_for_the_next(
    scene: Scene,
) -> None:
    image, scene.job_image.value = scene.job_image.value, None
    trigger = scene.delivery(FIRST)
    failed = scene.start(trigger)
    assert failed["outcome"] == "failed"
    assert scene.run(failed["run_id"])["error"] == "JobImageMissingError"
    assert scene.lock() is None
    [event] = scene.state.named("TrainingFailed")
    assert "steward image build" in event.data.cause  # type: ignore[attr-defined]
    assert scene.start(trigger)["again"] is True

    scene.job_image.value = image
    begun = scene.start(scene.request())
    assert begun["outcome"] == "started"
    assert len(scene.deliveries(begun["run_id"])) == 1


def test_an_unknown_project_is_refused(scene: Scene) -> None:
    with pytest.raises(ProjectNotFoundError):
        scene.start(Trigger("request", "nobody", "event-9", "tess", "please"))


def test_a_lost_race_is_decided_anew(scene: Scene) -> None:
    trigger = scene.delivery(SECOND)

    def another_run_takes_the_lock() -> None:
        scene.deliver(FIRST)

    scene.state.before_commit = [lambda: None, another_run_takes_the_lock]
    begun = scene.start(trigger)

    assert begun["outcome"] in {"queued", "suppressed"}
    assert len(scene.workflows.executions) == 1


def test_a_lapsed_lease_is_taken_over(scene: Scene) -> None:
    first = scene.deliver(FIRST)
    scene.clock.advance(10 * 86_400)
    second = scene.deliver(SECOND)
    assert second["outcome"] == "started"
    assert scene.lock()["owner"] == second["run_id"]  # type: ignore[index]
    assert scene.end(first["run_id"], "TIMED_OUT")["lock"] == f"held by {second['run_id']}"


def test_a_waiting_run_behind_a_lapsed_lease_begins_with_the_next_event(scene: Scene) -> None:
    scene.deliver(FIRST)
    waiting = scene.deliver(SECOND)
    scene.clock.advance(10 * 86_400)
    begun = scene.start(scene.request())
    assert (begun["outcome"], begun["run_id"]) == ("started", waiting["run_id"])


def test_a_foreign_change_of_the_lock_makes_the_transaction_fail_as_a_whole(scene: Scene) -> None:
    first = scene.deliver(FIRST)
    lock = {"lock": "diabetes/training"}
    scene.state.commit(
        [Update(Table.LOCKS, lock, set={"owner": "other-1"},
                expect=(Equals("owner", first["run_id"]),))]
    )  # fmt: skip
    assert scene.end(first["run_id"], "FAILED")["lock"] == "held by other-1"


def asking(scene: Scene, number: int, kind: str = "drift") -> Trigger:
    return Trigger(
        kind,  # type: ignore[arg-type]
        scene.project.project, f"alarm-{number}", "steward", "drift of version 1",
        attempt=f"retrain-{number}",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "actor", "cause"),
    [
        ("delivery", "000000000000", "deliveries/diabetes/2.csv"),
        ("commit", "github:mona", "commit 1f0c9a7b2d3e on main of acme/diabetes"),
        ("schedule", "schedule", "the schedule is due"),
        ("drift", "steward", "drift of version 1"),
        ("performance", "steward", "version 1 got worse"),
        ("request", "000000000000/tess", "a new season"),
    ],
)
def test_a_run_names_the_kind_the_actor_and_the_cause_of_what_started_it(
    scene: Scene, kind: TriggerKind, actor: str, cause: str
) -> None:
    first = scene.deliver(FIRST)
    scene.mark("accepted", FIRST)
    succeed(scene, first["run_id"])
    scene.end(first["run_id"])
    scene.configure(scene.project, b"other code")
    trigger = Trigger(kind, "diabetes", "event-7", actor, cause)
    if kind == "delivery":
        trigger = replace(scene.delivery(SECOND), event_id="event-7")

    begun = scene.start(trigger)

    assert begun["outcome"] == "started"
    told = scene.run(begun["run_id"])["trigger"]
    assert told == {"kind": kind, "event_id": "event-7", "actor": actor, "cause": cause}
    [event] = [e for e in scene.state.named("TrainingStarted") if e.meta.causation_id == "event-7"]
    assert event.data.model_dump()["trigger"] == kind
    assert event.meta.actor == actor


def test_deliveries_are_kept_until_an_alarm_starts_a_run_with_all_of_them() -> None:
    scene = Scene(project=parse_project(declaration(training={"start_on": ["drift"]})))
    assert scene.deliver(FIRST) == {
        "outcome": "kept", "reason": "training.start_on does not name delivery",
    }  # fmt: skip
    assert scene.deliver(SECOND)["outcome"] == "kept"
    assert scene.start(asking(scene, 1, "performance"))["outcome"] == "kept"
    begun = scene.start(asking(scene, 2))
    run = scene.run(begun["run_id"])
    assert begun["outcome"] == "started"
    assert run["deliveries"]["count"] == 2
    assert (run["trigger"]["kind"], run["trigger"]["attempt"]) == ("drift", "retrain-2")


def test_a_person_may_always_ask() -> None:
    scene = Scene(project=parse_project(declaration(training={"start_on": ["drift"]})))
    scene.deliver(FIRST)
    assert scene.start(scene.request())["outcome"] == "started"


def test_retraining_on_what_was_trained_on_is_suppressed_and_told(scene: Scene) -> None:
    first = scene.deliver(FIRST)
    scene.mark("accepted", FIRST)
    succeed(scene, first["run_id"])
    scene.end(first["run_id"])
    assert scene.start(asking(scene, 1))["outcome"] == "suppressed"
    told = [e.data for e in scene.state.events if e.detail_type == "TrainingSuppressed"]
    assert told[-1].trigger == "drift"  # type: ignore[attr-defined]
