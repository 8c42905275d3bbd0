"""``steward versions export`` and ``import``: a version with its evidence, from here to there."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from steward.adapters.objects import S3ObjectStore
from steward.domain.version_archive import (
    EVALUATION,
    EVIDENCE,
    EXAMPLES,
    MANIFEST,
    MAX_MODEL_BYTES,
    MODEL,
    Manifest,
    Member,
    check_evidence_of,
    check_model,
    import_digest,
    import_uri,
    read_archive,
    write_archive,
)
from steward.service.registry.exporting import Exporter, describe_export
from steward_cli.console import CommandError, Exit, Json, progress, show
from steward_cli.function_urls import call
from steward_cli.state import StackState
from steward_cli.target import Target, choose

Project = Annotated[str, typer.Argument(help="Project name.")]
_IMPORT_TIMEOUT_S = 900.0


def export_version(
    context: typer.Context,
    project: Project,
    version: Annotated[int, typer.Argument(min=1, help="Version number.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File; default PROJECT-VERSION.tar.")
    ] = None,
    json_: Json = False,
) -> None:
    """Write a version with all its evidence as one archive, the same bytes each time.

    Example: `steward versions export diabetes 2 --out diabetes-2.tar`
    """
    target = choose(context.obj)
    path = out or Path(f"{project}-{version}.tar")
    with progress(f"export {project} {version}"):
        manifest, uris = exported(target, project, version)
        write_export(target, manifest, uris, path)
    told = {
        "file": str(path), "bytes": path.stat().st_size, "export_digest": manifest.digest,
        "members": [member.name for member in manifest.members], "missing": manifest.missing,
    }  # fmt: skip

    def render(console: Console) -> None:
        console.print(f"{path}: {told['bytes']} bytes, {len(manifest.members)} members")
        console.print(f"digest {manifest.digest}")
        if manifest.missing:
            console.print(f"the version has no {', '.join(manifest.missing)}")

    show(told, json_, render)


def exported(target: Target, project: str, version: int) -> tuple[Manifest, dict[str, str]]:
    """Return the manifest of a version's export and the URI of each member.

    Raises:
        EvidenceIncompleteError: Nothing is frozen yet, or something changed since.
    """
    account = str(target.client("sts").get_caller_identity()["Account"])
    exporter = Exporter(account, target.region, target.environment_name)
    item = StackState(target).version(project, version)
    return describe_export(item, S3ObjectStore(target.client("s3")), exporter)


def write_export(target: Target, manifest: Manifest, uris: dict[str, str], path: Path) -> None:
    """Write an archive beside its place and put it there when it is whole."""
    objects = S3ObjectStore(target.client("s3"))
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_name(f".{path.name}.part")
    try:
        with half.open("wb") as stream:
            write_archive(stream, manifest, lambda member: objects.open(uris[member.name]))
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)


def import_version(
    context: typer.Context,
    project: Project,
    archive: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="From `versions export`.")
    ] = None,
    artifact: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A model.tar.gz.")
    ] = None,
    evaluation: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Its evaluation.json.")
    ] = None,
    examples: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Recorded requests for the smoke test."),
    ] = None,
    max_bytes: Annotated[
        int, typer.Option(min=1, help="An archive above this is refused.")
    ] = MAX_MODEL_BYTES,
    json_: Json = False,
) -> None:
    """Bring a model from elsewhere: an archive with its evidence, or an artifact of your own.

    You become its author. It is staged here and waits for an approval here; what nothing
    shows stays unproven, and no approval of another account counts.

    Example: `steward versions import diabetes --archive diabetes-2.tar`
    """
    target = choose(context.obj)
    StackState(target).project(project)
    with tempfile.TemporaryDirectory() as folder, progress(f"import into {project}") as told:
        files = _files(archive, artifact, evaluation, examples, Path(folder), max_bytes)
        told("files are whole")
        answer = bring(target, project, files)
    show(
        answer, json_,
        lambda console: console.print(
            f"{project} {answer['version']} is registered and goes into staging"
        ),
    )  # fmt: skip


def _files(
    archive: Path | None,
    artifact: Path | None,
    evaluation: Path | None,
    examples: Path | None,
    folder: Path,
    max_bytes: int,
) -> dict[str, Path]:
    if archive is not None:
        if artifact or evaluation or examples:
            raise CommandError("--archive stands alone", Exit.USAGE)
        manifest = read_archive(archive, folder, max_bytes=max_bytes)
        content = (folder / EVIDENCE).read_bytes()
        check_evidence_of(manifest, content, json.loads(content))
        (folder / MANIFEST).write_bytes(manifest.content())
        files = {name: folder / name for name in (MANIFEST, *(m.name for m in manifest.members))}
    elif artifact is not None and evaluation is not None:
        files = {MODEL: artifact, EVALUATION: evaluation}
        files |= {EXAMPLES: examples} if examples else {}
    else:
        raise CommandError(
            "nothing to import", Exit.USAGE, "--archive FILE, or --artifact and --evaluation"
        )
    with files[MODEL].open("rb") as stream:
        check_model(stream)
    return files


def bring(target: Target, project: str, files: dict[str, Path]) -> dict[str, Any]:
    """Upload files and have them registered as a version; return what the function answered.

    Args:
        target: Where they are brought to.
        project: Whose version it becomes.
        files: By member name.

    Raises:
        CommandError: The function refused them, with the reason.
    """
    members = [
        Member(name=name, size=path.stat().st_size, sha256=_sha256(path))
        for name, path in sorted(files.items())
    ]
    digest, bucket = import_digest(members), target.output("ArtifactsBucketName")
    objects = S3ObjectStore(target.client("s3"))
    for name, path in files.items():
        objects.upload(str(path), import_uri(bucket, project, digest, name))
    body: dict[str, Any] = {
        "project": project,
        "members": [{"name": member.name, "sha256": member.sha256} for member in members],
    }
    url = target.output("ImportUrl")
    answer = call(target, url, "POST", body, timeout_s=_IMPORT_TIMEOUT_S).raise_for_status()
    return {**answer.body, "import_digest": digest}


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
