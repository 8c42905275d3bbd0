"""Two projections, each within its schema to the letter."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest

from steward.domain.cards.limits import MAX_CONTENT, SchemaName, check_size, violations
from steward.domain.cards.projections import encode, fitted, project
from steward.domain.errors import CardInvalidError
from support.card_scene import card, evidence, explanation

SCHEMAS: tuple[SchemaName, ...] = get_args(SchemaName)


@pytest.mark.parametrize("schema", SCHEMAS)
@pytest.mark.parametrize("declared", [{}, None])
def test_a_card_keeps_every_limit(schema: SchemaName, declared: Any) -> None:
    content = project(card(declared=declared), schema)
    assert violations(schema, content) == []
    text = encode(card(declared=declared), schema)
    assert "\n" not in text
    assert json.loads(text) == content


@pytest.mark.parametrize(("made", "other"), [("package", "card"), ("card", "package")])
def test_each_schema_refuses_the_others_content(made: SchemaName, other: SchemaName) -> None:
    assert violations(other, project(card(), made))


@pytest.mark.parametrize("schema", SCHEMAS)
def test_the_largest_card_fits(schema: SchemaName) -> None:
    documents = evidence()
    one = documents["evaluation"]["slices"][0]
    documents["evaluation"]["slices"] = [{**one, "value": "v" * 500} for n in range(500)]
    documents["explanation"] = explanation(400)
    metric = documents["bias"]["facets"][0]["report"]["metrics"][0]
    facet = {"report": {"metrics": [metric] * 21}}
    documents["bias"]["facets"] = [{"name": f"facet {n}", **facet} for n in range(10)]
    long = dict.fromkeys(("purpose", "ethical_considerations", "recommendations"), "x" * 2000)
    text = encode(card(documents=documents, declared=long), schema)
    assert len(text) <= MAX_CONTENT


def test_too_long_a_card_is_refused_with_its_size() -> None:
    with pytest.raises(CardInvalidError) as refused:
        check_size("x" * (MAX_CONTENT + 1))
    assert refused.value.value == MAX_CONTENT + 1
    assert "100000" in str(refused.value.allowed)


_DATA = "content.evaluation_details[0].metric_groups[0].metric_data[0]"


def _metric(**about: Any) -> dict[str, Any]:
    metric = {"name": "brier", "type": "number", "value": 0.1, **about}
    group = {"name": "g", "metric_data": [metric]}
    return {"evaluation_details": [{"name": "e", "metric_groups": [group]}]}


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ({"model_overview": {"model_artifact": ["a"] * 20}},
         "content.model_overview.model_artifact"),
        ({"evaluation_details": [{"name": "n" * 400}]}, "content.evaluation_details[0].name"),
        (_metric(value="0.9"), f"{_DATA}.value"),
        (_metric(value=float("nan")),
         f"{_DATA}.value"),
        (_metric(type="percent"),
         f"{_DATA}.type"),
        ({"training_details": {"objective_function": {"function": {"function": "Guess"}}}},
         "content.training_details.objective_function.function.function"),
        ({"intended_uses": {"purpose_of_model": "\x00"}},
         "content.intended_uses.purpose_of_model"),
        ({"surprise": {}}, "content.surprise"),
        ([], "content"),
    ],
)  # fmt: skip
def test_what_the_published_schema_lets_pass_is_refused(content: Any, field: str) -> None:
    found = violations("package", content)
    assert found[0].field == field
    assert found[0].allowed


def test_a_shortened_text_names_the_digest_of_the_whole() -> None:
    short = fitted("y" * 5000, 1024)
    assert len(short) == 1024
    assert "SHA-256" in short
    assert fitted("as it is", 1024) == "as it is"


def test_unproven_fields_are_named_and_never_filled() -> None:
    content = project(card(declared={}), "card")
    assert content["intended_uses"]["purpose_of_model"] == "unproven"
    assert "use.purpose" in content["additional_information"]["custom_details"]["unproven"]
