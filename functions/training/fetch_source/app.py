"""Task: bring the files of a commit."""

from steward.bootstrap import app
from steward.contracts.steps.integration import FetchedSource, FetchSource
from steward.entrypoint import step
from steward.service.training.integration.fetching import Sources, fetch_source


@step(FetchSource)
def handler(command: FetchSource) -> FetchedSource:
    """Return where the files lie."""
    sources = Sources(
        repositories=app().repositories,
        downloads=app().downloads,
        secrets=lambda: app().secrets,
        hosts=app().settings.hosts_of_sources,
    )
    return fetch_source(
        command,
        state=app().state,
        objects=app().objects,
        sources=sources,
        artifacts_bucket=app().settings.need("artifacts_bucket"),
    )
