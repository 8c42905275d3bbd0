"""A batch: pinned, judged, scored, checked, delivered whole or not at all, each input once."""

from __future__ import annotations

import csv
import hashlib
import json
from typing import Any

import pytest

from steward.contracts.incoming import ExecutionStatusChange, Received
from steward.domain.errors import (
    AccessDeniedError,
    ProjectNotFoundError,
    ScoresRejectedError,
    StewardError,
    ThrottledError,
)
from steward.domain.lineage import batch_node
from steward.domain.project import parse_project
from steward.ports import Delete, Table
from steward.service.governance.lineage_facts import facts_of
from steward.service.serving.batch.recording import batch_that_ended
from support.batch_scene import INPUT, MACHINE, ROWS, Batches, batched, by_age
from support.serving_scene import ARTIFACTS, DATA, PROJECT


@pytest.fixture
def scene() -> Batches:
    return Batches()


def scored(scene: Batches) -> list[list[str]]:
    """The delivered rows of the newest batch."""
    uri = scene.batches()[-1]["delivered"]["scores_uri"]
    return list(csv.reader(scene.objects.read(uri).decode().splitlines()))


def test_every_row_gets_its_score_in_order_and_the_manifest_says_what_was_scored(
    scene: Batches,
) -> None:
    batch = scene.due()["batch_id"]
    assert scene.run(batch) == "succeeded"
    assert scored(scene) == [
        ["id", "prediction"], ["p1", "0.305"], ["p2", "0.24"], ["p3", "0.35"],
    ]  # fmt: skip
    record = scene.record(batch)
    manifest = json.loads(scene.objects.read(record["delivered"]["manifest_uri"]))
    assert (manifest["version"], manifest["rows"], manifest["refused_rows"]) == (2, 3, 0)
    content = scene.objects.read(manifest["scores_uri"])
    assert manifest["scores_sha256"] == hashlib.sha256(content).hexdigest()
    assert manifest["input"][0]["sha256"] == hashlib.sha256(ROWS.encode()).hexdigest()
    told = scene.said("BatchScored")
    assert (told["batch_id"], told["version"], told["rows"]) == (batch, 2, 3)
    assert scene.hosting.asked == [("remove_model", f"dev-{PROJECT}-v2-batch-{batch}")]


def test_delivered_scores_bear_the_tag_by_which_s3_deletes_them(scene: Batches) -> None:
    scene.run(scene.due()["batch_id"])
    assert {tuple(tags.values()) for tags in scene.objects.tags.values()} == {("90",)}
    assert all(uri.startswith(f"s3://{DATA}/scores/") for uri in scene.objects.tags)


def test_a_schedule_that_fires_twice_scores_once(scene: Batches) -> None:
    first, again = scene.due("tick-1"), scene.due("tick-1")
    assert again["again"]
    assert again["batch_id"] == first["batch_id"]
    assert len(scene.workflows.executions) == 1
    scene.run(first["batch_id"])
    later = scene.due("tick-2")
    assert (later["outcome"], later["batch_id"]) == ("suppressed", first["batch_id"])
    assert scene.due("tick-2")["outcome"] == "suppressed"
    [suppressed] = scene.state.query(Table.RUNS, PROJECT, prefix="suppressed#")
    assert suppressed["existing_status"] == "succeeded"
    assert len(scene.batches()) == 1


@pytest.mark.parametrize("changed", ["bytes", "version", "parameters"])
def test_other_bytes_version_or_parameters_are_another_batch(scene: Batches, changed: str) -> None:
    first = scene.due("tick-1")["batch_id"]
    scene.run(first)
    if changed == "bytes":
        scene.put(ROWS + "p4,50,20,M,\n")
    elif changed == "version":
        scene.register(3)
        route = scene.state.get(Table.ROUTES, {"project": PROJECT})
        assert route is not None
        scene.state.put(Table.ROUTES, {**route, "arms": [{**route["arms"][0], "version": 3}]})
    else:
        config = batched(output="weekly").model_dump(mode="json")
        scene.state.put(Table.PROJECTS, {"project": PROJECT, "config": config})
    second = scene.due("tick-2")
    assert second["outcome"] == "started"
    assert second["batch_id"] != first


def test_a_candidate_under_release_scores_nothing_yet(scene: Batches) -> None:
    route = scene.state.get(Table.ROUTES, {"project": PROJECT})
    assert route is not None
    stable = {**route["arms"][0], "share": 90.0}
    candidate = {**stable, "version": 3, "role": "candidate", "share": 10.0}
    scene.state.put(Table.ROUTES, {**route, "arms": [stable, candidate]})
    assert scene.due()["version"] == 2


def test_without_a_stable_version_a_failed_batch_says_so_once(scene: Batches) -> None:
    scene.state.commit([Delete(Table.ROUTES, {"project": PROJECT})])
    assert scene.due("tick-1")["outcome"] == "failed"
    assert scene.due("tick-1")["again"]
    told = scene.said("BatchScoringFailed")
    assert (told["error"], told["version"]) == ("NoStableVersionError", None)
    assert scene.workflows.executions == {}


def test_no_file_is_refused_before_anything_starts(scene: Batches) -> None:
    answer = scene.ask(prefix="nowhere")
    assert answer["outcome"] == "failed"
    assert f"s3://{DATA}/batch-input/{PROJECT}/nowhere/" in answer["reason"]


def test_a_file_of_a_header_alone_fails_and_delivers_nothing(scene: Batches) -> None:
    scene.put("patient_id,age,bmi,sex\n")
    assert scene.run(scene.due()["batch_id"]) == "failed"
    told = scene.said("BatchScoringFailed")
    assert (told["error"], told["failed_state"]) == ("BatchInputRefusedError", "PrepareBatch")
    assert list(scene.objects.list(DATA, "scores/")) == []


def test_files_of_a_folder_are_scored_together_in_order_of_their_names(scene: Batches) -> None:
    lines = '{"patient_id": "p9", "age": 20, "bmi": null, "sex": "M"}\n'
    scene.put(lines, f"batch-input/{PROJECT}/daily/a.jsonl")
    scene.run(scene.due()["batch_id"])
    assert [row[0] for row in scored(scene)] == ["id", "p9", "p1", "p2", "p3"]


def test_refused_rows_are_kept_with_their_reasons_while_they_are_few() -> None:
    scene = Batches(project=batched(checks={"max_refused_share": 0.5}))
    scene.put(ROWS + "p3,71,,F,twice\np4,400,,F,old\n")
    batch = scene.due()["batch_id"]
    assert scene.run(batch) == "succeeded"
    delivered = scene.record(batch)["delivered"]
    refused = [
        json.loads(line) for line in scene.objects.read(delivered["refused_uri"]).splitlines()
    ]
    assert [(r["entity"], r["field"]) for r in refused] == [("p3", "patient_id"), ("p4", "age")]
    assert (delivered["rows"], delivered["refused_rows"]) == (3, 2)


def test_more_refused_rows_than_allowed_stop_the_batch(scene: Batches) -> None:
    scene.put(ROWS + "p4,400,,F,old\n")
    assert scene.run(scene.due()["batch_id"]) == "failed"
    told = scene.said("BatchScoringFailed")
    assert "1 of 4 rows" in told["cause"]
    assert "age" in told["cause"]


@pytest.mark.parametrize(
    ("answer", "field"),
    [
        (lambda line: "nan", "row 1 prediction"),
        (lambda line: "1.5", "row 1 prediction"),
        (lambda line: "" if line.startswith("p2") else "0.5", "row 2 prediction"),
    ],
)
def test_an_impossible_result_goes_to_quarantine_and_nothing_is_delivered(
    scene: Batches, answer: Any, field: str
) -> None:
    batch = scene.due()["batch_id"]
    assert scene.run(batch, answer) == "failed"
    record = scene.record(batch)
    kept = record["quarantine_uri"]
    report = json.loads(scene.objects.read(f"{kept}report.json"))
    assert (report["error"], report["field"]) == ("ScoresRejectedError", field)
    assert scene.objects.read(f"{kept}part-0000.csv.out")
    assert list(scene.objects.list(DATA, "scores/")) == []
    told = scene.said("BatchScoringFailed")
    assert told["quarantine_uri"] == kept


def test_a_part_that_the_job_left_out_is_noticed() -> None:
    scene = Batches(project=batched(instance_count=2))
    batch = scene.due()["batch_id"]
    prepared = scene.prepare(batch)
    assert prepared.instance_count == 2
    scene.transform(prepared)
    at = f"batch/{PROJECT}/{batch}/output/part-0001.csv.out"
    for info in list(scene.objects.versions(ARTIFACTS, at)):
        scene.objects.remove(ARTIFACTS, info.key, info.version_id or "")
    with pytest.raises(ScoresRejectedError, match=r"part-0001\.csv\.out"):
        scene.deliver(batch)


def test_bytes_that_changed_since_they_were_pinned_are_not_scored(scene: Batches) -> None:
    batch = scene.due()["batch_id"]
    scene.put(ROWS.replace("61", "62"))
    assert scene.run(batch) == "succeeded"
    assert scored(scene)[1] == ["p1", "0.305"]


def test_a_version_that_was_trained_on_other_columns_scores_nothing(scene: Batches) -> None:
    uri = f"s3://{DATA}/datasets/{PROJECT}/abc/examples.json"
    recorded = json.loads(scene.objects.read(uri))
    recorded["features"] = ["bmi", "age", "sex"]
    scene.objects.write(uri, json.dumps(recorded).encode())
    batch = scene.due()["batch_id"]
    assert scene.run(batch) == "failed"
    assert "other columns" in scene.record(batch)["cause"]


def declare(scene: Batches, **of_age: Any) -> None:
    """Change what the project declares of ``age`` after the version was made."""
    config = batched().model_dump(mode="json")
    [age] = [column for column in config["data"]["columns"] if column["name"] == "age"]
    age.update(of_age)
    parse_project(config)
    scene.state.put(Table.PROJECTS, {"project": PROJECT, "config": config})


@pytest.mark.parametrize(
    "later", [{"max": 60}, {"type": "string", "min": None, "max": None}, {"nullable": True}]
)
def test_rows_are_judged_by_the_rules_that_the_version_was_made_under(
    scene: Batches, later: dict[str, Any]
) -> None:
    declare(scene, **later)
    scene.put(ROWS + "p4,,,F,no age\n")
    batch = scene.due()["batch_id"]
    assert scene.run(batch) == "failed"
    cause = scene.record(batch)["cause"]
    assert "1 of 4 rows break the rules of requests: ward.csv row 4 age" in cause
    assert "a whole number, at least 0, at most 120" in cause


def test_other_rules_for_later_versions_do_not_make_another_batch(scene: Batches) -> None:
    batch = scene.due("tick-1")["batch_id"]
    assert scene.run(batch) == "succeeded"
    declare(scene, max=60)
    assert scene.due("tick-2")["batch_id"] == batch


def test_a_version_whose_rules_nobody_recorded_scores_nothing(scene: Batches) -> None:
    scene.state.commit([Delete(Table.RUNS, {"project": PROJECT, "run_id": "made2-1"})])
    answer = scene.due()
    assert answer["outcome"] == "failed"
    assert "no record of what was declared" in answer["reason"]


def test_what_failed_is_tried_again_as_the_next_attempt(scene: Batches) -> None:
    first = scene.due("tick-1")["batch_id"]
    scene.run(first, lambda line: "nan")
    second = scene.due("tick-2")["batch_id"]
    assert (first[:12], first[-2:], second[-2:]) == (second[:12], "-1", "-2")
    assert scene.run(second) == "succeeded"


def test_a_person_gets_expired_scores_anew_and_a_schedule_leaves_them_deleted(
    scene: Batches,
) -> None:
    first = scene.ask()["batch_id"]
    scene.run(first)
    scene.clock.advance(89 * 86_400)
    assert scene.ask()["outcome"] == "suppressed"
    scene.clock.advance(86_400)
    assert scene.due("tick-1")["outcome"] == "suppressed"
    second = scene.ask()["batch_id"]
    assert (second[:12], second[-2:]) == (first[:12], "-2")
    assert scene.run(second) == "succeeded"
    assert scene.record(second)["delivered"]["delivered_at"].startswith("2026-04-05")


def test_scores_without_an_end_are_never_scored_again() -> None:
    scene = Batches(project=batched(expires_after_days=None))
    scene.run(scene.ask()["batch_id"])
    scene.clock.advance(1000 * 86_400)
    assert scene.ask()["outcome"] == "suppressed"


def test_too_large_an_input_is_refused_before_its_bytes_are_read(
    scene: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steward.service.serving.batch.pinning.MOST_BYTES", len(ROWS) - 1)
    monkeypatch.setattr(scene.objects, "describe", lambda *_: pytest.fail("it was read"))
    answer = scene.due()
    assert answer["outcome"] == "failed"
    assert f"the input has {len(ROWS)} bytes" in answer["reason"]


def test_a_redriven_execution_turns_a_failed_batch_into_a_delivered_one_and_never_back(
    scene: Batches,
) -> None:
    batch = scene.due()["batch_id"]
    scene.transform(scene.prepare(batch))
    scene.finish(batch, state="ScoreRows", error="States.Timeout", cause="")
    uri = scene.deliver(batch)
    assert scene.finish(batch, uri) == "succeeded"
    assert scene.finish(batch, state="DeliverScores", error="late", cause="") == "succeeded"
    assert "error" not in scene.record(batch)
    assert len(scene.state.named("BatchScored")) == 1


def test_the_job_of_a_batch_that_ran_out_of_time_is_stopped(scene: Batches) -> None:
    batch = scene.due()["batch_id"]
    scene.finish(batch, state="PrepareBatch", error="DependencyError", cause="")
    assert scene.hosting.asked == []
    batch = scene.due("tick-2")["batch_id"]
    job = scene.prepare(batch).job
    scene.finish(batch, state="ScoreRows", error="States.Timeout", cause="")
    assert scene.hosting.asked == [
        ("stop_transforms", job), ("remove_model", f"dev-{PROJECT}-v2-batch-{batch}"),
    ]  # fmt: skip


def test_a_delivery_is_scored_once_it_is_accepted(scene: Batches) -> None:
    project = batched(input={"source": "data"}, on_delivery=True)
    config = project.model_dump(mode="json")
    scene.state.put(Table.PROJECTS, {"project": PROJECT, "config": config})
    rows = "patient_id,age,bmi,sex,outcome\np1,61,22.5,F,1\np2,48,,M,0\n"
    digest = hashlib.sha256(rows.encode()).hexdigest()
    scene.put(rows, f"deliveries/{PROJECT}/march.csv")
    item = {
        "project": PROJECT, "delivery_id": digest, "bucket": DATA, "status": "accepted",
        "key": f"deliveries/{PROJECT}/march.csv", "received_at": "2026-01-05T09:00:00+00:00",
    }  # fmt: skip
    scene.state.put(Table.DELIVERIES, item)
    batch = scene.accepted(digest)["batch_id"]
    assert scene.run(batch) == "succeeded"
    assert [row[0] for row in scored(scene)] == ["id", "p1", "p2"]
    assert scene.accepted(digest, table="labs")["outcome"] == "ignored"


def test_deliveries_of_a_project_without_such_a_wish_start_nothing(scene: Batches) -> None:
    assert scene.accepted("d" * 64)["outcome"] == "ignored"
    assert scene.batches() == []


def test_a_schedule_of_a_project_that_is_gone_is_refused(scene: Batches) -> None:
    scene.state.commit([Delete(Table.PROJECTS, {"project": PROJECT})])
    with pytest.raises(ProjectNotFoundError):
        scene.due()
    assert scene.accepted("d" * 64)["outcome"] == "ignored"


def test_two_starts_at_once_make_one_batch(scene: Batches) -> None:
    taken: list[dict[str, Any]] = []
    scene.state.before_commit.append(lambda: taken.append(scene.due("tick-0")))
    answer = scene.due("tick-1")
    assert (answer["outcome"], answer["batch_id"]) == ("suppressed", taken[0]["batch_id"])
    assert len(scene.batches()) == 1


@pytest.mark.parametrize("status", ["TIMED_OUT", "ABORTED", "FAILED"])
def test_an_execution_that_could_not_say_how_it_ended_is_concluded(
    scene: Batches, status: str
) -> None:
    batch = scene.due()["batch_id"]
    change = ExecutionStatusChange.model_validate({
        "executionArn": f"{MACHINE}:{PROJECT}_{batch}", "stateMachineArn": MACHINE,
        "name": f"{PROJECT}_{batch}", "status": status,
    })  # fmt: skip
    received = Received(
        id="e", time="2026-01-05T10:00:00Z", source="aws.states",
        detail_type="Step Functions Execution Status Change", resources=[], replayed=False,
        meta=None, detail=change,
    )  # fmt: skip
    command = batch_that_ended(received, state=scene.state)
    assert command is not None
    assert command.failure is not None
    scene.finish(batch, **command.failure.model_dump())
    assert batch_that_ended(received, state=scene.state) is None
    assert scene.record(batch)["status"] == "failed"


def test_lineage_leads_from_the_scores_to_version_and_input(scene: Batches) -> None:
    batch = scene.due()["batch_id"]
    scene.run(batch)
    [told] = scene.state.named("BatchScored")
    facts = facts_of(scene.delivered(told), "dev")
    node = batch_node(PROJECT, 2, batch)
    edges = {(edge.parent, edge.child) for edge in facts.edges}
    scores = scene.record(batch)["delivered"]["scores_uri"]
    assert (f"version:{PROJECT}/2", node) in edges
    assert (node, scores) in edges
    assert any(p.startswith(f"s3://{DATA}/{INPUT}?versionId=") and c == node for p, c in edges)


def test_scores_that_drift_from_held_out_predictions_are_refused(scene: Batches) -> None:
    import numpy as np

    from steward.domain.monitoring.baseline import Baseline, column_baseline

    heldout = np.random.default_rng(7).uniform(0.05, 0.4, 500)
    baseline = Baseline(
        project=PROJECT, rows=500, features=(column_baseline("age", heldout),),
        held_out_rows=500, predictions=(column_baseline("prediction", heldout),),
    )  # fmt: skip
    uri = f"s3://{ARTIFACTS}/evaluations/{PROJECT}/r/baseline.json"
    scene.objects.write(uri, baseline.model_dump_json().encode())
    scene.register(2, baseline={"uri": uri, "digest": baseline.digest})
    config = batched(checks={"max_drift": 0.5}).model_dump(mode="json")
    scene.state.put(Table.PROJECTS, {"project": PROJECT, "config": config})
    ages = np.random.default_rng(8).integers(10, 80, 200)
    scene.put("patient_id,age,bmi,sex\n" + "".join(f"p{n},{a},,F\n" for n, a in enumerate(ages)))
    batch = scene.due("tick-1")["batch_id"]
    assert scene.run(batch, lambda line: str(0.9 + float(by_age(line)) / 10)) == "failed"
    assert "max_drift" in scene.record(batch)["cause"]
    again = scene.due("tick-2")["batch_id"]
    assert scene.run(again) == "succeeded"
    assert 0 <= scene.record(again)["delivered"]["drift"] < 0.5


# A batch whose status event was lost


@pytest.mark.parametrize(
    ("status", "said", "error", "cause"),
    [
        ("FAILED", ("States.Runtime", "an expression failed"), "States.Runtime",
         "an expression failed"),
        ("TIMED_OUT", ("", ""), "States.TimedOut", "it ran out of time"),
        ("ABORTED", ("", ""), "States.Aborted", "it was stopped"),
        ("SUCCEEDED", ("", ""), "States.Succeeded", "it ended and delivered nothing"),
    ],
)  # fmt: skip
def test_the_next_trigger_concludes_what_ended_unseen_and_scores_anew(
    scene: Batches, status: str, said: tuple[str, str], error: str, cause: str
) -> None:
    first = scene.due("tick-1")["batch_id"]
    job = scene.prepare(first).job
    execution = scene.workflows.executions[scene.record(first)["batch_arn"]]
    execution.status, execution.stopped_with = status, said
    answer = scene.due("tick-2")
    assert (answer["outcome"], answer["batch_id"]) == ("started", f"{first[:12]}-2")
    record = scene.record(first)
    assert (record["status"], record["error"], record["cause"]) == ("failed", error, cause)
    assert scene.said("BatchScoringFailed")["batch_id"] == first
    assert scene.hosting.asked == [
        ("stop_transforms", job), ("remove_model", f"dev-{PROJECT}-v2-batch-{first}"),
    ]  # fmt: skip
    assert scene.run(answer["batch_id"]) == "succeeded"


def test_scores_that_were_delivered_unseen_count(scene: Batches) -> None:
    batch = scene.due("tick-1")["batch_id"]
    scene.transform(scene.prepare(batch))
    manifest = scene.deliver(batch)
    scene.workflows.end(scene.record(batch)["batch_arn"])
    answer = scene.due("tick-2")
    assert (answer["outcome"], answer["batch_id"]) == ("suppressed", batch)
    assert answer["status"] == "succeeded"
    assert scene.record(batch)["delivered"]["manifest_uri"] == manifest
    assert scene.said("BatchScored")["batch_id"] == batch


def test_the_same_event_again_concludes_its_batch_and_makes_no_other(scene: Batches) -> None:
    batch = scene.due("tick-1")["batch_id"]
    scene.workflows.end(scene.record(batch)["batch_arn"], "FAILED")
    assert scene.due("tick-1")["again"]
    assert [item["status"] for item in scene.batches()] == ["failed"]


def test_a_record_whose_execution_never_began_or_is_forgotten_gets_one(scene: Batches) -> None:
    batch = scene.due("tick-1")["batch_id"]
    scene.workflows.executions.clear()
    assert scene.due("tick-2")["outcome"] == "suppressed"
    assert list(scene.workflows.executions) == [scene.record(batch)["batch_arn"]]
    assert scene.record(batch)["status"] == "running"


def test_an_execution_that_nobody_knows_any_more_is_concluded_as_failed(
    scene: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = scene.due("tick-1")["batch_id"]
    scene.workflows.end(scene.record(first)["batch_arn"], "FAILED")
    monkeypatch.setattr(scene.workflows, "find", lambda _arn: None)
    assert scene.due("tick-2")["outcome"] == "started"
    assert scene.record(first)["cause"] == "its execution is not known any more"


@pytest.mark.parametrize("fault", [AccessDeniedError("denied"), ThrottledError("slow down")])
def test_where_nobody_may_look_nothing_is_concluded_and_the_event_comes_again(
    scene: Batches, fault: StewardError
) -> None:
    batch = scene.due("tick-1")["batch_id"]
    scene.workflows.end(scene.record(batch)["batch_arn"], "FAILED")
    scene.workflows.find_fails = fault
    with pytest.raises(type(fault)):
        scene.due("tick-2")
    assert scene.record(batch)["status"] == "running"
    assert scene.state.named("BatchScoringFailed") == []
    assert scene.due("tick-2")["outcome"] == "started"
    assert scene.record(batch)["status"] == "failed"


def test_an_execution_that_waits_for_its_redrive_is_left_alone(scene: Batches) -> None:
    batch = scene.due("tick-1")["batch_id"]
    scene.workflows.end(scene.record(batch)["batch_arn"], "PENDING_REDRIVE")
    assert scene.due("tick-2")["outcome"] == "suppressed"
    assert scene.record(batch)["status"] == "running"


def test_a_status_event_that_comes_at_the_same_moment_concludes_once(scene: Batches) -> None:
    batch = scene.due("tick-1")["batch_id"]
    scene.workflows.end(scene.record(batch)["batch_arn"], "FAILED")

    def noticed() -> None:
        scene.finish(batch, state="ScoreBatch", error="States.Runtime", cause="first")

    scene.state.before_commit.append(noticed)
    assert scene.due("tick-2")["outcome"] == "started"
    assert scene.record(batch)["cause"] == "first"
    assert len(scene.state.named("BatchScoringFailed")) == 1
