"""Function URL: a version's card as PDF; POST starts its job, GET tells how far it is."""

from steward.bootstrap import app
from steward.contracts.approval import PrintCard, parse_request
from steward.entrypoint import Request, Response, on_request
from steward.service.registry.card_printing import Press, print_card


@on_request
def handler(request: Request) -> Response:
    """Return the job, and the PDF's place and digest once it is made."""
    if request.method not in ("GET", "POST"):
        return Response(405, {"error": "MethodNotAllowed", "allowed": "GET, POST"})
    start = request.method == "POST"
    command = parse_request(PrintCard, request.json() if start else request.query)
    press = Press(
        state=app().state,
        objects=app().objects,
        cards=app().model_cards,
        printer=app().card_exporter if command.by == "sagemaker" else app().card_printer,
        image=app().job_image,
        bucket=app().settings.need("artifacts_bucket"),
        environment=app().settings.steward_environment,
    )
    return Response(200, print_card(command, press, start=start))
