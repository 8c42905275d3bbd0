"""``steward image``: the one image of all jobs and endpoints, built in the account."""

from __future__ import annotations

import hashlib
import io
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from botocore.exceptions import ClientError
from rich.console import Console

from steward_cli.commands.local import publish_image, repository_root
from steward_cli.console import CommandError, Exit, Json, progress, show
from steward_cli.target import Target, choose

app = typer.Typer(help="The job image: build it with CodeBuild, see its digest.")

_FOLDERS = ("jobs", "layers/core/steward")
SOURCE_KEY = "image/source.zip"
SOURCE_METADATA = "sources-sha256"
"""What the sources of a build are known by; `steward doctor` compares it with this folder's."""


@app.command("build")
def build(
    context: typer.Context,
    timeout_s: Annotated[int, typer.Option(min=60, help="Give up waiting after this.")] = 1800,
    json_: Json = False,
) -> None:
    """Build the job image in the account and record its digest; nobody needs Docker.

    On the embedded AWS jobs run as processes; the digest of their sources is recorded.

    Example: `steward image build`
    """
    target = choose(context.obj)
    if target.engine is not None:
        publish_image(target.engine, target.output("JobImageParameterName"))
        uri = current(target)
    else:
        uri = build_in_account(target, timeout_s)
    show({"image": uri}, json_, lambda console: console.print(f"image: {uri}"))


@app.command("show")
def show_image(context: typer.Context, json_: Json = False) -> None:
    """Show the image that the next job runs.

    Example: `steward image show`
    """
    uri = current(choose(context.obj))

    def render(console: Console) -> None:
        console.print(f"image: {uri}")

    show({"image": uri}, json_, render)


def current(target: Target) -> str:
    """Return the recorded image.

    Raises:
        CommandError: None was built yet.
    """
    name = target.output("JobImageParameterName")
    try:
        value = str(target.client("ssm").get_parameter(Name=name)["Parameter"]["Value"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "ParameterNotFound":
            raise
        value = ""
    if "@sha256:" not in value:
        raise CommandError("no job image was built yet", Exit.NOT_FOUND, "steward image build")
    return value


def _sources(root: Path) -> Iterator[Path]:
    for folder in _FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path


def source_digest() -> str:
    """Return the SHA-256 of names and contents of what an image is built of."""
    root, digest = repository_root(), hashlib.sha256()
    for path in _sources(root):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def build_in_account(target: Target, timeout_s: int) -> str:
    """Zip the sources to S3, run the CodeBuild project and return the digest it recorded.

    Raises:
        CommandError: The build failed or took longer than ``timeout_s``.
    """
    root = repository_root()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in _sources(root):
            archive.write(path, path.relative_to(root))
    bucket = target.output("ArtifactsBucketName")
    with progress("building the job image") as say:
        say("uploading sources")
        target.client("s3").put_object(
            Bucket=bucket, Key=SOURCE_KEY, Body=buffer.getvalue(),
            Metadata={SOURCE_METADATA: source_digest()},
        )  # fmt: skip
        codebuild = target.client("codebuild")
        started = codebuild.start_build(projectName=target.output("JobImageBuildName"))["build"]
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            found = codebuild.batch_get_builds(ids=[started["id"]])["builds"][0]
            say(found.get("currentPhase", ""))
            if found["buildStatus"] != "IN_PROGRESS":
                break
            time.sleep(5)
        else:
            raise CommandError(
                f"build {started['id']} runs for more than {timeout_s} s", Exit.TIMED_OUT
            )
    if found["buildStatus"] != "SUCCEEDED":
        log = found.get("logs", {}).get("deepLink", started["id"])
        raise CommandError(f"build {found['buildStatus']}", hint=f"its log: {log}")
    return current(target)
