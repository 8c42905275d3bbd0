"""What is deleted on purpose is in no batch: inputs, work, scores and refused results go."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from steward.contracts.deletion import (
    DeleteBatchInput,
    DeleteDelivery,
    ShowBatchInput,
    ShowDelivery,
)
from steward.contracts.incoming import ExecutionStatusChange, Received
from steward.domain.batch_runs import EXPIRY_TAG
from steward.domain.errors import (
    BatchInputRefusedError,
    BatchNotFoundError,
    ConflictError,
    RejectedError,
)
from steward.domain.lineage import batch_node, object_node
from steward.ports import Table
from steward.service.data.batch_deletion import delete_batch_input, show_batch_input
from steward.service.data.deletion import delete_delivery, show_delivery
from steward.service.data.erasing import Erasure
from steward.service.governance.lineage_facts import facts_of
from steward.service.serving.batch.recording import batch_that_ended
from steward.settings import Settings
from support.batch_scene import INPUT, MACHINE, ROWS, Batches, batched
from support.doorways import FakeApp, load, request
from support.serving_scene import ARTIFACTS, DATA, PROJECT

ANA = "arn:aws:iam::000000000000:user/ana"
DIGEST = hashlib.sha256(ROWS.encode()).hexdigest()


def erasure(scene: Batches) -> Erasure:
    return Erasure(
        scene.state, scene.objects, scene.workflows, scene.hosting, scene.clock, scene.ids,
        DATA, ARTIFACTS, "dev",
    )  # fmt: skip


def delete(scene: Batches, batch: str, reason: str = "erasure request 17") -> dict[str, Any]:
    order = DeleteBatchInput(project=PROJECT, batch_id=batch, reason=reason)
    return delete_batch_input(order, ANA, "request-1", erasure(scene))


def holding(scene: Batches, word: str = "p2") -> list[str]:
    """Return the keys of stored versions that say a word, here a person's id."""
    return [
        info.key
        for bucket in (DATA, ARTIFACTS)
        for info in scene.objects.versions(bucket, "")
        if word.encode() in scene.objects.read(f"s3://{bucket}/{info.key}", info.version_id)
        and not info.key.startswith("datasets/")
    ]


@pytest.fixture
def scene() -> Batches:
    return Batches()


def scored(scene: Batches, event_id: str = "tick-1") -> str:
    batch: str = scene.due(event_id)["batch_id"]
    assert scene.run(batch) == "succeeded"
    return batch


def test_files_go_with_everything_that_any_version_made_of_them_and_the_records_stay(
    scene: Batches,
) -> None:
    refused = scene.due("tick-0")["batch_id"]
    scene.run(refused, lambda line: "nan")
    first = scored(scene)
    scene.register(3)
    route = scene.state.get(Table.ROUTES, {"project": PROJECT})
    assert route is not None
    arm = {**route["arms"][0], "version": 3}
    scene.state.put(Table.ROUTES, {**route, "arms": [arm]})
    second = scored(scene, "tick-2")
    scene.put(ROWS, f"batch-input/{PROJECT}/files/copy/input.csv")
    assert len(holding(scene)) == 11

    deleted = delete(scene, second)
    assert holding(scene) == []
    assert sorted(deleted["batches"]) == sorted([refused, first, second])
    assert deleted["objects"] == {
        "batch_inputs": 2, "batch_work": 6, "scores": 4, "quarantine": 2,
    }  # fmt: skip
    for batch in (refused, first, second):
        record = scene.record(batch)
        assert record["status"] == "deleted"
        assert record["deletion"]["reason"] == "erasure request 17"
        assert record["deletion"]["by"] == "000000000000/ana"
        assert record["deletion"]["completed_at"] >= record["deletion"]["at"]
    told: dict[str, Any] = {
        data["batch_id"]: data
        for data in (event.data.model_dump() for event in scene.state.named("BatchDeleted"))
    }
    assert {told[batch]["version"] for batch in (refused, first)} == {2}
    assert told[second]["version"] == 3
    assert sum(data["objects"] for data in told.values()) == 14


def test_the_deletion_is_in_the_lineage_of_batch_and_scores(scene: Batches) -> None:
    batch = scored(scene)
    scores = scene.record(batch)["delivered"]["scores_uri"]
    delete(scene, batch)
    [told] = scene.state.named("BatchDeleted")
    facts = facts_of(scene.delivered(told), "dev")
    about = {fact.node: fact.attributes["status"] for fact in facts.nodes}
    key = scores.removeprefix(f"s3://{DATA}/")
    assert about == {batch_node(PROJECT, 2, batch): "deleted", object_node(DATA, key): "deleted"}


def test_what_was_deleted_is_scored_no_more_and_goes_again_where_it_comes_back(
    scene: Batches,
) -> None:
    batch = scored(scene)
    before = delete(scene, batch)["deletion"]
    scene.put(ROWS)
    answer = scene.due("tick-2")
    assert answer["outcome"] == "failed"
    assert "deleted on purpose" in answer["reason"]
    assert "erasure request 17" in answer["reason"]
    again = delete(scene, batch, "another reason")
    assert holding(scene) == []
    assert again["objects"]["batch_inputs"] == 1
    assert (again["deletion"]["reason"], again["deletion"]["at"]) == (
        before["reason"], before["at"],
    )  # fmt: skip
    scene.put(ROWS.replace("p2,48,,M,y\n", ""))
    assert scene.run(scene.due("tick-3")["batch_id"]) == "succeeded"


def test_the_same_command_again_changes_and_tells_nothing(scene: Batches) -> None:
    batch = scored(scene)
    first, second = delete(scene, batch), delete(scene, batch)
    assert second["deletion"] == first["deletion"]
    assert sum(second["objects"].values()) == 0
    assert len(scene.state.named("BatchDeleted")) == 1


@pytest.mark.parametrize("dies_after", [0, 1, 3])
def test_a_crash_between_leaves_the_record_and_the_next_command_goes_on(
    scene: Batches, monkeypatch: pytest.MonkeyPatch, dies_after: int
) -> None:
    batch = scored(scene)
    remove, left = scene.objects.remove, iter(range(dies_after))

    def dying(bucket: str, key: str, version_id: str) -> None:
        if next(left, None) is None:
            raise TimeoutError("killed")
        remove(bucket, key, version_id)

    monkeypatch.setattr(scene.objects, "remove", dying)
    with pytest.raises(TimeoutError):
        delete(scene, batch)
    assert scene.record(batch)["status"] == "deleted"
    assert scene.state.named("BatchDeleted") == []
    monkeypatch.setattr(scene.objects, "remove", remove)
    delete(scene, batch)
    assert holding(scene) == []
    assert len(scene.state.named("BatchDeleted")) == 1


def test_other_inputs_and_their_scores_stay_also_under_the_same_name(scene: Batches) -> None:
    batch = scored(scene)
    other = ROWS.replace("p2", "q2")
    assert len(other) == len(ROWS)
    scene.put(other)
    kept = scored(scene, "tick-2")
    delete(scene, batch)
    assert scene.objects.read(f"s3://{DATA}/{INPUT}") == other.encode()
    assert scene.record(kept)["status"] == "succeeded"
    assert b"q2" in scene.objects.read(scene.record(kept)["delivered"]["scores_uri"])


def test_nothing_is_deleted_while_it_is_being_scored(scene: Batches) -> None:
    batch = scene.due()["batch_id"]
    before = holding(scene)
    with pytest.raises(ConflictError, match=batch):
        delete(scene, batch)
    assert scene.record(batch)["status"] == "running"
    assert holding(scene) == before


@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT", "ABORTED", "SUCCEEDED"])
def test_a_batch_whose_end_nobody_recorded_does_not_stand_in_the_way(
    scene: Batches, status: str
) -> None:
    batch = scene.due()["batch_id"]
    scene.prepare(batch)
    scene.workflows.end(scene.record(batch)["batch_arn"], status)
    delete(scene, batch)
    assert scene.record(batch)["status"] == "deleted"
    assert holding(scene) == []
    assert scene.hosting.asked == [
        ("stop_transforms", f"dev-{PROJECT}-{batch}-batch"),
        ("remove_model", f"dev-{PROJECT}-v2-batch-{batch}"),
    ]  # fmt: skip


def status_event(batch: str, status: str) -> Received:
    change = ExecutionStatusChange.model_validate({
        "executionArn": f"{MACHINE}:{PROJECT}_{batch}", "stateMachineArn": MACHINE,
        "name": f"{PROJECT}_{batch}", "status": status,
    })  # fmt: skip
    return Received(
        id="e", time="2026-01-05T10:00:00Z", source="aws.states",
        detail_type="Step Functions Execution Status Change", resources=[], replayed=False,
        meta=None, detail=change,
    )  # fmt: skip


def test_the_end_of_a_deleted_batch_that_is_told_late_takes_what_it_left(scene: Batches) -> None:
    batch = scene.due()["batch_id"]
    prepared = scene.prepare(batch)
    scene.workflows.end(scene.record(batch)["batch_arn"], "ABORTED")
    delete(scene, batch)
    scene.hosting.asked.clear()
    scene.objects.write(f"{prepared.output_uri}/part-0000.csv.out", b"p2,0.2")  # the job went on
    command = batch_that_ended(status_event(batch, "ABORTED"), state=scene.state)
    assert command is not None
    assert scene.conclude_batch(command).status == "deleted"
    assert holding(scene) == []
    assert scene.hosting.asked == [
        ("stop_transforms", prepared.job), ("remove_model", prepared.model_name),
    ]  # fmt: skip


# A batch that begins or goes on while its input is deleted


def test_a_batch_that_is_recorded_while_its_input_is_deleted_scores_nothing(
    scene: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The eraser cannot see it yet, and the start has read that nothing is deleted."""
    first = scored(scene)
    config = batched(output="weekly").model_dump(mode="json")
    scene.state.put(Table.PROJECTS, {"project": PROJECT, "config": config})
    remove = scene.objects.remove

    def interrupted(*_: str) -> None:
        raise TimeoutError("killed")

    def erased_meanwhile() -> None:
        monkeypatch.setattr(scene.objects, "remove", interrupted)  # the bytes are there still
        with pytest.raises(TimeoutError):
            delete(scene, first)
        monkeypatch.setattr(scene.objects, "remove", remove)

    scene.state.before_commit.append(erased_meanwhile)
    late = scene.due("tick-2")["batch_id"]
    assert scene.run(late) == "failed"
    assert "deleted on purpose" in scene.record(late)["cause"]
    delete(scene, first)
    assert holding(scene) == []


def test_a_batch_that_begins_before_the_bytes_are_marked_stops_the_deletion(
    scene: Batches,
) -> None:
    first = scored(scene)
    config = batched(output="weekly").model_dump(mode="json")
    scene.state.put(Table.PROJECTS, {"project": PROJECT, "config": config})
    begun: list[str] = []
    scene.state.before_commit.append(lambda: begun.append(scene.due("tick-2")["batch_id"]))
    with pytest.raises(ConflictError) as refused:
        delete(scene, first)
    assert begun[0] in str(refused.value)
    assert scene.record(first)["status"] == "succeeded"
    assert scene.run(begun[0]) == "failed"
    delete(scene, first)
    assert holding(scene) == []
    assert scene.record(begun[0])["status"] == "deleted"


def test_a_batch_whose_execution_is_not_seen_yet_is_being_scored_and_later_is_not(
    scene: Batches,
) -> None:
    batch = scene.due()["batch_id"]
    scene.workflows.executions.clear()
    with pytest.raises(ConflictError, match=batch):
        delete(scene, batch)
    scene.clock.advance(3600)
    delete(scene, batch)
    assert scene.record(batch)["status"] == "deleted"


@pytest.mark.parametrize("reached", ["prepare", "deliver"])
def test_an_execution_of_a_deleted_batch_is_refused_at_its_next_task(
    scene: Batches, reached: str
) -> None:
    batch = scene.due()["batch_id"]
    if reached == "deliver":
        scene.transform(scene.prepare(batch))
    record = scene.record(batch)
    deletion = {"at": "2026-01-05T10:00:00+00:00", "reason": "erasure request 17"}
    scene.state.put(Table.RUNS, {**record, "status": "deleted", "deletion": deletion})
    with pytest.raises(BatchInputRefusedError, match="erasure request 17"):
        getattr(scene, reached)(batch)
    assert list(scene.objects.list(DATA, f"scores/{PROJECT}/")) == []


def test_what_was_delivered_for_a_batch_that_was_deleted_meanwhile_is_removed(
    scene: Batches,
) -> None:
    batch = scene.due()["batch_id"]
    scene.transform(scene.prepare(batch))
    manifest = scene.deliver(batch)
    deletion = {"at": "2026-01-05T10:00:00+00:00", "reason": "erasure request 17"}
    scene.state.put(Table.RUNS, {**scene.record(batch), "status": "deleted", "deletion": deletion})
    assert scene.finish(batch, manifest) == "deleted"
    assert holding(scene) == [INPUT]
    assert scene.state.named("BatchScored") == []


def test_nothing_is_deleted_while_a_failed_batch_runs_again(scene: Batches) -> None:
    batch = scene.due()["batch_id"]
    scene.transform(scene.prepare(batch))
    scene.finish(batch, state="DeliverScores", error="DependencyError", cause="")
    scene.workflows.redrive(scene.record(batch)["batch_arn"])
    with pytest.raises(ConflictError, match=batch):
        delete(scene, batch)
    assert scene.record(batch)["status"] == "failed"
    assert scene.finish(batch, scene.deliver(batch)) == "succeeded"
    delete(scene, batch)
    assert holding(scene) == []


def test_an_execution_that_is_redriven_afterwards_delivers_nothing(scene: Batches) -> None:
    batch = scene.due()["batch_id"]
    scene.transform(scene.prepare(batch))
    scene.finish(batch, state="DeliverScores", error="DependencyError", cause="")
    delete(scene, batch)
    assert scene.run(batch) == "deleted"
    assert scene.record(batch)["status"] == "deleted"
    assert holding(scene) == []


def test_a_batch_without_an_input_of_its_own_is_refused_with_what_to_do(scene: Batches) -> None:
    with pytest.raises(BatchNotFoundError):
        delete(scene, "0123456789ab-1")
    scene.objects.remove(DATA, INPUT, scene.objects.describe(DATA, INPUT).version_id)  # type: ignore[union-attr, arg-type]
    refused = scene.due("tick-9")["batch_id"]
    with pytest.raises(RejectedError, match="before it had an input"):
        delete(scene, refused)


# A delivery that is scored by batches


@pytest.fixture
def delivered() -> tuple[Batches, str]:
    """A scene whose batch scored a delivery without the rows that were set aside."""
    scene = Batches(project=batched(input={"source": "data"}))
    accepted = f"accepted/{PROJECT}/{DIGEST}/0123.csv"
    scene.put(ROWS, f"deliveries/{PROJECT}/march.csv")
    scene.put(ROWS.replace("p3,70,31.25,F,z\n", ""), accepted)
    item = {
        "project": PROJECT, "delivery_id": DIGEST, "bucket": DATA, "status": "accepted",
        "key": f"deliveries/{PROJECT}/march.csv", "received_at": "2026-01-05T09:00:00+00:00",
        "size": len(ROWS), "accepted_uri": f"s3://{DATA}/{accepted}",
        "accepted_sha256": scene.objects.sha256(DATA, accepted),
    }  # fmt: skip
    scene.state.put(Table.DELIVERIES, item)
    return scene, scored(scene)


def test_a_deleted_delivery_leaves_the_batches_that_scored_it(
    delivered: tuple[Batches, str],
) -> None:
    scene, batch = delivered
    shown = show_delivery(ShowDelivery(project=PROJECT, delivery=DIGEST[:8]), erasure(scene))
    assert shown["batches"] == [batch]
    assert (shown["objects"]["batch_work"], shown["objects"]["scores"]) == (2, 2)
    order = DeleteDelivery(project=PROJECT, delivery_id=DIGEST, reason="erasure request 17")
    deleted = delete_delivery(order, ANA, "request-1", erasure(scene))
    # The file to score that every scene has is these bytes under another name.
    assert deleted["objects"]["batch_inputs"] == 1
    assert holding(scene) == []
    assert scene.record(batch)["status"] == "deleted"
    assert scene.said("DeliveryDeleted")["batches"] == [batch]
    assert len(scene.state.named("BatchDeleted")) == 1


def test_a_batch_of_a_delivery_is_deleted_with_the_delivery(
    delivered: tuple[Batches, str],
) -> None:
    scene, batch = delivered
    with pytest.raises(RejectedError) as refused:
        delete(scene, batch)
    assert DIGEST in str(refused.value.allowed)
    assert scene.record(batch)["status"] == "succeeded"


def accepted_rows() -> str:
    return ROWS.replace("p3,70,31.25,F,z\n", "")


def test_accepted_rows_that_lie_among_the_inputs_go_with_the_delivery(
    delivered: tuple[Batches, str],
) -> None:
    scene, _ = delivered
    scene.put(accepted_rows(), f"batch-input/{PROJECT}/mine/rows.csv")
    order = DeleteDelivery(project=PROJECT, delivery_id=DIGEST, reason="erasure request 17")
    shown = show_delivery(ShowDelivery(project=PROJECT, delivery=DIGEST), erasure(scene))
    deleted = delete_delivery(order, ANA, "request-1", erasure(scene))
    assert shown["objects"]["batch_inputs"] == deleted["objects"]["batch_inputs"] == 2
    assert holding(scene) == []
    scene.put(accepted_rows(), f"batch-input/{PROJECT}/mine/again.csv")
    again = delete_delivery(order, ANA, "request-2", erasure(scene))
    assert again["objects"]["batch_inputs"] == 1
    assert holding(scene) == []


def test_a_batch_of_accepted_rows_among_the_inputs_is_deleted_with_the_delivery(
    delivered: tuple[Batches, str],
) -> None:
    scene, _ = delivered
    scene.put(accepted_rows(), f"batch-input/{PROJECT}/mine/rows.csv")
    batch = scene.ask(prefix="mine")["batch_id"]
    # The key is that of the bytes: the batch of the delivery has scored them already.
    uri = f"s3://{DATA}/batch-input/{PROJECT}/mine/rows.csv"
    record = scene.record(batch)
    [file] = record["input"]
    mine = {**file, "key": uri.removeprefix(f"s3://{DATA}/")}
    scene.state.put(Table.RUNS, {**record, "input": [mine]})
    with pytest.raises(RejectedError) as refused:
        delete(scene, batch)
    assert (refused.value.value, refused.value.allowed) == (
        uri, f"delete the delivery, which deletes this too: {DIGEST}",
    )  # fmt: skip
    assert scene.record(batch)["status"] == "succeeded"


def test_a_delivery_that_is_being_scored_is_left_alone(delivered: tuple[Batches, str]) -> None:
    scene, batch = delivered
    scene.state.put(Table.RUNS, {**scene.record(batch), "status": "running"})
    scene.workflows.end(scene.record(batch)["batch_arn"], "RUNNING")
    before = holding(scene)
    order = DeleteDelivery(project=PROJECT, delivery_id=DIGEST, reason="erasure request 17")
    with pytest.raises(ConflictError, match=batch):
        delete_delivery(order, ANA, "request-1", erasure(scene))
    assert holding(scene) == before


def test_a_refused_result_is_kept_no_longer_than_the_rest(scene: Batches) -> None:
    batch = scene.due()["batch_id"]
    scene.run(batch, lambda line: "nan")
    folder = f"s3://{DATA}/quarantine/{PROJECT}/batch-{batch}"
    for name in ("part-0000.csv.out", "report.json"):
        assert scene.objects.tags[f"{folder}/{name}"] == {EXPIRY_TAG: "30"}


def test_the_doorway_shows_and_deletes_the_input_of_a_batch(
    scene: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = scored(scene)
    settings = Settings(steward_environment="dev", data_bucket=DATA, artifacts_bucket=ARTIFACTS)
    app = FakeApp(
        settings=settings, workflows=scene.workflows, state=scene.state, objects=scene.objects,
        hosting=scene.hosting,
    )  # fmt: skip
    handler = load("delete_delivery", app, monkeypatch)

    def asked_for(method: str, **given: Any) -> dict[str, Any]:
        answer: dict[str, Any] = handler(request(method, ANA, **given), None)
        return answer

    query = {"project": PROJECT, "batch": batch}
    shown = json.loads(asked_for("GET", query=query)["body"])
    assert shown == show_batch_input(ShowBatchInput(**query), erasure(scene))
    assert (shown["files"], shown["batches"]) == ([f"s3://{DATA}/{INPUT}"], [batch])
    assert asked_for("GET", query={**query, "batch": "0123456789ab-1"})["statusCode"] == 404
    assert asked_for("GET", query={**query, "batch": "../x"})["statusCode"] == 400
    order = {"project": PROJECT, "batch_id": batch, "reason": "erasure request 17"}
    answer = asked_for("POST", body=json.dumps(order))
    assert answer["statusCode"] == 200
    assert json.loads(answer["body"])["deletion"]["principal"] == ANA
    assert holding(scene) == []
