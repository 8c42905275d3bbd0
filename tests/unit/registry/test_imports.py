"""Importing: files from elsewhere become a version through the same evidence path."""

from __future__ import annotations

import io
import json
import tarfile
from typing import Any

import pytest

from steward.contracts.registry import ImportVersion, NamedFile
from steward.domain.errors import (
    EvidenceIncompleteError,
    NotAuthorizedError,
    ProjectNotFoundError,
    RejectedError,
)
from steward.domain.version_archive import Manifest, Member, Source, import_digest, import_uri
from steward.ports import Table
from steward.service.registry.imports import ImportPorts, import_version
from support.registry_scene import BUCKET, CONFIG, PROJECT, Scene, evaluation, session, user

IMAGE = "local/steward-jobs@sha256:" + "1" * 64
EVALUATION = json.dumps(evaluation(champion=False)).encode()
EXAMPLES = b'{"cases": []}'


def model(name: str = "model.json") -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo(name))
    return out.getvalue()


MODEL = model()


class Image:
    def uri(self) -> str:
        return IMAGE


class Importing:
    """A registry into which files are imported."""

    def __init__(self) -> None:
        self.scene = Scene()
        self.scene.state.put(Table.PROJECTS, {"project": PROJECT, "config": CONFIG})

    def upload(self, files: dict[str, bytes]) -> ImportVersion:
        """Put files where an import finds them; return the request."""
        named = {
            name: self.scene.objects.write(f"s3://{BUCKET}/given/{name}", content)
            for name, content in files.items()
        }
        request = ImportVersion(
            project=PROJECT,
            members=[NamedFile(name=name, sha256=digest) for name, digest in named.items()],
        )
        digest = import_digest(request.members)
        for name, content in files.items():
            self.scene.objects.write(import_uri(BUCKET, PROJECT, digest, name), content)
        return request

    def register(self, request: ImportVersion, caller: str = user("tess")) -> int:
        scene = self.scene
        return import_version(
            request, caller_arn=caller, person_roles=frozenset({"Approver"}),
            ports=ImportPorts(
                state=scene.state, objects=scene.objects, registry=scene.registry,
                job_image=Image(), clock=scene.clock, ids=scene.ids, environment="dev",
                data_bucket="data", artifacts_bucket=BUCKET,
            ),
        ).version  # fmt: skip

    def evidence(self, version: int = 1) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            self.scene.objects.read(self.scene.item(version)["evidence_uri"])
        )
        return found


OWN = {"model.tar.gz": MODEL, "evaluation.json": EVALUATION, "examples.json": EXAMPLES}


def archived(**changes: bytes) -> dict[str, bytes]:
    """Return the files of an archive that another account has exported."""
    files = {**OWN, "dataset_manifest.json": b'{"rows": 300}', "baseline.json": b"{}", **changes}
    objects = Scene().objects

    def digest(name: str) -> str:
        return objects.write(f"s3://x/{name}", files[name])

    def part(name: str) -> dict[str, str]:
        return {"uri": f"s3://theirs/{name}", "sha256": digest(name)}

    files["evidence.json"] = json.dumps(
        {
            "artifact": part("model.tar.gz"), "evaluation": part("evaluation.json"),
            "baseline": part("baseline.json"),
            "dataset": {"dataset_id": "d7", "manifest": part("dataset_manifest.json")},
            "approvals": [{"identity": "222222222222/zoe", "decision": "approve"}],
        }
    ).encode()  # fmt: skip
    members = [
        Member(name=name, size=len(content), sha256=digest(name))
        for name, content in sorted(files.items())
    ]
    source = Source(
        account="222222222222", region="eu-west-1", environment="prod", project="diabetes",
        version=7, author="222222222222/zoe", job_image="theirs@sha256:2", code_digest="c" * 64,
        evidence_digest=digest("evidence.json"),
    )  # fmt: skip
    manifest = Manifest(source=source, members=members, missing=["bias.json"])
    return {**files, "manifest.json": manifest.content()}


def test_an_own_model_waits_for_its_staging_with_its_bringer_as_author() -> None:
    importing = Importing()
    version = importing.register(importing.upload(OWN))
    item = importing.scene.item(version)
    assert (item["state"], item["author"]) == ("registered", "000000000000/tess")
    assert item["job_image"] == IMAGE
    assert item["approvals"] == []
    assert importing.scene.package(version)["ModelApprovalStatus"] == "PendingManualApproval"
    assert len(importing.scene.state.named("VersionRegistered")) == 1


def test_what_nothing_shows_stays_unproven_in_the_evidence() -> None:
    importing = Importing()
    importing.scene.stage(importing.register(importing.upload(OWN)))
    evidence = importing.evidence()
    assert evidence["dataset"] is None
    assert evidence["code_digest"] == "unproven"
    assert evidence["comparison"] is None
    assert evidence["gate"]["verdict"] == "not_judged"
    assert evidence["imported"]["unproven"] == ["code", "dataset", "comparison", "gate"]
    assert importing.scene.item()["state"] == "pending"


def test_the_bringer_may_not_approve_and_another_may() -> None:
    importing = Importing()
    request = importing.scene.stage(importing.register(importing.upload(OWN)))
    with pytest.raises(NotAuthorizedError, match="author"):
        importing.scene.decide(user("tess"), request.evidence_digest)
    importing.scene.decide(user("ana"), request.evidence_digest)
    assert importing.scene.item()["state"] == "approved"


def test_a_role_that_proves_no_person_needs_two_approvers() -> None:
    importing = Importing()
    importing.register(importing.upload(OWN), session("Pipeline", "tess"))
    assert (importing.scene.item()["author"], importing.scene.item()["quorum"]) == ("unknown", 2)


def test_an_archive_keeps_its_provenance_and_no_approval() -> None:
    importing = Importing()
    files = archived()
    importing.scene.stage(importing.register(importing.upload(files)))
    imported, item = importing.evidence()["imported"], importing.scene.item()
    assert imported["source"]["account"] == "222222222222"
    assert imported["source"]["author"] == "222222222222/zoe"
    digest = importing.scene.objects.write("s3://x/manifest", files["manifest.json"])
    assert imported["export_digest"] == digest
    assert imported["unproven"] == ["comparison", "gate"]
    assert importing.evidence()["dataset"]["dataset_id"] == "d7"
    assert importing.evidence()["baseline"] is not None
    assert (item["approvals"], item["author"]) == ([], "000000000000/tess")
    assert item["state"] == "pending"


def test_the_same_files_twice_are_one_version() -> None:
    importing = Importing()
    request = importing.upload(OWN)
    assert importing.register(request) == importing.register(request) == 1
    assert len(importing.scene.registry.packages) == 1


def test_a_crash_between_package_and_record_is_healed_by_the_next_try() -> None:
    importing = Importing()
    request = importing.upload(OWN)
    lost = [None]

    def crash() -> None:
        lost.pop()
        raise ConnectionError

    importing.scene.state.before_commit = [lambda: None, lambda: None, crash]
    with pytest.raises(ConnectionError):
        importing.register(request)
    assert len(importing.scene.registry.packages) == 1
    assert importing.register(request) == 1
    assert len(importing.scene.registry.packages) == 1


@pytest.mark.parametrize("name", ["model.tar.gz", "evaluation.json", "examples.json"])
def test_a_file_that_changed_after_it_was_named_is_refused(name: str) -> None:
    importing = Importing()
    request = importing.upload(OWN)
    uri = import_uri(BUCKET, PROJECT, import_digest(request.members), name)
    importing.scene.objects.write(uri, b"other")
    with pytest.raises(EvidenceIncompleteError, match=name):
        importing.register(request)
    assert importing.scene.registry.packages == {}


@pytest.mark.parametrize(
    "files",
    [
        {"evaluation.json": EVALUATION},
        {"model.tar.gz": MODEL},
        {**OWN, "evaluation.json": b"[]"},
        {**OWN, "evaluation.json": b'{"rows": "many"}'},
        {**OWN, "evil.sh": b"rm"},
        {**OWN, "model.tar.gz": b"not gzip"},
        {**OWN, "model.tar.gz": model("../../etc/cron.d/evil")},
        {name: content for name, content in archived().items() if name != "evidence.json"},
        {**archived(), "evaluation.json": EVALUATION + b" "},
        {**archived(), "manifest.json": b"{}"},
        {**archived(), "evidence.json": b"{}"},
    ],
    ids=["no-model", "no-evaluation", "list", "not-a-number", "unknown", "not-gzip", "traversal",
         "no-evidence", "other-evaluation", "no-manifest", "other-evidence"],
)  # fmt: skip
def test_files_that_do_not_fit_register_nothing(files: dict[str, bytes]) -> None:
    importing = Importing()
    with pytest.raises(RejectedError):
        importing.register(importing.upload(files))
    assert importing.scene.registry.packages == {}
    assert importing.scene.state.query(Table.RUNS, PROJECT) == []


def test_the_newest_recorded_examples_serve_where_none_are_brought() -> None:
    importing = Importing()
    files = {name: content for name, content in OWN.items() if name != "examples.json"}
    with pytest.raises(EvidenceIncompleteError, match="no recorded examples"):
        importing.register(importing.upload(files))
    importing.scene.register()
    importing.scene.objects.write(f"s3://data/datasets/{PROJECT}/d1/examples.json", b'{"a": 1}')
    version = importing.register(importing.upload(files))
    folder = importing.scene.item(version)["manifest_uri"].rpartition("/")[0]
    assert importing.scene.objects.read(f"{folder}/examples.json") == b'{"a": 1}'


def test_an_unknown_project_is_refused() -> None:
    importing = Importing()
    request = importing.upload(OWN).model_copy(update={"project": "nobody"})
    with pytest.raises(ProjectNotFoundError):
        importing.register(request)
