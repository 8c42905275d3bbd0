"""The alarms' contract, kept by CloudWatch's adapter and by the fake."""

import pytest

from steward.adapters.alarms import CloudWatchAlarms
from steward.adapters.clients import Clients
from steward.domain.project import parse_project
from steward.domain.variant_alarms import variant_alarms
from steward.ports import Alarms
from support.fakes import FakeAlarms
from support.training_scene import declaration

pytestmark = pytest.mark.usefixtures("isolated")

STATES = {f"steward-local-p{i}-candidate-errors": ("OK", "ALARM")[i % 2] for i in range(103)}


@pytest.fixture(params=["fake", "cloudwatch"])
def alarms(request: pytest.FixtureRequest) -> Alarms:
    if request.param == "fake":
        return FakeAlarms(**STATES)
    clients: Clients = request.getfixturevalue("aws")
    cloudwatch = clients.get("cloudwatch")
    for name, state in STATES.items():
        cloudwatch.put_metric_alarm(
            AlarmName=name, Namespace="Steward/dev", MetricName="VariantErrors", Statistic="Sum",
            Period=10, EvaluationPeriods=1, Threshold=1,
            ComparisonOperator="GreaterThanOrEqualToThreshold",
        )  # fmt: skip
        cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="test")
    return CloudWatchAlarms(cloudwatch)


def test_states_are_told_by_name_however_many(alarms: Alarms) -> None:
    assert alarms.states(list(STATES)) == STATES


def test_alarms_that_are_missing_are_left_out(alarms: Alarms) -> None:
    name = next(iter(STATES))

    assert alarms.states([name, "nobody"]) == {name: STATES[name]}
    assert alarms.states([]) == {}


def test_an_alarm_looks_at_another_variant_under_its_own_name(aws: Clients) -> None:
    cloudwatch = aws.get("cloudwatch")
    settings = CloudWatchAlarms(cloudwatch)
    declared = parse_project(declaration()).alarms
    for version in (2, 3):
        for alarm in variant_alarms("dev", "ward", version, declared):
            settings.put(alarm)

    told = {a["AlarmName"]: a for a in cloudwatch.describe_alarms()["MetricAlarms"]}
    assert set(told) == {f"steward-dev-ward-candidate-{kind}" for kind in ("errors", "latency")}
    for alarm in told.values():
        assert {d["Name"]: d["Value"] for d in alarm["Dimensions"]} == {
            "EndpointName": "dev-ward-variants-prod", "VariantName": "v3",
        }  # fmt: skip
    latency = told["steward-dev-ward-candidate-latency"]
    assert latency["Threshold"] == declared.latency.threshold_ms * 1000
    assert latency["ExtendedStatistic"] == "p95"
