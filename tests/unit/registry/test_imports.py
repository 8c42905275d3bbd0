"""Importing: files from elsewhere become a version through the same evidence path."""

from __future__ import annotations

import hashlib
import json

import pytest

from steward.contracts.waivers import GrantWaiver
from steward.domain.errors import (
    EvidenceIncompleteError,
    NotAuthorizedError,
    ProjectNotFoundError,
    RejectedError,
)
from steward.domain.version_archive import Manifest, Member, Source, import_digest, import_uri
from steward.ports import Table
from steward.service.governance.replay import replay_version
from steward.service.registry.cards import frozen_card
from steward.service.registry.waiving import Signed, grant_waiver
from support.card_scene import bias, explanation
from support.import_scene import EVALUATION, IMAGE, MODEL, OWN, Importing, model
from support.registry_scene import BUCKET, CONFIG, PROJECT, Scene, session, user


def archived(**beside: bytes) -> dict[str, bytes]:
    """Return the files of an archive that another account has exported, some parts beside."""
    named = {f"{name}.json": content for name, content in beside.items()}
    files = {**OWN, "dataset_manifest.json": b'{"rows": 300}', "baseline.json": b"{}", **named}
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
            **{name: part(f"{name}.json") for name in beside},
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
    [run] = importing.scene.state.query(Table.RUNS, PROJECT)
    assert (run["run_id"], run["trigger"]) == (item["run_id"], {"kind": "import"})


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


def measured(*verdicts: dict[str, str]) -> bytes:
    """Return a ``bias.json`` with what the bounds of its own project concluded."""
    return json.dumps(
        {**bias(), "facets": [{**bias()["facets"][0], "verdicts": list(verdicts)}]}
    ).encode()


EXPLAINED = json.dumps(explanation()).encode()
FAIR = {"metric": "DPL", "verdict": "pass", "reason": "DPL is within"}
UNFAIR = {"metric": "DPL", "verdict": "fail", "reason": "DPL is outside"}


def test_bias_and_explanation_of_an_archive_are_evidence_of_the_new_version() -> None:
    importing = Importing()
    files = archived(bias=measured(FAIR), explanation=EXPLAINED, card=b'{"project": "theirs"}')
    importing.scene.stage(importing.register(importing.upload(files)))
    evidence, item = importing.evidence(), importing.scene.item()
    for name in ("bias", "explanation"):
        assert evidence[name]["sha256"] == hashlib.sha256(files[f"{name}.json"]).hexdigest()
        assert evidence[name]["uri"] == item[name]["uri"]
        assert "/evaluations/diabetes/import-" in evidence[name]["uri"]
        assert importing.scene.objects.read(evidence[name]["uri"]) == files[f"{name}.json"]
    rules = {rule["rule"]: rule["effect"] for rule in evidence["gate"]["rules"]}
    assert rules["bias.sex = 2.DPL"] == "pass"
    assert rules["explanation.additive"] == "pass"
    card = frozen_card(item, importing.scene.objects)
    assert card is not None
    assert {"bias", "explanation"} <= {source.name for source in card.sources}
    theirs = hashlib.sha256(files["card.json"]).hexdigest()
    assert evidence["imported"]["source"]["card_digest"] == theirs
    assert evidence["card"]["sha256"] != theirs


def test_what_the_policy_holds_of_an_archive_registers_nothing() -> None:
    importing = Importing()
    request = importing.upload(archived(bias=measured(UNFAIR)))
    with pytest.raises(RejectedError, match="DPL is outside") as refused:
        importing.register(request)
    assert refused.value.field == "bias.sex = 2.DPL"
    assert importing.scene.registry.packages == {}
    assert importing.scene.state.query(Table.RUNS, PROJECT) == []
    assert importing.scene.state.query(Table.VERSIONS, PROJECT) == []


def test_a_waiver_lets_an_archive_in_and_is_told() -> None:
    importing = Importing()
    scene = importing.scene
    asked = GrantWaiver(
        project=PROJECT,
        rule="bias.sex = 2.DPL",
        reason="the study is small until May",
        lifetime_s=86_400,
    )
    grant_waiver(
        asked, Signed(user("ana"), "r"), state=scene.state, clock=scene.clock,
        ids=scene.ids,
    )  # fmt: skip
    version = importing.register(importing.upload(archived(bias=measured(UNFAIR))))
    (rule,) = (r for r in scene.item(version)["gate"]["rules"] if r["rule"].startswith("bias"))
    assert rule["waived_by"] == scene.item(version)["gate"]["waivers"][0]


def test_doubt_in_what_was_brought_and_required_evidence_that_did_not_come_need_two() -> None:
    importing = Importing()
    doubt = {"metric": "DPL", "verdict": "inconclusive", "reason": "too few rows"}
    version = importing.register(importing.upload(archived(bias=measured(doubt))))
    assert importing.scene.item(version)["quorum"] == 2
    strict = Importing()
    config = {**CONFIG, "policy": {"evidence": ["evaluation", "comparison", "baseline", "bias"]}}
    strict.scene.state.put(Table.PROJECTS, {"project": PROJECT, "config": config})
    item = strict.scene.item(strict.register(strict.upload(archived())))
    assert item["quorum"] == 2
    assert any("did not come with the import" in reason for reason in item["gate"]["reasons"])


def test_an_import_is_judged_by_the_policy_in_force_and_replayed() -> None:
    importing = Importing()
    asked = {
        "evidence": ["evaluation", "comparison", "baseline", "explanation"],
        "explanation": {"minimum_rows": 1000},
    }
    config = {**CONFIG, "policy": asked}
    importing.scene.state.put(Table.PROJECTS, {"project": PROJECT, "config": config})
    request = importing.upload(archived(explanation=EXPLAINED))
    with pytest.raises(RejectedError, match="64 rows were explained"):
        importing.register(request)
    importing.scene.state.put(Table.PROJECTS, {"project": PROJECT, "config": CONFIG})
    version = importing.register(request)
    item = importing.scene.item(version)
    (gate,) = replay_version(item, importing.scene.objects)
    assert (gate.agrees, gate.recomputed) == (True, "not_judged"), gate.differences
    importing.scene.objects.write(item["explanation"]["uri"], b"{}")
    (gate,) = replay_version(item, importing.scene.objects)
    assert "explanation evidence" in gate.differences[0]


@pytest.mark.parametrize(
    "beside", [{"bias": b"{}"}, {"bias": b'{"facets": 1}'}, {"explanation": b"[1]"},
               {"explanation": b'{"features": [{}]}'}]
)  # fmt: skip
def test_bias_and_explanation_that_cannot_be_read_register_nothing(
    beside: dict[str, bytes],
) -> None:
    importing = Importing()
    with pytest.raises(EvidenceIncompleteError):
        importing.register(importing.upload(archived(**beside)))
    assert importing.scene.registry.packages == {}


def test_bias_that_is_not_what_the_archives_evidence_names_is_refused() -> None:
    importing = Importing()
    files = archived(bias=measured(UNFAIR))
    swapped = {**files, "bias.json": measured(FAIR)}
    with pytest.raises(EvidenceIncompleteError):
        importing.register(importing.upload(swapped))
    assert importing.scene.registry.packages == {}


def test_bias_beside_a_single_artifact_is_left_as_nothing_names_it() -> None:
    importing = Importing()
    version = importing.register(importing.upload({**OWN, "bias.json": measured(FAIR)}))
    assert importing.scene.item(version).get("bias") is None
