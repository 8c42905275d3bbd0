"""What CloudWatch publishes to a topic about an alarm: JSON for programs, text for people."""

import json
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import botocore.session
from ministack.core.responses import get_account_id, get_region

from steward_local.alarm_evaluation import period_of
from steward_local.delivery import Parcel

JsonObject = dict[str, Any]
_MAXIMUM_SUBJECT = 100


def region_name(region: str) -> str:
    """Return the name that AWS uses for a region in sentences."""
    partitions = botocore.session.get_session().get_data("endpoints")["partitions"]
    for partition in partitions:
        if region in partition["regions"]:
            return str(partition["regions"][region]["description"])
    return region


def _trigger(alarm: JsonObject) -> JsonObject:
    common = {
        "Period": period_of(alarm),
        "EvaluationPeriods": alarm.get("EvaluationPeriods", 1),
        "DatapointsToAlarm": alarm.get("DatapointsToAlarm"),
        "ComparisonOperator": alarm.get("ComparisonOperator", ""),
        "Threshold": alarm.get("Threshold", 0),
        "TreatMissingData": alarm.get("TreatMissingData") or "missing",
        "EvaluateLowSampleCountPercentile": "",
    }
    if alarm.get("Metrics"):
        return {**common, "Metrics": alarm["Metrics"]}
    dimensions = [
        {"name": item["Name"], "value": item["Value"]} for item in alarm.get("Dimensions") or []
    ]
    return {
        "MetricName": alarm.get("MetricName", ""),
        "Namespace": alarm.get("Namespace", ""),
        "StatisticType": "ExtendedStatistic" if alarm.get("ExtendedStatistic") else "Statistic",
        "Statistic": (alarm.get("ExtendedStatistic") or alarm.get("Statistic") or "").upper(),
        "Unit": alarm.get("Unit"),
        "Dimensions": dimensions,
        **common,
    }


def _text(alarm: JsonObject, old_state: str, new_state: str, reason: str, moment: float) -> str:
    region = get_region()
    at = datetime.fromtimestamp(moment, tz=UTC).strftime("%A %d %B, %Y %H:%M:%S UTC")
    name = alarm["AlarmName"]
    link = (
        f"https://{region}.console.aws.amazon.com/cloudwatch/deeplink.js?region={region}"
        f"#alarmsV2:alarm/{quote(name)}"
    )
    lines = [
        f'You are receiving this email because your Amazon CloudWatch Alarm "{name}" in the '
        f"{region_name(region)} region has entered the {new_state} state, because "
        f'"{reason}" at "{at}".',
        "",
        "View this alarm in the AWS Management Console:",
        link,
        "",
        "Alarm Details:",
        f"- Name:                       {name}",
        f"- Description:                {alarm.get('AlarmDescription', '')}",
        f"- State Change:               {old_state} -> {new_state}",
        f"- Reason for State Change:    {reason}",
        f"- Timestamp:                  {at}",
        f"- AWS Account:                {get_account_id()}",
        f"- Alarm Arn:                  {alarm['AlarmArn']}",
    ]
    if not alarm.get("Metrics") and "AlarmRule" not in alarm:
        dimensions = alarm.get("Dimensions") or []
        shown = " ".join(f"[{item['Name']} = {item['Value']}]" for item in dimensions)
        lines += [
            "",
            "Monitored Metric:",
            f"- MetricNamespace:                     {alarm.get('Namespace', '')}",
            f"- MetricName:                          {alarm.get('MetricName', '')}",
            f"- Dimensions:                          {shown}",
            f"- Period:                              {period_of(alarm)} seconds",
            f"- Statistic:                           "
            f"{alarm.get('ExtendedStatistic') or alarm.get('Statistic')}",
            f"- Unit:                                {alarm.get('Unit') or 'not specified'}",
            f"- TreatMissingData:                    {alarm.get('TreatMissingData') or 'missing'}",
        ]
    lines += ["", "State Change Actions:"]
    for state, field in (
        ("OK", "OKActions"),
        ("ALARM", "AlarmActions"),
        ("INSUFFICIENT_DATA", "InsufficientDataActions"),
    ):
        actions = " ".join(f"[{action}]" for action in alarm.get(field) or [])
        lines.append(f"- {state}: {actions}")
    return "\n".join(lines)


def parcel(alarm: JsonObject, old_state: str, new_state: str, reason: str) -> Parcel:
    """Return the message of a state change, in a form for each protocol of the topic."""
    moment = float(alarm.get("StateUpdatedTimestamp") or time.time())
    name = alarm["AlarmName"]
    at = datetime.fromtimestamp(moment, tz=UTC)
    message: JsonObject = {
        "AlarmName": name,
        "AlarmDescription": alarm.get("AlarmDescription") or None,
        "AWSAccountId": get_account_id(),
        "AlarmConfigurationUpdatedTimestamp": datetime.fromtimestamp(
            float(alarm.get("AlarmConfigurationUpdatedTimestamp") or moment), tz=UTC
        ).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        + "+0000",
        "NewStateValue": new_state,
        "NewStateReason": reason,
        "StateChangeTime": at.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000",
        "Region": region_name(get_region()),
        "AlarmArn": alarm["AlarmArn"],
        "OldStateValue": old_state,
        "OKActions": alarm.get("OKActions") or [],
        "AlarmActions": alarm.get("AlarmActions") or [],
        "InsufficientDataActions": alarm.get("InsufficientDataActions") or [],
    }
    if "AlarmRule" in alarm:
        message["AlarmRule"] = alarm["AlarmRule"]
    else:
        message["Trigger"] = _trigger(alarm)
    subject = f'{new_state}: "{name}" in {region_name(get_region())}'
    if len(subject) >= _MAXIMUM_SUBJECT:
        subject = subject[: _MAXIMUM_SUBJECT - 4] + "..."
    return Parcel(
        body=json.dumps(message),
        source="aws.cloudwatch",
        subject=subject,
        by_protocol={"email": _text(alarm, old_state, new_state, reason, moment)},
    )
