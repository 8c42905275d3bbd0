"""The contract of the gateway's counts, kept by CloudWatch's adapter and by the fake."""

from datetime import UTC, datetime, timedelta

import pytest

from steward.adapters.traffic_metrics import CloudWatchTrafficMetrics
from steward.domain.errors import DependencyError
from steward.ports import RoleCounts, TrafficMetrics
from support.fakes import FakeTrafficMetrics

pytestmark = pytest.mark.usefixtures("isolated")

SHIFTED = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=10)
UNTIL = SHIFTED + timedelta(minutes=5)


@pytest.fixture(params=["fake", "cloudwatch"])
def metrics(request: pytest.FixtureRequest) -> TrafficMetrics:
    if request.param == "fake":
        return FakeTrafficMetrics({("diabetes", "candidate"): RoleCounts(7, 2, 1, 5, 1, 1)})
    cloudwatch = request.getfixturevalue("aws").get("cloudwatch")

    def put(project: str, role: str, name: str, values: list[int], at: datetime) -> None:
        dimensions = [{"Name": "project", "Value": project}, {"Name": "role", "Value": role}]
        cloudwatch.put_metric_data(
            Namespace="Steward/dev",
            MetricData=[
                {"MetricName": name, "Dimensions": dimensions, "Value": value, "Timestamp": at,
                 "StorageResolution": 1}
                for value in values
            ],
        )  # fmt: skip

    during = SHIFTED + timedelta(minutes=2)
    put("diabetes", "candidate", "Requests", [1] * 7, during)
    put("diabetes", "candidate", "VariantErrors", [0, 1, 1], during)
    put("diabetes", "candidate", "VariantSlow", [1, 0], during)
    put("diabetes", "candidate", "Units", [1] * 5, during)
    put("diabetes", "candidate", "UnitErrors", [0, 1], during)
    put("diabetes", "candidate", "UnitSlow", [1], during)
    put("diabetes", "candidate", "Requests", [1] * 9, SHIFTED - timedelta(seconds=1))
    put("diabetes", "stable", "Requests", [1] * 40, during)
    put("asthma", "candidate", "Requests", [1] * 40, during)
    return CloudWatchTrafficMetrics(cloudwatch, "dev")


def test_the_answers_of_one_role_since_the_shift_are_counted(metrics: TrafficMetrics) -> None:
    assert metrics.counts("diabetes", "candidate", SHIFTED, UNTIL) == RoleCounts(
        requests=7, errors=2, slow=1, units=5, unit_errors=1, unit_slow=1
    )


def test_a_role_without_traffic_has_no_counts(metrics: TrafficMetrics) -> None:
    assert metrics.counts("eczema", "candidate", SHIFTED, UNTIL) == RoleCounts(0, 0, 0)


def test_a_clock_that_jumped_back_since_the_shift_counts_nothing() -> None:
    client = Answering()
    ahead = UNTIL + timedelta(hours=5)
    counts = CloudWatchTrafficMetrics(client, "dev").counts("diabetes", "stable", ahead, UNTIL)
    (asked,) = client.asked
    start, end = asked["StartTime"], asked["EndTime"]
    assert isinstance(start, datetime)
    assert isinstance(end, datetime)
    assert start < end  # CloudWatch refuses anything else
    assert counts.errors == 0


def test_every_page_of_an_answer_is_counted() -> None:
    class Paged:
        def __init__(self) -> None:
            self.periods: list[int] = []

        def get_metric_data(self, **asked: object) -> dict[str, object]:
            queries = asked["MetricDataQueries"]
            assert isinstance(queries, list)
            self.periods.append(queries[0]["MetricStat"]["Period"])
            result = {"Id": "requests", "Values": [2.0, 3.0]}
            more = {} if "NextToken" in asked else {"NextToken": "2"}
            return {"MetricDataResults": [result], **more}

    client = Paged()
    adapter = CloudWatchTrafficMetrics(client, "dev")
    since = UNTIL - timedelta(days=1)
    assert adapter.counts("diabetes", "stable", since, UNTIL) == RoleCounts(10, 0, 0)
    assert client.periods == [60, 60]


class Answering:
    """CloudWatch that gives one sum; keeps what it was asked."""

    def __init__(self, value: float = 1.0) -> None:
        self.value = value
        self.asked: list[dict[str, object]] = []

    def get_metric_data(self, **asked: object) -> dict[str, object]:
        self.asked.append(asked)
        return {"MetricDataResults": [{"Id": "requests", "Values": [self.value]}]}


@pytest.mark.parametrize(
    ("age", "period"),
    [
        (timedelta(hours=2), 1),
        (timedelta(days=14), 60),
        (timedelta(days=40), 300),
        (timedelta(days=90), 3600),
    ],
)
def test_a_long_experiment_is_read_at_what_cloudwatch_still_keeps(
    age: timedelta, period: int
) -> None:
    client = Answering()
    since = UNTIL - age - timedelta(seconds=13)
    CloudWatchTrafficMetrics(client, "dev").counts("diabetes", "stable", since, UNTIL)
    (asked,) = client.asked
    queries, start = asked["MetricDataQueries"], asked["StartTime"]
    assert isinstance(queries, list)
    assert isinstance(start, datetime)
    assert queries[0]["MetricStat"]["Period"] == period
    assert start.timestamp() % period == 0
    assert 0 <= (start - since).total_seconds() < period


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_a_sum_that_is_no_count_is_refused(value: float) -> None:
    with pytest.raises(DependencyError, match="Requests of diabetes"):
        CloudWatchTrafficMetrics(Answering(value), "dev").counts(
            "diabetes", "stable", SHIFTED, UNTIL
        )
