"""Project templates rendered once a process."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import warnings
from functools import cache
from pathlib import Path

import copier

ROOT = Path(__file__).parents[2]
TEMPLATES = tuple(
    sorted(path.parent.name for path in (ROOT / "projects" / "templates").glob("*/template.yml"))
)


@cache
def plain_templates() -> Path:
    """The templates without a repository around them: rendered as they lie here, at once."""
    root = Path(tempfile.mkdtemp(prefix="steward-templates-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    shutil.copy(ROOT / "copier.yml", root)
    shutil.copytree(ROOT / "projects", root / "projects", symlinks=True)
    return root


def rendered(template: str, **answers: str) -> Path:
    """A folder with a rendered template, project ``churn``; not to be changed."""
    return _rendered(template, tuple(sorted(answers.items())))


@cache
def _rendered(template: str, answers: tuple[tuple[str, str], ...]) -> Path:
    root = plain_templates()
    goal = root / f"rendered-{template}-{len(list(root.iterdir()))}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        copier.run_copy(
            str(root), goal, data={"template": template, "name": "churn", **dict(answers)},
            defaults=True, quiet=True,
        )  # fmt: skip
    return goal
