"""Guardrail alarms on a production variant: the project's alarms, looking at one version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from steward.domain import names

if TYPE_CHECKING:
    from steward.domain.project import Alarms

LEAST_PERIOD_S = 60
"""SageMaker publishes the metrics of variants every 60 s."""


def variant_alarms(
    environment: str, project: str, version: int, declared: Alarms
) -> list[dict[str, Any]]:
    """Return the requests of ``PutMetricAlarm`` that let a project's alarms look at a version.

    SageMaker's metrics know variants, not roles. The alarms keep their names, of which there are
    two per project however many versions it has, and look at another variant in each release.
    ``ModelLatency`` is in microseconds.
    """
    common = {
        "Namespace": "AWS/SageMaker",
        "Dimensions": [
            {"Name": "EndpointName", "Value": names.variants_endpoint(environment, project)},
            {"Name": "VariantName", "Value": names.variant_name(version)},
        ],
        "TreatMissingData": "notBreaching",
    }
    errors, latency = declared.errors, declared.latency
    return [
        {
            **common,
            "AlarmName": names.alarm_name(environment, project, "candidate-errors"),
            "AlarmDescription": (
                f"Version {version} fails. Its state change starts serving/roll_back."
            ),
            "MetricName": "Invocation5XXErrors",
            "Statistic": "Sum",
            "Period": max(errors.period_s, LEAST_PERIOD_S),
            "EvaluationPeriods": errors.evaluation_periods,
            "DatapointsToAlarm": errors.datapoints_to_alarm,
            "Threshold": float(errors.threshold),
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        },
        {
            **common,
            "AlarmName": names.alarm_name(environment, project, "candidate-latency"),
            "AlarmDescription": (
                f"Version {version} is slow. Its state change starts serving/roll_back."
            ),
            "MetricName": "ModelLatency",
            "ExtendedStatistic": "p95",
            "Period": max(latency.period_s, LEAST_PERIOD_S),
            "EvaluationPeriods": latency.evaluation_periods,
            "DatapointsToAlarm": latency.datapoints_to_alarm,
            "Threshold": float(latency.threshold_ms * 1000),
            "ComparisonOperator": "GreaterThanThreshold",
            "EvaluateLowSampleCountPercentile": "ignore",
        },
    ]
