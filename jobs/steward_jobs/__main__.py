"""``python -m steward_jobs train|evaluate|serve|card|test|rehearse``: the image's commands.

Each command imports only what it needs, since most of these processes live for seconds.
"""

from __future__ import annotations

import sys
from importlib import import_module

COMMANDS = ("train", "evaluate", "serve", "card", "test", "rehearse")
_INTERNAL = ("explain", "predict")


def main(arguments: list[str]) -> int:
    """Run one command and return the exit code of the process."""
    if not arguments or arguments[0] not in (*COMMANDS, *_INTERNAL):
        named = f"not {arguments[0]!r}" if arguments else "none was given"
        print(f"the command must be one of {', '.join(COMMANDS)}, {named}", file=sys.stderr)  # noqa: T201
        return 2
    command = import_module(f"steward_jobs.{arguments[0]}")
    code: int = command.main(arguments[1:])
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
