"""``steward project publish-templates``: the templates in SageMaker Studio and Service Catalog."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from steward_cli.catalogue import Place, Seed, catalogue_template, product_template, zipped
from steward_cli.commands.local import repository_root
from steward_cli.console import CommandError, Exit, Json, progress, show
from steward_cli.pipeline_stack import of_the_stack
from steward_cli.project_templates import render, templates_of
from steward_cli.stacks import deploy
from steward_cli.target import choose

SEED_NAME = "my-project"
"""Name in a seed, replaced by the project's own when a product is launched."""


def publish_templates(
    context: typer.Context,
    principal: Annotated[list[str] | None, typer.Option("--principal", help="ARN of a role that "
                         "may launch them; repeatable.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the stack's template "
                                             "there, and publish nothing.")] = None,
    json_: Json = False,
) -> None:  # fmt: skip
    """Publish the project templates as Service Catalog products that SageMaker Studio shows.

    One stack holds portfolio, products, launch role, constraints and the function that names
    projects; run it again to update. A product makes a CodeCommit repository with the template's
    files, named as it is asked for, and its pipeline; `project add` in a clone then brings the
    project itself. New AWS accounts have no CodeCommit, and use `project new` with any forge.

    Example: `steward --target aws project publish-templates --principal ARN`
    """
    target = choose(context.obj)
    bucket = target.output("ArtifactsBucketName")
    seeds = seeds_of(repository_root())
    pipeline = (repository_root() / "projects" / "pipeline.yaml").read_bytes()
    files = {seed.key: seed.archive for seed in seeds}
    files[f"catalogue/pipeline/{hashlib.sha256(pipeline).hexdigest()}.yaml"] = pipeline
    stack = f"{target.stack}-catalogue"
    base = f"https://s3.{target.region}.amazonaws.com/{bucket}"
    place = Place(
        bucket, target.environment_name, stack, f"{base}/{list(files)[-1]}", of_the_stack(target)
    )
    urls = {}
    for seed in seeds:
        product = product_template(seed, place, SEED_NAME).encode()
        # What a product launches follows from its template too, so its name does.
        key = f"catalogue/{seed.template.name}/{hashlib.sha256(product).hexdigest()}.json"
        files[key] = product
        urls[seed.template.name] = f"{base}/{key}"
    template = json.dumps(catalogue_template(seeds, urls, principal or [], place), indent=1)
    if out is not None:
        out.write_text(template + "\n", encoding="utf-8")
    elif target.engine is not None:
        raise CommandError(
            "the embedded AWS has no Service Catalog", Exit.USAGE,
            "--target aws, or --out FILE to see the stack's template",
        )  # fmt: skip
    else:
        with progress(f"publishing {len(seeds)} templates") as say:
            for key, content in files.items():
                say(key)
                target.client("s3").put_object(Bucket=bucket, Key=key, Body=content)
            say(f"stack {stack}")
            deploy(target, stack, None, template, {}, ("CAPABILITY_IAM",))
    products = {seed.template.name: seed.digest for seed in seeds}

    def tell(console: Console) -> None:
        done = f"wrote {out}" if out is not None else f"published by stack {stack}"
        console.print(f"{len(products)} templates: {', '.join(products)}: {done}")

    show({"stack": stack, "products": products, "out": str(out) if out else None}, json_, tell)


def seeds_of(root: Path) -> list[Seed]:
    """Return every template, rendered with its defaults."""
    seeds = []
    with tempfile.TemporaryDirectory() as folder:
        for template in templates_of(root):
            goal = Path(folder) / template.name
            render(root, template.name, SEED_NAME, goal, {})
            # Where it was rendered from is a path of this machine, and no use to anybody else.
            (goal / ".copier-answers.yml").unlink()
            seeds.append(Seed(template, zipped(goal)))
    return seeds
