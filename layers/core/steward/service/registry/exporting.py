"""What a version's export holds, and where each member lies."""

from __future__ import annotations

import json
from dataclasses import dataclass

from steward.domain.errors import EvidenceIncompleteError
from steward.domain.version_archive import (
    EVIDENCE,
    EXAMPLES,
    MEMBERS,
    Manifest,
    Member,
    Source,
    named_parts,
)
from steward.ports import Item, ObjectStore


@dataclass(frozen=True)
class Exporter:
    """Where a version is exported from."""

    account: str
    region: str
    environment: str


def describe_export(
    item: Item, objects: ObjectStore, exporter: Exporter
) -> tuple[Manifest, dict[str, str]]:
    """Return the manifest of a version's export and the URI of each member.

    Raises:
        EvidenceIncompleteError: Nothing is frozen yet, or something changed since.
    """
    project, version = str(item["project"]), int(item["version"])
    if not item.get("evidence_digest"):
        raise EvidenceIncompleteError(
            f"{project} {version} is {item['state']}: its evidence is not frozen",
            field="state", value=item["state"], allowed="a version that was staged",
        )  # fmt: skip
    parts = named_parts(json.loads(objects.read(item["evidence_uri"])))
    uris = {name: part["uri"] for name, part in parts.items()}
    digests = {name: part["sha256"] for name, part in parts.items()}
    uris[EVIDENCE], digests[EVIDENCE] = str(item["evidence_uri"]), str(item["evidence_digest"])
    uris[EXAMPLES] = f"{item['manifest_uri'].rpartition('/')[0]}/examples.json"
    members = [_member(objects, name, uri, digests.get(name)) for name, uri in sorted(uris.items())]
    source = Source(
        account=exporter.account, region=exporter.region, environment=exporter.environment,
        project=project, version=version, author=str(item["author"]),
        job_image=str(item["job_image"]), code_digest=str(item["code_digest"]),
        evidence_digest=str(item["evidence_digest"]),
    )  # fmt: skip
    missing = sorted(MEMBERS - set(uris))
    return Manifest(source=source, members=members, missing=missing), uris


def _member(objects: ObjectStore, name: str, uri: str, wanted: str | None) -> Member:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    info, found = objects.describe(bucket, key), objects.sha256(bucket, key)
    if info is None or found != (wanted or found):
        raise EvidenceIncompleteError(
            f"{uri} changed since the evidence was frozen", field=name, value=found, allowed=wanted
        )
    return Member(name=name, size=info.size, sha256=found)
