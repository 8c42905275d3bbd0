"""Checklists: every line leads to evidence or says what is missing."""

from __future__ import annotations

import json

import pytest

from steward.domain.checklists.filling import CHECKLISTS, checklist, counted, fill
from steward.domain.checklists.lines import Checklist
from steward.domain.checklists.page import checklist_page
from steward.domain.errors import RejectedError
from support.card_scene import card

ALL = pytest.mark.parametrize("asked", CHECKLISTS.values(), ids=list(CHECKLISTS))


@ALL
def test_every_line_names_a_digest_or_what_is_missing(asked: Checklist) -> None:
    made = card()
    known = {source.sha256 for source in made.sources}
    for line in fill(asked, made):
        assert line.evidence or line.missing, line.paragraph
        assert {source.sha256 for source in line.evidence} <= known
        assert (line.answer == "evidence") == (not line.missing)


@ALL
def test_paragraphs_are_named_once_and_the_source_is_told(asked: Checklist) -> None:
    paragraphs = [line.paragraph for line in asked.lines]
    assert len(paragraphs) == len(set(paragraphs))
    assert asked.source
    assert asked.scope


@ALL
def test_less_evidence_gives_fewer_answers_and_says_what_is_missing(asked: Checklist) -> None:
    full, bare = fill(asked, card()), fill(asked, card(declared={}))
    assert counted(bare)["evidence"] < counted(full)["evidence"]
    assert any("`card.purpose` in project.yaml" in what for line in bare for what in line.missing)
    assert sum(counted(full).values()) == len(asked.lines)


def test_what_no_card_can_show_is_never_answered() -> None:
    lines = {line.paragraph: line for line in fill(CHECKLISTS["annex-iv"], card())}
    assert lines["8"].answer == "missing"
    assert lines["8"].missing == ["the signed declaration"]


def test_annex_iv_has_every_point() -> None:
    points = {line.paragraph for line in CHECKLISTS["annex-iv"].lines}
    one, two = {f"1({c})" for c in "abcdefgh"}, {f"2({c})" for c in "abcdefgh"}
    assert points == one | two | {"3", "4", "5", "6", "7", "8", "9"}


@ALL
def test_the_page_shows_every_line_and_escapes(asked: Checklist) -> None:
    made = card(declared={"purpose": "<b>"})
    html = checklist_page(asked, made, fill(asked, made))
    assert html.count("<tr>") == len(asked.lines) + 1
    assert made.digest in html


def test_lines_are_json() -> None:
    lines = [line.as_dict() for line in fill(CHECKLISTS["sr-11-7"], card())]
    assert json.loads(json.dumps(lines)) == lines


def test_a_standard_that_is_none_is_refused_with_those_that_are() -> None:
    with pytest.raises(RejectedError) as refused:
        checklist("iso-42001")
    assert refused.value.allowed == "annex-iv, nist-ai-rmf, sr-11-7"
