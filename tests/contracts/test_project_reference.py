"""The reference of what a project declares is whole."""

from steward_cli.project_reference import reference


def test_every_key_is_explained() -> None:
    unexplained = [line for line in reference().splitlines() if line.endswith("|  |")]
    assert unexplained == []


def test_every_type_that_is_linked_is_there() -> None:
    text = reference()
    linked = {part.split("](#")[0] for part in text.split("[")[1:] if "](#" in part}
    headed = {line.removeprefix("### ") for line in text.splitlines() if line.startswith("### ")}
    assert linked <= headed
