"""The deployed stack: its parts, the job image, dead letters, mail and alarms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from steward_cli.console import CommandError, Exit
from steward_cli.doctor.findings import Finding, looked, paged
from steward_cli.doctor.images import image_findings
from steward_cli.target import Target

AREA = "stack"
TOPICS = (("approver", "ApproverTopic"), ("on-call", "OnCallTopic"), ("owner", "OwnerTopic"))
_DEAD_LETTERS = ("DeliveryFailures", "HandlingFailures", "FactFailures")
_NESTED = "AWS::CloudFormation::Stack"
_HEALTHY = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE")


@dataclass
class Resources:
    """Physical ids of what the stack and its nested stacks hold, by type."""

    by_type: dict[str, list[str]] = field(default_factory=dict)
    dead_letters: list[str] = field(default_factory=list)
    complete: bool = False

    def of(self, kind: str) -> list[str]:
        """Return the physical ids of a type."""
        return self.by_type.get(kind, [])


def stack_findings(target: Target) -> Iterator[Finding]:
    """Yield what is found of the deployed stack; without one, that alone."""
    found = list(looked(AREA, "stack", lambda: _root(target)))
    yield from found
    if not any(finding.check == "stack" and finding.state in ("ok", "warn") for finding in found):
        return
    resources = Resources()
    yield from looked(AREA, "resources", lambda: _collected(target, target.stack, resources))
    yield from looked(AREA, "job image", lambda: image_findings(target))
    yield from looked(AREA, "dead letters", lambda: _dead_letters(target, resources))
    yield from looked(AREA, "mail", lambda: _mail(target))
    yield from looked(AREA, "alarms", lambda: _alarms(target, resources))


def _root(target: Target) -> Iterator[Finding]:
    try:
        target.outputs  # noqa: B018 - read for its error
    except CommandError as error:
        if error.code is not Exit.NOT_FOUND:
            raise
        yield Finding(AREA, "stack", "fail", error.message, error.hint or "")
        return
    [stack] = target.client("cloudformation").describe_stacks(StackName=target.stack)["Stacks"]
    status = stack["StackStatus"]
    if status not in _HEALTHY:
        moving = status.endswith("IN_PROGRESS")
        yield Finding(
            AREA, "stack", "warn" if moving else "fail", f"{target.stack}: {status}",
            "wait for it" if moving else "see its events, then deploy again",
        )  # fmt: skip
        return
    yield Finding(AREA, "stack", "ok", f"{target.stack}: {status}")
    if target.engine is not None:
        return  # the embedded CloudFormation detects no drift
    drift = (stack.get("DriftInformation") or {}).get("StackDriftStatus", "NOT_CHECKED")
    if drift == "DRIFTED":
        yield Finding(
            AREA, "drift", "warn", "the stack is not as its template says",
            f"aws cloudformation describe-stack-resource-drifts --stack-name {target.stack}",
        )  # fmt: skip
    elif drift != "IN_SYNC":
        yield Finding(
            AREA, "drift", "unknown", "never checked",
            f"aws cloudformation detect-stack-drift --stack-name {target.stack}",
        )  # fmt: skip
    else:
        yield Finding(AREA, "drift", "ok", "in sync")


def _collected(target: Target, root: str, resources: Resources) -> Iterator[Finding]:
    """Fill ``resources`` from the stack and its nested ones; yield what is not healthy."""
    waiting, count = [root], 0
    while waiting:
        stack = waiting.pop()
        summaries = paged(
            target.client("cloudformation"), "list_stack_resources", "StackResourceSummaries",
            StackName=stack,
        )  # fmt: skip
        for summary in summaries:
            count += 1
            physical = summary.get("PhysicalResourceId", "")
            resources.by_type.setdefault(summary["ResourceType"], []).append(physical)
            if summary["LogicalResourceId"].endswith(_DEAD_LETTERS):
                resources.dead_letters.append(physical)
            if summary["ResourceStatus"] not in _HEALTHY:
                name, status = summary["LogicalResourceId"], summary["ResourceStatus"]
                reason = summary.get("ResourceStatusReason", "")
                yield Finding(AREA, name, "fail", f"{status} {reason}".strip(), "deploy again")
            elif summary["ResourceType"] == _NESTED:
                waiting.append(physical)
    resources.complete = True
    nested = len(resources.of(_NESTED))
    yield Finding(AREA, "resources", "ok", f"{count} in {nested} nested stacks")


def _dead_letters(target: Target, resources: Resources) -> Iterator[Finding]:
    if not resources.complete:
        yield Finding(AREA, "dead letters", "unknown", "which queues there are is not known")
        return
    sqs, waiting = target.client("sqs"), 0
    letters = resources.dead_letters
    for url in letters:
        told = sqs.get_queue_attributes(
            QueueUrl=url, AttributeNames=["ApproximateNumberOfMessages"]
        )["Attributes"]
        if count := int(told["ApproximateNumberOfMessages"]):
            waiting += count
            name = url.rpartition("/")[2]
            yield Finding(
                AREA, "dead letters", "fail", f"{count} in {name}",
                "read one, mend the cause, redrive: aws sqs start-message-move-task",
            )  # fmt: skip
    if not waiting:
        yield Finding(AREA, "dead letters", "ok", f"{len(letters)} queues, all empty")


def _mail(target: Target) -> Iterator[Finding]:
    for role, output in TOPICS:
        sns, topic = target.client("sns"), target.output(output)
        found = paged(sns, "list_subscriptions_by_topic", "Subscriptions", TopicArn=topic)
        subscriptions = list(found)
        pending = [s["Endpoint"] for s in subscriptions if _is_pending(s)]
        check = f"mail to {role}"
        if pending:
            says = f"not confirmed: {', '.join(pending)}"
            do = "have them follow the link in SNS's mail; nothing is sent before"
            yield Finding(AREA, check, "warn", says, do)
        elif not subscriptions:
            do = "deploy with ApproverMail, OnCallMail and OwnerMail, or subscribe people"
            yield Finding(AREA, check, "warn", "nobody is subscribed", do)
        else:
            yield Finding(AREA, check, "ok", f"{len(subscriptions)} confirmed")


def _is_pending(subscription: dict[str, Any]) -> bool:
    return str(subscription["SubscriptionArn"]) in ("PendingConfirmation", "pending confirmation")


def _alarms(target: Target, resources: Resources) -> Iterator[Finding]:
    """Yield the alarms that are in ALARM: the stack's, and those of its projects by prefix."""
    cloudwatch = target.client("cloudwatch")
    names = resources.of("AWS::CloudWatch::Alarm") + resources.of("AWS::CloudWatch::CompositeAlarm")
    known = set(names)
    on: dict[str, str] = {}
    for kind in ("MetricAlarms", "CompositeAlarms"):
        alarms = paged(
            cloudwatch, "describe_alarms", kind, StateValue="ALARM",
            AlarmTypes=["MetricAlarm", "CompositeAlarm"],
        )  # fmt: skip
        prefix = f"steward-{target.environment_name}-"
        for alarm in alarms:
            if alarm["AlarmName"] in known or alarm["AlarmName"].startswith(prefix):
                on[alarm["AlarmName"]] = alarm.get("AlarmDescription") or alarm["StateReason"]
    for name, says in sorted(on.items()):
        yield Finding(
            AREA, "alarms", "fail", f"{name}: {says}", "docs/cloudwatch.md says what to do"
        )
    if not on and not resources.complete:
        says = "none of the projects' in ALARM; which the stack has is not known"
        yield Finding(AREA, "alarms", "unknown", says)
    elif not on:
        yield Finding(AREA, "alarms", "ok", f"{len(names)} of the stack, none in ALARM")
