"""The page of a card."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

from steward.domain.cards.card import Card
from steward.domain.cards.page import page, safe
from support.card_scene import card, evidence


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            if name in ("href", "src"):
                assert (value or "").startswith("#")


def _tags(html: str) -> list[str]:
    parser = _Tags()
    parser.feed(html)
    return parser.tags


def test_the_page_needs_nothing_from_elsewhere() -> None:
    tags = _tags(page(card()))
    assert not {"script", "link", "img", "iframe", "object"} & set(tags)
    assert tags.count("svg") == 2 * 6  # metrics, champion, comparison, slices, bias, explanation


def test_text_with_html_is_shown_and_not_obeyed() -> None:
    documents = evidence()
    attack = "<img src=x onerror=alert(1)>'\"&"
    documents["evaluation"]["slices"][0]["value"] = attack
    documents["bias"]["facets"][0]["name"] = attack
    documents["explanation"]["features"][0]["name"] = attack
    html = page(card(documents=documents, declared={"purpose": attack, "limits": [attack]}))
    assert "img" not in _tags(html)
    assert "<img" not in html
    assert "&lt;img" in html


def test_control_characters_of_evidence_do_not_reach_the_page() -> None:
    documents = evidence()
    documents["evaluation"]["slices"][0]["value"] = "a\x00b\x1bc"
    html = page(card(documents=documents))
    assert not re.search(r"[\x00-\x08\x0b-\x1f]", html)
    assert "a\ufffdb\ufffdc" in html
    assert safe("a\x00\x1bb\n") == "ab\n"


def test_what_is_unproven_says_what_is_missing() -> None:
    html = page(card(declared={}))
    assert "missing: `card.purpose` in project.yaml" in html


def test_each_digest_on_the_page_leads_to_its_row() -> None:
    made: Card = card()
    html = page(made)
    targets = set(re.findall(r"href='#([0-9a-f]{64})'", html))
    assert targets
    assert targets <= set(re.findall(r"<tr id='([0-9a-f]{64})'", html))


def test_an_undefined_estimate_is_in_the_table_and_not_in_the_picture() -> None:
    documents: dict[str, Any] = evidence()
    documents["evaluation"]["metrics"] = [
        {"metric": "roc_auc", "value": None, "undefined_because": "all rows are positive"}
    ]
    html = page(card(documents=documents))
    assert "all rows are positive" in html
