"""Function URLs as AWS serves them since October 2025.

A caller needs `lambda:InvokeFunctionUrl` and `lambda:InvokeFunction`, and the function is
told who the verified caller is. The URL itself can be called without name resolution.
"""

import contextvars
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any

from ministack import app
from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, json_response
from ministack.core.router import extract_access_key_id, extract_region
from ministack.services import lambda_svc

JsonObject = dict[str, Any]
Response = tuple[int, dict[str, Any], Any]

_PATH = "/_aws/lambda-url/"
_FORBIDDEN = (
    "Forbidden. For troubleshooting Function URL authorization issues, see: "
    "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
)
_caller: contextvars.ContextVar[JsonObject | None] = contextvars.ContextVar(
    "steward_function_url_caller", default=None
)


def local_url(
    original: Callable[[str, JsonObject, str | None], Response],
) -> Callable[[str, JsonObject, str | None], Response]:
    """Give a new function URL an address that resolves here, on the engine's own port."""

    def create(func_name: str, data: JsonObject, qualifier: str | None) -> Response:
        status, headers, body = original(func_name, data, qualifier)
        if status != 201:
            return status, headers, body
        config = lambda_svc._function_urls[lambda_svc._url_config_key(func_name, qualifier)]
        url_id = config["FunctionUrl"].split("://", 1)[-1].split(".", 1)[0]
        port = os.environ["GATEWAY_PORT"]
        config["FunctionUrl"] = f"http://127.0.0.1:{port}{_PATH}{url_id}/"
        response: Response = json_response(config, status=201)
        return response

    return create


def url_id_of(original: Callable[[str], str]) -> Callable[[str], str]:
    """Read the id from either form of a function URL."""

    def function_url_id(function_url: str) -> str:
        if _PATH in function_url:
            return function_url.split(_PATH, 1)[1].split("/", 1)[0]
        return original(function_url)

    return function_url_id


def _verified_caller(access_key: str) -> JsonObject | None:
    credential = iam_evaluator.resolve_credential(access_key, get_account_id())
    if isinstance(credential, iam_evaluator.CredentialResolutionError):
        return None
    return {
        "accessKey": access_key,
        "accountId": credential.account_id,
        "callerId": credential.principal_id,
        "cognitoIdentity": None,
        "principalOrgId": None,
        "userArn": credential.principal_arn,
        "userId": credential.principal_id,
    }


def _anyone_may(resource_arn: str, action: str, context: JsonObject) -> bool:
    found = lambda_svc.function_policy_for_arn(resource_arn)
    if found is None:
        return False
    question = iam_evaluator.EvalContext(
        principal_arn="*",
        principal_type="Anonymous",
        principal_account="",
        action=action,
        resource_arn=resource_arn,
        region="",
        service_context={key.lower(): value for key, value in context.items()},
    )
    return bool(iam_evaluator.evaluate_resource_policy(found[0], question).decision == "Allow")


def _forbidden() -> Response:
    headers = {"Content-Type": "application/json", "x-amzn-ErrorType": "AccessDeniedException"}
    return 403, headers, json.dumps({"Message": _FORBIDDEN}).encode()


def _refusal(resource_arn: str, context: JsonObject, headers: JsonObject, query: JsonObject) -> Any:
    """Return the response that refuses the caller, or None when it holds both permissions."""
    invoked = {"lambda:InvokedViaFunctionUrl": "true"}
    permissions = (("lambda:InvokeFunctionUrl", context), ("lambda:InvokeFunction", invoked))
    if context.get("lambda:FunctionUrlAuthType") == "NONE":
        allowed = all(_anyone_may(resource_arn, action, keys) for action, keys in permissions)
        return None if allowed else _forbidden()
    access_key = extract_access_key_id(headers, query)
    for action, keys in permissions:
        denied = iam_evaluator.enforce(
            access_key,
            action,
            "lambda",
            extract_region(headers, query),
            resource_arn=resource_arn,
            service_context=keys,
        )
        if isinstance(denied, iam_evaluator.AuthError):
            return app._credential_failure("lambda", action, "", denied, headers)
        if denied:
            return _forbidden()
    _caller.set(_verified_caller(access_key))
    return None


def serve(
    original: Callable[..., Awaitable[Response | None]],
) -> Callable[..., Awaitable[Response | None]]:
    """Check both permissions, then invoke with the verified caller in the event."""

    async def handle(
        host: str,
        path: str,
        method: str,
        headers: JsonObject,
        body: bytes,
        query_params: JsonObject,
        source_ip: str | None = None,
    ) -> Response | None:
        parsed = app._parse_lambda_url(host, path)
        if parsed is None:
            return None
        url_id, function_path = parsed
        resource_arn, context, resolved = app._function_url_auth_target(url_id)
        if resolved is None:
            return await original(host, path, method, headers, body, query_params, source_ip)
        _caller.set(None)
        refusal = _refusal(resource_arn, context, headers, query_params)
        if refusal is not None:
            response: Response = refusal
            return response
        served: Response = await lambda_svc.handle_function_url_request(
            url_id,
            method,
            function_path,
            headers,
            body,
            query_params,
            resolved=resolved,
            source_ip=source_ip,
        )
        return served

    return handle


def name_the_caller(original: Callable[..., JsonObject]) -> Callable[..., JsonObject]:
    """Add `requestContext.authorizer.iam` to the event of a signed request."""

    def build(*args: Any, **kwargs: Any) -> JsonObject:
        event = original(*args, **kwargs)
        caller = _caller.get()
        if caller is not None:
            event["requestContext"]["authorizer"] = {"iam": caller}
            event["requestContext"]["authentication"] = None
        # The signature is for the front end; the function never sees it on AWS.
        for name in ("x-amz-security-token", "authorization"):
            event["headers"].pop(name, None)
        return event

    return build


def loopback_is_secure(
    original: Callable[[str, bool], None],
) -> Callable[[str, bool], None]:
    """Let requests over loopback pass policies that ask for `aws:SecureTransport`."""

    def pin(source_ip: str, secure_transport: bool) -> None:
        original(source_ip, secure_transport or source_ip == "127.0.0.1")

    return pin
