"""``steward card`` and ``steward inventory``, on records that the real use cases wrote."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from steward.domain.cards.limits import violations
from steward.service.registry.reviews import record_review
from steward_cli import card_pdf
from steward_cli.app import app
from steward_cli.commands import card, inventory
from steward_cli.console import CommandError, Exit
from steward_cli.function_urls import Reply
from support.registry_scene import PROJECT, Scene, user


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    scene = Scene()
    scene.pending(champion=2)
    known = SimpleNamespace(store=scene.state, version=lambda _project, number: scene.item(number))
    target = SimpleNamespace(client=lambda _name: None)
    for module in (card, inventory):
        monkeypatch.setattr(module, "choose", lambda _choice: target)
        monkeypatch.setattr(module, "StackState", lambda _target: known)
    monkeypatch.setattr(card, "S3ObjectStore", lambda _client: scene.objects)
    monkeypatch.setattr(inventory, "SystemClock", lambda: scene.clock)
    return scene


def asked(*words: str) -> str:
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_a_card_is_shown_with_what_is_unproven(scene: Scene) -> None:
    text = asked("card", "show", PROJECT, "1")
    assert "PendingReview" in text
    assert "unproven" in text
    told: dict[str, Any] = json.loads(asked("card", "show", PROJECT, "1", "--json"))
    assert told["status"] == "PendingReview"


@pytest.mark.parametrize("schema", ["package", "card"])
def test_an_export_keeps_its_schema(scene: Scene, schema: Any) -> None:
    content = json.loads(asked("card", "export", PROJECT, "1", "--schema", schema))
    assert violations(schema, content) == []


@pytest.mark.parametrize(
    ("format_", "begins"), [("html", b"<!doctype html>"), ("md", b"# Model card"), ("pdf", b"%PDF")]
)
def test_an_export_has_the_form_that_was_asked_for(
    scene: Scene, tmp_path: Path, format_: str, begins: bytes
) -> None:
    target = tmp_path / "card"
    asked("card", "export", PROJECT, "1", "--format", format_, "--into", str(target))
    assert target.read_bytes().startswith(begins)


class Url:
    """The card URL: a job that ends at the third look."""

    def __init__(self, scene: Scene, end: str = "Completed") -> None:
        self.scene, self.end = scene, end
        self.asked: list[tuple[str, str, Any]] = []
        self.scene.objects.write("s3://artifacts/cards/1.pdf", b"%PDF-1.4 of the job")

    def __call__(self, _target: Any, url: str, method: str, body: Any = None) -> Reply:
        self.asked.append((method, url, body))
        told: dict[str, Any] = {"job": "j-1", "status": "InProgress", "card_digest": "c" * 64}
        if len(self.asked) >= 3:
            digest = hashlib.sha256(b"%PDF-1.4 of the job").hexdigest()
            told |= {"status": self.end, "uri": "s3://artifacts/cards/1.pdf", "sha256": digest}
            told["reason"] = "AlgorithmError"
        return Reply(200, told)

    def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        return {"Body": io.BytesIO(self.scene.objects.read(f"s3://{Bucket}/{Key}"))}


@pytest.fixture
def url(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Url:
    url = Url(scene)
    target = SimpleNamespace(client=lambda _name: url, output=lambda name: f"https://{name}/")
    monkeypatch.setattr(card, "choose", lambda _choice: target)
    monkeypatch.setattr(card_pdf, "call", url)
    monkeypatch.setattr(card_pdf, "PAUSE_S", 0.0)
    return url


def test_a_pdf_is_had_from_a_job_and_its_digest_compared(url: Url, tmp_path: Path) -> None:
    path = tmp_path / "card.pdf"
    words = ("card", "pdf", PROJECT, "1", "--into", str(path), "--json")
    told = json.loads(CliRunner().invoke(app, words, catch_exceptions=False).stdout)
    assert path.read_bytes() == b"%PDF-1.4 of the job"
    assert told["job"] == "j-1"
    assert [method for method, _url, _body in url.asked] == ["POST", "GET", "GET"]
    assert url.asked[0][2] == {"project": PROJECT, "version": 1, "by": "job_image"}
    assert f"project={PROJECT}&version=1&by=job_image" in url.asked[1][1]


def test_an_export_by_sagemaker_asks_for_it(url: Url, tmp_path: Path) -> None:
    path = str(tmp_path / "card.pdf")
    asked("card", "export", PROJECT, "1", "--format", "pdf", "--by", "sagemaker", "--into", path)
    assert url.asked[0][2]["by"] == "sagemaker"


def test_a_job_that_failed_or_takes_long_or_another_pdf_writes_no_file(
    url: Url, tmp_path: Path
) -> None:
    path = tmp_path / "card.pdf"
    words = ["card", "pdf", PROJECT, "1", "--into", str(path)]
    with pytest.raises(CommandError, match="under way") as late:
        CliRunner().invoke(app, [*words, "--wait", "0"], catch_exceptions=False)
    assert late.value.code == Exit.TIMED_OUT
    url.scene.objects.write("s3://artifacts/cards/1.pdf", b"%PDF-1.4 of somebody")
    with pytest.raises(CommandError, match="digest"):
        CliRunner().invoke(app, words, catch_exceptions=False)
    url.asked.clear()
    url.end = "Failed"
    with pytest.raises(CommandError, match="AlgorithmError"):
        CliRunner().invoke(app, words, catch_exceptions=False)
    assert not path.exists()


@pytest.mark.parametrize(
    "words", [("--by", "sagemaker"), ("--format", "pdf", "--by", "me"), ("--format", "pdf")]
)
def test_who_makes_what_is_said(scene: Scene, words: tuple[str, ...]) -> None:
    with pytest.raises(CommandError) as refused:
        CliRunner().invoke(app, ["card", "export", PROJECT, "1", *words], catch_exceptions=False)
    assert refused.value.code == Exit.USAGE


def test_a_pdf_is_made_here_where_that_is_asked_for(scene: Scene, tmp_path: Path) -> None:
    path = tmp_path / "card.pdf"
    asked("card", "pdf", PROJECT, "1", "--here", "--into", str(path))
    assert path.read_bytes().startswith(b"%PDF")


def test_a_form_that_is_none_is_refused(scene: Scene) -> None:
    with pytest.raises(CommandError, match="docx"):
        CliRunner().invoke(
            app, ["card", "export", PROJECT, "1", "--format", "docx"], catch_exceptions=False
        )


def test_a_version_without_frozen_evidence_has_no_card(scene: Scene) -> None:
    scene.register("4a9a1c0b7d2e-1")
    with pytest.raises(CommandError, match="has no card"):
        CliRunner().invoke(app, ["card", "show", PROJECT, "2"], catch_exceptions=False)


@pytest.mark.parametrize("standard", ["annex-iv", "nist-ai-rmf", "sr-11-7"])
def test_a_checklist_is_filled_in_the_terminal_as_json_and_as_a_page(
    scene: Scene, tmp_path: Path, standard: str
) -> None:
    page = tmp_path / "list.html"
    words = ("card", "checklist", PROJECT, "1", "--standard", standard)
    assert "missing:" in asked(*words, "--html", str(page))
    told = json.loads(asked(*words, "--json"))
    assert told["card_digest"] == scene.item()["card"]["sha256"] or told["counts"]["evidence"]
    assert page.read_text().startswith("<!doctype html>")


def test_the_inventory_tells_whose_review_is_overdue(scene: Scene) -> None:
    scene.clock.advance(400 * 86_400)
    assert "overdue" in asked("inventory")
    (row,) = json.loads(asked("inventory", "list", "--json"))
    assert (row["project"], row["review"], row["tier"]) == (PROJECT, "overdue", "limited")


def test_csv_cells_never_begin_a_formula(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    from steward.contracts.approval import RecordReview

    record_review(
        RecordReview(project=PROJECT, note='=HYPERLINK("x")'), caller_arn=user("ana"),
        request_id="r", person_roles=frozenset(), state=scene.state, clock=scene.clock,
        ids=scene.ids,
    )  # fmt: skip
    (row,) = csv.DictReader(io.StringIO(asked("inventory", "--csv")))
    assert row["note"].startswith("'=")
    assert row["reviewed_by"] == "000000000000/ana"
