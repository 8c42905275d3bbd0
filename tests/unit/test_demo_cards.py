"""The demo's cards: what screen and report say of each version."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from rich.console import Console

from steward.domain.cards.standing import standing
from steward.service.registry.cards import frozen_card
from steward_cli.demo.cards import read_cards, shown
from steward_cli.demo.facts import Facts
from steward_cli.demo.report import write_report
from steward_cli.demo.summary import print_summary
from steward_cli.target import Target
from support.registry_scene import CONFIG, PROJECT, Scene


def carded() -> Scene:
    scene = Scene()
    scene.pending()
    return scene


def test_a_card_tells_how_much_is_proven_and_how_to_see_the_rest() -> None:
    scene = carded()
    card = frozen_card(scene.item(), scene.objects)
    assert card is not None
    told = shown(card, scene.item(), "PendingReview")
    whole = standing(card, scene.item())
    assert told.proven + len(told.unproven) == len(list(whole.statements()))
    assert all(missing for _label, missing in told.unproven)
    assert told.digest == scene.item()["card"]["sha256"]
    assert told.command == f"steward card show {PROJECT} 1"


class Behind:
    """SageMaker Model Cards whose status catches up at the third look."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def describe_model_card(self, *, ModelCardName: str) -> dict[str, Any]:  # noqa: N803
        self.asked.append(ModelCardName)
        return {"ModelCardStatus": "Draft" if len(self.asked) < 3 else "PendingReview"}


def test_the_status_is_that_of_sagemaker_once_it_caught_up(monkeypatch: Any) -> None:
    scene, sagemaker = carded(), Behind()
    scene.register("4a9a1c0b7d2e-1")  # no evidence yet: no card
    monkeypatch.setattr("steward_cli.demo.cards.S3ObjectStore", lambda _client: scene.objects)
    monkeypatch.setattr("steward_cli.demo.cards._PAUSE_S", 0.0)
    target = Target(
        "local",
        "steward-local",
        "eu-central-1",
        None,
        _clients={"sagemaker": sagemaker, "s3": None},
    )
    target.__dict__["outputs"] = {"Environment": "local"}
    (card,) = read_cards(target, [scene.item(1), scene.item(2)])
    assert card.status == "PendingReview"
    assert sagemaker.asked == [f"steward-local-{PROJECT}-v1"] * 3


def test_screen_and_report_show_the_cards_and_no_markup_of_theirs(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setitem(CONFIG, "description", "Risk <script>alert(1)</script> [bold]of[/bold] it")
    scene = carded()
    card = frozen_card(scene.item(), scene.objects)
    assert card is not None
    facts = Facts(cards=[shown(card, scene.item(), "PendingReview")])
    out = io.StringIO()
    print_summary(facts, Console(file=out, width=160))
    assert f"steward card show {PROJECT} 1" in out.getvalue()
    assert card.digest[:12] in out.getvalue()
    page = write_report(facts, tmp_path / "demo.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "Risk &lt;script&gt;" in page
    assert f"steward card open {PROJECT} 1" in page
