"""``@step``: a task's input is typed, its errors keep their names, its output is JSON."""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from steward.domain.errors import ConflictError, DatasetTooSmallError, MalformedEventError
from steward.entrypoint import Handler, step
from support.lambda_context import LambdaContext


class Command(BaseModel):
    model_config = ConfigDict(extra="forbid")

    project: str
    run_id: str
    rows: int = 0


class Result(BaseModel):
    rows: int


def handler_of(outcome: object) -> Handler:
    """Return a task that returns or raises ``outcome``."""

    @step(Command)
    def handler(command: Command) -> object:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return handler


INPUT = {"project": "diabetes", "run_id": "r1"}


@pytest.mark.parametrize(
    ("outcome", "answer"),
    [(Result(rows=3), {"rows": 3}), ({"rows": 3}, {"rows": 3}), (None, None), ("done", "done")],
    ids=str,
)
def test_the_result_leaves_as_json(outcome: object, answer: object) -> None:
    assert handler_of(outcome)(INPUT, LambdaContext()) == answer


@pytest.mark.parametrize(
    ("event", "field"),
    [
        ({"project": "diabetes"}, "run_id"),
        ({**INPUT, "rows": "many"}, "rows"),
        ({**INPUT, "other": 1}, "other"),
        ([], "$"),
        (None, "$"),
    ],
    ids=str,
)
def test_input_that_does_not_fit_names_its_field(event: Any, field: str) -> None:
    with pytest.raises(MalformedEventError) as refused:
        handler_of(None)(event, LambdaContext())

    assert refused.value.field == field


def test_all_problems_of_an_input_are_told() -> None:
    with pytest.raises(MalformedEventError, match=r"project: .*run_id: "):
        handler_of(None)({}, LambdaContext())


@pytest.mark.parametrize("error", [DatasetTooSmallError("3 rows"), ConflictError("lost")], ids=str)
def test_an_error_leaves_as_it_is_for_step_functions_to_match(error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        handler_of(error)(INPUT, LambdaContext())

    assert raised.value is error


def test_log_lines_are_json_with_project_run_and_request(
    log_lines: Callable[[], list[Any]],
) -> None:
    with pytest.raises(DatasetTooSmallError):
        handler_of(DatasetTooSmallError("3 rows", field="rows"))(INPUT, LambdaContext())

    (line,) = log_lines()
    assert (line["project"], line["run_id"]) == ("diabetes", "r1")
    assert line["request_id"] == LambdaContext().aws_request_id
    refusal = {"error": "DatasetTooSmallError", "message": "3 rows", "field": "rows"}
    assert line["refusal"] == refusal


def test_keys_of_one_call_are_gone_in_the_next(log_lines: Callable[[], list[Any]]) -> None:
    handler_of(None)(INPUT, LambdaContext())
    with pytest.raises(MalformedEventError):
        handler_of(None)({}, LambdaContext())

    first, second = log_lines()
    assert first["project"] == "diabetes"
    assert "project" not in second
