"""``@on_batch``: exactly what failed is delivered again."""

from typing import Any

import pytest

from steward.domain.errors import DependencyError, MalformedEventError
from steward.entrypoint import LambdaEvent, on_batch
from support.lambda_context import LambdaContext


def test_failed_sequence_numbers_are_answered() -> None:
    @on_batch
    def handler(records: list[LambdaEvent]) -> list[str]:
        return [record["n"] for record in records if record["fails"]]

    batch = {"Records": [{"n": "1", "fails": False}, {"n": "2", "fails": True}]}

    assert handler(batch, LambdaContext()) == {"batchItemFailures": [{"itemIdentifier": "2"}]}
    assert handler({"Records": []}, LambdaContext()) == {"batchItemFailures": []}


@pytest.mark.parametrize("event", [{}, None, [], {"Records": {}}], ids=str)
def test_what_is_no_batch_is_refused(event: Any) -> None:
    @on_batch
    def handler(records: list[LambdaEvent]) -> list[str]:
        return []

    with pytest.raises(MalformedEventError, match="batch"):
        handler(event, LambdaContext())


def test_an_error_fails_the_whole_batch() -> None:
    @on_batch
    def handler(records: list[LambdaEvent]) -> list[str]:
        raise DependencyError("down")

    with pytest.raises(DependencyError):
        handler({"Records": []}, LambdaContext())
