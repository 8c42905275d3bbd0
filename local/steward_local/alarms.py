"""Metric alarms: their evaluation in the background, and what a change of state sends.

Sources: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch-and-eventbridge.html
and https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Notify_Users_Alarm_Changes.html
"""

import json
import logging
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import cloudwatch

from steward_local import alarm_mail, lifecycle, rule_targets
from steward_local.alarm_evaluation import Finding, find, period_of
from steward_local.delivery import DeliveryError, ServiceSender, deliver_as
from steward_local.judged_resources import Asked, judge
from steward_local.metric_math import MetricMathError

JsonObject = dict[str, Any]
_log = logging.getLogger(__name__)
_TICK_SECONDS = 0.2
_COMPARISONS = {
    "GreaterThanOrEqualToThreshold": "greater than or equal to",
    "GreaterThanThreshold": "greater than",
    "LessThanThreshold": "less than",
    "LessThanOrEqualToThreshold": "less than or equal to",
}
_ACTIONS = {
    "ALARM": "AlarmActions",
    "OK": "OKActions",
    "INSUFFICIENT_DATA": "InsufficientDataActions",
}
# The last state that was announced for each alarm: what the next event calls the previous one.
_announced: dict[str, JsonObject] = {}


def stamp(moment: float) -> str:
    """Return a moment in CloudWatch's own format, for instance 2019-10-02T17:04:40.989+0000."""
    return datetime.fromtimestamp(moment, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"


def with_metric_math(original: Callable[..., Any]) -> Callable[..., Any]:
    """Keep the metric queries of a PutMetricAlarm request."""

    def put_metric_alarm(
        params: JsonObject, cbor_data: JsonObject, is_cbor: bool, is_json: bool = False
    ) -> Any:
        response = original(params, cbor_data, is_cbor, is_json)
        queries = (cbor_data or {}).get("Metrics") if is_cbor or is_json else None
        if response[0] == 200 and queries:
            _use_queries(cloudwatch._alarms[cbor_data["AlarmName"]], queries)
        return response

    return put_metric_alarm


def template_with_metric_math(
    original: Callable[[str, JsonObject], JsonObject],
) -> Callable[[str, JsonObject], JsonObject]:
    """Let a template's alarm have `Metrics`."""

    def record(name: str, props: JsonObject) -> JsonObject:
        queries = props.get("Metrics")
        if not queries:
            return original(name, props)
        plain = {key: value for key, value in props.items() if key != "Metrics"}
        alarm = original(name, {**plain, "MetricName": "-", "Namespace": "-"})
        _use_queries(alarm, queries)
        return alarm

    return record


def _use_queries(alarm: JsonObject, queries: list[JsonObject]) -> None:
    for name in ("MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Period"):
        alarm.pop(name, None)
    alarm["Dimensions"] = []
    alarm["Metrics"] = [_typed(query) for query in queries]


def _typed(query: JsonObject) -> JsonObject:
    """A metric query with numbers and booleans where a template may have text."""
    typed = dict(query)
    if "ReturnData" in typed:
        typed["ReturnData"] = str(typed["ReturnData"]).lower() == "true"
    if "Period" in typed:
        typed["Period"] = int(typed["Period"])
    if "MetricStat" in typed:
        stat = typed["MetricStat"]
        typed["MetricStat"] = {**stat, "Period": int(stat.get("Period", 60))}
    return typed


def silence(_original: Callable[..., None]) -> Callable[..., None]:
    """Leave evaluation to the loop here."""

    def evaluate(*_: Any) -> None:
        return None

    return evaluate


def _reason(alarm: JsonObject, finding: Finding, state: str) -> str:
    threshold = float(alarm.get("Threshold") or 0)
    periods = int(alarm.get("EvaluationPeriods") or 1)
    needed = int(alarm.get("DatapointsToAlarm") or periods)
    if not finding.datapoints:
        word = "was" if periods == 1 else "were"
        points = "datapoint was" if periods == 1 else "datapoints were"
        if state == "INSUFFICIENT_DATA":
            return f"Insufficient Data: {periods} {points} unknown."
        treated = "Breaching" if state == "ALARM" else "NonBreaching"
        plural = "" if periods == 1 else "s"
        return (
            f"Threshold Crossed: no datapoints were received for {periods} period{plural} and "
            f"{periods} missing datapoint{plural} {word} treated as [{treated}]."
        )
    shown = ", ".join(
        f"{value} ({datetime.fromtimestamp(start, tz=UTC):%d/%m/%y %H:%M:%S})"
        for value, start in zip(finding.datapoints, finding.starts, strict=True)
    )
    count = finding.breaching if state == "ALARM" else len(finding.datapoints) - finding.breaching
    verb = "was" if count == 1 else "were"
    compared = _COMPARISONS[alarm["ComparisonOperator"]]
    negated = "" if state == "ALARM" else "not "
    minimum = needed if state == "ALARM" else periods - needed + 1
    transition = "OK -> ALARM" if state == "ALARM" else "ALARM -> OK"
    return (
        f"Threshold Crossed: {count} out of the last {len(finding.datapoints)} datapoints "
        f"[{shown}] {verb} {negated}{compared} the threshold ({threshold}) (minimum {minimum} "
        f"datapoint{'' if minimum == 1 else 's'} for {transition} transition)."
    )


def _reason_data(alarm: JsonObject, finding: Finding, now: float) -> str:
    data: JsonObject = {"version": "1.0", "queryDate": stamp(now)}
    if finding.starts:
        data["startDate"] = stamp(min(finding.starts))
    if not alarm.get("Metrics"):
        data["statistic"] = alarm.get("ExtendedStatistic") or alarm.get("Statistic")
    data["period"] = period_of(alarm)
    data["recentDatapoints"] = list(reversed(finding.datapoints))
    data["threshold"] = float(alarm.get("Threshold") or 0)
    data["evaluatedDatapoints"] = [
        {"timestamp": stamp(start), "value": value}
        for value, start in zip(finding.datapoints, finding.starts, strict=True)
    ]
    return json.dumps(data, separators=(",", ":"))


def evaluate(alarm: JsonObject, now: float) -> None:
    """Evaluate one alarm, and change its state where the finding says so."""
    try:
        finding = find(alarm, now)
    except MetricMathError as problem:
        _log.warning("Alarm %s: %s", alarm["AlarmName"], problem)
        return
    old, new = alarm["StateValue"], finding.state
    if new is None or new == old:
        return
    reason, data = _reason(alarm, finding, new), _reason_data(alarm, finding, now)
    alarm["StateValue"] = new
    alarm["StateReason"] = reason
    alarm["StateReasonData"] = data
    alarm["StateUpdatedTimestamp"] = round(now, 3)
    alarm["StateTransitionedTimestamp"] = round(now, 3)
    cloudwatch._record_history(alarm["AlarmName"], old, new, reason, reason_data=json.loads(data))
    cloudwatch._dispatch_alarm_actions(alarm, old, new, reason)
    cloudwatch._evaluate_parent_alarms(alarm)


def evaluate_all() -> None:
    """Evaluate the metric alarms of every account and region."""
    now = time.time()
    for (account, region, _), alarm in cloudwatch._alarms.all_items():
        with request_scope(account, region):
            evaluate(alarm, now)


def _queries_of(alarm: JsonObject) -> list[JsonObject]:
    """The alarm's metrics as its event describes them."""
    if not alarm.get("Metrics"):
        statistic = alarm.get("ExtendedStatistic") or alarm.get("Statistic")
        stat = _event_stat(
            alarm.get("Namespace") or "",
            alarm.get("MetricName") or "",
            alarm.get("Dimensions") or [],
            {"period": alarm.get("Period"), "stat": statistic, "unit": alarm.get("Unit")},
        )
        identity = str(uuid.uuid5(uuid.NAMESPACE_URL, alarm["AlarmArn"]))
        return [{"id": identity, "metricStat": stat, "returnData": True}]
    queries = []
    for query in alarm["Metrics"]:
        shown: JsonObject = {"id": query["Id"]}
        if "MetricStat" in query:
            stat = query["MetricStat"]
            metric = stat["Metric"]
            shown["metricStat"] = _event_stat(
                metric.get("Namespace", ""),
                metric.get("MetricName", ""),
                metric.get("Dimensions") or [],
                {"period": stat.get("Period"), "stat": stat.get("Stat"), "unit": stat.get("Unit")},
            )
        else:
            shown["expression"] = query.get("Expression", "")
        if query.get("Label"):
            shown["label"] = query["Label"]
        shown["returnData"] = query.get("ReturnData", True)
        queries.append(shown)
    return queries


def _event_stat(
    namespace: str, name: str, dimensions: list[JsonObject], rest: JsonObject
) -> JsonObject:
    metric: JsonObject = {"namespace": namespace, "name": name}
    if dimensions:
        metric["dimensions"] = {item["Name"]: item["Value"] for item in dimensions}
    return {"metric": metric, **{key: value for key, value in rest.items() if value}}


def _state(alarm: JsonObject) -> JsonObject:
    moment = float(alarm.get("StateUpdatedTimestamp") or time.time())
    state: JsonObject = {"reason": alarm.get("StateReason", "")}
    if alarm.get("StateReasonData"):
        state["reasonData"] = alarm["StateReasonData"]
    return {**state, "timestamp": stamp(moment), "value": alarm["StateValue"]}


def _announce(alarm: JsonObject, old_state: str) -> None:
    arn = alarm["AlarmArn"]
    state = _state(alarm)
    created = float(alarm.get("AlarmConfigurationUpdatedTimestamp") or time.time())
    previous = _announced.get(arn)
    if previous is None or previous["value"] != old_state:
        reason = "Unchecked: Initial alarm creation"
        previous = {"reason": reason, "timestamp": stamp(created), "value": old_state}
    _announced[arn] = state
    configuration: JsonObject = {}
    if alarm.get("AlarmDescription"):
        configuration["description"] = alarm["AlarmDescription"]
    if "AlarmRule" in alarm:
        configuration["alarmRule"] = alarm["AlarmRule"]
    else:
        configuration["metrics"] = _queries_of(alarm)
    detail = {
        "alarmName": alarm["AlarmName"],
        "configuration": configuration,
        "previousState": previous,
        "state": state,
    }
    rule_targets.emit_aws_event("aws.cloudwatch", "CloudWatch Alarm State Change", detail, arn)


def act(_original: Callable[..., None]) -> Callable[..., None]:
    """Send the state change's event, then the alarm's actions."""

    def dispatch(alarm: JsonObject, old_state: str, new_state: str, reason: str) -> None:
        if isinstance(alarm.get("StateUpdatedTimestamp"), int):  # SetAlarmState: whole seconds
            now = round(time.time(), 3)
            alarm["StateUpdatedTimestamp"] = alarm["StateTransitionedTimestamp"] = now
        _announce(alarm, old_state)
        if not alarm.get("ActionsEnabled", True):
            return
        for action in alarm.get(_ACTIONS.get(new_state, "")) or []:
            sender = ServiceSender("cloudwatch.amazonaws.com", alarm["AlarmArn"], owned=True)
            if ":function:" in action:
                sender = ServiceSender("lambda.alarms.cloudwatch.amazonaws.com", alarm["AlarmArn"])
            parcel = alarm_mail.parcel(alarm, old_state, new_state, reason)
            try:
                deliver_as(sender, action, parcel)
            except DeliveryError as problem:
                name, scope = alarm["AlarmName"], f"{get_account_id()}/{get_region()}"
                _log.warning("Alarm %s (%s): action %s: %s", name, scope, action, problem)

    return dispatch


def _judged_on(asked: Asked, known: str) -> str:
    """Judge ``DescribeAlarms`` on the ARN of all alarms, as CloudWatch words its refusals."""
    action = asked.query_params.get("Action", "")
    name = action[0] if isinstance(action, list) and action else action
    if "DescribeAlarms" in (name, asked.path.rsplit("/", 1)[-1], asked.operation):
        return f"arn:aws:cloudwatch:{asked.region}:{asked.account_id}:alarm:*"
    return known


def start() -> None:
    """Evaluate in the background from the start of the server on."""
    judge("monitoring", _judged_on)
    lifecycle.every(_TICK_SECONDS, evaluate_all, "alarms")
