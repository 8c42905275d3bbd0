"""Requests to the registry's function URL."""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from steward.domain.errors import MalformedEventError

RequestT = TypeVar("RequestT")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class SetAlias(_Strict):
    """Put an alias onto a version, or take it away.

    Attributes:
        version: None takes it away.
        expected: The version that it must name now; None where that does not matter.
    """

    action: Literal["alias"]
    project: str
    alias: str
    version: int | None = Field(default=None, ge=1)
    expected: int | None = Field(default=None, ge=1)
    reason: str = Field(default="", max_length=1000)


class LabelVersion(_Strict):
    """Change a version's tags and description; a description that is None stays."""

    action: Literal["label"]
    project: str
    version: int = Field(ge=1)
    tags: dict[str, str] = Field(default_factory=dict)
    remove: list[str] = Field(default_factory=list)
    description: str | None = Field(default=None, max_length=1000)


class ArchiveVersion(_Strict):
    """Archive a version for good; say why."""

    action: Literal["archive"]
    project: str
    version: int = Field(ge=1)
    reason: str = Field(min_length=1, max_length=1000)


RegistryRequest = SetAlias | LabelVersion | ArchiveVersion


def parse_registry_request(value: object) -> RegistryRequest:
    """Return a request, typed by its ``action``.

    Raises:
        MalformedEventError: It does not fit; ``field`` names the first value at fault.
    """
    adapter: TypeAdapter[RegistryRequest] = TypeAdapter(
        Annotated[RegistryRequest, Field(discriminator="action")]
    )
    return _parsed(adapter, value)


def _parsed(adapter: TypeAdapter[RequestT], value: object) -> RequestT:
    try:
        return adapter.validate_python(value)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False)[0]
        path = ".".join(str(part) for part in first["loc"][1:]) or "action"
        raise MalformedEventError(
            f"{path}: {first['msg']}", field=path, allowed=first["msg"]
        ) from None


class NamedFile(_Strict):
    """A file that was put under ``imports/`` before."""

    name: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class ImportVersion(_Strict):
    """``POST`` to the import URL: register these files as a version."""

    project: str
    members: list[NamedFile] = Field(min_length=1, max_length=20)


class OfferVersion(_Strict):
    """``POST`` to the promotion URL: lay a version ready for the next environment.

    Attributes:
        at: Account, region or stack of the one that is meant of several next environments.
        afresh: Whether to offer what was received before, as to an environment made anew.
    """

    project: str
    version: int = Field(ge=1)
    environment: str = Field(min_length=1, max_length=20)
    at: str | None = Field(default=None, min_length=1, max_length=128)
    afresh: bool = False


class AddWebhook(_Strict):
    """Tell a URL of events; no ``kinds`` means all that there are."""

    action: Literal["add"]
    project: str
    url: str = Field(max_length=2000)
    kinds: list[str] = Field(default_factory=list, max_length=50)


class RemoveWebhook(_Strict):
    """Tell a URL nothing any more."""

    action: Literal["remove"]
    project: str
    webhook_id: str


class TestWebhook(_Strict):
    """Send a message without meaning."""

    __test__ = False

    action: Literal["test"]
    project: str
    webhook_id: str


WebhookRequest = AddWebhook | RemoveWebhook | TestWebhook


def parse_webhook_request(value: object) -> WebhookRequest:
    """Return a request, typed by its ``action``.

    Raises:
        MalformedEventError: It does not fit; ``field`` names the first value at fault.
    """
    adapter: TypeAdapter[WebhookRequest] = TypeAdapter(
        Annotated[WebhookRequest, Field(discriminator="action")]
    )
    return _parsed(adapter, value)
