"""Endpoints changed around Steward on the deployed stack: found, told, repaired, held."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from steward_cli.commands.mail import letters
from steward_cli.state import shares_of
from support.laboratory_stack import Laboratory, eventually

pytestmark = pytest.mark.e2e

PROJECT = "tide"
FIRST, SECOND = f"local-{PROJECT}-v1-prod", f"local-{PROJECT}-v2-prod"
ORPHAN, REAPER = f"local-{PROJECT}-v9-prod", "ReapEndpointsFunction"
IDLE = "  idle: {after_s: 60, orphan_after_s: 1}\n"
SCHEDULED = Path(__file__).parents[2] / "events" / "incoming" / "scheduled_event.json"
SERVING = "serving:\n  router: gateway\n"


@pytest.fixture(scope="module", autouse=True)
def live(lab: Laboratory, trained: dict[str, Any]) -> None:
    """A project whose version 1 answers; what is released later bakes for longer than tests."""
    lab.add_project(PROJECT)
    lab.configure(PROJECT, "bake_s: 60", "bake_s: 10")
    lab.configure(PROJECT, SERVING, f"{SERVING}  provisioned_concurrency: 1\n")
    lab.approve(PROJECT, staged(lab, trained))
    eventually(lambda: shares(lab) == {1: 100.0}, "version 1 in production")
    lab.configure(PROJECT, "bake_s: 10", "bake_s: 6000")


def staged(lab: Laboratory, trained: dict[str, Any]) -> int:
    """Register a version and wait until people may decide on it."""
    version = lab.register(PROJECT, trained)
    lab.version(PROJECT, version, "pending")
    return version


def shares(lab: Laboratory) -> dict[int, float]:
    """Return the share of traffic by version."""
    return shares_of(lab.state.route(PROJECT))


def mails(lab: Laboratory, *words: str) -> list[str]:
    """Return the texts of mails to on-call about the project whose subject has all words."""
    assert lab.target.engine is not None
    return [
        " ".join(mail.body.split())
        for mail in letters(lab.target.engine.mailbox)
        if all(word in mail.subject for word in (PROJECT, *words))
    ]


def mail(lab: Laboratory, *words: str, number: int = 1) -> str:
    """Wait for so many of these mails; return the last."""
    assert lab.target.engine is not None
    try:
        found = eventually(
            lambda: found if len(found := mails(lab, *words)) >= number else None,
            f"{number} mails about {words}",
        )  # fmt: skip
    except AssertionError as error:
        subjects = [m.subject for m in letters(lab.target.engine.mailbox) if PROJECT in m.subject]
        error.add_note(f"{subjects}\n{lab.steward('serving', 'check', PROJECT, as_json=False)}")
        raise
    assert len(found) == number
    return found[-1]


def sweep(lab: Laboratory, function: str = "ReconcileEndpointsFunction") -> dict[str, Any]:
    """Call the function as its schedule does; return what it found."""
    answer = lab.target.client("lambda").invoke(
        FunctionName=lab.function("Serving", function),
        Payload=SCHEDULED.read_bytes(),
    )
    found = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, found
    return dict(found)


def live_config(lab: Laboratory, endpoint: str = FIRST) -> str | None:
    """Return the configuration of an endpoint in service, None where there is none."""
    if lab.endpoint(endpoint) != "InService":
        return None
    described = lab.target.client("sagemaker").describe_endpoint(EndpointName=endpoint)
    return str(described["EndpointConfigName"])


def hotfix(lab: Laboratory, endpoint: str, name: str) -> str:
    """Put an endpoint on another configuration, as a person in the console would."""
    client = lab.target.client("sagemaker")
    config = client.describe_endpoint_config(EndpointConfigName=live_config(lab, endpoint))
    [variant] = config["ProductionVariants"]
    variant["ServerlessConfig"]["MemorySizeInMB"] = 1024
    client.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    client.update_endpoint(EndpointName=endpoint, EndpointConfigName=name)
    return str(config["EndpointConfigName"])


def test_an_endpoint_as_it_was_made_is_left_alone(lab: Laboratory) -> None:
    assert FIRST in sweep(lab)["in_order"]
    [told] = lab.steward("serving", "check", PROJECT)
    assert (told["endpoint"], told["state"], told["status"]) == (FIRST, "as wanted", "InService")
    assert told["last_in_order_at"]


def test_an_update_by_a_person_is_told_taken_back_and_verified(lab: Laboratory) -> None:
    before = hotfix(lab, FIRST, "tide-hotfix-1")
    told = mail(lab, "another configuration")
    assert "tide-hotfix-1" in told
    assert "Steward puts it back" in told
    mail(lab, "as wanted again")
    assert live_config(lab) == before
    assert lab.steward("serving", "check", PROJECT)[0]["state"] == "as wanted"


def test_a_deleted_endpoint_is_made_again_with_all_its_parts(lab: Laboratory) -> None:
    before = live_config(lab)
    client = lab.target.client("sagemaker")
    model = client.describe_endpoint_config(EndpointConfigName=before)["ProductionVariants"][0]
    client.delete_endpoint(EndpointName=FIRST)
    client.delete_endpoint_config(EndpointConfigName=before)
    client.delete_model(ModelName=model["ModelName"])
    assert "is gone" in mail(lab, "the endpoint is gone")
    eventually(lambda: lab.endpoint(FIRST) is None or live_config(lab), f"{FIRST} to be gone")
    sweep(lab)
    mail(lab, "as wanted again", number=2)
    assert live_config(lab) == before
    assert len(mails(lab, "the endpoint is gone")) == 1


def test_a_candidate_that_is_changed_takes_its_release_out_of_traffic(
    lab: Laboratory, trained: dict[str, Any]
) -> None:
    lab.approve(PROJECT, staged(lab, trained))
    eventually(lambda: 0 < shares(lab).get(2, 0) < 100, "traffic on version 2")
    assert sweep(lab).get("told") is None
    hotfix(lab, SECOND, "tide-hotfix-2")
    assert "Its release is rolled back" in mail(lab, "(candidate)")
    eventually(lambda: shares(lab) == {1: 100.0}, "traffic to be back")
    assert f"endpoint {SECOND} has drifted" in mail(lab, "was rolled back")
    eventually(lambda: lab.endpoint(SECOND) is None, f"{SECOND} to be removed")


def test_under_hold_people_are_told_once_and_decide(lab: Laboratory) -> None:
    lab.configure(PROJECT, SERVING, f"{SERVING}  on_drift: hold\n")
    before = hotfix(lab, FIRST, "tide-hotfix-3")
    assert "somebody has to decide" in mail(lab, "ACT:", "another configuration")
    sweep(lab)
    sweep(lab)
    assert live_config(lab) == "tide-hotfix-3"
    assert len(mails(lab, "ACT:", "another configuration")) == 1
    [told] = lab.steward("serving", "check", PROJECT, exit_code=1)
    assert (told["kind"], told["action"]) == ("other_config", "hold")
    lab.target.client("sagemaker").update_endpoint(EndpointName=FIRST, EndpointConfigName=before)
    assert "Somebody else put it right" in mail(lab, "as wanted again", number=3)
    lab.configure(PROJECT, f"{SERVING}  on_drift: hold\n", SERVING)


def abandon(lab: Laboratory) -> None:
    """Make an endpoint that nothing names, with the role of this stack's endpoints."""
    client = lab.target.client("sagemaker")
    config = client.describe_endpoint_config(EndpointConfigName=live_config(lab))
    [variant] = config["ProductionVariants"]
    model = client.describe_model(ModelName=variant["ModelName"])
    name = f"{ORPHAN}-1"
    client.create_model(
        ModelName=name, ExecutionRoleArn=model["ExecutionRoleArn"],
        PrimaryContainer={
            part: model["PrimaryContainer"][part] for part in ("Image", "ModelDataUrl")
        },
    )  # fmt: skip
    client.create_endpoint_config(
        EndpointConfigName=name, ProductionVariants=[{**variant, "ModelName": name}]
    )
    client.create_endpoint(EndpointName=ORPHAN, EndpointConfigName=name)
    eventually(lambda: lab.endpoint(ORPHAN) == "InService", f"{ORPHAN} in service")


def test_what_does_nothing_is_proposed_once_and_done_when_a_person_asks(lab: Laboratory) -> None:
    abandon(lab)
    lab.configure(PROJECT, SERVING, SERVING + IDLE)
    eventually(
        lambda: {FIRST, ORPHAN} <= {e["endpoint"] for e in lab.steward("serving", "idle", PROJECT)},
        "a minute without requests",
    )  # fmt: skip
    sweep(lab, REAPER)
    told = eventually(
        lambda: text if ORPHAN in (text := " ".join(mails(lab, "may save"))) and FIRST in text
        else None,
        "a mail about both",
    )  # fmt: skip
    assert "Nothing is done" in told
    before = len(mails(lab, "may save"))
    assert "told" not in sweep(lab, REAPER)
    assert len(mails(lab, "may save")) == before
    warm = live_config(lab)

    asked = lab.steward("serving", "idle", PROJECT, "--reap", "--yes")

    actions = {record["endpoint"]: record["action"] for record in asked}
    assert (actions[ORPHAN], actions[FIRST]) == ("delete", "scale_to_zero")
    assert "Saves $26.28 a month" in mail(lab, ORPHAN, "was deleted")
    eventually(lambda: lab.endpoint(ORPHAN) is None, f"{ORPHAN} to be gone")
    mail(lab, FIRST, "costs nothing while nobody asks")
    eventually(lambda: live_config(lab) not in (None, warm), "another configuration")
    described = lab.target.client("sagemaker").describe_endpoint(EndpointName=FIRST)
    [variant] = described["ProductionVariants"]
    assert "ProvisionedConcurrency" not in variant["CurrentServerlessConfig"]
    assert lab.steward("serving", "check", PROJECT)[0]["state"] == "as wanted"
    eventually(lambda: lab.lock(f"{PROJECT}/release") is None, "the lock to be free")
    eventually(lambda: lab.steward("serving", "idle", PROJECT) == [], "nothing left")
