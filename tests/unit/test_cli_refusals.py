"""Every rejection that a command shows says the field, the value and what is allowed."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

import steward_cli
from steward.domain import errors
from steward.domain.errors import AccessDeniedError, RejectedError, StewardError
from steward_cli import console, sources
from steward_cli.app import main, translate
from steward_cli.commands import governance, lineage, serving
from steward_cli.console import CommandError, Exit, fail, rejected
from steward_cli.function_urls import Reply, as_whom
from steward_cli.lineage_graph import LineageGraph
from steward_cli.target import Target, write_profile
from support.fake_state import FakeState

REJECTIONS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, RejectedError)
]
ABOUT = {"field": "release.steps[0]", "value": 120.0, "allowed": "shares below 100"}


@pytest.mark.parametrize("kind", REJECTIONS, ids=lambda kind: kind.__name__)
def test_each_kind_of_rejection_is_shown_whole(
    kind: type[RejectedError], capsys: pytest.CaptureFixture[str]
) -> None:
    found = translate(kind("the share is too large", **ABOUT))  # type: ignore[arg-type]
    assert found is not None
    with pytest.raises(typer.Exit):
        fail(found)
    text = capsys.readouterr().err
    for part in ("the share is too large", "release.steps[0]", "120.0", "shares below 100"):
        assert part in text
    with pytest.raises(typer.Exit):
        fail(found, as_json=True)
    told = json.loads(capsys.readouterr().err)
    assert {name: told[name] for name in ABOUT} == ABOUT


def test_what_a_function_url_refuses_is_shown_whole() -> None:
    body = {"error": "InvalidProjectError", "message": "too large", **ABOUT}
    with pytest.raises(CommandError) as refused:
        Reply(400, body).raise_for_status()
    assert refused.value.refusal == ABOUT
    assert refused.value.hint == (
        "field: release.steps[0]; value: 120.0; allowed: shares below 100"
    )
    with pytest.raises(CommandError) as plain:
        Reply(403, {"Message": "Forbidden"}).raise_for_status()
    assert (plain.value.hint, plain.value.code) == (None, Exit.DENIED)


def test_a_value_is_shortened_and_drives_no_terminal() -> None:
    found = rejected(RejectedError("no", field="f", value="\x1b[2J" + "x" * 5000, allowed="y"))
    assert found.hint is not None
    assert len(found.hint) < 300
    assert "\x1b" not in found.hint


def test_an_error_that_is_no_rejection_has_no_such_parts() -> None:
    found = translate(AccessDeniedError("s3:GetObject is denied"))
    assert found is not None
    assert (found.hint, found.refusal) == (None, {})


def _policy(path: Path) -> None:
    path.write_text("policy: p\ntiers: {minimal: {quorum: 99}}\n")
    governance.read_policy(path)


def _project(path: Path) -> None:
    (path.parent / "project.yaml").write_text("project: UPPER\n")
    sources.read_source(path.parent)


def _node(_path: Path) -> None:
    LineageGraph(FakeState()).find("nonsense")


def _as_of(_path: Path) -> None:
    lineage._graph(SimpleNamespace(obj=None), "noon")  # type: ignore[arg-type]


def _moment(_path: Path) -> None:
    from datetime import UTC, datetime

    serving._moment("noon", datetime(2026, 11, 29, tzinfo=UTC))


@pytest.mark.parametrize("call", [_policy, _project, _node, _as_of, _moment])
def test_each_place_that_turns_a_rejection_into_an_error_keeps_its_parts(
    call: Callable[[Path], None], tmp_path: Path
) -> None:
    with pytest.raises(CommandError) as refused:
        call(tmp_path / "file.yaml")
    assert refused.value.refusal.get("allowed")
    said = f"{refused.value.message} {refused.value.hint}"
    assert str(refused.value.refusal["allowed"]) in said
    assert refused.value.code == Exit.USAGE


def _handlers() -> Iterator[tuple[str, ast.ExceptHandler]]:
    for path in Path(steward_cli.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler) and node.type is not None:
                yield f"{path.name}:{node.lineno}", node


def _rejections(handler: ast.ExceptHandler) -> set[str]:
    kinds = {kind.__name__ for kind in REJECTIONS} | {StewardError.__name__}
    assert handler.type is not None
    return {node.id for node in ast.walk(handler.type) if isinstance(node, ast.Name)} & kinds


def test_no_command_makes_its_own_error_of_a_rejection() -> None:
    """By hand, a part is forgotten: ``rejected`` keeps them all."""
    wrong = [
        place
        for place, handler in _handlers()
        if _rejections(handler)
        for node in ast.walk(handler)
        if isinstance(node, ast.Raise)
        and isinstance(node.exc, ast.Call)
        and getattr(node.exc.func, "id", "") == CommandError.__name__
    ]
    assert wrong == []
    assert any(_rejections(handler) for _place, handler in _handlers())


def test_nothing_known_is_no_hint() -> None:
    assert console.told({}) is None
    known: dict[str, Any] = {"field": "x"}
    assert console.told(known) == "field: x"


def test_what_the_message_says_is_not_said_again() -> None:
    refused = {"field": "evaluation.loss", "value": "'rmse'", "allowed": "'brier', 'log_loss'"}
    whole = "evaluation.loss: not among 'brier', 'log_loss' (got 'rmse')"
    assert CommandError(whole, refusal=refused).hint is None
    short = CommandError("evaluation.loss is wrong", refusal=refused).hint
    assert short is not None
    assert "allowed: 'brier', 'log_loss'" in short


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["runs", "lost"], "No such command 'lost'"),
        (["runs", "show"], "Missing argument 'project'"),
        (["project", "check", "no-such-folder"], "no-such-folder"),
        (["doctor", "--bogus"], "No such option: --bogus"),
    ],
)
def test_wrong_usage_is_told_in_words_and_with_its_code(
    words: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.argv", ["steward", *words])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == int(Exit.USAGE)
    err = capsys.readouterr().err
    assert "Usage: " in err
    assert said in err


def test_a_record_leaves_out_what_holds_nothing() -> None:
    shown = console._readable(
        {"steps": [{"share": 100, "floor": None}], "risk": None, "held": False}
    )
    assert shown == "steps:\n- share: 100\nheld: false"


@pytest.mark.parametrize(
    ("value", "shown"),
    [("a\\b", r"'a\b'"), ("a'b", '"a\'b"'), ("a\nb", r"'a\nb'"), (None, "None"), (3.5, "3.5")],
)
def test_a_value_is_quoted_as_a_person_wrote_it(value: object, shown: str) -> None:
    assert console.quoted(value) == shown


def test_a_whole_document_has_no_place_before_what_is_wrong_with_it() -> None:
    refusal = {"field": "$", "value": "none", "allowed": "a mapping of keys"}
    assert console.told(refusal) == "value: 'none'; allowed: a mapping of keys"
    assert errors.placed("$", "no column is left as a feature") == "no column is left as a feature"
    assert errors.placed("release.steps", "must end at 100") == "release.steps: must end at 100"


def test_a_refused_person_is_told_as_whom_to_try(tmp_path: Path) -> None:
    refusal = {"error": "NotAuthorizedError", "message": "root proves no person",
               "field": "caller", "allowed": "an IAM user"}  # fmt: skip
    target = Target("local", "s", "us-east-1", None, SimpleNamespace(state_dir=tmp_path))  # type: ignore[arg-type]
    write_profile(tmp_path / "aws" / "credentials", "ana", "key", "secret")

    with pytest.raises(console.CommandError) as denied:
        Reply(403, refusal, as_whom(target)).raise_for_status()

    assert denied.value.code == console.Exit.DENIED
    assert "allowed: an IAM user" in str(denied.value.hint)
    assert "steward --profile NAME, here ana" in str(denied.value.hint)
    assert "a session" in as_whom(Target("aws", "s", "us-east-1", None))
    with pytest.raises(console.CommandError) as other:
        Reply(400, refusal, "never said").raise_for_status()
    assert "never said" not in str(other.value.hint)
