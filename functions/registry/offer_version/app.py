"""Function URL: an approved version is laid ready for the next environment, and offered."""

from steward.bootstrap import app
from steward.contracts.approval import parse_request
from steward.contracts.registry import OfferVersion
from steward.domain.offers import neighbours
from steward.domain.principals import identity_of
from steward.entrypoint import Request, Response, on_request
from steward.service.registry.exporting import Exporter
from steward.service.registry.offering import OfferPorts, offer_version


@on_request
def handler(request: Request) -> Response:
    """Offer the version that the body names, as the caller whom IAM has verified."""
    if request.method != "POST":
        return Response(405, {"error": "MethodNotAllowed", "allowed": "POST"})
    settings = app().settings
    exporter = Exporter(
        settings.need("account_id"), settings.aws_region, settings.steward_environment
    )
    offered = offer_version(
        parse_request(OfferVersion, request.json()),
        actor=identity_of(request.caller_arn, settings.roles_of_persons),
        request_id=request.request_id,
        ports=OfferPorts(
            state=app().state,
            objects=app().objects,
            clock=app().clock,
            ids=app().ids,
            exporter=exporter,
            goals=neighbours(settings.promote_to),
            exports_bucket=settings.exports_bucket,
        ),
    )
    return Response(200, offered)
