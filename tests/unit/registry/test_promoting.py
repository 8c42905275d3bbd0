"""From one environment to the next: whose version, by whom, under which policy."""

from __future__ import annotations

import json
from typing import Any

import pytest

from steward.contracts.registry import ImportVersion, Promotion, RecordExport
from steward.domain.errors import EvidenceIncompleteError, NotAuthorizedError, RejectedError
from steward.domain.policy.in_force import pinned
from steward.domain.policy.platform import platform_policy
from steward.domain.project import parse_project
from steward.domain.version_archive import (
    Manifest,
    Member,
    Source,
    import_digest,
    import_uri,
)
from steward.ports import Table
from steward.service.registry.changes import change_version
from steward.service.registry.imports import ImportPorts, import_version
from steward.service.registry.promoting import Trust
from support.registry_scene import BUCKET, CONFIG, PROJECT, Scene, user
from unit.registry.test_imports import IMAGE, OWN, Image, Importing

DEV, HERE = "222222222222", "000000000000"
AUTHOR, APPROVER = f"{DEV}/tess", f"{DEV}/ada"
ROLE = "steward-prod-PromotionRole"
BY = f"arn:aws:sts::{HERE}:assumed-role/{ROLE}/{DEV}-zoe"
TRUST = Trust(frozenset({DEV}), ROLE)
POLICY = pinned(platform_policy(), "platform", parse_project(CONFIG)).model_dump(mode="json")


class Promoting(Importing):
    """An environment to which a version is promoted."""

    def request(self, *, policy: dict[str, Any] = POLICY, **about: Any) -> ImportVersion:
        files = {**OWN, "dataset_manifest.json": b'{"rows": 300}', "baseline.json": b"{}"}
        objects = Scene().objects
        part = {n: {"uri": f"s3://x/{n}", "sha256": objects.write(f"s3://x/{n}", c)}
                for n, c in files.items()}  # fmt: skip
        named = {k: policy[k] for k in ("name", "digest", "tier")}
        evidence = {
            "artifact": part["model.tar.gz"], "evaluation": part["evaluation.json"],
            "baseline": part["baseline.json"], "gate": {"verdict": "pass", "policy": named},
            "dataset": {"dataset_id": "d7", "manifest": part["dataset_manifest.json"]},
        }  # fmt: skip
        files["evidence.json"] = json.dumps(evidence).encode()
        digests = {n: objects.write(f"s3://x/{n}", c) for n, c in files.items()}
        members = [Member(name=n, size=len(c), sha256=digests[n])
                   for n, c in sorted(files.items())]  # fmt: skip
        source = Source(**{
            "account": DEV, "region": "us-east-1", "environment": "dev", "project": "credit",
            "version": 3, "author": AUTHOR, "job_image": IMAGE, "code_digest": "c" * 64,
            "evidence_digest": digests["evidence.json"], **about.pop("source", {}),
        })  # fmt: skip
        files["manifest.json"] = Manifest(source=source, members=members, missing=[]).content()
        told = Promotion(**{"approvers": [AUTHOR, APPROVER], "policy": policy, **about})
        return self.upload(files).model_copy(update={"promotion": told})

    def promote(self, request: ImportVersion, caller: str = BY, trust: Trust = TRUST) -> int:
        scene = self.scene
        return import_version(
            request, caller_arn=caller, person_roles=frozenset({"Approver"}),
            ports=ImportPorts(
                state=scene.state, objects=scene.objects, registry=scene.registry,
                job_image=Image(), clock=scene.clock, ids=scene.ids, environment="prod",
                data_bucket="data", artifacts_bucket=BUCKET, trust=trust,
            ),
        ).version  # fmt: skip


@pytest.fixture
def goal() -> Promoting:
    return Promoting()


def test_a_promotion_keeps_artifact_author_and_who_approved(goal: Promoting) -> None:
    request = goal.request()
    assert goal.promote(request) == goal.promote(request) == 1
    item = goal.scene.item(1)
    assert (item["author"], item["trainer"]) == (AUTHOR, f"{DEV}/zoe")
    assert item["state"] == "registered"
    assert item["approvals"] == []
    assert item["imported"]["approvers"] == [APPROVER]
    assert item["imported"]["promoted_by"] == f"{DEV}/zoe"
    assert "image" not in item["imported"]["unproven"]
    artifact = goal.scene.objects.read(item["artifact_uri"])
    assert artifact == OWN["model.tar.gz"]
    told: Any = goal.scene.state.named("VersionImported")
    assert [one.data.approvers for one in told] == [[APPROVER]]
    assert told[0].data.origin["account"] == DEV


def test_what_was_promoted_can_be_promoted_again(goal: Promoting) -> None:
    goal.promote(goal.request())
    item = goal.scene.item(1)
    assert item["policy"]["digest"] == item["gate"]["policy"]["digest"] == POLICY["digest"]


def test_another_image_is_named_as_unproven(goal: Promoting) -> None:
    goal.promote(goal.request(source={"job_image": "local/x@sha256:" + "2" * 64}))
    assert "image" in goal.scene.item(1)["imported"]["unproven"]


@pytest.mark.parametrize(
    ("caller", "trust"),
    [
        (BY, Trust(frozenset(), ROLE)),
        (BY, Trust(frozenset({DEV}), "")),
        (BY.replace(f"{DEV}-zoe", "333333333333-zoe"), TRUST),
        (BY.replace(ROLE, "Other"), TRUST),
        (user("tess"), TRUST),
    ],
    ids=["not trusted", "no role", "another account's session", "another role", "a user here"],
)
def test_a_version_comes_only_from_the_trusted_account_that_brings_it(
    goal: Promoting, caller: str, trust: Trust
) -> None:
    with pytest.raises(NotAuthorizedError) as refused:
        goal.promote(goal.request(), caller, trust)
    assert (refused.value.field, refused.value.value) == ("source.account", DEV)


def test_between_two_stacks_of_one_account_a_person_brings_it(goal: Promoting) -> None:
    goal.promote(goal.request(source={"account": HERE}), user("zoe"), Trust())
    assert goal.scene.item(1)["trainer"] == f"{HERE}/zoe"


def test_a_stricter_policy_here_refuses_with_its_key(goal: Promoting) -> None:
    document = platform_policy().model_dump(mode="json", exclude_none=True)
    for tier in document["tiers"].values():
        tier["quorum"] = 3
    goal.scene.state.put(
        Table.VERSIONS, {"project": "#organisation", "item": "policy", "document": document}
    )
    with pytest.raises(RejectedError) as refused:
        goal.promote(goal.request())
    assert refused.value.field == "policy.quorum"
    assert "stricter" in str(refused.value)


def test_a_policy_that_the_evidence_does_not_name_is_refused(goal: Promoting) -> None:
    looser = json.loads(json.dumps(POLICY))
    looser["requirements"]["quorum"] = 9
    request = goal.request()
    assert request.promotion is not None
    forged = request.promotion.model_copy(update={"policy": looser})
    with pytest.raises(EvidenceIncompleteError, match="not the one that the evidence names"):
        goal.promote(request.model_copy(update={"promotion": forged}))


def test_an_artifact_of_another_digest_is_refused(goal: Promoting) -> None:
    request = goal.request()
    digest = next(m for m in request.members if m.name == "model.tar.gz").sha256
    uri = import_uri(BUCKET, PROJECT, import_digest(request.members), "model.tar.gz")
    goal.scene.objects.write(uri, b"another model")
    with pytest.raises(EvidenceIncompleteError) as refused:
        goal.promote(request)
    assert (refused.value.field, refused.value.allowed) == ("model.tar.gz", digest)


def test_files_that_are_no_archive_are_no_promotion(goal: Promoting) -> None:
    told = Promotion(approvers=[APPROVER], policy=POLICY)
    with pytest.raises(EvidenceIncompleteError, match="only an archive"):
        goal.promote(goal.upload(dict(OWN)).model_copy(update={"promotion": told}))


def test_the_authors_own_approval_is_none(goal: Promoting) -> None:
    with pytest.raises(RejectedError) as refused:
        goal.promote(goal.request(approvers=[AUTHOR.upper()]))
    assert refused.value.field == "promotion.approvers"


def test_an_export_is_recorded_once_with_who_had_approved() -> None:
    scene = Scene()
    digest = scene.pending().evidence_digest
    request = RecordExport(
        action="exported", project=PROJECT, version=1, environment="prod", account=HERE, became=7,
        export_digest="e" * 64,
    )  # fmt: skip

    def record() -> bool:
        return bool(change_version(
            request, actor=f"{DEV}/zoe", request_id="r1", state=scene.state, clock=scene.clock,
            ids=scene.ids,
        )["recorded"])  # fmt: skip

    with pytest.raises(RejectedError, match="never approved"):
        record()
    scene.decide(user("ada"), digest)
    assert (record(), record()) == (True, False)
    [told] = scene.state.named("VersionExported")
    assert (told.data.became, told.data.approvers) == (7, ["000000000000/ada"])  # type: ignore[attr-defined]
