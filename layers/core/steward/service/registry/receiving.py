"""A version that the environment before offers: fetched by digest, judged, registered, answered.

The event is a claim. What counts is what this role can read in the sender's account, and each
byte of it is compared with the digest of the manifest that the offer names.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from steward.contracts.events import OfferAnswered, VersionOffered
from steward.contracts.registry import ImportVersion, NamedFile
from steward.domain.errors import (
    AccessDeniedError,
    EvidenceIncompleteError,
    NotAuthorizedError,
    RejectedError,
)
from steward.domain.offers import (
    MAX_TERMS_BYTES,
    TERMS,
    Neighbour,
    Terms,
    check_export_folder,
    parse_terms,
)
from steward.domain.version_archive import (
    MANIFEST,
    MAX_JSON_BYTES,
    MAX_MANIFEST_BYTES,
    MAX_MODEL_BYTES,
    MODEL,
    Manifest,
    import_digest,
    import_uri,
    parse_manifest,
)
from steward.ports import Absent, ModelRegistry, ObjectStore, Put, Table
from steward.service.emission import Cause, event
from steward.service.registry.imports import ImportPorts, configured_project, import_promoted

if TYPE_CHECKING:
    from steward.contracts.incoming import Received

_PACKAGE = re.compile(r"^arn:aws[a-z-]*:sagemaker:([a-z0-9-]+):(\d{12}):model-package/[\w-]+/\d+$")


@dataclass(frozen=True)
class ReceivePorts:
    """What receiving needs from outside.

    Attributes:
        imports: Of the import that it ends in.
        registry_in: SageMaker Model Registry of a region.
        account: The own one: exports for it lie in a folder of that name.
        origin: The environment before; None where no version comes from elsewhere.
    """

    imports: ImportPorts
    registry_in: Callable[[str], ModelRegistry]
    account: str
    origin: Neighbour | None


def receive_offer(received: Received, ports: ReceivePorts) -> dict[str, Any]:
    """Take or refuse what is offered, and answer; the same offer gets the same answer again.

    Raises:
        NotAuthorizedError: It comes from another account than the environment before: whoever
            that is gets no answer.
    """
    offer, meta = received.detail, received.own
    assert isinstance(offer, VersionOffered)
    origin = ports.origin
    if origin is None or received.account != origin.account:
        raise NotAuthorizedError(
            f"account {received.account} may offer nothing here", field="account",
            value=received.account, allowed=origin.account if origin else "none",
        )  # fmt: skip
    state, clock, ids = ports.imports.state, ports.imports.clock, ports.imports.ids
    cause = Cause(meta.project, meta.correlation_id, received.id)
    key = {"project": meta.project, "item": f"answer#{offer.offer_id}"}
    known = state.get(Table.VERSIONS, key)
    if known is not None:
        answer = OfferAnswered.model_validate(known["answer"])
        state.commit([], [event(answer, cause, clock, ids)])
        return {"again": True, **answer.model_dump(exclude_none=True)}
    answer = _answer(received, offer, ports)
    kept = {
        **key, "answer": answer.model_dump(mode="json"), "account": origin.account,
        "at": clock.now().isoformat(timespec="milliseconds"),
    }  # fmt: skip
    told = event(answer, cause, clock, ids)
    state.commit([Put(Table.VERSIONS, kept, (Absent(),))], [told])
    return answer.model_dump(exclude_none=True)


def _answer(received: Received, offer: VersionOffered, ports: ReceivePorts) -> OfferAnswered:
    about = {"version": offer.version, "offer_id": offer.offer_id}
    environment = ports.imports.environment
    try:
        became = _take(received, offer, ports)
    except RejectedError as refused:
        return OfferAnswered(
            **about, environment=offer.environment, error=type(refused).__name__,
            field=refused.field, message=refused.message,
        )  # fmt: skip
    return OfferAnswered(**about, environment=environment, became=became)


def _take(received: Received, offer: VersionOffered, ports: ReceivePorts) -> int:
    project, by, environment = received.own.project, received.own.actor, ports.imports.environment
    if offer.environment != environment:
        raise RejectedError(
            f"this environment is {environment}, not {offer.environment}", field="environment",
            value=offer.environment, allowed=environment,
        )  # fmt: skip
    if not by.startswith(f"{received.account}/"):
        raise NotAuthorizedError(
            f"{by!r} is nobody of account {received.account}", field="actor", value=by,
            allowed=f"{received.account}/NAME",
        )  # fmt: skip
    configured_project(project, ports.imports.state)
    _check_approved_there(offer, received.account, ports)
    check_export_folder(offer.export_uri, ports.account, project, offer.export_digest)
    objects = ports.imports.objects
    try:
        manifest = _manifest(received, offer, objects)
        terms = _terms(offer, objects)
        request = _fetch(manifest, offer, project, ports)
    except AccessDeniedError as denied:
        raise NotAuthorizedError(
            f"{offer.export_uri} may not be read, or is gone: {denied}", field="export_uri",
            value=offer.export_uri, allowed="what the sender's bucket and key let us read",
        ) from None  # fmt: skip
    return import_promoted(request, terms, by=by, ports=ports.imports).version


def _check_approved_there(offer: VersionOffered, account: str, ports: ReceivePorts) -> None:
    """Raise unless the registry of the account that offers says that the version is approved."""
    arn = offer.model_package_arn
    found = _PACKAGE.match(arn)
    if found is None or found[2] != account:
        raise RejectedError(
            f"{arn!r} is no model package of account {account}", field="model_package_arn",
            value=arn, allowed=f"a model package of account {account}",
        )  # fmt: skip
    try:
        status = str(ports.registry_in(found[1]).describe(arn).get("ModelApprovalStatus"))
    except (AccessDeniedError, RejectedError) as denied:
        raise NotAuthorizedError(
            f"{arn} may not be described, or is gone: {denied}", field="model_package_arn",
            value=arn, allowed="a model package group shared by `steward project add` there",
        ) from None  # fmt: skip
    if status != "Approved":
        raise RejectedError(
            f"the registry there says {status} of {arn}", field="model_package_arn",
            value=status, allowed="Approved",
        )  # fmt: skip


def _manifest(received: Received, offer: VersionOffered, objects: ObjectStore) -> Manifest:
    content = _small(
        objects, f"{offer.export_uri}/{MANIFEST}", offer.export_digest, MAX_MANIFEST_BYTES
    )
    manifest = parse_manifest(content)
    found = (manifest.source.account, manifest.source.project, manifest.source.version)
    named = (received.account, received.own.project, offer.version)
    for field, one, other in zip(("account", "project", "version"), found, named, strict=True):
        if one != other:
            raise EvidenceIncompleteError(
                f"the manifest is of {field} {one}, the offer of {other}",
                field=f"source.{field}", value=one, allowed=str(other),
            )  # fmt: skip
    return manifest


def _terms(offer: VersionOffered, objects: ObjectStore) -> Terms:
    uri = f"{offer.export_uri}/{TERMS}"
    return parse_terms(_small(objects, uri, offer.terms_digest, MAX_TERMS_BYTES))


def _small(objects: ObjectStore, uri: str, digest: str, most: int) -> bytes:
    """Return a document that is not larger than it may be and is what its digest says."""
    import hashlib

    name = uri.rpartition("/")[2]
    _sized(objects, uri, most)
    content = objects.read(uri)
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise EvidenceIncompleteError(
            f"{name} is not what was offered", field=name, value=found, allowed=digest
        )
    return content


def _sized(objects: ObjectStore, uri: str, most: int, exactly: int | None = None) -> None:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    name, info = key.rpartition("/")[2], objects.describe(bucket, key)
    wanted = f"at most {most} bytes" if exactly is None else f"{exactly} bytes, at most {most}"
    if info is None or info.size > most or exactly not in (None, info.size):
        raise EvidenceIncompleteError(
            f"{name} is not in {uri.rpartition('/')[0]}, or not of its size", field=name,
            value=info.size if info else None, allowed=wanted,
        )  # fmt: skip


def _fetch(
    manifest: Manifest, offer: VersionOffered, project: str, ports: ReceivePorts
) -> ImportVersion:
    """Copy each member into this account, where the import reads and hashes it again."""
    objects, bucket = ports.imports.objects, ports.imports.artifacts_bucket
    named = [NamedFile(name=member.name, sha256=member.sha256) for member in manifest.members]
    named.append(NamedFile(name=MANIFEST, sha256=offer.export_digest))
    request = ImportVersion(project=project, members=named)
    digest = import_digest(named)
    for member in manifest.members:
        most = MAX_MODEL_BYTES if member.name == MODEL else MAX_JSON_BYTES
        _sized(objects, f"{offer.export_uri}/{member.name}", most, member.size)
    for name in [member.name for member in named]:
        objects.copy(f"{offer.export_uri}/{name}", import_uri(bucket, project, digest, name))
    return request
