"""Function URLs with IAM authentication on the embedded AWS."""

import json

import pytest

from support.embedded import Account, Keys

pytestmark = pytest.mark.integration

_ECHO_CALLER = """
import json
def handler(event, context):
    return {
        "caller": event["requestContext"]["authorizer"]["iam"],
        "path": event["rawPath"],
        "headers": sorted(event["headers"]),
    }
"""


def _url(account: Account, source: str = _ECHO_CALLER) -> tuple[str, str]:
    name = account.function(source)
    made = account.client("lambda").create_function_url_config(
        FunctionName=name, AuthType="AWS_IAM"
    )
    return made["FunctionUrl"], account.function_arn(name)


def _allow(actions: list[str], arn: str) -> list[dict[str, object]]:
    return [{"Effect": "Allow", "Action": actions, "Resource": arn}]


_BOTH = ["lambda:InvokeFunctionUrl", "lambda:InvokeFunction"]


def test_function_is_told_which_user_signed_the_request(account: Account) -> None:
    url, arn = _url(account)
    user_arn, keys = account.user(_allow(_BOTH, arn))
    answer = account.call_url(url + "route/1", keys)
    assert answer.status == 200
    caller = answer.body["caller"]
    user_id = account.client("sts", keys).get_caller_identity()["UserId"]
    assert caller == {
        "accessKey": keys.access_key,
        "accountId": account.engine.account,
        "callerId": user_id,
        "cognitoIdentity": None,
        "principalOrgId": None,
        "userArn": user_arn,
        "userId": user_id,
    }
    assert answer.body["path"] == "/route/1"
    assert "authorization" not in answer.body["headers"]


def test_function_is_told_which_role_session_signed_the_request(account: Account) -> None:
    url, arn = _url(account)
    user_arn, user = account.user(_allow(["sts:AssumeRole"], "*"))
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": user_arn}, "Action": "sts:AssumeRole"}
        ],
    }
    role, role_arn = account.role(_allow(_BOTH, arn), trust)
    session = account.session_of(role_arn, "ada", user)
    caller = account.call_url(url, session).body["caller"]
    assert caller["userArn"] == (f"arn:aws:sts::{account.engine.account}:assumed-role/{role}/ada")
    assert caller["userId"].endswith(":ada")
    assert caller["callerId"] == caller["userId"]


@pytest.mark.parametrize("missing", _BOTH)
def test_caller_needs_both_permissions(account: Account, missing: str) -> None:
    url, arn = _url(account)
    _, keys = account.user(_allow([action for action in _BOTH if action != missing], arn))
    answer = account.call_url(url, keys)
    assert answer.status == 403
    assert answer.body["Message"].startswith("Forbidden. For troubleshooting")


def test_unsigned_and_wrongly_signed_requests_are_refused(account: Account) -> None:
    url, arn = _url(account)
    _, keys = account.user(_allow(_BOTH, arn))
    assert account.call_url(url, None).status == 403
    assert account.call_url(url, Keys(keys.access_key, "wrong")).status == 403
    assert account.call_url(url, Keys("test", "test")).status == 403


def test_function_chooses_status_and_body(account: Account) -> None:
    url, arn = _url(
        account,
        """
        import json
        def handler(event, context):
            body = json.loads(event["body"])
            return {"statusCode": 422, "body": json.dumps({"field": body["field"]})}
        """,
    )
    _, keys = account.user(_allow(_BOTH, arn))
    answer = account.call_url(url, keys, json.dumps({"field": "age"}))
    assert (answer.status, answer.body) == (422, {"field": "age"})
