"""Which tests stay in one process where several share them (``pytest -n 4``), and who goes first.

A file stays together. The end-to-end files are two shares, and who takes one deploys one stack: in
one, whatever begins with the trained version is released; the other has the demo's story and the
rest. (``--dist loadgroup`` says the same with marks, but pytest-xdist 3.8 loses them with
pytest 9.2.)

The tests of an embedded AWS mostly wait, and some of them watch the time: two processes take
those first. The others fill the processors in between, politely: what they run gives way.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

_ROOT = Path(__file__).resolve().parents[2]
_TRAINED = re.compile(r"\btrained: dict\b")
EMBEDDED = ("tests/integration/", "tests/e2e/", "e2e ")
"""How files and shares that need an embedded AWS begin."""
WAITING = 2
"""How many processes take the tests of an embedded AWS first."""
POLITE = 10
"""Nice value of the other processes: a tenth of the processor where somebody else wants it."""


@cache
def share_of(file: str) -> str:
    """Return the share that a test file belongs to, by its path in the repository."""
    if not file.startswith("tests/e2e/"):
        return file
    releases = _TRAINED.search((_ROOT / file).read_text(encoding="utf-8"))
    return "e2e releases" if releases else "e2e story and the rest"


def takes_embedded(number: int, processes: int) -> bool:
    """Say whether a process (from 0) takes the tests of an embedded AWS first."""
    return processes <= WAITING or number < WAITING


def next_share(shares: Iterable[str], *, embedded: bool) -> str:
    """Return the first share of the wanted kind, or the first at all; end-to-end ones lead."""
    waiting = list(shares)
    wanted = [share for share in waiting if share.startswith(EMBEDDED) == embedded]
    return min(wanted or waiting, key=lambda share: not share.startswith("e2e "))


def give_way(worker: str, processes: int) -> None:
    """Make a process polite unless it takes the tests of an embedded AWS first.

    Args:
        worker: xdist's name of the process: ``gw0``, ``gw1``...
        processes: How many there are.
    """
    if not takes_embedded(int(worker.removeprefix("gw")), processes):
        os.nice(POLITE)


class Sharing(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """xdist's sharing by file, with two end-to-end shares and processes that prefer them."""

    def _split_scope(self, nodeid: str) -> str:
        return share_of(nodeid.split("::", 1)[0])

    def _assign_work_unit(self, node: WorkerController) -> None:
        number = int(node.gateway.id.removeprefix("gw"))
        embedded = takes_embedded(number, self.numnodes)
        self.workqueue.move_to_end(next_share(self.workqueue, embedded=embedded), last=False)
        super()._assign_work_unit(node)
