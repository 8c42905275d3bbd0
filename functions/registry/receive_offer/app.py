"""Promotions bus: a version of the environment before is fetched, judged and registered."""

from steward.bootstrap import app
from steward.contracts.incoming import Received
from steward.domain.offers import neighbour
from steward.entrypoint import on_event
from steward.service.registry.imports import ImportPorts
from steward.service.registry.receiving import ReceivePorts, receive_offer


@on_event("VersionOffered")
def handler(received: Received) -> object:
    """Take or refuse what is offered, and answer."""
    settings = app().settings
    imports = ImportPorts(
        state=app().state,
        objects=app().objects,
        registry=app().registry,
        job_image=app().job_image,
        clock=app().clock,
        ids=app().ids,
        environment=settings.steward_environment,
        data_bucket=settings.need("data_bucket"),
        artifacts_bucket=settings.need("artifacts_bucket"),
    )
    ports = ReceivePorts(
        imports, app().registry_in, settings.need("account_id"), neighbour(settings.promote_from)
    )
    return receive_offer(received, ports)
