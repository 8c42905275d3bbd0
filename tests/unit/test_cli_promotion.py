"""``steward versions promote``: waits for the answer, and says what the other side said."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from steward.ports import Item
from steward_cli.commands import version_promotion
from steward_cli.commands.version_promotion import promote
from steward_cli.console import CommandError, Exit
from steward_cli.target import Target

BUS = "arn:aws:events:eu-west-1:111111111111:event-bus/steward-prod-promotions"
OFFERED: Item = {
    "project": "diabetes", "version": 2, "environment": "prod", "account": "111111111111",
    "bus_arn": BUS,
    "attempt": 1, "status": "offered", "artifact": "a" * 64,
}  # fmt: skip


class Stack:
    """A stack that offers, and the records that its neighbour's answers leave."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *records: Item) -> None:
        self.asked: list[Any] = []
        self.records, self.keys = list(records), set[str]()
        monkeypatch.setattr(version_promotion, "call", self._call)
        monkeypatch.setattr(version_promotion, "StackState", lambda _target: self)
        monkeypatch.setattr("time.sleep", lambda _seconds: None)
        self.store = SimpleNamespace(get=self._get)

    def _call(self, _target: Target, _url: str, _method: str, body: Any, timeout_s: float) -> Any:
        self.asked.append(body)
        assert timeout_s >= 600
        return SimpleNamespace(raise_for_status=lambda: SimpleNamespace(body=OFFERED))

    def _get(self, _table: object, key: dict[str, str]) -> Item | None:
        self.keys.add(key["item"])
        return {**OFFERED, **self.records.pop(0)} if self.records else None

    def promote(self, url: str = "https://url", within_s: float = 60.0) -> dict[str, Any]:
        target = SimpleNamespace(output=lambda _name: url, stack="steward-dev")
        return promote(cast("Target", target), "diabetes", 2, "prod", within_s=within_s)


def test_it_waits_for_the_answer_and_shows_what_the_version_became(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stack = Stack(monkeypatch, {}, {}, {"status": "received", "became": 7})
    assert stack.promote() == {**OFFERED, "status": "received", "became": 7}
    assert stack.asked == [{"project": "diabetes", "version": 2, "environment": "prod"}]
    assert stack.keys == {f"offer#00000002#{BUS}#prod"}


def test_a_refusal_of_the_other_side_is_told_with_its_field(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = {"status": "refused", "error": "RejectedError", "field": "policy.quorum",
            "message": "the policy here is stricter"}  # fmt: skip
    with pytest.raises(CommandError) as refused:
        Stack(monkeypatch, said).promote()
    assert (refused.value.code, refused.value.hint) == (Exit.CONFLICT, "field: policy.quorum")
    assert "prod refused: RejectedError: the policy here is stricter" in refused.value.message


def test_no_answer_in_time_has_a_code_of_its_own_and_no_wait_has_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(CommandError) as late:
        Stack(monkeypatch).promote(within_s=0.05)
    assert late.value.code == Exit.TIMED_OUT
    assert Stack(monkeypatch).promote(within_s=0)["status"] == "offered"


def test_a_stack_without_a_next_environment_says_which_parameter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stack = Stack(monkeypatch)
    with pytest.raises(CommandError) as refused:
        stack.promote(url="none")
    assert refused.value.code == Exit.USAGE
    assert "PromoteTo" in str(refused.value.hint)
    assert stack.asked == []
