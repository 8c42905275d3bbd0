"""The demo's story, asserted: one model's whole life by events alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from steward_cli.demo.facts import Facts
from steward_cli.demo.report import costs_by_run, share_moments, write_report

pytestmark = pytest.mark.e2e


def test_versions_end_as_retained_production_and_rolled_back(facts: Facts) -> None:
    states = {int(item["version"]): item["state"] for item in facts.versions}
    assert states == {1: "retained", 2: "production", 3: "rolled_back", 4: "pending"}


def test_each_version_was_approved_by_somebody_other_than_its_author(facts: Facts) -> None:
    approved = [item for item in facts.versions if item["state"] != "pending"]
    assert len(approved) == 3
    for item in approved:
        approvers = {approval["identity"] for approval in item["approvals"]}
        assert approvers
        assert item["author"] not in approvers
    assert "author" in facts.refused_author
    assert "evaluation changed after it was frozen" in facts.voided_approval


def test_every_request_got_a_prediction(facts: Facts) -> None:
    assert len(facts.requests) > 500
    assert facts.lost == 0


def test_every_request_was_captured_once(facts: Facts) -> None:
    assert facts.exposures == len(facts.requests)


def test_a_patient_is_asked_at_most_once_a_window(facts: Facts) -> None:
    for window in facts.windows:
        ids = [asked.entity_id for asked in window.asked]
        assert len(ids) == len(set(ids))


def test_traffic_moved_in_steps_and_back(facts: Facts) -> None:
    shares = [moment for _, moment in share_moments(facts)]
    assert shares[0] == {1: 100.0}
    assert {1: 90.0, 2: 10.0} in shares
    assert {1: 50.0, 2: 50.0} in shares
    assert {2: 90.0, 3: 10.0} in shares
    assert shares[-1] == {2: 100.0}


def test_it_was_the_alarm_on_failed_answers_that_rolled_back(facts: Facts) -> None:
    assert facts.alarm == "steward-local-diabetes-candidate-errors"
    [back] = [e for e in facts.events if e.detail_type == "ReleaseRolledBack"]
    assert facts.alarm in back.data["cause"]


def test_the_commit_was_tested_and_rehearsed_before_its_run(facts: Facts) -> None:
    assert facts.commit["status"] == "succeeded"
    assert "passed" in facts.commit["tests"]["summary"]
    assert "trained on" in facts.commit["rehearsal"]["summary"]
    assert facts.commit["rehearsal"]["recorded"]["origin"] == "examples"
    [version] = [item for item in facts.versions if int(item["version"]) == 3]
    assert version["run_id"] == facts.commit["training_run_id"]
    assert version["author"] == facts.commit["author"]
    assert version["author"].endswith("/theo")


def test_the_alarm_took_the_bad_version_off_within_seconds(facts: Facts) -> None:
    # About one second on two quiet cores; the bar leaves room for a machine with much to do.
    assert facts.alarm_to_zero_s is not None
    assert 0 < facts.alarm_to_zero_s < 30


def test_failing_answers_came_from_the_stable_version(facts: Facts) -> None:
    fallen = [asked for asked in facts.requests if asked.fallback]
    assert fallen
    assert {asked.version for asked in fallen} == {2}
    assert all(asked.status == 200 for asked in fallen)


def test_the_malformed_delivery_names_every_fault(facts: Facts) -> None:
    rejected = [e for e in facts.events if e.detail_type == "DatasetRejected"]
    assert len(rejected) == 1
    columns = {violation.get("column") for violation in rejected[0].data["violations"]}
    assert {"bp", "bmi", "patient_id", "age"} <= columns


def test_the_same_delivery_starts_nothing_twice(facts: Facts) -> None:
    assert len(facts.suppressed) == 1
    trainings = [e for e in facts.executions if e["machine"] == "training"]
    assert len(trainings) == 5


def test_every_dataset_is_built_again_to_the_same_digests(facts: Facts) -> None:
    assert len(facts.datasets) == 3  # the run that drift starts has that of version 3
    assert all(built.equal for built in facts.datasets)
    assert {built.views for built in facts.datasets} == {("labs/v1",)}


def test_late_corrections_would_leak_by_event_time_alone(facts: Facts) -> None:
    assert [built.later_knowledge for built in facts.datasets] == [0, 18, 27]


def test_the_lineage_of_a_version_is_drawn(facts: Facts) -> None:
    assert facts.lineage_nodes > 10
    assert "labs" in facts.lineage


def test_older_patients_alarm_and_others_do_not(facts: Facts) -> None:
    before, shifted = (hour.look for hour in facts.monitored)
    assert before.captured.rows >= 50
    assert shifted.captured.rows >= 50
    assert (before.alarms["drift"], shifted.alarms["drift"]) == ("ok", "alarm")
    assert before.version == shifted.version == 2
    assert before.window_verdict is not None
    assert before.window_verdict.changed == []
    assert shifted.drift.columns[0].name == "age"
    assert "false alarms: 0.05 in 336 looks" in shifted.drift.sentence
    told = [e for e in facts.events if e.detail_type == "DriftDetected"]
    assert [e.data["window"] for e in told if e.meta["project"] == "diabetes"] == [shifted.window]


def test_the_alarm_starts_a_run_whose_version_waits_for_its_approver(facts: Facts) -> None:
    assert facts.retraining["kind"] == "drift"
    assert facts.retraining["cause"].startswith("drift of version 2 since ")
    [run] = [e for e in facts.executions if e["name"] == facts.retraining["run_id"]]
    assert (run["machine"], run["status"]) == ("training", "SUCCEEDED")


def test_no_machine_failed_also_where_a_delivery_was_rejected(facts: Facts) -> None:
    assert [e for e in facts.executions if e["status"] != "SUCCEEDED"] == []


def test_people_got_their_mail(facts: Facts) -> None:
    subjects = [str(mail["subject"]).lower() for mail in facts.mails]
    assert sum("approv" in subject for subject in subjects) >= 3
    assert any("rolled back" in subject for subject in subjects)
    assert any("drift in diabetes" in subject for subject in subjects)
    assert any("is retrained" in subject for subject in subjects)


def test_each_version_has_a_card_in_step_with_it(facts: Facts) -> None:
    status = {card.version: card.status for card in facts.cards}
    assert status == {1: "Approved", 2: "Approved", 3: "Archived", 4: "PendingReview"}
    assert all(card.proven > len(card.unproven) > 0 for card in facts.cards)
    digests = {int(item["version"]): item["card"]["sha256"] for item in facts.versions}
    assert digests == {card.version: card.digest for card in facts.cards}


def test_every_run_has_a_cost(facts: Facts) -> None:
    runs = {e["name"] for e in facts.executions if e["machine"] == "training"}
    costs = {row["run"]: row for row in costs_by_run(facts)}
    assert set(costs) == runs | {"features"}
    assert all(row["dollars"] > 0 for row in costs.values())
    assert sum(c["kind"] == "execution" for c in facts.costs) == len(facts.executions)


def test_the_report_is_self_contained(facts: Facts, tmp_path: Path) -> None:
    page = write_report(facts, tmp_path / "demo.html").read_text(encoding="utf-8")
    assert page.count("<svg") >= 6
    assert page.count("<title>age now and in the baseline</title>") == 2
    assert "<script" not in page
    assert "src=" not in page
    assert "@import" not in page
