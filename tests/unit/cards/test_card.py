"""Cards say what evidence says, and nothing else."""

from __future__ import annotations

import json
from typing import Any

import pytest

from steward.domain.cards.assembling import Known, assemble
from steward.domain.cards.card import Card, read_card
from steward.domain.cards.standing import STATUS, standing
from steward.domain.errors import CardInvalidError, EvidenceIncompleteError, InvalidProjectError
from steward.domain.versions import VersionState
from support.card_scene import DECLARED, card, evidence, known


def test_every_statement_with_a_value_names_the_digest_of_its_evidence() -> None:
    made = card()
    for statement in made.statements():
        digests = [source.sha256 for source in made.digests(statement)]
        assert bool(digests) == statement.proven
    assert {s.field for s in made.unproven} == {
        "approvals.state", "approvals.decisions", "monitoring.groups",
    }  # fmt: skip


def test_what_nobody_declared_is_unproven_and_tells_what_would_prove_it() -> None:
    made = card(declared={})
    for statement in made.statements():
        if statement.field.startswith("use."):
            assert statement.value is None
            assert "`card." in statement.missing


@pytest.mark.parametrize(
    ("part", "field"),
    [
        ("bias", "evaluation.bias"),
        ("explanation", "evaluation.explanation"),
        ("comparison", "evaluation.comparison"),
        ("manifest", "training.dataset"),
        ("smoke", "evaluation.staging"),
    ],
)
def test_a_missing_part_of_the_evidence_is_unproven(part: str, field: str) -> None:
    documents = evidence()
    del documents[part]
    assert card(documents=documents).statement(field).value is None


def test_without_an_evaluation_there_is_no_card() -> None:
    documents = evidence()
    del documents["evaluation"]
    with pytest.raises(EvidenceIncompleteError, match="evaluation"):
        card(documents=documents)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "0.9", True])
def test_a_metric_that_is_no_finite_number_is_refused_with_its_place(value: Any) -> None:
    documents = evidence()
    documents["evaluation"]["metrics"][0]["value"] = value
    with pytest.raises(CardInvalidError) as refused:
        card(documents=documents)
    assert refused.value.field == "evaluation.metrics[0].value"
    assert refused.value.value == repr(value)
    assert "finite" in str(refused.value.allowed)


def test_what_needs_no_model_and_what_training_measured_stand_beside_as_information() -> None:
    documents = evidence()
    mae = {"metric": "mae", "value": 2.5, "lower": 2.0, "upper": 3.0, "undefined_because": None}
    documents["evaluation"]["simple_forecasts"] = [
        {"name": "seasonal_naive", "metrics": [mae], "without_season": 3}
    ]
    documents["evaluation"]["training"] = {
        "kept": "linear", "loss": "mae", "losses": {"linear": 2.0, "boosting": 2.25},
        "reason": "so",
    }  # fmt: skip
    made = card(documents=documents)
    [group] = [g for s in made.sections for g in s.groups if g.name == "simple"]
    [estimate] = group.estimates
    assert (estimate.name, estimate.value) == ("seasonal naive: mae", 2.5)
    assert "3 rows without a day a season before" in estimate.note
    told = made.statement("evaluation.training").value
    assert told == "mae linear 2, boosting 2.25; linear was kept: so"


def test_a_metric_without_an_interval_stands_with_its_value_and_the_reason() -> None:
    documents = evidence()
    rmse = {"metric": "rmse", "value": 1.64, "lower": None, "upper": None,
            "undefined_because": "28 days judge in blocks of 28"}  # fmt: skip
    documents["evaluation"]["metrics"] = [rmse]
    documents["evaluation"]["simple_forecasts"] = [
        {"name": "seasonal_naive", "metrics": [rmse], "without_season": 3}
    ]
    groups = {g.name: g for s in card(documents=documents).sections for g in s.groups}
    why = "no interval: 28 days judge in blocks of 28"
    [measured] = groups["metrics"].estimates
    assert (measured.value, measured.lower, measured.upper, measured.note) == (
        1.64,
        None,
        None,
        why,
    )
    [simple] = groups["simple"].estimates
    assert simple.note == f"{why}; 3 rows without a day a season before"


def test_bias_that_is_no_list_is_refused_with_its_place() -> None:
    documents = evidence()
    documents["bias"]["facets"] = {"sex": 1}
    with pytest.raises(CardInvalidError) as refused:
        card(documents=documents)
    assert refused.value.field == "bias.facets"


def test_a_card_is_the_same_whenever_it_is_made() -> None:
    assert card().digest == card().digest
    assert read_card(json.loads(card().content())) == card()


def test_a_value_without_evidence_is_no_card() -> None:
    document = json.loads(card().content())
    statement = document["sections"][0]["statements"][0]
    statement["sources"] = []
    with pytest.raises(CardInvalidError, match="a value needs evidence"):
        read_card(document)


def test_evidence_that_the_card_does_not_name_is_no_card() -> None:
    document = json.loads(card().content())
    document["sections"][0]["statements"][0]["sources"] = ["hearsay"]
    with pytest.raises(CardInvalidError, match="hearsay"):
        read_card(document)


def test_a_field_of_ten_thousand_characters_is_refused_where_it_is_declared() -> None:
    with pytest.raises(InvalidProjectError) as refused:
        card(declared={"purpose": "x" * 10_000})
    assert refused.value.field == "card.purpose"
    assert "2000" in str(refused.value.allowed)


def test_control_characters_are_refused_where_they_are_declared() -> None:
    with pytest.raises(InvalidProjectError, match=r"U\+001B"):
        card(declared={"purpose": "red \x1b[31m"})


def test_many_slices_are_kept_to_twenty_and_the_rest_is_counted() -> None:
    documents = evidence()
    one = documents["evaluation"]["slices"][0]
    documents["evaluation"]["slices"] = [{**one, "value": str(n), "rows": n} for n in range(300)]
    slices = card(documents=documents).group("slices")
    assert slices is not None
    assert len(slices.estimates) == 20
    assert slices.left_out == 280
    assert slices.estimates[0].rows == 299


def test_every_state_of_a_version_has_a_status() -> None:
    assert set(STATUS) == set(VersionState)


def test_decisions_join_the_card_bound_to_the_evidence_that_they_name() -> None:
    found = known()
    vote = {"decision": "approve", "identity": "000000000000/ana", "at": "2026-01-01T10:00:00",
            "comment": "fine"}  # fmt: skip
    item = {**found.item, "state": "approved", "approvals": [vote], "evidence_digest": "f" * 64}
    frozen = assemble(found)
    now = standing(frozen, item)
    decided = now.statement("approvals.decisions")
    assert decided.value == ["approve by 000000000000/ana at 2026-01-01T10:00:00: fine"]
    assert now.digests(decided)[0].sha256 == "f" * 64
    assert frozen.statement("approvals.decisions").value is None


def test_before_the_evidence_is_frozen_a_card_stands_as_it_is() -> None:
    made: Card = card()
    assert standing(made, {"state": "registered"}) == made


def test_an_unknown_author_is_unproven() -> None:
    found = known()
    anonymous = Known({**found.item, "author": "unknown"}, found.project, found.documents)
    assert assemble(anonymous).statement("overview.author").value is None
    assert DECLARED["contact"] == assemble(found).said("overview.contact")
