"""``steward report``: open what mails name."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer
from botocore.exceptions import ClientError
from rich.console import Console

from steward_cli.console import CommandError, Exit, Json, show
from steward_cli.target import choose

app = typer.Typer(help="Reports: evidence, evaluations and validations, as stored.")


@app.command("open")
def open_report(
    context: typer.Context,
    uri: Annotated[str, typer.Argument(help="s3://bucket/key, as a mail names it.")],
    into: Annotated[Path | None, typer.Option("--into", help="Save it here instead.")] = None,
    json_: Json = False,
) -> None:
    """Open a report with your own rights; nothing is public and no link is mailed.

    On AWS the address is presigned for you, for 15 minutes.

    Example: `steward report open s3://BUCKET/evidence/diabetes/1/evidence.json`
    """
    bucket, slash, key = uri.removeprefix("s3://").partition("/")
    if not uri.startswith("s3://") or not slash or not key:
        raise CommandError(f"{uri!r} is no s3://bucket/key", Exit.USAGE)
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

    def render(console: Console) -> None:
        console.print(where, soft_wrap=True)
        if not into and console.is_terminal:
            webbrowser.open(where)

    show({"uri": uri, "location": where}, json_, render)
