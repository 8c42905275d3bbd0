"""Events of versions, approvals and reviews."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from steward.contracts.events.envelope import Payload, Told

_SHA256 = "^[0-9a-f]{64}$"


class VersionRegistered(Payload):
    """A model package was registered, pending."""

    source: ClassVar[str] = "steward.registry"
    version: int
    run_id: str
    model_package_arn: str
    artifact_uri: str
    author: str


class ApprovalRequested(Payload):
    """The evidence is frozen; a person decides."""

    source: ClassVar[str] = "steward.registry"
    version: int
    evidence_digest: str
    evidence_uri: str
    expires_at: str
    quorum: int
    summary: dict[str, Any]


class VersionApproved(Payload):
    """The quorum approved exactly this evidence."""

    source: ClassVar[str] = "steward.registry"
    version: int
    evidence_digest: str
    approvers: list[str]


class VersionRejected(Payload):
    """A person said no."""

    source: ClassVar[str] = "steward.registry"
    version: int
    evidence_digest: str
    by: str
    comment: str


class ApprovalReminder(Payload):
    """A request for approval expires soon and not enough people have decided."""

    source: ClassVar[str] = "steward.registry"
    version: int
    evidence_digest: str
    expires_at: str
    missing: int


class ApprovalExpired(Payload):
    """Nobody decided in time, or a newer version made the request void."""

    source: ClassVar[str] = "steward.registry"
    version: int
    expired_at: str
    superseded_by: int | None = None


class ApprovalBypassed(Payload):
    """An approval was made around Steward and has been set back."""

    source: ClassVar[str] = "steward.registry"
    version: int
    model_package_arn: str
    found_status: str
    restored_status: str


class VersionPromoted(Payload):
    """A version is in production."""

    source: ClassVar[str] = "steward.registry"
    version: int
    previous: int | None = None


class VersionStateChanged(Payload):
    """A version came into a state that no other event tells of.

    Attributes:
        previous: The state before.
        reason: Why: the release, the failure, or what the person wrote.
    """

    source: ClassVar[str] = "steward.registry"
    version: int
    previous: str
    state: str
    reason: str = ""


class VersionAliased(Payload):
    """An alias names another version now, or none.

    Attributes:
        alias: Such as ``challenger``; ``champion`` is told by ``VersionPromoted``.
        version: None where the alias was deleted.
        previous: None where it is new.
    """

    source: ClassVar[str] = "steward.registry"
    alias: str
    version: int | None
    previous: int | None
    reason: str = ""


class VersionDescribed(Payload):
    """The tags or the description of a version changed."""

    source: ClassVar[str] = "steward.registry"
    version: int
    tags: dict[str, str]
    description: str


class VersionOffered(Payload):
    """An approved version lies ready for the next environment, which fetches it from there.

    Attributes:
        offer_id: Of this attempt; the same offer again has the same.
        environment: Whom it is for.
        bus_arn: The bus that it goes to, of several next environments.
        export_uri: Folder of the manifest, its members and the terms.
        export_digest: SHA-256 of ``manifest.json``.
        terms_digest: SHA-256 of ``terms.json``.
        model_package_arn: Its record in the registry there, which says that it was approved.
    """

    source: ClassVar[str] = "steward.registry"
    version: int
    offer_id: str = Field(pattern=_SHA256)
    environment: str
    bus_arn: str
    export_uri: str
    export_digest: str = Field(pattern=_SHA256)
    terms_digest: str = Field(pattern=_SHA256)
    model_package_arn: str


class OfferAnswered(Payload):
    """This environment took the version that was offered, or refused it.

    Attributes:
        version: Its number where it was offered.
        environment: Who answers.
        became: Its number here; None where it was refused.
        error: Name of the error that refused it; None where it was taken.
        field: What was at fault.
        message: Why, for a person.
    """

    source: ClassVar[str] = "steward.registry"
    version: int
    offer_id: str
    environment: str
    became: int | None = None
    error: str | None = None
    field: str | None = None
    message: Told = ""


class VersionExported(Payload):
    """A version went to another environment, where it is number ``became``."""

    source: ClassVar[str] = "steward.registry"
    version: int
    environment: str
    account: str
    became: int
    export_digest: str
    approvers: list[str]


class PromotionRefused(Payload):
    """The next environment refused a version.

    Attributes:
        by: Who had asked for it.
        error: Name of the error there.
        field: What was at fault there.
        message: Why, for a person.
    """

    source: ClassVar[str] = "steward.registry"
    version: int
    environment: str
    account: str
    by: str
    error: str
    field: str | None
    message: Told


class VersionImported(Payload):
    """A version of another environment was brought here; its registration follows.

    Attributes:
        run_id: What `VersionRegistered` calls its run.
        origin: Account, environment, project, version and digests of where it is from.
        approvers: Who approved it there.
    """

    source: ClassVar[str] = "steward.registry"
    run_id: str
    import_digest: str
    export_digest: str
    origin: dict[str, str]
    approvers: list[str]


class ReviewDue(Payload):
    """A model has not been reviewed for as long as its tier allows.

    Attributes:
        production: The version that serves.
        last_review: Of a person; None where there was none.
        due: When the interval ended.
    """

    source: ClassVar[str] = "steward.registry"
    tier: str
    owner: str
    production: int | None
    last_review: str | None
    due: str


class ReviewRecorded(Payload):
    """A verified person reviewed a model."""

    source: ClassVar[str] = "steward.registry"
    by: str
    note: str
    at: str
