"""Gates, waivers, approvals and replay on the deployed stack."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from steward.domain.policy.platform import PLATFORM
from steward_cli.commands.versions import decide
from steward_cli.console import CommandError
from steward_cli.demo.people import acting_as
from steward_cli.function_urls import call
from steward_cli.target import Target
from support.laboratory_stack import Laboratory

pytestmark = pytest.mark.e2e
PROJECT = "governed"
WHY = "the study is too small for a narrow interval"


@pytest.fixture(scope="module")
def bo(lab: Laboratory) -> Target:
    """A second approver, who may deploy a policy too."""
    policy = lab.target.output("PolicyOwnerPolicyArn")
    lab.target.client("iam").attach_user_policy(UserName="bo", PolicyArn=policy)
    return acting_as(lab.choice, "bo")


@pytest.fixture(scope="module")
def waived(lab: Laboratory, bo: Target) -> dict[str, Any]:
    """A candidate that the gate held, a waiver, and the version that passed by it."""
    lab.add_project(PROJECT)
    narrow = "policy:\n  quorum: 2\n  stability: {max_interval_width: {roc_auc: 0.0001}}\n"
    lab.configure(PROJECT, "policy:\n", narrow)
    lab.deliver(PROJECT)
    held = lab.run(PROJECT, "held")
    with pytest.raises(CommandError, match="NotAuthorized"):
        waive(lab, "theo")
    waiver = waive(lab, "ana")
    lab.deliver(PROJECT)
    version = lab.version(PROJECT, 1, "pending")
    return {"held": held, "waiver": waiver, "version": version}


def waive(lab: Laboratory, person: str) -> dict[str, Any]:
    target = acting_as(lab.choice, person)
    body = {"action": "grant", "project": PROJECT, "rule": "stability.roc_auc", "reason": WHY,
            "lifetime_s": 3600}  # fmt: skip
    answer: dict[str, Any] = (
        call(target, target.output("WaiverUrl"), "POST", body).raise_for_status().body
    )
    return answer


def test_a_candidate_that_breaks_a_rule_of_the_project_is_held(
    lab: Laboratory, waived: dict[str, Any]
) -> None:
    run = waived["held"]
    assert run["policy"]["name"] == "platform"
    assert run["policy"]["requirements"]["quorum"] == 2


def test_by_a_waiver_it_passes_and_the_evidence_says_so(
    lab: Laboratory, waived: dict[str, Any]
) -> None:
    version, waiver = waived["version"], waived["waiver"]
    evidence = json.loads(lab.read(version["evidence_uri"]))
    assert evidence["gate"]["waivers"] == [waiver["waiver_id"]]
    rule = next(r for r in evidence["gate"]["rules"] if r["rule"] == "stability.roc_auc")
    assert (rule["verdict"], rule["effect"]) == ("hold", "pass")
    assert version["summary"]["waivers"] == [f"{waiver['waiver_id']} of stability.roc_auc"]
    (listed,) = lab.steward("governance", "waivers", PROJECT)
    assert (listed["status"], listed["granted_by"].split("/")[1]) == ("active", "ana")


def test_two_approvers_at_once_make_the_quorum_and_replay_agrees(
    lab: Laboratory, bo: Target, waived: dict[str, Any]
) -> None:
    with pytest.raises(CommandError, match="author"):
        decide(lab.theo, PROJECT, 1, "approve", "mine")
    with ThreadPoolExecutor(2) as pool:
        answers = list(
            pool.map(lambda who: decide(who, PROJECT, 1, "approve", "read"), (lab.ana, bo))
        )
    assert sorted(answer["missing"] for answer in answers) == [0, 1]
    version = lab.version(PROJECT, 1, "approved", "releasing", "production")
    assert len(version["approvals"]) == 2
    replayed = lab.steward("governance", "replay", PROJECT, "1")
    assert [one["agrees"] for one in replayed] == [True, True, True], replayed


def test_replay_names_a_stored_input_that_was_changed(
    lab: Laboratory, waived: dict[str, Any]
) -> None:
    uri = waived["version"]["gate"]["inputs_uri"]
    before = lab.read(uri)
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    document = json.loads(before)
    document["findings"]["waivers"] = []
    s3 = lab.target.client("s3")
    s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(document).encode())
    told = lab.steward("governance", "replay", PROJECT, "1", exit_code=1, as_json=False)
    assert "the kept inputs have digest" in " ".join(told.split())
    assert "the verdict is hold, on record is pass" in " ".join(told.split())
    s3.put_object(Bucket=bucket, Key=key, Body=before)


def test_a_waiver_is_revoked_by_a_person(lab: Laboratory, waived: dict[str, Any]) -> None:
    waiver_id = waived["waiver"]["waiver_id"]
    answer = lab.steward(
        "governance", "revoke", PROJECT, waiver_id, "-m", "the study has grown", person="ana"
    )
    assert answer["status"] == "revoked"


def test_an_organisation_deploys_its_policy_and_takes_it_back(
    lab: Laboratory, bo: Target, tmp_path: Path
) -> None:
    document = {**PLATFORM, "policy": "clinic"}
    file = tmp_path / "policy.yaml"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    assert lab.steward("governance", "policy", "check", str(file))["policy"] == "clinic"
    told = lab.steward_error("--profile", "ana", "governance", "policy", "deploy", str(file))
    assert "403" in told or "Forbidden" in told or "not authorized" in told
    assert lab.steward("governance", "policy", "deploy", str(file), person="bo")["changed"]
    assert lab.steward("governance", "policy", "show")["policy"] == "clinic"
    back = lab.steward("governance", "policy", "deploy", "--platform", person="bo")
    assert back["name"] == "platform"


def test_the_risk_of_the_project_is_shown_with_its_score(
    lab: Laboratory, waived: dict[str, Any]
) -> None:
    told = lab.steward("governance", "risk", PROJECT)
    assert (told["tier"], told["declared"]) == ("limited", "limited")
    assert len(told["answers"]) == 12
