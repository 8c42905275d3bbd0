"""Two environments in one account with a project in common: neither takes what is the other's.

It deploys the stack a second time, so that it only runs where it is asked for:
``make environments``.
"""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from steward.ports import Put, Table
from steward_cli.asking import ask
from steward_cli.commands.local import deploy_stack
from steward_cli.demo import data as diabetes
from steward_cli.target import Choice, credentials_file, local_target
from support.laboratory_stack import Laboratory, eventually

pytestmark = [
    pytest.mark.skipif(
        not os.environ.get("STEWARD_ENVIRONMENTS"),
        reason="deploys a second stack; STEWARD_ENVIRONMENTS=1 asks for it",
    ),
    pytest.mark.timeout(900),
]
NAME = "commons"


@pytest.fixture(scope="module")
def dev(lab: Laboratory, projects: Path, tmp_path_factory: pytest.TempPathFactory) -> Laboratory:
    """The environment ``dev`` in the account of ``local``, with the same people."""
    folder = tmp_path_factory.mktemp("dev")
    choice = Choice("local", state_dir=folder, stack="steward-dev")
    assert lab.target.engine is not None
    engine = lab.target.engine.recorded_in(folder)
    deploy_stack(engine, lambda _line: None, {"PromoteTo": bus_of("local")}, "dev")
    credentials_file(folder).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(credentials_file(lab.choice.state_dir), credentials_file(folder))
    target = local_target(engine, choice)
    iam = target.client("iam")
    for name, outputs in {
        "theo": ("ScientistPolicyArn", "RegistryEditorPolicyArn"),
        "ana": ("ApproverPolicyArn",), "ward-app": ("ClientPolicyArn",),
    }.items():  # fmt: skip
        for output in outputs:
            iam.attach_user_policy(UserName=name, PolicyArn=target.output(output))
    return Laboratory(target, choice, projects, tmp_path_factory.mktemp("dev-lab"))


def asked() -> dict[str, object]:
    """Return what the model is asked with."""
    row = diabetes.visits(diabetes.patients())[0]
    return {name: row[name] for name in ("age", "sex", "bmi", "bp")}


def bus_of(environment: str) -> str:
    return f"arn:aws:events:us-east-1:000000000000:event-bus/steward-{environment}-promotions"


@pytest.fixture(scope="module")
def both(lab: Laboratory, dev: Laboratory) -> tuple[Laboratory, Laboratory]:
    """The same project, code and data in both, its first version in production in both."""
    for one in (lab, dev):
        one.add_project(NAME)
        one.deliver(NAME)
    for one in (lab, dev):
        one.version(NAME, 1, "pending")
        one.approve(NAME, 1)
    for one in (lab, dev):
        one.version(NAME, 1, "production")
    return lab, dev


def test_the_same_run_has_a_job_and_an_endpoint_in_each(
    both: tuple[Laboratory, Laboratory],
) -> None:
    runs = [one.state.runs(NAME) for one in both]
    assert [len(found) for found in runs] == [1, 1]
    assert runs[0][0]["run_id"] == runs[1][0]["run_id"]
    jobs = [found[0]["training_job"]["name"] for found in runs]
    assert jobs == [f"{name}-{NAME}-{runs[0][0]['run_id']}-train" for name in ("local", "dev")]
    for name, one in zip(("local", "dev"), both, strict=True):
        route = one.state.route(NAME)
        assert route is not None
        assert [arm["endpoint"] for arm in route["arms"]] == [f"{name}-{NAME}-v1-prod"]
        assert one.endpoint(f"{name}-{NAME}-v1-prod") == "InService"


def test_each_pays_for_its_own_jobs(both: tuple[Laboratory, Laboratory]) -> None:
    for name, other, one in zip(("local", "dev"), ("dev", "local"), both, strict=True):

        def jobs() -> list[str]:
            found = [str(entry["entry"]) for entry in one.state.costs(NAME)]  # noqa: B023
            return found if len([e for e in found if e.startswith("job#")]) >= 2 else []

        told = eventually(jobs, "the costs of two jobs")
        assert any(entry.startswith(f"job#{name}-{NAME}-") for entry in told)
        assert not [entry for entry in told if f"#{other}-" in entry]


def test_what_is_asked_of_one_counts_in_its_metrics_alone(
    both: tuple[Laboratory, Laboratory],
) -> None:
    lab, dev = both
    since = datetime.now(UTC) - timedelta(minutes=1)
    row = asked()
    for number in range(5):
        body = {"entity_id": f"p-{number}", "features": row}
        answer = ask(dev.ward, dev.target.output("GatewayUrl"), NAME, body)
        assert answer.status == 200, answer.body

    def requests(environment: str) -> float:
        points = lab.target.client("cloudwatch").get_metric_statistics(
            Namespace=f"Steward/{environment}", MetricName="Requests", Statistics=["Sum"],
            StartTime=since, EndTime=datetime.now(UTC) + timedelta(minutes=1), Period=60,
            Dimensions=[{"Name": "project", "Value": NAME}, {"Name": "role", "Value": "stable"}],
        )["Datapoints"]  # fmt: skip
        return float(sum(point["Sum"] for point in points))

    eventually(lambda: requests("dev") == 5, "five requests of dev")
    assert requests("local") == 0


def test_a_role_of_one_reaches_no_endpoint_of_the_other(
    both: tuple[Laboratory, Laboratory],
) -> None:
    """A route of dev that names local's endpoint: dev's gateway may not ask it."""
    _, dev = both
    route = dev.state.route(NAME)
    assert route is not None
    [arm] = route["arms"]
    stolen = {**route, "arms": [{**arm, "endpoint": f"local-{NAME}-v1-prod"}]}
    body = {"entity_id": "p-1", "features": asked()}
    url = dev.target.output("GatewayUrl")
    dev.state.store.commit([Put(Table.ROUTES, stolen)])
    try:
        eventually(lambda: ask(dev.ward, url, NAME, body).status >= 500, "a refusal")
    finally:
        dev.state.store.commit([Put(Table.ROUTES, route)])
    eventually(lambda: ask(dev.ward, url, NAME, body).status == 200, "an answer")


def test_a_version_goes_from_one_to_the_other_in_one_account(
    both: tuple[Laboratory, Laboratory],
) -> None:
    lab, dev = both
    answer = dev.steward("versions", "promote", NAME, "1", "--to", "local", person="theo")
    item = lab.version(NAME, answer["became"], "registered", "pending")
    source = dev.state.version(NAME, 1)
    assert lab.read(item["artifact_uri"]) == dev.read(source["artifact_uri"])
    assert item["author"] == source["author"]
    assert item["approvals"] == []


def test_what_is_removed_in_one_stays_in_the_other(both: tuple[Laboratory, Laboratory]) -> None:
    lab, dev = both
    removed = dev.steward("project", "remove", NAME, "--yes")
    assert removed["left"] == {}
    named = [name for names in removed["deleted"].values() for name in names]
    assert not [name for name in named if name.startswith("local-")]
    assert dev.endpoint(f"dev-{NAME}-v1-prod") in (None, "Deleting")
    assert lab.endpoint(f"local-{NAME}-v1-prod") == "InService"
    body = {"entity_id": "p-1", "features": asked()}
    answer = ask(lab.ward, lab.target.output("GatewayUrl"), NAME, body)
    assert (answer.status, answer.version) == (200, 1)
    drifted = lab.steward("serving", "check", NAME)
    assert [one["state"] for one in drifted] == ["as wanted"]
