"""A card as PDF: one job for one content, whatever is asked, fails or is lost in between."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import pytest

from steward.contracts.approval import PrintCard
from steward.domain.errors import (
    AccessDeniedError,
    ConflictError,
    EvidenceIncompleteError,
    RejectedError,
    ThrottledError,
    VersionNotFoundError,
)
from steward.domain.names import job_of, sagemaker_name
from steward.service.registry.card_printing import ATTEMPTS, Press, print_card
from steward.service.registry.card_publishing import Publishing, publish_card
from support.fake_printer import FakeCardPrinter
from support.fakes import FakeJobImage, FakeModelCards
from support.registry_scene import BUCKET, PROJECT, Scene, user


class Print:
    """A version that waits for its approval, and who prints its card."""

    def __init__(self) -> None:
        self.scene = Scene()
        self.request = self.scene.pending()
        self.cards = FakeModelCards()
        self.image = FakeJobImage()
        self.printer = FakeCardPrinter(self.scene.objects)
        self.press = Press(
            self.scene.state, self.scene.objects, self.cards, self.printer, self.image, BUCKET,
            "dev",
        )  # fmt: skip

    def post(self, by: Literal["job_image", "sagemaker"] = "job_image") -> dict[str, Any]:
        return print_card(PrintCard(project=PROJECT, version=1, by=by), self.press, start=True)

    def get(self) -> dict[str, Any]:
        return print_card(PrintCard(project=PROJECT, version=1), self.press, start=False)

    def publish(self) -> None:
        scene = self.scene
        about = Publishing(scene.state, scene.objects, self.cards, scene.registry, "dev")
        publish_card(PROJECT, 1, about)


def test_a_pdf_is_made_once_however_often_it_is_asked_for() -> None:
    shop = Print()
    first = shop.post()
    assert first["status"] == "InProgress"
    assert shop.post()["job"] == first["job"]
    uri = shop.printer.finish()
    for told in (shop.get(), shop.post()):
        assert (told["status"], told["uri"]) == ("Completed", uri)
        assert told["sha256"] == hashlib.sha256(b"%PDF-1.4").hexdigest()
    assert len(shop.printer.started) == 1


def test_the_job_reads_the_card_with_its_decisions_and_is_named_by_it() -> None:
    shop = Print()
    before = shop.post()
    shop.scene.decide(user("ana"), shop.request.evidence_digest)
    after = shop.post()
    assert after["job"] != before["job"]
    request = shop.printer.started[-1]
    assert request.status == "Approved"
    assert sagemaker_name(request.name) == request.name
    assert job_of("dev", request.name) == (PROJECT, shop.scene.item()["run_id"], "card")
    assert request.tags["steward:run"] == shop.scene.item()["run_id"]
    kept = shop.scene.objects.read(f"{request.source_uri}/card.json")
    assert hashlib.sha256(kept).hexdigest() == after["card_digest"]
    assert b"approve by 000000000000/ana" in kept


def test_another_image_is_another_pdf() -> None:
    shop = Print()
    first = shop.post()["job"]
    shop.image.value = "repository@sha256:" + "9" * 64
    assert shop.post()["job"] != first


def test_a_failed_job_is_told_and_asking_again_starts_the_next() -> None:
    shop = Print()
    first = shop.post()["job"]
    shop.printer.fail("AlgorithmError: no font")
    told = shop.get()
    assert (told["status"], told["reason"]) == ("Failed", "AlgorithmError: no font")
    assert len(shop.printer.started) == 1
    assert shop.post()["job"] == first[:-1] + "1"
    shop.printer.finish()
    assert shop.get()["status"] == "Completed"


def test_after_five_failures_nothing_more_is_started() -> None:
    shop = Print()
    for _ in range(ATTEMPTS):
        shop.post()
        shop.printer.fail("no")
    with pytest.raises(RejectedError, match="failed 5 times"):
        shop.post()
    assert len(shop.printer.started) == ATTEMPTS
    assert shop.get()["status"] == "Failed"


def test_a_pdf_that_somebody_deleted_is_made_again() -> None:
    shop = Print()
    shop.post()
    bucket, _, key = shop.printer.finish().removeprefix("s3://").partition("/")
    (stored,) = shop.scene.objects.versions(bucket, key)
    shop.scene.objects.remove(bucket, key, str(stored.version_id))
    assert "is gone" in shop.get()["reason"]
    assert shop.post()["status"] == "InProgress"
    assert len(shop.printer.started) == 2


@pytest.mark.parametrize("refusal", [AccessDeniedError("no"), ThrottledError("later")])
def test_a_start_that_is_denied_or_throttled_leaves_no_job_and_can_be_tried_again(
    refusal: Exception,
) -> None:
    shop = Print()
    shop.printer.refusal = refusal
    with pytest.raises(type(refusal)):
        shop.post()
    assert shop.printer.jobs == {}
    shop.printer.refusal = None
    assert shop.post()["status"] == "InProgress"


def test_what_has_no_card_or_another_one_is_refused() -> None:
    shop = Print()
    with pytest.raises(RejectedError, match="was asked for") as unasked:
        shop.get()
    assert unasked.value.allowed == "POST starts one"
    shop.scene.register("4a9a1c0b7d2e-1")
    with pytest.raises(EvidenceIncompleteError, match="has no card"):
        print_card(PrintCard(project=PROJECT, version=2), shop.press, start=True)
    with pytest.raises(VersionNotFoundError):
        print_card(PrintCard(project=PROJECT, version=9), shop.press, start=True)
    uri = shop.scene.item()["card"]["uri"]
    shop.scene.objects.write(uri, shop.scene.objects.read(uri).replace(b"pass", b"PASS"))
    with pytest.raises(EvidenceIncompleteError, match="changed"):
        shop.post()
    assert shop.printer.started == []


def test_sagemaker_exports_its_card_once_that_is_in_step() -> None:
    shop = Print()
    with pytest.raises(ConflictError, match="behind"):
        shop.post("sagemaker")
    shop.publish()
    first = shop.post("sagemaker")
    assert shop.printer.started[-1].card_name == f"steward-dev-{PROJECT}-v1"
    shop.scene.decide(user("ana"), shop.request.evidence_digest)
    with pytest.raises(ConflictError, match="behind"):
        shop.post("sagemaker")
    shop.publish()
    assert shop.post("sagemaker")["job"] != first["job"]


def test_an_archived_card_is_exported_with_its_last_content() -> None:
    shop = Print()
    shop.publish()
    shop.scene.decide(user("ana"), shop.request.evidence_digest, "reject")
    shop.publish()
    assert shop.post("sagemaker")["status"] == "InProgress"
