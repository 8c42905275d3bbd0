"""Which process takes which tests where several share them."""

from __future__ import annotations

import pytest

from support.sharing import next_share, share_of, takes_embedded

WAITING = [
    "tests/unit/test_a.py",
    "tests/integration/test_b.py",
    "e2e releases",
    "tests/infra/test_c.py",
]


@pytest.mark.parametrize(("number", "expected"), [(0, True), (1, True), (2, False), (3, False)])
def test_two_of_four_processes_take_what_needs_an_embedded_aws_first(
    number: int, expected: bool
) -> None:
    assert takes_embedded(number, 4) is expected


def test_two_processes_alone_both_take_it_first() -> None:
    assert takes_embedded(0, 2)
    assert takes_embedded(1, 2)


def test_a_process_prefers_its_kind_and_end_to_end_shares_lead() -> None:
    assert next_share(WAITING, embedded=True) == "e2e releases"
    assert next_share(WAITING, embedded=False) == "tests/unit/test_a.py"


def test_who_finds_none_of_its_kind_helps_the_others() -> None:
    assert next_share(WAITING[:1], embedded=True) == "tests/unit/test_a.py"
    assert next_share(WAITING[1:3], embedded=False) == "e2e releases"


def test_files_stay_together_and_end_to_end_files_share_by_what_they_stand_on() -> None:
    assert share_of("tests/unit/test_sharing.py") == "tests/unit/test_sharing.py"
    assert share_of("tests/e2e/test_story.py") == "e2e story and the rest"
