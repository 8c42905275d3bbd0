"""A consumer's dead-letter queue in SQS."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from steward.adapters.errors import translated

MAX_MESSAGE_BYTES = 250 * 1024
_KEPT_CHARACTERS = 20_000


class SqsFailureQueue:
    """Sends records like those that Lambda itself sends when its retries are used up.

    Shape: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
    """

    def __init__(self, client: Any, url: str) -> None:
        self._client = client
        self._url = url

    def send(
        self,
        payload: object,
        reason: Mapping[str, Any],
        *,
        request_id: str = "",
        function_arn: str = "",
    ) -> None:
        """Keep what was refused; a payload too large for a message is cut to its beginning."""
        record = {
            "version": "1.0",
            "requestContext": {
                "requestId": request_id,
                "functionArn": function_arn,
                "condition": "Rejected",
                "approximateInvokeCount": 1,
            },
            "requestPayload": payload,
            "responsePayload": dict(reason),
        }
        text = json.dumps(record, default=str)
        if len(text) > MAX_MESSAGE_BYTES:
            beginning = json.dumps(payload, default=str)[:_KEPT_CHARACTERS]
            told = json.dumps(record["responsePayload"], default=str)[:_KEPT_CHARACTERS]
            cut = {"requestPayload": {"cut": beginning}, "responsePayload": {"cut": told}}
            text = json.dumps({**record, **cut})
        with translated("send to the failure queue"):
            self._client.send_message(QueueUrl=self._url, MessageBody=text)
