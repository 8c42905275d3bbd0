"""What AWS, people and races do to a release of a deployed stack, and what people are told."""

from __future__ import annotations

import math
from typing import Any

import pytest

from steward_cli.asking import ask_all
from steward_cli.commands.mail import letters
from steward_cli.function_urls import call
from steward_cli.state import shares_of
from support.laboratory_stack import Laboratory, eventually, turning

pytestmark = pytest.mark.e2e

PROJECT = "surgery"
ANSWERS = """def model_fn(at):
    return at


def predict_fn(rows, at):
    return [0.5] * len(rows)
"""
NEVER_READY = "import time\ntime.sleep(600)\n"
RAMP = "  strategy: canary\n  steps: [10, 50, 100]\n  bake_s: 60\n"
TEST = """  strategy: ab_test
  bake_s: 6000
  cohort_s: 1
  lateness_s: 10
  ab_test: {share: 50, duration_s: 36000}
  metrics:
    - {name: recovered, kind: binary, value: outcome, window_s: 10, expected: 0.3, goal: {}}
"""
ENDED = ("failed", "rolled_back", "superseded", "completed")


class Clinic:
    """The project under test; each version of it is registered in its own name."""

    def __init__(self, lab: Laboratory, trained: dict[str, Any]) -> None:
        self.lab, self.trained = lab, trained
        self.machine = lab.target.output("ReleaseMachineArn")

    def register(self, count: int = 1, inference: str = ANSWERS) -> list[int]:
        """Register versions and wait until people may decide on all of them."""
        versions = [self.lab.register(PROJECT, self.trained, inference) for _ in range(count)]
        for version in versions:
            self.lab.version(PROJECT, version, "pending")
        return versions

    def release(self, version: int, *statuses: str) -> dict[str, Any]:
        """Wait until the newest release of a version has one of these statuses."""

        def read() -> dict[str, Any] | None:
            found = [r for r in self.lab.state.releases(PROJECT) if int(r["version"]) == version]
            return found[-1] if found and found[-1]["status"] in statuses else None

        return eventually(read, f"a release of version {version} that is {statuses}")

    def shares(self) -> dict[int, float]:
        """Return the share of traffic by version."""
        return shares_of(self.lab.state.route(PROJECT))

    def has_traffic(self, version: int) -> dict[str, Any]:
        """Wait until a version answers a part of the traffic; return its running release."""
        eventually(lambda: 0 < self.shares().get(version, 0) < 100, f"traffic on {version}")
        return self.release(version, "running")

    def mail(self, subject: str) -> str:
        """Wait for a mail whose subject contains this; return its text on one line."""

        def read() -> str | None:
            assert self.lab.target.engine is not None
            found = [m for m in letters(self.lab.target.engine.mailbox) if subject in m.subject]
            return " ".join(found[-1].body.split()) if found else None

        return eventually(read, f"a mail about {subject!r}")

    def nothing_is_left_of(self, version: int) -> None:
        """Assert that version 1 answers everything, and nothing of ``version`` is left over."""
        assert self.shares() == {1: 100}
        eventually(lambda: self.lab.lock(f"{PROJECT}/release") is None, "a free lock")
        name = f"local-{PROJECT}-v{version}-prod"
        eventually(lambda: self.lab.endpoint(name) is None, f"{name} to be removed")


@pytest.fixture(scope="module")
def clinic(lab: Laboratory, trained: dict[str, Any]) -> Clinic:
    """A project whose version 1 answers; what is released later is tested for hours."""
    lab.add_project(PROJECT)
    lab.configure(PROJECT, "bake_s: 60", "bake_s: 1")
    found = Clinic(lab, trained)
    (first,) = found.register()
    lab.approve(PROJECT, first)
    found.release(first, "completed")
    lab.configure(PROJECT, RAMP.replace("60", "1"), TEST)
    return found


def test_an_endpoint_that_never_comes_into_service_is_given_up(
    clinic: Clinic, lab: Laboratory
) -> None:
    marker = lab.folder / "surgery-is-never-ready"
    (version,) = clinic.register(inference=turning(ANSWERS, NEVER_READY, marker))
    refused = lab.steward_error("release", "start", PROJECT, str(version))
    assert f"{PROJECT} {version} is pending, not approved" in refused
    marker.touch()
    with lab.redefined(clinic.machine, "$looks >= 300", "$looks >= 4"):
        lab.approve(PROJECT, version)
        ended = clinic.release(version, *ENDED)
    said = f"endpoint local-{PROJECT}-v{version}-prod did not come into service in time"
    assert (ended["status"], ended["cause"]) == ("failed", f"EndpointFailedError: {said}")
    assert said in clinic.mail(f"release of {PROJECT} {version} failed")
    clinic.nothing_is_left_of(version)


def test_without_machines_for_an_endpoint_a_release_fails_with_the_reason(
    clinic: Clinic, lab: Laboratory
) -> None:
    (version,) = clinic.register()
    name = f"local-{PROJECT}-v{version}-prod"
    with lab.without_capacity(name, "instances"):
        lab.approve(PROJECT, version)
        ended = clinic.release(version, *ENDED)
    assert ended["status"] == "failed"
    assert f"endpoint {name} is Failed: Unable to provision" in ended["cause"]
    told = clinic.mail(f"release of {PROJECT} {version} failed")
    assert "InsufficientInstanceCapacity" in told
    clinic.nothing_is_left_of(version)


def test_a_quota_that_is_used_up_is_waited_for_and_then_told(
    clinic: Clinic, lab: Laboratory
) -> None:
    fails, waits = clinic.register(2)
    with lab.without_capacity(f"local-{PROJECT}-v{fails}-prod", "limit"):
        lab.approve(PROJECT, fails)
        ended = clinic.release(fails, *ENDED)
    assert (ended["status"], ended["failed_state"]) == ("failed", "CreateEndpoint")
    assert "Maximum total concurrency" in ended["cause"]
    assert "Service Quotas" in clinic.mail(f"release of {PROJECT} {fails} failed")
    clinic.nothing_is_left_of(fails)

    with lab.without_capacity(f"local-{PROJECT}-v{waits}-prod", "limit"):
        lab.approve(PROJECT, waits)
        running = clinic.release(waits, "running")
        lab.refused(running["execution_arn"], "SageMaker.ResourceLimitExceededException")
    clinic.has_traffic(waits)
    removed_during_its_test(clinic, lab, waits)


def removed_during_its_test(clinic: Clinic, lab: Laboratory, version: int) -> None:
    """Remove the endpoint of a version under test: nobody is left without an answer."""
    name = f"local-{PROJECT}-v{version}-prod"
    lab.target.client("sagemaker").delete_endpoint(EndpointName=name)
    eventually(lambda: lab.endpoint(name) is None, f"{name} to be gone")
    row = {"age": 50, "sex": 1, "bmi": 25.0, "bp": 90.0}
    rows = [{"entity_id": f"p{number}", "features": row} for number in range(40)]
    asked = ask_all(lab.ward, lab.target.output("GatewayUrl"), PROJECT, rows)
    assert {answer.status for answer in asked} == {200}
    assert {answer.version for answer in asked} == {1}

    ended = clinic.release(version, "rolled_back")
    said = f"endpoint {name} does not exist: somebody removed it"
    # Whoever hears of it first takes the traffic back: the comparison of endpoints, or the alarm.
    causes = (f"endpoint {name} has drifted", f"alarm steward-local-{PROJECT}-candidate-errors")
    assert any(cause in ended["cause"] for cause in causes), ended["cause"]
    assert ended["cause"].endswith(said)
    assert said in clinic.mail(f"{PROJECT} {version} was rolled back, version 1 answers")
    clinic.nothing_is_left_of(version)


def test_of_two_releases_that_race_one_begins_and_the_other_is_told(
    clinic: Clinic, lab: Laboratory
) -> None:
    versions = clinic.register(2)
    # The older first: once a newer version is approved, the request of an older one is superseded.
    states = [lab.approve(PROJECT, version)["state"] for version in sorted(versions)]
    assert states == ["approved", "approved"]

    def statuses() -> dict[int, str] | None:
        found = {
            int(r["version"]): str(r["status"])
            for r in lab.state.releases(PROJECT)
            if int(r["version"]) in versions
        }
        return found if len(found) == 2 else None

    found = eventually(statuses, "both releases")
    assert sorted(found.values()) == ["running", "waiting"]
    winner, other = sorted(versions, key=lambda version: found[version])
    told = clinic.mail(f"release of {PROJECT} {other} waits for that of version {winner}")
    assert f"begins when the release of version {winner} has ended" in told
    listed = {r["release_id"]: r["status"] for r in lab.steward("release", "list", PROJECT)}
    assert listed[f"{other:08d}-1"] == "waiting"

    clinic.has_traffic(winner)
    lab.alarm(PROJECT, "errors")
    clinic.release(winner, "rolled_back")
    clinic.has_traffic(other)
    assert set(clinic.shares()) == {1, other}
    lab.alarm(PROJECT, "errors")
    clinic.release(other, "rolled_back")
    clinic.nothing_is_left_of(other)


def test_numbers_that_are_none_are_refused_where_people_give_them(
    clinic: Clinic, lab: Laboratory
) -> None:
    home = lab.folder / "not-a-number"
    home.mkdir()
    declared = (lab.folder / PROJECT / "project.yaml").read_text(encoding="utf-8")
    assert declared.count("expected: 0.3") == 1
    for name in ("src", "tests"):
        (home / name).symlink_to(lab.folder / PROJECT / name)
    bad = declared.replace("expected: 0.3", "expected: .nan")
    (home / "project.yaml").write_text(bad, encoding="utf-8")
    said = lab.steward_error("project", "add", str(home))
    assert "release.metrics[0].expected: Input should be a finite number (got nan)" in said

    row = {"entity_id": "p1", "features": {"age": 50, "sex": 1, "bmi": math.nan, "bp": 90.0}}
    gateway = f"{lab.target.output('GatewayUrl').rstrip('/')}/{PROJECT}"
    refused = call(lab.ward, gateway, "POST", row)
    assert (refused.status, refused.body["field"]) == (400, "body")
    assert "NaN is no number that is allowed" in refused.body["message"]

    outcome = {"inference_id": "i", "outcome": math.inf, "observed_at": "2026-01-05T08:00:00Z"}
    outcomes = f"{lab.target.output('OutcomesUrl').rstrip('/')}/{PROJECT}"
    refused = call(lab.ward, outcomes, "POST", [outcome])
    assert (refused.status, refused.body["field"]) == (400, "[0].outcome"), refused.body
