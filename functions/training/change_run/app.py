"""Function URL: a person starts, resumes or cancels a run, as IAM verified them."""

from steward.bootstrap import app
from steward.contracts.run_change import ChangeRun
from steward.domain.errors import MalformedEventError
from steward.domain.principals import identity_of
from steward.entrypoint import Request, Response, on_request
from steward.service.training.change_run import change_run
from steward.service.training.start import Ports


@on_request
def handler(request: Request) -> Response:
    """``POST`` changes a run."""
    if request.method != "POST":
        raise MalformedEventError(
            f"{request.method} is not possible here", field="method", allowed="POST"
        )
    ports = Ports(
        state=app().state,
        environment=app().settings.steward_environment,
        objects=app().objects,
        workflows=app().workflows,
        job_image=app().job_image,
        clock=app().clock,
        ids=app().ids,
        machine=app().settings.need("training_machine"),
        artifacts_bucket=app().settings.need("artifacts_bucket"),
    )
    actor = identity_of(request.caller_arn, app().settings.roles_of_persons)
    return Response(200, change_run(request.parsed(ChangeRun), actor, request.request_id, ports))
