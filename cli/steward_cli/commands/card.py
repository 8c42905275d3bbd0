"""``steward card``: a version's model card and the checklists that it fills."""

from __future__ import annotations

import hashlib
import json
import tempfile
import webbrowser
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape

from steward.adapters.objects import S3ObjectStore
from steward.domain.cards.card import UNPROVEN, Card
from steward.domain.cards.markdown import markdown
from steward.domain.cards.page import page
from steward.domain.cards.projections import as_text, encode, project
from steward.domain.cards.standing import STATUS, standing
from steward.domain.checklists.filling import Answered, checklist, counted, fill
from steward.domain.checklists.page import checklist_page
from steward.service.registry.cards import frozen_card
from steward_cli.card_pdf import fetch
from steward_cli.console import CommandError, Exit, Json, progress, show, table
from steward_cli.state import StackState
from steward_cli.target import Choice, choose

app = typer.Typer(help="Model cards and checklists, made of evidence alone.")

Project = Annotated[str, typer.Argument(metavar="PROJECT", help="Project name.")]
Version = Annotated[int, typer.Argument(min=1, help="Version number.")]
Into = Annotated[Path | None, typer.Option("--into", help="Write it to this file.")]
Wait = Annotated[float, typer.Option(help="Seconds to wait for a job.")]
_WAIT_S = 300.0
_BY = ("here", "job_image", "sagemaker")
Format = Literal["json", "html", "pdf", "md"]


def read(choice: Choice, project_name: str, version: int) -> tuple[Card, str]:
    """Return a version's card with the decisions since, and its status.

    Raises:
        CommandError: The version has no card: its evidence is not frozen.
    """
    target = choose(choice)
    item = StackState(target).version(project_name, version)
    card = frozen_card(item, S3ObjectStore(target.client("s3")))
    if card is None:
        raise CommandError(
            f"{project_name} {version} is {item['state']} and has no card", Exit.NOT_FOUND,
            "a card is frozen with the evidence, after staging",
        )  # fmt: skip
    return standing(card, item), STATUS[str(item["state"])]


@app.command("show")
def show_card(
    context: typer.Context, project_name: Project, version: Version, json_: Json = False
) -> None:
    """Show a card in the terminal: what is said, and by which evidence.

    Example: `steward card show diabetes 2`
    """
    card, status = read(context.obj, project_name, version)

    def render(console: Console) -> None:
        console.print(f"[bold]{card.project} {card.version}[/bold]: {status}")
        for section in card.sections:
            rows = [
                (
                    s.label,
                    UNPROVEN if s.value is None else escape(as_text(s.value)),
                    escape(s.missing) or ", ".join(f"{p.name} {p.sha256[:12]}"
                                                   for p in card.digests(s)),
                )
                for s in section.statements
            ]  # fmt: skip
            console.print(table(("", "", "evidence, or what is missing"), rows, section.title))

    show({"status": status, "digest": card.digest, **card.model_dump(mode="json")}, json_, render)


@app.command("open")
def open_card(
    context: typer.Context,
    project_name: Project,
    version: Version,
    into: Into = None,
    json_: Json = False,
) -> None:
    """Open a card as a page, with the decisions since it was frozen.

    Example: `steward card open diabetes 2`
    """
    card, status = read(context.obj, project_name, version)
    path = into or Path(tempfile.mkdtemp(prefix="steward-")) / f"{project_name}-{version}-card.html"
    path.write_text(page(card, status), encoding="utf-8")
    _tell(path, json_, opened=into is None)


@app.command("export")
def export_card(
    context: typer.Context,
    project_name: Project,
    version: Version,
    schema: Annotated[
        str, typer.Option(help="Of JSON: package, card (CreateModelCard), or steward (the whole).")
    ] = "steward",
    format_: Annotated[str, typer.Option("--format", help="json, html, pdf or md.")] = "json",
    by: Annotated[
        str, typer.Option(help="Who makes a PDF: here, job_image (a job), sagemaker (its export).")
    ] = "here",
    into: Into = None,
    json_: Json = False,
) -> None:
    """Write a card as JSON in one of SageMaker's schemas, as HTML, PDF or Markdown.

    Example: `steward card export diabetes 2 --schema card --format json`
    """
    if by not in _BY or (by != "here" and format_ != "pdf"):
        raise CommandError(
            f"no {format_!r} by {by!r}", Exit.USAGE,
            "--by here; for --format pdf also job_image, sagemaker",
        )  # fmt: skip
    if schema not in ("package", "card", "steward") or format_ not in ("json", "html", "pdf", "md"):
        raise CommandError(
            f"no {schema!r} as {format_!r}", Exit.USAGE,
            "--schema package, card, steward; --format json, html, pdf, md",
        )  # fmt: skip
    if format_ == "pdf" and into is None:
        raise CommandError("a PDF needs --into FILE", Exit.USAGE)
    if by != "here" and into is not None:
        _fetch(context.obj, project_name, version, by, _WAIT_S, into, json_)
        return
    card, status = read(context.obj, project_name, version)
    content = _written(card, status, schema, format_)
    if into is not None:
        _keep(into, content, json_)
    else:
        typer.echo(content.decode())


def _written(card: Card, status: str, schema: str, format_: str) -> bytes:
    if format_ == "html":
        return page(card, status).encode()
    if format_ == "md":
        return markdown(card, status).encode()
    if format_ == "pdf":
        from steward_jobs.card_pdf import pdf

        return pdf(card, status)
    if schema == "steward":
        return json.dumps(card.model_dump(mode="json"), indent=2).encode()
    known: Any = schema
    encode(card, known)
    return json.dumps(project(card, known), indent=2).encode()


@app.command("pdf")
def pdf_card(
    context: typer.Context,
    project_name: Project,
    version: Version,
    here: Annotated[
        bool, typer.Option("--here", help="Make it in this process, without a job.")
    ] = False,
    wait: Wait = _WAIT_S,
    into: Into = None,
    json_: Json = False,
) -> None:
    """Have a card made a PDF by a job of the job image, and fetch it; one job for one card.

    Example: `steward card pdf diabetes 2`
    """
    path = into or Path(f"{project_name}-{version}-card.pdf")
    if here:
        card, status = read(context.obj, project_name, version)
        _keep(path, _written(card, status, "steward", "pdf"), json_)
    else:
        _fetch(context.obj, project_name, version, "job_image", wait, path, json_)


def _fetch(
    choice: Choice, project_name: str, version: int, by: str, wait: float, path: Path, json_: bool
) -> None:
    asked = {"project": project_name, "version": version, "by": by}
    with progress(f"PDF of the card of {project_name} {version}") as tell:
        content, told = fetch(choose(choice), asked, tell, wait)
    _keep(path, content, json_, {"job": told["job"], "card_digest": told["card_digest"]})


def _keep(path: Path, content: bytes, json_: bool, about: dict[str, str] | None = None) -> None:
    path.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    told = {"location": str(path), "sha256": digest, **(about or {})}
    show(told, json_, lambda console: console.print(str(path), soft_wrap=True))


@app.command("checklist")
def show_checklist(
    context: typer.Context,
    project_name: Project,
    version: Version,
    standard: Annotated[
        str, typer.Option(help="annex-iv (EU AI Act), nist-ai-rmf or sr-11-7 (SR 26-2).")
    ] = "annex-iv",
    into: Annotated[Path | None, typer.Option("--html", help="Write it as a page.")] = None,
    json_: Json = False,
) -> None:
    """Fill a checklist from the evidence of a version: each line has a digest or what is missing.

    Example: `steward card checklist diabetes 2 --standard nist-ai-rmf`
    """
    asked = checklist(standard)
    card, _status = read(context.obj, project_name, version)
    lines = fill(asked, card)
    if into is not None:
        into.write_text(checklist_page(asked, card, lines), encoding="utf-8")

    def render(console: Console) -> None:
        console.print(f"[bold]{asked.title}[/bold]\n{escape(asked.source)}")
        console.print(table(("paragraph", "asks for", "answer", "evidence, or what is missing"),
                            [_line(line) for line in lines]))  # fmt: skip
        told = ", ".join(f"{number} {kind}" for kind, number in counted(lines).items())
        console.print(told + (f"; page: {into}" if into else ""))

    data = {
        "standard": asked.standard, "source": asked.source, "scope": asked.scope,
        "project": project_name, "version": version, "card_digest": card.digest,
        "counts": counted(lines), "lines": [line.as_dict() for line in lines],
    }  # fmt: skip
    show(data, json_, render)


def _line(line: Answered) -> tuple[str, ...]:
    proofs = [f"{source.name} {source.sha256[:12]}" for source in line.evidence]
    missing = [f"missing: {what}" for what in line.missing]
    return (line.paragraph, line.asks, line.answer, escape("\n".join([*proofs, *missing])))


def _tell(path: Path, json_: bool, *, opened: bool) -> None:
    def render(console: Console) -> None:
        console.print(str(path), soft_wrap=True)
        if opened and console.is_terminal:
            webbrowser.open(path.absolute().as_uri())

    show({"location": str(path)}, json_, render)
