"""A MiniStack upgrade that moves what we rely on is named before anything changes in silence."""

import ministack.services.lambda_svc
import pytest

from steward_local import registrations
from steward_local.errors import GroundMovedError
from steward_local.registrations import MINISTACK_VERSION, PATCHES, Ground


def test_everything_we_rely_on_is_where_it_was() -> None:
    registrations.verify_ground()


def test_moved_attribute_is_named_with_what_relies_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(ministack.services.lambda_svc, "_emit_lambda_logs")
    with pytest.raises(GroundMovedError) as caught:
        registrations.verify_ground()
    assert "services.lambda_svc:_emit_lambda_logs is gone" in str(caught.value)
    assert "write one log stream per execution environment" in str(caught.value)
    assert MINISTACK_VERSION in str(caught.value)


def test_changed_parameters_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        ministack.services.lambda_svc, "_emit_lambda_logs", lambda function, lines: None
    )
    with pytest.raises(GroundMovedError, match=r"takes \('function', 'lines'\), not \('func'"):
        registrations.verify_ground()


def test_missing_module_is_named() -> None:
    with pytest.raises(GroundMovedError, match=r"services.gone:thing is gone"):
        Ground("services.gone:thing", (), "test").locate()


def test_each_part_is_replaced_once() -> None:
    targets = [patch.ground.target for patch in PATCHES]
    assert len(targets) == len(set(targets))
