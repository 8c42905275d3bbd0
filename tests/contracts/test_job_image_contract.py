"""The job image's contract, kept by SSM's adapter and by the fake."""

from collections.abc import Callable

import pytest

from steward.adapters.clients import Clients
from steward.adapters.images import SsmJobImage
from steward.domain.errors import JobImageMissingError
from steward.ports import JobImage
from support.fakes import FakeJobImage

pytestmark = pytest.mark.usefixtures("isolated")

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/jobs@sha256:" + "a1" * 32
Build = Callable[[str | None], JobImage]


@pytest.fixture(params=["fake", "ssm"])
def image_of(request: pytest.FixtureRequest) -> Build:
    """A function from the parameter's value, if any, to the port."""
    if request.param == "fake":
        return FakeJobImage
    clients: Clients = request.getfixturevalue("aws")

    def build(value: str | None) -> JobImage:
        ssm = clients.get("ssm")
        if value is not None:
            ssm.put_parameter(Name="/steward/job-image", Value=value, Type="String")
        return SsmJobImage(ssm, "/steward/job-image")

    return build


def test_a_built_image_is_named_by_its_digest(image_of: Build) -> None:
    assert image_of(IMAGE).uri() == IMAGE


@pytest.mark.parametrize("value", [None, "none", "jobs:latest", "jobs@sha256:short"])
def test_an_image_that_was_never_built_is_missing(image_of: Build, value: str | None) -> None:
    with pytest.raises(JobImageMissingError, match="steward image build"):
        image_of(value).uri()
