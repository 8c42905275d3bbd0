"""The contract of SageMaker's counts, kept by CloudWatch's adapter and by the fake."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from steward.adapters.endpoint_metrics import CloudWatchEndpointMetrics
from steward.domain.errors import AccessDeniedError, ThrottledError
from steward.ports import EndpointMetrics
from support.drift_scene import FakeEndpointMetrics

pytestmark = pytest.mark.usefixtures("isolated")

NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
NAME = "dev-diabetes-v1-prod"


@pytest.fixture(params=["fake", "cloudwatch"])
def metrics(request: pytest.FixtureRequest) -> EndpointMetrics:
    moments = [NOW - timedelta(minutes=30)] * 3 + [NOW - timedelta(days=3)]
    if request.param == "fake":
        return FakeEndpointMetrics({NAME: moments})
    cloudwatch = request.getfixturevalue("aws").get("cloudwatch")
    for endpoint, variant in ((NAME, "A"), ("dev-other-v1-prod", "A"), (NAME, "Other")):
        dimensions = [
            {"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant},
        ]  # fmt: skip
        cloudwatch.put_metric_data(
            Namespace="AWS/SageMaker",
            MetricData=[
                {"MetricName": "Invocations", "Dimensions": dimensions, "Value": 1, "Timestamp": at}
                for at in moments
            ],
        )  # fmt: skip
    return CloudWatchEndpointMetrics(cloudwatch)


@pytest.mark.parametrize(("hours", "count"), [(1, 3), (48, 3), (24 * 14, 4)])
def test_requests_within_a_time_are_counted(
    metrics: EndpointMetrics, hours: int, count: int
) -> None:
    assert metrics.invocations(NAME, ["A"], NOW - timedelta(hours=hours), NOW) == count


def test_what_was_never_asked_has_no_requests(metrics: EndpointMetrics) -> None:
    assert metrics.invocations("nobody", ["A"], NOW - timedelta(days=14), NOW) == 0


def test_variants_are_summed_over_all_pages() -> None:
    class Paged:
        def get_metric_data(self, **asked: Any) -> dict[str, Any]:
            assert [query["Id"] for query in asked["MetricDataQueries"]] == ["v0", "v1"]
            if "NextToken" in asked:
                return {"MetricDataResults": [{"Id": "v0", "Values": [4.0]}]}
            results = [{"Id": "v0", "Values": [1.0, 2.0]}, {"Id": "v1", "Values": []}]
            return {"MetricDataResults": results, "NextToken": "more"}

    found = CloudWatchEndpointMetrics(Paged()).invocations(
        NAME, ["A", "B"], NOW - timedelta(hours=1), NOW
    )
    assert found == 7


@pytest.mark.parametrize(
    ("code", "kind"), [("Throttling", ThrottledError), ("AccessDenied", AccessDeniedError)]
)
def test_what_cloudwatch_refuses_is_no_silence(code: str, kind: type[Exception]) -> None:
    from botocore.exceptions import ClientError

    class Refusing:
        def get_metric_data(self, **_: Any) -> Any:
            raise ClientError({"Error": {"Code": code, "Message": "no"}}, "GetMetricData")

    with pytest.raises(kind):
        CloudWatchEndpointMetrics(Refusing()).invocations(
            NAME, ["A"], NOW - timedelta(hours=1), NOW
        )
