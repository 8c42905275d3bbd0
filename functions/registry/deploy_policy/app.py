"""Function URL: the policy in force, and an administrator's deployment of another."""

from steward.bootstrap import app
from steward.contracts.approval import parse_request
from steward.contracts.waivers import DeployPolicy
from steward.entrypoint import Request, Response, on_request
from steward.service.registry.policy_deployment import deploy_policy


@on_request
def handler(request: Request) -> Response:
    """POST makes a policy the organisation's, or the shipped one hold again."""
    if request.method != "POST":
        return Response(405, {"error": "MethodNotAllowed", "allowed": "POST"})
    deployed = deploy_policy(
        parse_request(DeployPolicy, request.json()).document,
        caller_arn=request.caller_arn,
        request_id=request.request_id,
        person_roles=app().settings.roles_of_persons,
        state=app().state,
        clock=app().clock,
        ids=app().ids,
    )
    return Response(200, deployed)
