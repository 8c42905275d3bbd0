"""The alarms' contract, kept by CloudWatch's adapter and by the fake."""

import pytest

from steward.adapters.alarms import CloudWatchAlarms
from steward.adapters.clients import Clients
from steward.ports import Alarms
from support.fakes import FakeAlarms

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
            AlarmName=name, Namespace="Steward", MetricName="VariantErrors", Statistic="Sum",
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
