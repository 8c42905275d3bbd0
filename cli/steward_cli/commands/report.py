"""``steward report``: open what mails name."""

from __future__ import annotations

import re
import tempfile
import webbrowser
from pathlib import Path
from typing import Annotated

import typer
from botocore.exceptions import ClientError
from rich.console import Console

from steward_cli.commands.experiment import reader, write_report
from steward_cli.console import CommandError, Exit, Json, show
from steward_cli.state import StackState
from steward_cli.target import Target, choose
from steward_cli.version_text import REPORTS, report_uri

app = typer.Typer(help="Reports: evidence, evaluations and validations as stored, experiments.")

_EXPERIMENT = re.compile(r"experiments/(?P<project>[^/]+)/(?P<release>[^/]+)/report\.html")


@app.command("open")
def open_report(
    context: typer.Context,
    what: Annotated[
        str,
        typer.Argument(
            metavar="URI|PROJECT",
            help="s3://bucket/key as a mail names it, or a project, with a version and a report.",
        ),
    ],
    version: Annotated[int | None, typer.Argument(min=1, help="Version number.")] = None,
    report: Annotated[str | None, typer.Argument(help=f"{', '.join(REPORTS)}.")] = None,
    into: Annotated[Path | None, typer.Option("--into", help="Save it here instead.")] = None,
    json_: Json = False,
) -> None:
    """Open a report with your own rights; nothing is public and no link is mailed.

    On AWS the address is presigned for you, for 15 minutes. The report of an experiment,
    `s3://BUCKET/experiments/PROJECT/RELEASE_ID/report.html`, is made from the record as it is
    now, so that there is one at any time.

    Example: `steward report open diabetes 1 evaluation`
    """  # fmt: skip
    uri = what
    if not what.startswith("s3://") and version is not None:
        uri = _of_version(choose(context.obj), what, version, report)
    bucket, slash, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not slash or not key:
        raise CommandError(
            f"{uri!r} is no s3://bucket/key", Exit.USAGE,
            "or name a version and its report: steward report open PROJECT VERSION evaluation",
        )  # fmt: skip
    if found := _EXPERIMENT.fullmatch(key):
        _open_experiment(context, uri, found["project"], found["release"], into, json_)
        return
    target = choose(context.obj)
    s3 = target.client("s3")
    try:
        if into:
            s3.download_file(bucket, key, str(into))
            where = str(into)
        else:
            s3.head_object(Bucket=bucket, Key=key)
            where = s3.generate_presigned_url(
                "get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=900
            )
    except ClientError as error:
        if error.response["Error"]["Code"] in ("404", "NoSuchKey", "NoSuchBucket"):
            raise CommandError(f"there is no {uri}", Exit.NOT_FOUND) from None
        raise

    _tell(uri, where, where if not into else None, json_)


def _of_version(target: Target, project: str, version: int, report: str | None) -> str:
    """Return where a report of a version lies."""
    item = StackState(target).version(project, version)
    there = {name: uri for name in REPORTS if (uri := report_uri(item, name))}
    if report is None or report not in there:
        told = f"no report {report!r}" if report else "which report?"
        raise CommandError(
            f"{project} {version}: {told}", Exit.NOT_FOUND if report in REPORTS else Exit.USAGE,
            f"allowed: {', '.join(there) or 'none, as it has none'}",
        )  # fmt: skip
    return there[report]


def _open_experiment(
    context: typer.Context, uri: str, project: str, release_id: str, into: Path | None, json_: bool
) -> None:
    path = into or Path(tempfile.mkdtemp(prefix="steward-")) / f"{project}-{release_id}.html"
    write_report(reader(context.obj), project, release_id, path)
    _tell(uri, str(path), path.absolute().as_uri() if not into else None, json_)


def _tell(uri: str, where: str, opened: str | None, json_: bool) -> None:
    def render(console: Console) -> None:
        console.print(where, soft_wrap=True)
        if opened and console.is_terminal:
            webbrowser.open(opened)

    show({"uri": uri, "location": where}, json_, render)
