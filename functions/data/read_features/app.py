"""Features of entities, online: for the gateway by direct call, for people over a function URL."""

from functools import cache

from steward.bootstrap import app
from steward.contracts.steps.features import FeaturesRead, ReadFeatures
from steward.domain.online_engine import OnlineEngine
from steward.entrypoint import Request, Response, on_request, step, task_or_request
from steward.service.data.online_features import FeatureService


@cache
def service() -> FeatureService:
    """Return the reader of this process, which keeps an engine and the views of versions."""
    return FeatureService(
        state=app().state,
        online=app().online_features,
        engine=OnlineEngine(),
        clock=app().clock,
        environment=app().settings.steward_environment,
    )


@step(ReadFeatures)
def _called(command: ReadFeatures) -> FeaturesRead:
    """Return the features, or what is wrong with the request."""
    return service().answer(command)


@on_request
def _asked(request: Request) -> Response:
    """Answer ``POST /``."""
    if request.method != "POST":
        return Response(405, {"error": "MethodNotAllowed", "allowed": "POST"}, {"allow": "POST"})
    return Response(200, service().read(request.parsed(ReadFeatures)))


handler = task_or_request(_called, _asked)
