"""Function URL: a person waives a rule or takes a waiver back; who is the verified caller."""

from steward.bootstrap import app
from steward.contracts.approval import parse_request
from steward.contracts.waivers import GrantWaiver, ListWaivers, RevokeWaiver
from steward.entrypoint import Request, Response, on_request
from steward.service.registry.waiving import Signed, grant_waiver, list_waivers, revoke_waiver


@on_request
def handler(request: Request) -> Response:
    """GET lists a project's waivers; POST grants or revokes one, as ``action`` says."""
    state, clock = app().state, app().clock
    if request.method == "GET":
        query = parse_request(ListWaivers, request.query)
        return Response(200, list_waivers(query.project, state=state, clock=clock))
    if request.method != "POST":
        return Response(405, {"error": "MethodNotAllowed", "allowed": "GET, POST"})
    body = request.json()
    signed = Signed(request.caller_arn, request.request_id, app().settings.roles_of_persons)
    ids = app().ids
    if isinstance(body, dict) and body.get("action") == "revoke":
        revoke = parse_request(RevokeWaiver, body)
        return Response(200, revoke_waiver(revoke, signed, state=state, clock=clock, ids=ids))
    grant = parse_request(GrantWaiver, body)
    return Response(200, grant_waiver(grant, signed, state=state, clock=clock, ids=ids))
