"""SageMaker's counts of variants as the counts of roles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from steward.adapters.variant_metrics import TrafficMetricsOfRoute, VariantTrafficMetrics
from steward.domain.errors import DependencyError
from steward.domain.releases import first_route, shifted
from steward.domain.routes import Arm, Route
from steward.ports import RoleCounts, Table
from support.fake_state import FakeState
from support.fakes import FakeTrafficMetrics

SINCE = datetime(2026, 1, 5, 9, 0, 30, tzinfo=UTC)
UNTIL = SINCE + timedelta(minutes=5)
NOTHING = RoleCounts(0, 0, 0)


class CloudWatch:
    """Answers sums by variant and metric, in pages of one value; keeps what it was asked."""

    def __init__(self, **variants: Mapping[str, Sequence[float]]) -> None:
        self.variants = variants
        self.asked: list[dict[str, Any]] = []

    def get_metric_data(self, **asked: Any) -> dict[str, Any]:
        self.asked.append(asked)
        page = int(asked.get("NextToken", 0))
        results, more = [], False
        for query in asked["MetricDataQueries"]:
            metric = query["MetricStat"]["Metric"]
            names = {d["Name"]: d["Value"] for d in metric["Dimensions"]}
            assert names["EndpointName"] == "dev-ward-variants-prod"
            values = self.variants[names["VariantName"]].get(metric["MetricName"], [])
            results.append({"Id": query["Id"], "Values": values[page : page + 1]})
            more = more or len(values) > page + 1
        told: dict[str, Any] = {"MetricDataResults": results}
        return told | ({"NextToken": str(page + 1)} if more else {})


def arm(version: int, share: float) -> Arm:
    return Arm(version=version, endpoint="dev-ward-variants-prod", role="candidate", share=share)


def routed(mirror_percent: float = 0) -> Route:
    route = first_route("ward", "00000001-1", "all", arm(1, 100), 500)
    route = shifted(
        route, "00000002-1", "step", arm(2, 0 if mirror_percent else 10), 500,
        mirror_percent=mirror_percent,
    )  # fmt: skip
    return route.model_copy(update={"router": "endpoint_variants"})


def state_of(route: Route | None) -> FakeState:
    state = FakeState()
    if route is not None:
        state.put(Table.ROUTES, route.model_dump(mode="json"))
    return state


def counted(client: CloudWatch, role: str, route: Route | None = None) -> RoleCounts:
    metrics = VariantTrafficMetrics(client, state_of(route or routed()), "dev")
    return metrics.counts("ward", role, SINCE, UNTIL)


def test_the_variant_of_a_role_is_counted_and_every_page_of_it() -> None:
    client = CloudWatch(
        v1={"Invocations": [90, 90]},
        v2={
            "Invocations": [10, 12], "Invocation5XXErrors": [1], "InvocationModelErrors": [4, 1],
            "Invocation4XXErrors": [2], "ModelLatency": [3, 2],
        },
    )  # fmt: skip
    assert counted(client, "candidate") == RoleCounts(22, 3, 5, 22, 3, 5)
    assert counted(client, "stable") == RoleCounts(180, 0, 0, 180, 0, 0)


def test_a_callers_4xx_is_no_error_and_a_timeout_is_one() -> None:
    refused = {"Invocations": [9], "InvocationModelErrors": [4], "Invocation4XXErrors": [4]}
    assert counted(CloudWatch(v2=refused), "candidate").errors == 0
    timed_out = {"Invocations": [9], "InvocationModelErrors": [4]}
    assert counted(CloudWatch(v2=timed_out), "candidate").errors == 4


def test_slow_is_what_model_latency_says_above_the_routes_limit_in_microseconds() -> None:
    client = CloudWatch(v2={"Invocations": [9], "ModelLatency": [2]})
    assert counted(client, "candidate").slow == 2
    statistics = {
        q["MetricStat"]["Metric"]["MetricName"]: q["MetricStat"]["Stat"]
        for q in client.asked[0]["MetricDataQueries"]
    }
    assert statistics["ModelLatency"] == "TC(500000:)"


def test_the_minute_of_the_shift_is_left_out() -> None:
    client = CloudWatch(v2={})
    counted(client, "candidate")
    (asked,) = client.asked
    assert asked["StartTime"] == datetime(2026, 1, 5, 9, 1, tzinfo=UTC)
    assert {q["MetricStat"]["Period"] for q in asked["MetricDataQueries"]} == {60}


def test_a_shadow_variant_is_counted_as_the_shadow() -> None:
    client = CloudWatch(v1={"Invocations": [50]}, v2={"Invocations": [20]})
    assert counted(client, "shadow", routed(mirror_percent=40)).requests == 20
    assert counted(client, "stable", routed(mirror_percent=40)).requests == 50


@pytest.mark.parametrize("role", ["candidate", "shadow"])
def test_a_role_that_nobody_has_is_not_asked_for(role: str) -> None:
    client = CloudWatch()
    alone = first_route("ward", "00000001-1", "all", arm(1, 100), 500)
    assert counted(client, role, alone) == NOTHING
    assert client.asked == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_a_sum_that_is_no_count_is_refused(value: float) -> None:
    with pytest.raises(DependencyError, match="candidate"):
        counted(CloudWatch(v2={"Invocations": [value]}), "candidate")


@pytest.mark.parametrize(
    ("route", "requests"),
    [(None, 7), (first_route("ward", "r", "all", arm(1, 100), 500), 7), (routed(), 90)],
)
def test_the_counts_are_those_of_whoever_routes(route: Route | None, requests: int) -> None:
    gateway = FakeTrafficMetrics({("ward", "stable"): RoleCounts(7, 0, 0)})
    state, client = state_of(route), CloudWatch(v1={"Invocations": [90]})
    metrics = TrafficMetricsOfRoute(
        state, gateway, lambda: VariantTrafficMetrics(client, state, "dev")
    )
    assert metrics.counts("ward", "stable", SINCE, UNTIL).requests == requests
