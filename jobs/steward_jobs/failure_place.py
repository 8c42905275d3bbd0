"""Where a program broke, without what it was working on: a message may hold a person's values.

Error class, file, line and function are code and are told to people by event and mail; the whole
output stays in the job's log.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from steward_jobs.container import base_dir

LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
_FRAME = re.compile(r'^\s*File "(?P<path>[^"]+)", line (?P<line>\d+)(?:, in (?P<name>[\w<>.]+))?')
_CLASS = re.compile(r"^(?P<name>[A-Za-z_][\w.]{0,99})(?::|$)")
_OF_PYTHON = ("site-packages", "/lib/python", "<frozen ")


def place_of(output: str) -> str | None:
    """Return class and place of the last error in a program's output; None where it has none.

    The place is the deepest frame of the program's own: one of a library says nothing of it.
    """
    frames: list[re.Match[str]] = []
    found: str | None = None
    for line in output.splitlines():
        if line.startswith("Traceback "):
            frames = []
        elif frame := _FRAME.match(line):
            frames.append(frame)
        elif frames and (kind := _CLASS.match(line)):
            found, frames = _told(kind["name"], frames), []
    return found


def _told(kind: str, frames: list[re.Match[str]]) -> str:
    own = [f for f in frames if not any(part in f["path"] for part in _OF_PYTHON)]
    last = (own or frames)[-1]
    inside = f", in {last['name']}" if last["name"] else ""
    return f"{kind} at {Path(last['path']).name}:{last['line']}{inside}"


def log_place() -> str:
    """Return where the output of this processing job is kept.

    Source: https://docs.aws.amazon.com/sagemaker/latest/dg/build-your-own-processing-container.html
    """
    try:
        told = json.loads((base_dir() / "config" / "processingjobconfig.json").read_text())
        return f"log group {LOG_GROUP}, streams {told['ProcessingJobName']}/..."
    except (OSError, ValueError, KeyError, TypeError):
        return "the job's log"
