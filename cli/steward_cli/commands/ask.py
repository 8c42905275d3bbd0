"""``steward ask``: what the live model answers to a row."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.text import Text

from steward.domain.errors import AccessDeniedError, RejectedError
from steward.domain.project import parse_project
from steward_cli.asking import Asked, ask, ask_variants, endpoints_of
from steward_cli.console import CommandError, Exit, Json, rejected, show, stderr, table, told
from steward_cli.function_urls import code_of
from steward_cli.request_rows import Requests, declared_of, requests_of, rows_in
from steward_cli.state import StackState
from steward_cli.target import Target, choose

WORKERS = 4
_UNREACHED = "Unreachable"
_GIVEN_UP = 2 * WORKERS
"""Requests in a row that reached nobody, after which no further row is asked about."""
_RIGHTS = (
    "asking needs ClientPolicyArn, which no persona holds (docs/access.md); on the embedded AWS: "
    "steward --profile ward-app ask ..."
)


def ask_model(
    context: typer.Context,
    project: Annotated[str, typer.Argument(help="Project name.")],
    row: Annotated[str | None, typer.Argument(help="A row as JSON, or - for standard input: an "
                                              "object, a list of them, or JSON Lines.")] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", exists=True, dir_okay=False,
        help="Rows of CSV, JSON Lines or Parquet; at most 1,000.")] = None,
    entity: Annotated[str | None, typer.Option("--entity", help="Whom the row is about, where it "
                                               "has no such column.")] = None,
    first: Annotated[int | None, typer.Option("--rows", min=1, help="Only the first rows of the "
                                              "file.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say what moved the answer; of one "
                                          "row.")] = False,
    json_: Json = False,
) -> None:  # fmt: skip
    """Ask the live model: its answer, which version gave it, and how long that took.

    A row holds the columns of the project's table; label and times may be there and are not sent,
    and a feature of a feature view that is left out is read online. A request as applications
    send it, `{"entity_id": ..., "features": {...}}`, is taken too. It is a real request: it is
    signed in your name, counted and captured as any other, and may reach a version under release.

    Exits with 1 where a row was refused or not answered; the refusal names the field. A request
    that reaches nobody costs no other row its answer; where none reached anybody, it is 6.

    Example: `steward ask churn '{"customer": "C1", "age": 41, "plan": "basic"}' --explain`
    """
    if (row is None) == (file is None):
        raise CommandError(
            "give a row or --file, one of them", Exit.USAGE,
            f"""steward ask {project} '{{"COLUMN": VALUE, ...}}'   or   --file rows.csv""",
        )  # fmt: skip
    target = choose(context.obj)
    rows, cells = _rows(row, file, first)
    item = _declaration(target, project)
    declared = declared_of(parse_project(item["config"])) if item else None
    if cells and declared is None:
        raise CommandError(
            f"what the cells of {file} mean says the project, which you may not read", Exit.DENIED,
            "give JSON Lines, or ask with a persona's rights beside ClientPolicyArn",
        )  # fmt: skip
    if explain and len(rows) != 1:
        raise CommandError(f"--explain takes one row, not {len(rows)}", Exit.USAGE)
    requests = requests_of(rows, declared, entity, cells=cells)
    if requests.left_out:
        left = ", ".join(sorted(requests.left_out)[:10])
        stderr().print(
            f"left out, as no columns of {project}: {left}", style="yellow", markup=False,
            soft_wrap=True,
        )  # fmt: skip
    answers = _asked(target, project, item, requests)
    if len(rows) == 1:
        _show_one(target, project, answers[0], requests, explain, json_)
        return
    show(_document(project, answers, requests), json_,
         lambda console: console.print(_screen(answers)))  # fmt: skip
    if all(answer.get("error") == _UNREACHED for answer in answers):
        raise typer.Exit(int(Exit.UNREACHABLE))
    if any("prediction" not in answer for answer in answers):
        raise typer.Exit(int(Exit.FAILED))


def _rows(row: str | None, file: Path | None, first: int | None) -> tuple[list[Any], bool]:
    """Return the rows, and whether their values are cells of CSV."""
    if file is not None:
        from steward_cli.request_rows import rows_of_file

        try:
            rows, cells = rows_of_file(file, first)
        except RejectedError as error:
            raise rejected(error, Exit.USAGE, str(file)) from None
    elif row == "-":
        rows, cells = rows_in(sys.stdin.read(), "standard input"), False
    else:
        rows, cells = rows_in(str(row), "the row"), False
    if not rows:
        raise CommandError(f"{file or 'the row'} has no rows", Exit.USAGE)
    return rows, cells


def _declaration(target: Target, project: str) -> dict[str, Any] | None:
    """Return the project's record; None where an application may not read it."""
    try:
        return StackState(target).project(project)
    except AccessDeniedError:
        return None


def _asked(
    target: Target, project: str, item: Mapping[str, Any] | None, requests: Requests
) -> list[dict[str, Any]]:
    """Return what came of each row, in order."""
    serving = ((item or {}).get("config") or {}).get("serving") or {}
    if serving.get("router") == "endpoint_variants":
        endpoint, endpoints = _endpoint(target, project), endpoints_of(target)
        one = partial(ask_variants, endpoints, endpoint)
    else:
        one = partial(ask, target, target.output("GatewayUrl"), project)
    answered = _Answering(one)
    with ThreadPoolExecutor(max_workers=WORKERS) as pool:
        told = pool.map(answered, requests.bodies.values())
        found = {
            number: {**answer, "row": number}
            for number, answer in zip(requests.bodies, told, strict=True)
        }
    for number, refusal in requests.refused.items():
        found[number] = {"error": "InvalidRowError", **refusal, "row": number}
    return [found[number] for number in sorted(found)]


class _Answering:
    """Asks about rows; a request that reaches nobody is the answer of its row alone.

    After ``_GIVEN_UP`` of them without an answer between, rows are not asked about: each would
    wait for its timeout.
    """

    def __init__(self, one: Callable[[dict[str, Any]], Asked]) -> None:
        self._one = one
        self._unreached = 0

    def __call__(self, body: dict[str, Any]) -> dict[str, Any]:
        entity = {"entity_id": body["entity_id"]}
        if self._unreached >= _GIVEN_UP:
            told = f"not asked: the {self._unreached} requests before reached nobody"
            return {**entity, "error": _UNREACHED, "message": told}
        try:
            asked = self._one(body)
        except CommandError as error:
            if error.code is not Exit.UNREACHABLE:
                raise
            self._unreached += 1
            return {**entity, "error": _UNREACHED, "message": error.message}
        self._unreached = 0
        return _answer(asked)


def _endpoint(target: Target, project: str) -> str:
    route = StackState(target).route(project)
    if route is None:
        raise CommandError(
            f"no version of {project!r} is released yet", Exit.FAILED,
            f"steward release show {project}",
        )  # fmt: skip
    return str(route["arms"][0]["endpoint"])


def _answer(asked: Asked) -> dict[str, Any]:
    body = asked.body if isinstance(asked.body, dict) else {"message": str(asked.body)}
    more = {"status": asked.status, "latency_ms": round(asked.latency_ms, 1)}
    return {"entity_id": asked.entity_id, **body, **more}


def _document(
    project: str, answers: list[dict[str, Any]], requests: Requests
) -> dict[str, Any]:  # fmt: skip
    return {"project": project, "answers": answers, "left_out": sorted(requests.left_out)}


def _show_one(
    target: Target, project: str, answer: dict[str, Any], requests: Requests, explain: bool,
    json_: bool,
) -> None:  # fmt: skip
    if "prediction" not in answer:
        raise _refused(answer, project)
    document, why, unexplained = _document(project, [answer], requests), None, None
    if explain:
        from steward_cli.commands.explain import explained_capture
        from steward_cli.explain_text import screen

        try:
            prediction = explained_capture(target, _as_captured(project, answer, requests))
            document["explanation"] = prediction.document()
            why = screen(prediction)
        except CommandError as error:  # the answer is there all the same
            unexplained = _unexplained(error, project, str(answer["inference_id"]))
    show(document, json_, lambda console: _print_one(console, project, answer, why))
    if unexplained is not None:
        raise unexplained


def _unexplained(error: CommandError, project: str, inference_id: str) -> CommandError:
    if not error.message.startswith("the capture lacks"):
        return error
    return CommandError(
        error.message.replace("the capture lacks", "not explained: the row lacks")
        + ", which was read from the feature store", error.code,
        f"what was read is captured within minutes: steward explain {project} {inference_id}",
    )  # fmt: skip


def _as_captured(project: str, answer: Mapping[str, Any], requests: Requests) -> dict[str, Any]:
    """Return what will be captured of an answer, as far as the caller knows it."""
    [body] = requests.bodies.values()
    return {
        "project": project, "inference_id": answer["inference_id"],
        "answering_version": answer["version"], "prediction": answer["prediction"],
        "features": body["features"], "time": datetime.now(UTC).isoformat(timespec="seconds"),
    }  # fmt: skip


def _refused(answer: Mapping[str, Any], project: str) -> CommandError:
    """Return why a row was not answered, with its field, as an error of the command."""
    if answer.get("error") == _UNREACHED:
        return CommandError(_words(answer), Exit.UNREACHABLE)
    status = int(answer.get("status", 400))
    hint = None
    if status == 403:
        hint = _RIGHTS
    elif answer.get("error") == "DependencyError":
        hint = f"steward release show {project}"
    return CommandError(_words(answer), code_of(status), hint, refusal=answer)


def _words(answer: Mapping[str, Any]) -> str:
    """Return what was said of a row; it is the only one, so its place is left out."""
    told = answer.get("message") or answer.get("Message") or answer.get("error") or "no answer"
    return str(told).removeprefix("row 0: ")


def _print_one(
    console: Console, project: str, answer: Mapping[str, Any], why: RenderableType | None
) -> None:
    console.print(
        Text.assemble(f"{project} answers ", (figures(answer["prediction"]), "bold")),
        soft_wrap=True,
    )  # fmt: skip
    if answer.get("fallback"):
        console.print("the version under release failed, so the stable one answered",
                      style="yellow")  # fmt: skip
    lines = [
        ("version", answer.get("version")),
        ("entity", answer.get("entity_id")),
        ("took", f"{answer['latency_ms']:.0f} ms, there and back"),
        ("inference id", answer.get("inference_id")),
    ]
    for name, value in lines:
        console.print(Text(f"{name:<14}{value}"), soft_wrap=True)
    if why is not None:
        console.print("")
        console.print(why)


def figures(prediction: Mapping[str, Any]) -> str:
    """Return a prediction in words: what it is, rounded to four figures."""
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in prediction.items()
    )


def _screen(answers: list[dict[str, Any]]) -> RenderableType:
    rows = [
        (
            answer["row"], answer.get("entity_id"), _said(answer), answer.get("version"),
            f"{answer['latency_ms']:.0f} ms" if "latency_ms" in answer else "",
            answer.get("inference_id"),
        )
        for answer in answers
    ]  # fmt: skip
    return table(("row", "entity", "answer", "version", "took", "inference id"), rows)


def _said(answer: Mapping[str, Any]) -> str:
    if "prediction" in answer:
        return figures(answer["prediction"]) + (" (fallback)" if answer.get("fallback") else "")
    words = _words(answer)
    more = told(answer, words)
    return f"not answered: {words}" + (f" ({more})" if more else "")
