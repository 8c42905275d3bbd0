"""Which tests stay in one process where several share them (``pytest -n 2``).

A file stays together. The end-to-end files are two shares, and who takes one deploys one stack: in
one, whatever begins with the trained version is released; the other has the demo's story and the
rest. (``--dist loadgroup`` says the same with marks, but pytest-xdist 3.8 loses them with
pytest 9.2.)
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from xdist.scheduler import LoadFileScheduling

_ROOT = Path(__file__).resolve().parents[2]
_TRAINED = re.compile(r"\btrained: dict\b")


@cache
def share_of(file: str) -> str:
    """Return the share that a test file belongs to, by its path in the repository."""
    if not file.startswith("tests/e2e/"):
        return file
    releases = _TRAINED.search((_ROOT / file).read_text(encoding="utf-8"))
    return "e2e releases" if releases else "e2e story and the rest"


class Sharing(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """xdist's sharing by file, with the end-to-end files in two shares."""

    def _split_scope(self, nodeid: str) -> str:
        return share_of(nodeid.split("::", 1)[0])
