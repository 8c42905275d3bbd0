"""Take the artifact of this folder as the model. Steward runs this in the place of a training."""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sys
from pathlib import Path


def main() -> int:
    """Copy the artifact into the model, once its digest is checked; return the exit code."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--artifact", required=True, help="file below artifact/")
    arguments.add_argument("--sha256", default="", help="the only digest that is taken")
    options = arguments.parse_args()
    folder = Path(__file__).parent / "artifact"
    path = (folder / options.artifact).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        sys.stderr.write(f"artifact/{options.artifact} is no file of this project\n")
        return 2
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if options.sha256 and digest != options.sha256:
        sys.stderr.write(f"{options.artifact} is {digest}; allowed: {options.sha256}\n")
        return 2
    shutil.copyfile(path, Path(os.environ["SM_MODEL_DIR"]) / path.name)
    print(f"imported={path.name} sha256={digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
