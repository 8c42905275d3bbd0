"""The job image: recorded, made of this folder's code, and there for the versions in use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from steward_cli.commands.image import SOURCE_KEY, SOURCE_METADATA, source_digest
from steward_cli.doctor.findings import Finding
from steward_cli.state import StackState
from steward_cli.target import Target
from steward_local.sagemaker.image import local_image_uri

AREA, CHECK = "stack", "job image"
IN_USE = frozenset({"pending", "approved", "releasing", "production", "retained"})


def image_findings(target: Target) -> Iterator[Finding]:
    """Yield whether jobs find their image, and whether it is of the code in this folder."""
    value = _recorded(target)
    if "@sha256:" not in value:
        says = "none was built yet; every run would fail"
        yield Finding(AREA, CHECK, "fail", says, "steward image build")
        return
    if target.engine is not None:
        yield from _embedded(target, value)
        return
    yield Finding(AREA, CHECK, "ok", short(value))
    yield _source(target)


def short(uri: str) -> str:
    """Return the beginning of an image's digest."""
    return uri.partition("@")[2][:19]


def _recorded(target: Target) -> str:
    name = target.output("JobImageParameterName")
    try:
        return str(target.client("ssm").get_parameter(Name=name)["Parameter"]["Value"])
    except ClientError as error:
        if error.response["Error"]["Code"] != "ParameterNotFound":
            raise
        return ""


def _embedded(target: Target, recorded: str) -> Iterator[Finding]:
    """The embedded SageMaker runs this folder's code alone, and finds no image of other code."""
    local = local_image_uri()
    if recorded == local:
        yield Finding(AREA, CHECK, "ok", f"{short(recorded)}, this folder's code")
    else:
        yield Finding(
            AREA, CHECK, "fail",
            f"recorded is {short(recorded)}, and jobs/ and the domain here are {short(local)}: "
            "they changed, and no job starts",
            "steward image build, and train again; or take the old code back",
        )  # fmt: skip
    state = StackState(target)
    left = [
        f"{item['project']} {version['version']} ({version['state']})"
        for item in state.projects()
        for version in state.versions(str(item["project"]))
        if version.get("state") in IN_USE and str(version.get("job_image") or local) != local
    ]
    if left:
        more = f" and {len(left) - 5} more" if len(left) > 5 else ""
        yield Finding(
            AREA, "images of versions", "warn",
            f"trained by other code than this folder's, so no new endpoint of them starts: "
            f"{', '.join(left[:5])}{more}",
            "train again (steward runs start PROJECT --no-cache), or take the old code back",
        )  # fmt: skip


def _source(target: Target) -> Finding:
    """Compare the sources of the last build with this folder's."""
    told: dict[str, Any] = target.client("s3").head_object(
        Bucket=target.output("ArtifactsBucketName"), Key=SOURCE_KEY
    )
    built = str(told.get("Metadata", {}).get(SOURCE_METADATA, ""))
    if not built:
        return Finding(
            AREA, "image's code", "unknown", "the last build kept no digest of its sources",
            "steward image build",
        )  # fmt: skip
    local = source_digest()
    if built == local:
        return Finding(AREA, "image's code", "ok", "this folder's")
    return Finding(
        AREA, "image's code", "warn",
        f"built of sources {built[:12]}, and this folder's are {local[:12]}: jobs run the old code",
        "steward image build, if this folder is what is deployed",
    )  # fmt: skip
