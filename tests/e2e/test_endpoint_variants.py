"""Production variants on one endpoint: releases, rollbacks and captures of the deployed stack.

Callers ask the endpoint itself. Three projects release side by side, so that their bakes pass
together. Waits of AWS are scaled by ten.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from steward.domain import names
from steward.ports import Item
from steward_cli.state import shares_of
from support.laboratory_stack import Laboratory, eventually, turning

pytestmark = pytest.mark.e2e

RAMPED, SHADOWED, TESTED = "ramped", "shadowed", "tested"
SCHEDULED = Path(__file__).parents[2] / "events" / "incoming" / "scheduled_event.json"
GATEWAY = "  router: gateway\n"
VARIANTS = "  router: endpoint_variants\n  variants: {instance_type: ml.m5.large}\n"
TEMPLATE = "  strategy: canary\n  steps: [10, 50, 100]\n  bake_s: 60\n"
RAMP = "  strategy: canary\n  steps: [50, 100]\n  bake_s: 120\n"
LONG = "  strategy: canary\n  steps: [50, 100]\n  bake_s: 6000\n"
SHADOW = """  strategy: shadow
  tick_s: 60
  cohort_s: 1
  lateness_s: 5
  max_holds: 0
  minimum_units: 20
  shadow: {duration_s: 180, max_difference: 0.9}
"""
TEST = """  strategy: ab_test
  bake_s: 120
  tick_s: 60
  cohort_s: 1
  lateness_s: 5
  minimum_units: 20
  ab_test: {share: 50, duration_s: 36000}
  metrics:
    - name: surer
      kind: binary
      value: prediction > 0.5
      expected: 0.1
      goal: {}
"""
FAILS_AT_LOAD = "raise RuntimeError('the weights are for another architecture')\n"
ENDED = ("failed", "rolled_back", "completed", "not_promoted")


def answering(probability: float) -> str:
    """Return serving code that is as sure as this of everything."""
    return (
        "def model_fn(at):\n    return at\n\n\n"
        f"def predict_fn(rows, at):\n    return [{probability}] * len(rows)\n"
    )


class Ward:
    """One project on production variants, asked all the time."""

    def __init__(self, lab: Laboratory, name: str, trained: dict[str, Any]) -> None:
        self.lab, self.name, self.trained = lab, name, trained
        self.endpoint = names.variants_endpoint("local", name)
        self.sagemaker = lab.target.client("sagemaker")
        self.runtime = lab.ward.client("sagemaker-runtime")
        self.declared = TEMPLATE
        self.answered: Counter[str] = Counter()
        self.failed: list[str] = []
        self._quiet = threading.Event()
        self._asking: threading.Thread | None = None

    def declare(self, release: str) -> None:
        self.lab.configure(self.name, self.declared, release)
        self.declared = release

    def serve(self) -> None:
        """Declare production variants before the first release."""
        self.lab.add_project(self.name)
        self.declare(RAMP)
        self.lab.configure(self.name, GATEWAY, VARIANTS)

    def stage(self, inference: str | None = None) -> int:
        version = self.lab.register(self.name, self.trained, inference)
        self.lab.version(self.name, version, "pending")
        return version

    def release(self, version: int) -> int:
        self.lab.approve(self.name, version)
        return version

    def newest(self, version: int) -> Item | None:
        found = [r for r in self.lab.state.releases(self.name) if int(r["version"]) == version]
        return found[-1] if found else None

    def until(self, version: int, *statuses: str) -> Item:
        def read() -> Item | None:
            found = self.newest(version)
            return found if found and found["status"] in statuses else None

        what = f"{self.name} {version} to be {statuses}"
        return eventually(read, what)

    def weights(self) -> dict[str, float]:
        described = self.sagemaker.describe_endpoint(EndpointName=self.endpoint)
        return {v["VariantName"]: v["CurrentWeight"] for v in described["ProductionVariants"]}

    def weighs(self, **weights: float) -> None:
        """Wait until the endpoint has exactly these variants with these weights."""
        eventually(lambda: self.weights() == weights, f"weights {weights}")

    def config(self) -> dict[str, Any]:
        described = self.sagemaker.describe_endpoint(EndpointName=self.endpoint)
        found: dict[str, Any] = self.sagemaker.describe_endpoint_config(
            EndpointConfigName=described["EndpointConfigName"]
        )
        return found

    def ask(self) -> str:
        """Ask the endpoint once; return the variant that answered."""
        row = {"age": 50, "sex": 1, "bmi": 25.0, "bp": 90.0}
        answer = self.runtime.invoke_endpoint(
            EndpointName=self.endpoint, ContentType="application/json",
            Accept="application/json", InferenceId=str(uuid.uuid4()),
            Body=json.dumps({"instances": [row]}),
        )  # fmt: skip
        return str(answer["InvokedProductionVariant"])

    def open(self) -> None:
        """Ask ten times a second from now on."""

        def asking() -> None:
            while not self._quiet.wait(0.1):
                try:
                    self.answered[self.ask()] += 1
                except ClientError as error:
                    self.failed.append(str(error))

        self._asking = threading.Thread(target=asking, name=f"asking-{self.name}", daemon=True)
        self._asking.start()

    def close(self) -> None:
        self._quiet.set()
        if self._asking is not None:
            self._asking.join(10)

    def answers(self, version: int) -> None:
        """Wait until a version answers alone."""
        eventually(lambda: self.shares() == {version: 100}, f"{self.name} {version} alone")

    def shares(self) -> dict[int, float]:
        return shares_of(self.lab.state.route(self.name))

    def exposures(self) -> list[dict[str, Any]]:
        """Return what is captured of the project in the exposures' layout."""
        s3, bucket = self.lab.target.client("s3"), self.lab.target.output("CaptureBucketName")
        found = []
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="exposures/")
        for page in pages:
            for entry in page.get("Contents", []):
                if f"/{self.name}-v" in entry["Key"]:
                    body = s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read()
                    found += [json.loads(line)["capture"] for line in body.splitlines()]
        return found


@pytest.fixture(scope="module")
def wards(lab: Laboratory, trained: dict[str, Any]) -> Iterator[dict[str, Ward]]:
    """Three projects whose version 1 answers, each with its next release under way."""
    wards = {name: Ward(lab, name, trained) for name in (RAMPED, SHADOWED, TESTED)}
    try:
        for ward in wards.values():
            ward.serve()
        firsts = {name: ward.stage(answering(0.3)) for name, ward in wards.items()}
        for name, ward in wards.items():
            ward.release(firsts[name])
        for ward in wards.values():
            ward.answers(1)
            ward.open()
        for name, ward in wards.items():
            ward.until(firsts[name], "completed")
        wards[SHADOWED].declare(SHADOW)
        wards[TESTED].declare(TEST)
        for ward in wards.values():
            ward.release(ward.stage(answering(0.9)))
        yield wards
    finally:
        for ward in wards.values():
            ward.close()


@pytest.fixture
def ramped(wards: dict[str, Ward]) -> Ward:
    return wards[RAMPED]


def test_a_first_version_answers_alone_and_its_requests_are_captured(ramped: Ward) -> None:
    assert ramped.answered["v1"] > 0

    def first() -> list[dict[str, Any]]:
        return [e for e in ramped.exposures() if e["release_id"] == "00000001-1"]

    captured = eventually(first, "exposures of the first version")
    assert {e["assigned_version"] for e in captured} == {1}
    assert captured[0]["features"]["age"] == 50
    assert captured[0]["prediction"]["probability"] == pytest.approx(0.3)


def test_a_canary_is_promoted_and_the_version_before_stays_warm(ramped: Ward) -> None:
    ramped.until(2, "completed")
    ramped.weighs(v1=0, v2=100)
    assert ramped.shares() == {2: 100}
    release = ramped.newest(2)
    assert release is not None
    assert [s["shares"] for s in release["shifts"]] == [
        {"1": 50, "2": 50}, {"1": 0, "2": 100}, {"2": 100},
    ]  # fmt: skip
    assert ramped.failed == []
    config = ramped.config()
    assert {v["ModelName"] for v in config["ProductionVariants"]} == {
        "local-ramped-v1-prod-1", "local-ramped-v2-prod-1",
    }  # fmt: skip


def test_a_person_takes_a_completed_release_back_to_the_version_that_is_warm(ramped: Ward) -> None:
    ramped.lab.steward("rollback", RAMPED, "-m", "complaints")
    ramped.until(2, "rolled_back")
    ramped.weighs(v1=100)
    assert ramped.shares() == {1: 100}
    ramped.declare(LONG)


def test_an_alarm_brings_all_weights_back_and_the_variant_goes(ramped: Ward) -> None:
    version = ramped.release(ramped.stage(answering(0.4)))
    eventually(lambda: ramped.weights().get(f"v{version}") == 50, "half of the traffic")
    ramped.lab.alarm(RAMPED, "errors")
    rolled_back = ramped.until(version, "rolled_back")
    assert rolled_back["cause"].startswith("alarm steward-local-ramped-candidate-errors")
    ramped.weighs(v1=100)
    before = ramped.answered.copy()
    eventually(lambda: ramped.answered["v1"] > before["v1"] + 5, "more answers")
    assert ramped.answered[f"v{version}"] == before[f"v{version}"]
    assert ramped.failed == []


def test_a_failing_variant_rings_its_own_alarm(ramped: Ward) -> None:
    broken = "def model_fn(at):\n    return at\n\n\ndef predict_fn(rows, at):\n    raise OSError\n"
    marker = ramped.lab.folder / "ramped-breaks"
    version = ramped.stage(turning(answering(0.4), broken, marker))
    marker.touch()
    ramped.release(version)
    rolled_back = ramped.until(version, "rolled_back")
    assert "candidate-errors" in rolled_back["cause"]
    ramped.weighs(v1=100)
    assert ramped.failed, "no other variant answers in its place"
    ramped.failed.clear()


def test_an_update_that_fails_leaves_traffic_as_it_was_and_tells_the_reason(ramped: Ward) -> None:
    marker = ramped.lab.folder / "ramped-does-not-load"
    version = ramped.stage(turning(answering(0.4), FAILS_AT_LOAD, marker))
    marker.touch()
    ramped.release(version)
    failed = ramped.until(version, "failed")
    assert failed["failed_state"] == "DescribeEndpoint"
    assert "ping health check" in failed["cause"]
    assert ramped.weights() == {"v1": 100}
    assert ramped.shares() == {1: 100}
    assert ramped.failed == []

    def gone() -> bool:
        found = ramped.sagemaker.list_models(NameContains=f"local-ramped-v{version}-prod")
        return not found["Models"]

    eventually(gone, "the model of the failed release to be removed")


def test_copies_are_answered_by_a_shadow_variant_and_compared_in_pairs(
    wards: dict[str, Ward],
) -> None:
    ward = wards[SHADOWED]
    ended = ward.until(2, *ENDED)
    assert ended["status"] == "not_promoted", ended.get("cause")
    assert ward.answered["v2"] == 0
    exposures = ward.exposures()
    shadow = [e for e in exposures if e["assigned_role"] == "shadow"]
    assert shadow
    own = {e["inference_id"] for e in exposures if e["assigned_role"] == "stable"}
    assert {e["shadow_pair_id"] for e in shadow} & own
    (told, *_) = ended["verdicts"][::-1]
    assert told["verdict"] != "roll_back"
    assert "0 of the" not in told["reason"], "pairs were compared"
    ward.weighs(v1=100)
    assert "ShadowProductionVariants" not in ward.config()
    assert ward.failed == []


def test_an_ab_test_of_captured_requests_reaches_its_verdict(wards: dict[str, Ward]) -> None:
    ward = wards[TESTED]
    ended = ward.until(2, *ENDED)
    assert ended["status"] == "completed", ended.get("cause")
    ward.weighs(v1=0, v2=100)
    verdicts = ended["verdicts"]
    assert verdicts[-1]["verdict"] == "promote"
    assert "surer proved better" in verdicts[-1]["reason"]
    assert ward.failed == []


def test_retention_ends_and_the_configuration_in_use_stays(wards: dict[str, Ward]) -> None:
    ward = wards[TESTED]
    lab = ward.lab
    release = ward.until(2, "completed")
    lab.target.client("dynamodb").update_item(
        TableName=lab.target.output("ReleasesTable"),
        Key={"project": {"S": TESTED}, "release_id": {"S": release["release_id"]}},
        UpdateExpression="SET previous_until = :past",
        ExpressionAttributeValues={":past": {"S": "2026-01-01T00:00:00.000+00:00"}},
    )
    for name in ("RetirePreviousFunction", "ApplyRouteFunction"):
        answer = lab.target.client("lambda").invoke(
            FunctionName=lab.function("Serving", name), Payload=SCHEDULED.read_bytes()
        )
        assert "FunctionError" not in answer, answer["Payload"].read()
    ward.weighs(v2=100)
    used = ward.config()["EndpointConfigName"]
    listed = ward.sagemaker.list_endpoint_configs(NameContains=ward.endpoint)["EndpointConfigs"]
    assert [c["EndpointConfigName"] for c in listed] == [used]
    assert ward.ask() == "v2"
    assert ward.failed == []
