"""SNS mail into the engine's mailbox, as the text that SNS sends.

Sources: https://docs.aws.amazon.com/sns/latest/dg/sns-email-notifications.html and
https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
"""

import os
import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ministack.core.responses import get_region
from ministack.services import sns

JsonObject = dict[str, Any]
CONFIRM_VARIABLE = "STEWARD_CONFIRM_MAIL"
_MAXIMUM_SUBJECT = 100
_SUBJECT = re.compile(r"[!-~][ -~]*")
_DEFAULT_SUBJECT = "AWS Notification Message"


def mailbox() -> Path:
    """Return the directory of the messages."""
    return Path(os.environ["STEWARD_STATE_DIR"]) / "mail"


def _write(topic: JsonObject, recipient: str, subject: str, text: str) -> None:
    now = datetime.now(UTC)
    message = EmailMessage()
    name = topic.get("attributes", {}).get("DisplayName") or "AWS Notifications"
    message["From"] = f"{name} <no-reply@sns.amazonaws.com>"
    message["To"] = recipient
    message["Subject"] = subject
    message["Date"] = format_datetime(now)
    identity = uuid.uuid4().hex
    message["Message-ID"] = f"<{identity}@{get_region()}.amazonses.com>"
    message["X-SNS-Topic"] = topic["arn"]
    message.set_content(text, charset="utf-8", cte="8bit")
    folder = mailbox()
    folder.mkdir(exist_ok=True)
    target = folder / f"{now:%Y%m%dT%H%M%S.%f}-{identity[:8]}.eml"
    temporary = target.with_suffix(".new")
    temporary.write_bytes(message.as_bytes())
    temporary.replace(target)


def _confirms_at_once() -> bool:
    return os.environ.get(CONFIRM_VARIABLE, "1") == "1"


def footer(subscription_arn: str, recipient: str) -> str:
    """Return what SNS puts below every notification by mail."""
    region = get_region()
    link = (
        f"https://sns.{region}.amazonaws.com/unsubscribe.html?"
        f"SubscriptionArn={subscription_arn}&Endpoint={quote(recipient, safe='@')}"
    )
    return (
        "\n\n--\nIf you wish to stop receiving notifications from this topic, please click or "
        f"visit the link below to unsubscribe:\n{link}\n\nPlease do not reply directly to this "
        "email. If you have any questions or comments regarding this email, please contact us "
        "at https://aws.amazon.com/support\n"
    )


def fan_out(original: Callable[..., None]) -> Callable[..., None]:
    """Deliver to the confirmed mail subscriptions after all others."""

    def fanout(
        topic_arn: str,
        msg_id: str,
        message: str,
        subject: str,
        message_structure: str = "",
        message_attributes: JsonObject | None = None,
        **rest: Any,
    ) -> None:
        original(topic_arn, msg_id, message, subject, message_structure, message_attributes, **rest)
        topic = sns._topic_by_arn_any_scope(topic_arn) or {"subscriptions": []}
        for subscription in topic["subscriptions"]:
            if subscription.get("protocol") != "email" or not subscription.get("confirmed"):
                continue
            text = sns._resolve_message_for_protocol(message, message_structure, "email")
            if sns._matches_filter_policy(subscription, message_attributes or {}, text):
                recipient = subscription["endpoint"]
                body = text + footer(subscription["arn"], recipient)
                _write(topic, recipient, subject or _DEFAULT_SUBJECT, body)

    return fanout


def subscribe(original: Callable[[JsonObject], Any]) -> Callable[[JsonObject], Any]:
    """Leave a mail subscription pending until its owner confirms it, unless told to confirm."""

    def subscribe_with_confirmation(params: JsonObject) -> Any:
        topic_arn = sns._p(params, "TopicArn")
        endpoint = sns._p(params, "Endpoint")
        mail = sns._p(params, "Protocol") == "email"
        topic = sns._topic_by_arn_any_scope(topic_arn)
        known = {id(item) for item in topic["subscriptions"]} if topic else set()
        response = original(params)
        if not mail or response[0] != 200 or _confirms_at_once():
            return response
        topic = sns._topic_by_arn_any_scope(topic_arn)
        for subscription in topic["subscriptions"] if topic else []:
            if id(subscription) not in known and subscription["endpoint"] == endpoint:
                _await_confirmation(topic, subscription)
                inner = "<SubscribeResult><SubscriptionArn>pending confirmation</SubscriptionArn>"
                return sns._xml(200, "SubscribeResponse", f"{inner}</SubscribeResult>")
        return response

    return subscribe_with_confirmation


def _await_confirmation(topic: JsonObject, subscription: JsonObject) -> None:
    subscription["confirmed"] = False
    subscription["token"] = uuid.uuid4().hex
    attributes = subscription["attributes"]
    attributes["PendingConfirmation"] = "true"
    attributes["ConfirmationWasAuthenticated"] = "false"
    sns._refresh_subscription_counts(topic)
    recipient = subscription["endpoint"]
    port = os.environ["GATEWAY_PORT"]
    link = (
        f"http://127.0.0.1:{port}/?Action=ConfirmSubscription&TopicArn={quote(topic['arn'])}"
        f"&Token={subscription['token']}"
    )
    text = (
        f"You have chosen to subscribe to the topic:\n{topic['arn']}\n\n"
        "To confirm this subscription, click or visit the link below (If this was in error no "
        f"action is necessary):\n{link}\n\nPlease do not reply directly to this email.\n"
    )
    _write(topic, recipient, "AWS Notification - Subscription Confirmation", text)


def list_pending(original: Callable[[JsonObject], Any]) -> Callable[[JsonObject], Any]:
    """Show `PendingConfirmation` in place of the ARN of an unconfirmed mail subscription."""

    def list_subscriptions(params: JsonObject) -> Any:
        status, headers, body = original(params)
        for topic in sns._topics.values():
            for subscription in topic["subscriptions"]:
                if subscription.get("protocol") == "email" and not subscription["confirmed"]:
                    shown = f"<SubscriptionArn>{subscription['arn']}</SubscriptionArn>".encode()
                    pending = b"<SubscriptionArn>PendingConfirmation</SubscriptionArn>"
                    body = body.replace(shown, pending)
        return status, headers, body

    return list_subscriptions


def subscribe_from_template(
    original: Callable[[str, JsonObject, str], Any],
) -> Callable[[str, JsonObject, str], Any]:
    """Leave the mail subscriptions of a template's topic or subscription pending, too."""

    def create(logical_id: str, props: JsonObject, stack_name: str) -> Any:
        response = original(logical_id, props, stack_name)
        if _confirms_at_once():
            return response
        topic = sns._topic_by_arn_any_scope(props.get("TopicArn") or response[0])
        for subscription in topic["subscriptions"] if topic else []:
            new = subscription.get("confirmed") and "token" not in subscription
            if new and subscription.get("protocol") == "email":
                _await_confirmation(topic, subscription)
        return response

    return create


def check_subject(original: Callable[..., Any]) -> Callable[..., Any]:
    """Refuse a subject that SNS refuses: ASCII, no line breaks, shorter than 100 characters."""

    def publish(topic_arn: str, message: Any, subject: str = "", **rest: Any) -> Any:
        too_long = len(subject or "") > _MAXIMUM_SUBJECT
        if subject and (too_long or not _SUBJECT.fullmatch(subject)):
            raise sns.SnsPublishError("InvalidParameter", "Invalid parameter: Subject")
        return original(topic_arn, message, subject, **rest)

    return publish
