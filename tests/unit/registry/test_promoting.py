"""From one environment to the next: offered, fetched by digest, judged, answered, recorded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from steward.domain.errors import (
    ConflictError,
    EvidenceIncompleteError,
    NotAuthorizedError,
    RejectedError,
)
from steward.domain.offers import (
    TERMS,
    Neighbour,
    Terms,
    check_export_folder,
    choose,
    neighbour,
    neighbours,
    parse_terms,
)
from steward.domain.policy.platform import platform_policy
from steward.domain.version_archive import MAX_JSON_BYTES
from steward.ports import Delete, Table
from support.import_scene import IMAGE, MODEL
from support.promotion_scene import (
    APPROVER,
    AUTHOR,
    BY,
    DEV,
    EXPORTS,
    PACKAGE,
    POLICY,
    PROD,
    PROD_BUS,
    Crossing,
)
from support.registry_scene import CONFIG, PROJECT, Scene

STRANGER = "333333333333"


@pytest.fixture
def two() -> Crossing:
    return Crossing()


def refusal(two: Crossing, **changes: Any) -> tuple[str | None, str | None]:
    """Offer, let it arrive, and return error and field of the answer; nothing is registered."""
    two.offer()
    answer = two.arrives(**changes)
    assert "became" not in answer
    assert two.prod.state.query(Table.VERSIONS, PROJECT, prefix="version#") == []
    return answer.get("error"), answer.get("field")


def test_the_same_artifact_arrives_with_its_author_and_who_approved(two: Crossing) -> None:
    found = two.promoted()
    assert (found["recorded"], found["status"], found["became"]) == (True, "received", 1)
    item = two.prod.item(1)
    assert two.objects.read(item["artifact_uri"]) == MODEL
    assert (item["author"], item["trainer"]) == (AUTHOR, BY)
    assert (item["state"], item["approvals"]) == ("registered", [])
    assert item["imported"]["approvers"] == [APPROVER]
    assert item["imported"]["promoted_by"] == BY
    assert "image" not in item["imported"]["unproven"]
    assert item["policy"]["digest"] == item["gate"]["policy"]["digest"] == POLICY["digest"]


def test_both_environments_tell_of_it_under_one_correlation_id(two: Crossing) -> None:
    two.promoted()
    [imported] = two.prod.state.named("VersionImported")
    [exported] = two.dev.state.named("VersionExported")
    data: Any = exported.data
    assert (data.account, data.became, data.approvers) == (PROD, 1, [APPROVER])
    assert imported.data.approvers == [APPROVER]  # type: ignore[attr-defined]
    [answer] = two.prod.state.named("OfferAnswered")
    assert two.sent().meta.correlation_id == answer.meta.correlation_id == "run-1"
    assert two.sent().meta.actor == BY


def test_what_lies_ready_is_of_one_account_and_holds_terms_beside_the_export(
    two: Crossing,
) -> None:
    two.offer()
    assert two.folder().startswith(f"s3://{EXPORTS}/exports/{PROD}/{PROJECT}/")
    terms = parse_terms(two.objects.read(f"{two.folder()}/{TERMS}"))
    assert terms == Terms(approvers=[APPROVER], policy=POLICY)


def test_an_offer_that_comes_twice_is_one_version_with_one_answer(two: Crossing) -> None:
    two.offer()
    first, again = two.arrives(), two.arrives()
    assert again == {"again": True, **first}
    assert len(two.prod.state.query(Table.VERSIONS, PROJECT, prefix="version#")) == 1
    answers = two.prod.state.named("OfferAnswered")
    assert [one.data for one in answers] == [answers[0].data] * 2
    assert (two.answers()["recorded"], two.answers()["recorded"]) == (True, False)
    assert len(two.dev.state.named("VersionExported")) == 1


def test_a_lost_answer_is_mended_by_asking_again(two: Crossing) -> None:
    before = two.offer()
    two.arrives()
    again = two.offer()
    assert (again["status"], again["offer_id"]) == ("offered", before["offer_id"])
    two.arrives()
    assert two.answers()["became"] == 1
    assert two.offer()["status"] == "received"
    assert len(two.dev.state.named("VersionOffered")) == 2


def test_a_lost_race_of_two_deliveries_is_answered_the_same_next_time(two: Crossing) -> None:
    def first() -> None:
        two.arrives()

    two.offer()
    two.prod.state.before_commit += [lambda: None, lambda: None, first]
    with pytest.raises(ConflictError):
        two.arrives()
    assert two.arrives()["became"] == 1


def test_two_who_ask_at_once_make_one_offer(two: Crossing) -> None:
    def first() -> None:
        two.offer()

    two.dev.state.before_commit.append(first)
    with pytest.raises(ConflictError):
        two.offer()
    assert two.offer()["attempt"] == 1


def test_a_refusal_comes_back_and_asking_again_is_a_new_attempt(two: Crossing) -> None:
    two.objects.denied.add(EXPORTS)
    first = two.promoted()
    assert (first["status"], first["error"], first["field"]) == (
        "refused", "NotAuthorizedError", "export_uri",
    )  # fmt: skip
    [told] = two.dev.state.named("PromotionRefused")
    assert "may not be read" in told.data.message  # type: ignore[attr-defined]
    two.objects.denied.clear()
    late = two.prod.state.named("OfferAnswered")[0]
    assert two.offer()["attempt"] == 2
    assert two.answers(late)["recorded"] is False
    two.arrives()
    assert two.answers()["status"] == "received"


def test_an_old_offer_that_is_replayed_changes_nothing(two: Crossing) -> None:
    two.objects.denied.add(EXPORTS)
    two.promoted()
    old = two.sent()
    two.objects.denied.clear()
    two.promoted()
    assert two.arrives(old)["error"] == "NotAuthorizedError"
    assert two.answers()["recorded"] is False
    assert len(two.prod.state.query(Table.VERSIONS, PROJECT, prefix="version#")) == 1


def test_an_account_that_is_no_neighbour_gets_no_answer(two: Crossing) -> None:
    two.offer()
    with pytest.raises(NotAuthorizedError) as refused:
        two.arrives(account=STRANGER)
    assert (refused.value.field, refused.value.allowed) == ("account", DEV)
    two.arrives()
    with pytest.raises(NotAuthorizedError):
        two.answers(account=STRANGER)
    two.origin = None
    with pytest.raises(NotAuthorizedError):
        two.arrives()
    assert two.answers()["status"] == "received"


def test_a_manifest_of_a_third_account_is_refused(two: Crossing) -> None:
    two.origin = Neighbour("arn", STRANGER)
    two.offer(by=f"{STRANGER}/eve")
    theirs = PACKAGE.replace(DEV, STRANGER)
    two.dev.registry.packages[theirs] = {"ModelApprovalStatus": "Approved"}
    answer = two.arrives(account=STRANGER, model_package_arn=theirs)
    assert answer["field"] == "source.account"


def test_nobody_of_another_account_is_named_as_who_asks(two: Crossing) -> None:
    two.offer(by=f"{PROD}/ana")
    assert two.arrives()["field"] == "actor"


@pytest.mark.parametrize(
    "arn",
    [
        "",
        PACKAGE.replace(DEV, STRANGER),
        PACKAGE.replace("/3", "/4"),
        PACKAGE.replace("model-package", "endpoint"),
    ],
)
def test_the_registry_of_the_account_that_offers_must_know_the_version(
    two: Crossing, arn: str
) -> None:
    assert refusal(two, model_package_arn=arn)[1] == "model_package_arn"


def test_a_version_that_the_registry_there_does_not_call_approved_is_refused(
    two: Crossing,
) -> None:
    two.dev.registry.packages[PACKAGE]["ModelApprovalStatus"] = "Rejected"
    two.offer()
    answer = two.arrives()
    assert answer["message"] == f"the registry there says Rejected of {PACKAGE}"


@pytest.mark.parametrize(
    "uri",
    [
        f"s3://artifacts/exports/{STRANGER}/{PROJECT}/" + "0" * 64,
        "s3://artifacts/models/diabetes/secret",
        f"s3://artifacts/exports/{PROD}/{PROJECT}/../" + "0" * 64,
        f"s3:///exports/{PROD}/{PROJECT}/" + "0" * 64,
        f"https://evil/exports/{PROD}/{PROJECT}/" + "0" * 64,
    ],
)
def test_only_the_folder_for_this_account_is_read(two: Crossing, uri: str) -> None:
    assert refusal(two, export_uri=uri) == ("RejectedError", "export_uri")
    with pytest.raises(RejectedError):
        check_export_folder(uri, PROD, PROJECT, "0" * 64)


def test_bytes_that_changed_after_the_offer_are_refused(two: Crossing) -> None:
    two.offer()
    for name in ("model.tar.gz", "manifest.json", TERMS):
        crossing = Crossing()
        crossing.offer()
        uri = f"{crossing.folder()}/{name}"
        content = bytearray(crossing.objects.read(uri))
        content[-2] ^= 1
        crossing.objects.write(uri, bytes(content))
        answer = crossing.arrives()
        assert (answer["error"], answer["field"]) == ("EvidenceIncompleteError", name)


def test_a_file_that_changed_before_the_offer_is_not_offered(two: Crossing) -> None:
    two.objects.write("s3://artifacts-dev/artifact", b"another model")
    with pytest.raises(EvidenceIncompleteError, match="changed since the evidence was frozen"):
        two.offer()
    assert two.dev.state.named("VersionOffered") == []


def test_a_member_above_its_size_is_refused_before_it_is_copied(two: Crossing) -> None:
    two.offer()
    two.objects.write(f"{two.folder()}/evaluation.json", b"0" * (MAX_JSON_BYTES + 1))
    answer = two.arrives()
    assert answer["field"] == "evaluation.json"
    assert list(two.objects.list("artifacts", "imports/")) == []


def test_an_export_that_the_sender_removed_is_refused(two: Crossing) -> None:
    two.offer()
    for info in list(two.objects.versions(EXPORTS, "")):
        two.objects.remove(EXPORTS, info.key, str(info.version_id))
    assert two.arrives()["field"] == "manifest.json"


def test_another_environment_than_the_one_that_was_asked_for_is_refused(two: Crossing) -> None:
    two.offer("staging")
    answer = two.arrives()
    assert answer["message"] == "this environment is prod, not staging"
    assert two.answers()["status"] == "refused"


def test_a_project_that_is_not_declared_there_is_refused(two: Crossing) -> None:
    two.prod.state.commit([Delete(Table.PROJECTS, {"project": PROJECT})])
    assert refusal(two) == ("ProjectNotFoundError", "project")
    assert list(two.objects.list("artifacts", "imports/")) == []


def test_a_stricter_policy_there_refuses_with_its_key(two: Crossing) -> None:
    document = platform_policy().model_dump(mode="json", exclude_none=True)
    for tier in document["tiers"].values():
        tier["quorum"] = 3
    two.prod.state.put(
        Table.VERSIONS, {"project": "#organisation", "item": "policy", "document": document}
    )
    assert refusal(two) == ("RejectedError", "policy.quorum")


def test_a_policy_that_the_evidence_does_not_name_is_refused(two: Crossing) -> None:
    looser = json.loads(json.dumps(POLICY))
    looser["requirements"]["quorum"] = 9
    two.offer()
    digest = two.objects.write(
        f"{two.folder()}/{TERMS}", Terms(approvers=[APPROVER], policy=looser).content()
    )
    answer = two.arrives(terms_digest=digest)
    assert (answer["error"], answer["field"]) == ("EvidenceIncompleteError", "terms.policy")


def test_terms_of_another_shape_are_refused_with_their_field() -> None:
    with pytest.raises(RejectedError) as refused:
        parse_terms(b'{"approvers": [], "policy": {}}')
    assert refused.value.field == "terms.approvers"


def test_the_authors_own_approval_is_none(two: Crossing) -> None:
    item = two.dev.item(3)
    two.approved(approvals=[{**item["approvals"][0], "identity": AUTHOR.upper()}])
    assert refusal(two) == ("RejectedError", "terms.approvers")


def test_another_image_is_named_as_unproven(two: Crossing) -> None:
    two.approved(job_image=IMAGE.replace("1" * 64, "2" * 64))
    two.promoted()
    assert "image" in two.prod.item(1)["imported"]["unproven"]


def test_what_was_never_approved_is_not_offered(two: Crossing) -> None:
    two.approved(approvals=[], state="pending")
    with pytest.raises(RejectedError, match="only an approved version is promoted"):
        two.offer()


def test_an_environment_without_a_next_one_offers_nothing(two: Crossing) -> None:
    two.goals = ()
    with pytest.raises(RejectedError) as refused:
        two.offer()
    assert refused.value.field == "PromoteTo"


def test_an_answer_to_what_was_never_offered_is_refused(two: Crossing) -> None:
    two.offer()
    two.arrives()
    with pytest.raises(RejectedError, match="was never offered"):
        two.answers(version=4)


def test_a_next_environment_that_was_made_anew_is_offered_it_again(two: Crossing) -> None:
    two.promoted()
    two.goals = (Neighbour(PROD_BUS.replace("steward-prod", "steward-prod2"), PROD),)
    again = two.offer()
    assert (again["status"], again["attempt"]) == ("offered", 1)


def test_a_stack_made_anew_under_the_same_bus_is_offered_it_afresh(two: Crossing) -> None:
    assert two.promoted()["became"] == 1
    assert two.offer()["status"] == "received"
    two.prod = Scene(objects=two.objects)
    two.prod.state.put(Table.PROJECTS, {"project": PROJECT, "config": CONFIG})
    assert (two.offer(afresh=True)["attempt"], two.offer()["attempt"]) == (2, 2)
    assert two.arrives()["became"] == 1
    answered = two.answers()
    assert (answered["status"], answered["attempt"], answered["became"]) == ("received", 2, 1)


def test_offering_afresh_what_is_still_there_makes_no_second_version(two: Crossing) -> None:
    two.promoted()
    two.offer(afresh=True)
    assert two.arrives()["became"] == 1
    assert two.answers()["attempt"] == 2
    assert len(two.prod.state.named("VersionImported")) == 1


def test_more_approvers_than_terms_can_name_are_refused_with_their_number(two: Crossing) -> None:
    vote = two.dev.item(3)["approvals"][0]
    two.approved(approvals=[{**vote, "identity": f"{DEV}/p{n}"} for n in range(51)])
    with pytest.raises(RejectedError) as refused:
        two.offer()
    assert (refused.value.field, refused.value.value) == ("terms.approvers", 51)
    assert refused.value.allowed == "1 to 50 approvers"
    assert two.dev.state.named("VersionOffered") == []


US_BUS = f"arn:aws:events:us-west-2:{STRANGER}:event-bus/prod-us-promotions"
EU_BUS = f"arn:aws:events:eu-west-1:{PROD}:event-bus/prod-eu-promotions"
STAGING_BUS = f"arn:aws:events:us-east-1:{PROD}:event-bus/steward-staging-promotions"


@pytest.mark.parametrize(
    ("environment", "at", "bus"),
    [
        ("staging", None, STAGING_BUS),
        ("prod", STRANGER, US_BUS),
        ("prod", "us-west-2", US_BUS),
        ("prod", "prod-eu", EU_BUS),
    ],
)
def test_of_several_next_environments_one_is_meant(
    environment: str, at: str | None, bus: str
) -> None:
    goals = neighbours(f"{STAGING_BUS}, {EU_BUS},{US_BUS}")
    assert choose(goals, environment, at).bus_arn == bus


@pytest.mark.parametrize(
    ("environment", "at"), [("prod", None), ("prod", PROD), ("prod", "mars"), ("dev", None)]
)
def test_none_or_several_is_refused_with_those_that_there_are(
    environment: str, at: str | None
) -> None:
    with pytest.raises(RejectedError) as refused:
        choose(neighbours(f"{STAGING_BUS},{EU_BUS},{US_BUS}"), environment, at)
    assert refused.value.field == "at"
    assert f"prod-us in {STRANGER} us-west-2" in str(refused.value.allowed)


def test_each_of_several_is_offered_by_itself_and_answers_for_itself(two: Crossing) -> None:
    two.goals = neighbours(f"{PROD_BUS},{US_BUS}")
    two.offer(at=PROD)
    first = two.sent()
    other = two.offer(at="prod-us")
    assert f"/exports/{STRANGER}/" in two.folder()
    assert (other["attempt"], other["bus_arn"]) == (1, US_BUS)
    two.arrives(first)
    with pytest.raises(RejectedError, match="was never offered"):
        two.answers(version=4)
    assert two.answers(account=STRANGER)["recorded"] is False
    assert two.answers()["recorded"] is True
    assert two.offer(at="prod-us")["status"] == "offered"
    assert two.offer(at=PROD)["status"] == "received"


def test_two_stacks_of_one_account_promote_alike(two: Crossing) -> None:
    here = Neighbour(PROD_BUS.replace(PROD, DEV), DEV)
    two.goals = (here,)
    two.offer()
    assert f"/exports/{DEV}/" in two.folder()


def test_a_neighbour_is_known_by_the_arn_of_its_bus() -> None:
    assert neighbour("") is None
    assert neighbour(PROD_BUS) == Neighbour(PROD_BUS, PROD)
    with pytest.raises(RejectedError):
        neighbour("steward-prod-promotions")
