"""Exposures, copies, kept assignments and outcomes on the deployed stack."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import exposure_load as load
from gateway import row_of
from steward.domain.exposures import hashed_entity
from steward.ports import Put, Table
from steward_cli.app import app
from steward_cli.asking import Asked, ask
from steward_cli.demo.facts import Facts
from steward_cli.target import Choice
from support.laboratory_stack import Laboratory, eventually

pytestmark = pytest.mark.e2e

PROJECT = "paired"
AT = "2026-01-05T08:00:00Z"


class Serving:
    """A project whose route leads to the endpoint that the story has left in production."""

    def __init__(self, lab: Laboratory) -> None:
        self.lab = lab
        told = lab.state.route("diabetes")
        assert told is not None
        self.endpoint = next(arm["endpoint"] for arm in told["arms"] if arm["role"] == "stable")
        self.row = row_of(lab.target)

    def route(self, candidate: float = 0, **changes: Any) -> None:
        """Write the route, and let the gateway forget the one before."""
        shares = {"stable": 100 - candidate, "candidate": candidate}
        arms = [
            {"version": number, "endpoint": self.endpoint, "role": role, "share": share}
            for number, (role, share) in enumerate(shares.items(), 1)
            if share
        ]
        route = {
            "project": PROJECT, "route_version": 1, "step_id": "s-1", "salt": "x", "arms": arms,
            "release_id": "00000002-1", **changes,
        }  # fmt: skip
        self.lab.state.store.commit([Put(Table.ROUTES, route)])
        time.sleep(0.3)

    def ask(self, entity: str) -> Asked:
        url = self.lab.target.output("GatewayUrl")
        asked = ask(self.lab.ward, url, PROJECT, {"entity_id": entity, "features": self.row})
        assert asked.status == 200, asked.body
        return asked

    def lines(self) -> list[dict[str, Any]]:
        """Return this project's captured lines so far, each inference id once."""
        found = load.arrived(self.lab.target, "exposures/")
        parsed = [json.loads(line) for line in found.lines.values()]
        return [line for line in parsed if line["project"] == PROJECT]

    def role(self) -> str:
        return self.lab.role_of_function("Serving", "AnswerRequestFunction")

    def kept(self, entity: str) -> dict[str, Any]:
        """Return what is kept of an entity's assignment."""
        item = self.lab.target.client("dynamodb").get_item(
            TableName=self.lab.resources("Foundation")["AssignmentsTable"],
            Key={"project": {"S": PROJECT}, "entity": {"S": hashed_entity(PROJECT, entity)}},
            ConsistentRead=True,
        )
        return dict(item.get("Item", {}))


@pytest.fixture(scope="module")
def serving(lab: Laboratory, facts: Facts) -> Serving:
    assert facts.seconds > 0
    return Serving(lab)


def test_a_mirrored_request_is_answered_again_unseen(serving: Serving) -> None:
    mirror = {"version": 9, "endpoint": serving.endpoint, "percent": 100}
    serving.route(mirror=mirror)
    answers = [serving.ask(f"m-{number}") for number in range(12)]
    assert {answer.version for answer in answers} == {1}
    ids = {answer.inference_id for answer in answers}

    def pairs() -> dict[str, list[dict[str, Any]]] | None:
        lines = [line for line in serving.lines() if line["shadow_pair_id"] in ids]
        by_pair: dict[str, list[dict[str, Any]]] = {}
        for line in lines:
            by_pair.setdefault(line["shadow_pair_id"], []).append(line)
        return by_pair if len(lines) == 2 * len(ids) else None

    for pair in eventually(pairs, "both lines of each pair").values():
        stable, shadow = sorted(pair, key=lambda line: str(line["assigned_role"]), reverse=True)
        assert (stable["assigned_role"], shadow["assigned_role"]) == ("stable", "shadow")
        assert (shadow["assigned_version"], shadow["failed"]) == (9, False)
        assert shadow["prediction"] == stable["prediction"]
        assert shadow["entity"] == stable["entity"]


def test_without_the_right_to_copy_requests_are_answered_all_the_same(serving: Serving) -> None:
    serving.route(mirror={"version": 9, "endpoint": serving.endpoint, "percent": 100})
    with serving.lab.without_action(serving.role(), "sqs:SendMessage"):
        answer = serving.ask("denied")

    def line() -> dict[str, Any] | None:
        return next((x for x in serving.lines() if x["inference_id"] == answer.inference_id), None)

    assert eventually(line, "the exposure")["shadow_pair_id"] is None


def test_what_is_no_copy_ends_in_the_queue_that_somebody_looks_at(serving: Serving) -> None:
    sqs, lab = serving.lab.target.client("sqs"), serving.lab
    source = lab.resources("Serving")["MirroredRequests"]
    dead = lab.resources("Serving")["MirrorRequestHandlingFailures"]
    before = sqs.get_queue_attributes(QueueUrl=source, AttributeNames=["VisibilityTimeout"])
    sqs.set_queue_attributes(QueueUrl=source, Attributes={"VisibilityTimeout": "1"})
    try:
        sqs.send_message(QueueUrl=source, MessageBody='{"not": "a copy"}')

        def buried() -> list[Any]:
            found = sqs.receive_message(QueueUrl=dead).get("Messages", [])
            return [message["Body"] for message in found]

        assert eventually(buried, "the message in the dead-letter queue") == ['{"not": "a copy"}']
    finally:
        sqs.set_queue_attributes(QueueUrl=source, Attributes=before["Attributes"])


def test_an_assignment_is_kept_while_shares_change_and_answers_do_without(
    serving: Serving,
) -> None:
    entities = [f"b-{number}" for number in range(16)]
    serving.route(50, assignment="stored", step_id="batch-1")
    before = {entity: serving.ask(entity).version for entity in entities}
    assert set(before.values()) == {1, 2}
    serving.route(95, assignment="stored", step_id="batch-2")
    assert {entity: serving.ask(entity).version for entity in entities} == before
    item = serving.kept(entities[0])
    assert (item["step_id"], item["probability"]) == ({"S": "batch-1"}, {"N": "0.5"})
    with serving.lab.without_action(serving.role(), "dynamodb:PutItem"):
        assert serving.ask("newcomer").version in (1, 2)
    assert serving.kept("newcomer") == {}


def test_outcomes_come_by_file_by_event_and_by_the_command(
    serving: Serving, choice: Choice, tmp_path: Path
) -> None:
    serving.route()
    target = serving.lab.target
    content = f"inference_id,outcome,observed_at\nf-1,1,{AT}\nf-2,nan,{AT}\nf-3,0,{AT}\n"
    target.client("s3").put_object(
        Bucket=target.output("DataBucketName"), Key=f"outcomes/{PROJECT}/a.csv",
        Body=content.encode(),
    )  # fmt: skip
    data = {"inference_id": "e-1", "outcome": True, "observed_at": AT}
    meta = {"correlation_id": "c", "causation_id": "c", "project": PROJECT, "actor": "ward"}
    entry = {
        "Source": "steward.serving", "DetailType": "OutcomeObserved",
        "EventBusName": target.output("BusName"),
        "Detail": json.dumps({"meta": {**meta, "schema_version": "1"}, "data": data}),
    }  # fmt: skip
    wards = serving.lab.ward.client("events")
    assert wards.put_events(Entries=[entry])["FailedEntryCount"] == 0
    for other in ({"DetailType": "VersionApproved"}, {"Source": "steward.registry"},
                  {"EventBusName": "default"}):  # fmt: skip
        with pytest.raises(wards.exceptions.ClientError, match="not authorized"):
            wards.put_events(Entries=[entry, {**entry, **other}])
    file = tmp_path / "b.jsonl"
    rows = [{"inference_id": "c-1", "outcome": 0.5, "observed_at": AT}, {"outcome": 1}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ["--target", "local", "--state-dir", str(choice.state_dir)]
    run = CliRunner().invoke(app, [*options, "outcomes", "send", PROJECT, str(file), "--json"])
    assert run.exit_code == 0, run.output
    told = json.loads(run.stdout)
    assert (told["recorded"], told["refused"][0]["line"]) == (1, 2)

    def kept() -> load.Arrived | None:
        found = load.arrived(target, f"outcomes/{PROJECT}/")
        return found if len(found.times) == 4 else None

    assert set(eventually(kept, "four outcomes").times) == {"f-1", "f-3", "e-1", "c-1"}

    def refused() -> list[str]:
        listed = target.client("s3").list_objects_v2(
            Bucket=target.output("DataBucketName"), Prefix=f"quarantine/{PROJECT}/"
        )
        return [entry["Key"].rsplit("/", 1)[1] for entry in listed.get("Contents", [])]

    expected = ["refused.jsonl", "report.json"]
    eventually(lambda: sorted(refused()) == expected, "the refused row and its report")


def test_no_exposure_is_lost_or_doubled_while_workers_are_killed(
    serving: Serving, tmp_path: Path
) -> None:
    emission = load.emit_with_kills(
        serving.lab.target, tmp_path, project=PROJECT, run="small", exposures=6_000, workers=2,
        kills=4, within_s=120,
    )  # fmt: skip
    assert len(emission.killed) == 4

    def complete() -> load.Arrived | None:
        found = load.arrived(serving.lab.target, "exposures/")
        return found if emission.expected <= set(found.times) else None

    found = eventually(complete, "all exposures")
    ours = {name for name in found.times if name.startswith("small-")}
    assert ours == emission.expected
    assert found.contradicting.isdisjoint(ours)
    load.forget(serving.lab.target)
