"""The built-in model's code as the source of a project that has none of its own."""

from __future__ import annotations

from pathlib import Path

PACKAGE = "built_in"
DOORWAYS = {
    "train.py": (
        '"""Train the built-in model."""\n\n'
        "import sys\n\nfrom built_in.training import main\n\n"
        'if __name__ == "__main__":\n    sys.exit(main())\n'
    ),
    "inference.py": (
        '"""Answer with the built-in model."""\n\n'
        "from built_in.serving import explain_fn, model_fn, predict_fn\n\n"
        '__all__ = ["explain_fn", "model_fn", "predict_fn"]\n'
    ),
}


def built_in_files() -> dict[str, bytes]:
    """Return the files of the source by their paths: two doorways and the package."""
    folder = Path(__file__).parent
    files = {name: text.encode() for name, text in DOORWAYS.items()}
    for path in sorted(folder.glob("*.py")):
        if path.name != Path(__file__).name:
            files[f"{PACKAGE}/{path.name}"] = path.read_bytes()
    return files
