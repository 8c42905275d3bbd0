"""``steward card`` and ``steward inventory``, on records that the real use cases wrote."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from steward.domain.cards.limits import violations
from steward.service.registry.reviews import record_review
from steward_cli.app import app
from steward_cli.commands import card, inventory
from steward_cli.console import CommandError
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
