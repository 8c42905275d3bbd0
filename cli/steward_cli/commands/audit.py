"""``steward audit``: who did what, when and why, and that nobody changed what is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from steward_cli.console import CommandError, Exit, Json, progress, record, shortened, show, table
from steward_cli.ledger import Checked, StackLedger, ledger_name
from steward_cli.state import person
from steward_cli.target import choose

app = typer.Typer(help="The ledger: who did what, when and why, and that it was not changed.")

Record = dict[str, Any]
Project = Annotated[str, typer.Argument(help="Whose ledger.")]
MaybeProject = Annotated[str | None, typer.Argument(help="Whose ledger.")]
StackLedgerOption = Annotated[
    bool, typer.Option("--stack-ledger", help="The ledger of what concerns no single project.")
]
Version = Annotated[int | None, typer.Option(min=1, help="Only what concerns this version.")]
Since = Annotated[str | None, typer.Option(metavar="TIME", help="From then on (ISO 8601).")]
Seq = Annotated[int, typer.Argument(min=1, metavar="NUMBER", help="Number of the record.")]


@app.command("show")
def show_records(
    context: typer.Context,
    project: MaybeProject = None,
    number: Annotated[int | None, typer.Option(min=1, help="One record, whole.")] = None,
    version: Version = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest.")] = 50,
    stack_ledger: StackLedgerOption = False,
    json_: Json = False,
) -> None:
    """List records, newest last, or show one.

    Example: `steward audit show diabetes --version 2`
    """
    name, ledger = ledger_name(project, stack_ledger), StackLedger(choose(context.obj))
    if number is not None:
        one = ledger.record(name, number)
        show(one, json_, lambda console: console.print(record(one)))
        return
    found = list(_chosen(ledger.records(name), version=version, since=since))[-limit:]
    show(found, json_, lambda console: console.print(_listed(found)))


@app.command("who")
def who(
    context: typer.Context, project: Project, version: Version = None, since: Since = None,
    json_: Json = False,
) -> None:  # fmt: skip
    """Tell who did what, by person and machine.

    Example: `steward audit who diabetes --version 2`
    """
    ledger = StackLedger(choose(context.obj))
    by: dict[str, dict[str, int]] = {}
    for one in _chosen(ledger.records(project), version=version, since=since):
        counts = by.setdefault(str(one["who"]), {})
        counts[one["what"]] = counts.get(one["what"], 0) + 1
    rows = [
        (person(name), ", ".join(f"{what} {count}" for what, count in sorted(counts.items())))
        for name, counts in sorted(by.items())
    ]
    show(by, json_, lambda console: console.print(table(("who", "did"), rows)))


@app.command("when")
def when(
    context: typer.Context,
    project: Project,
    what: Annotated[str, typer.Argument(help="Type of the event, such as VersionApproved.")],
    version: Version = None,
    json_: Json = False,
) -> None:
    """Tell when something happened, and when it was recorded.

    Example: `steward audit when diabetes VersionApproved`
    """
    ledger = StackLedger(choose(context.obj))
    found = [
        one for one in _chosen(ledger.records(project), version=version) if one["what"] == what
    ]
    if not found:
        raise CommandError(f"the ledger of {project} has no {what}", Exit.NOT_FOUND)
    rows = [(one["seq"], one["at"], one["recorded_at"], one["subject"]) for one in found]
    columns = ("record", "at", "recorded", "of")
    show(found, json_, lambda console: console.print(table(columns, rows)))


@app.command("why")
def why(context: typer.Context, project: Project, number: Seq, json_: Json = False) -> None:
    """Tell why something was done: the reason given, its ground, and what led there.

    What led there has the same correlation: the run from its delivery on.

    Example: `steward audit why diabetes 12`
    """
    ledger = StackLedger(choose(context.obj))
    one = ledger.record(project, number)
    correlation = (one.get("details") or {}).get("correlation_id")
    before = [
        other for other in ledger.records(project)
        if correlation and other["seq"] < number
        and (other.get("details") or {}).get("correlation_id") == correlation
    ]  # fmt: skip
    told = {"record": one, "why": one["why"], "digests": one["digests"], "before": before}

    def render(console: Console) -> None:
        console.print(f"{one['what']} of {one['subject'] or project} by {person(one['who'])}")
        console.print(f"Reason: {one['why'] or 'none was asked for'}", markup=False)
        for name, digest in one["digests"].items():
            console.print(f"  {name}: {digest}", markup=False)
        if before:
            console.print(_listed(before))

    show(told, json_, render)


@app.command("verify")
def verify(
    context: typer.Context,
    project: MaybeProject = None,
    all_: Annotated[bool, typer.Option("--all", help="Every ledger of the stack.")] = False,
    objects: Annotated[
        bool, typer.Option("--objects/--no-objects", help="Compare the bucket with the table.")
    ] = True,
    stack_ledger: StackLedgerOption = False,
    json_: Json = False,
) -> None:
    """Recompute chain, heads and signatures; compare table and bucket. Exit code 1: not sound.

    Example: `steward audit verify diabetes`
    """
    ledger = StackLedger(choose(context.obj))
    names = ledger.projects() if all_ else [ledger_name(project, stack_ledger)]
    known = set(ledger.projects())
    missing = next((name for name in names if name not in known), None)
    if missing is not None:
        hint = f"known: {', '.join(sorted(known)) or 'none'}"
        raise CommandError(f"no ledger of {missing!r}", Exit.NOT_FOUND, hint)
    found: list[Checked] = []
    with progress("verifying") as say:
        for name in names:
            found.append(ledger.verify(name, _of(name, say), objects=objects))
    document: object = [vars(one) for one in found] if all_ else vars(found[0])
    show(document, json_, lambda console: _render_all(found, console))
    if any(one.findings for one in found):
        raise typer.Exit(int(Exit.FAILED))


def _of(name: str, say: Callable[[str], None]) -> Callable[[str], None]:
    return lambda text: say(f"{name}: {text}")


@app.command("prove")
def prove(
    context: typer.Context,
    project: Project,
    number: Seq,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File for the proof as JSON.")
    ] = None,
    json_: Json = False,
) -> None:
    """Prove that a record is under a signed head, without the records beside it.

    Example: `steward audit prove diabetes 12 --out proof.json`
    """
    made = StackLedger(choose(context.obj)).prove(project, number)
    if out is not None:
        out.write_text(json.dumps(made, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    head = made["head"]
    word = "is" if made["holds"] else "is NOT"
    line = (
        f"record {number} of {project} {word} among the {head['size']} of the head of "
        f"{head['at']}: {len(made['proof'])} digests, signature "
        f"{'right' if made['is_signed'] else 'WRONG'}"
    )
    show(made, json_, lambda console: console.print(line, markup=False))
    if not made["holds"]:
        raise typer.Exit(int(Exit.FAILED))


@app.command("export")
def export(
    context: typer.Context,
    project: MaybeProject = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write.")] = Path("ledger.json"),
    stack_ledger: StackLedgerOption = False,
    json_: Json = False,
) -> None:
    """Write one file with records, heads, public key and known answers of the key.

    It is checked with nothing but Python: a copy of `verifier.py` is written beside it.

    Example: `steward audit export diabetes --out ledger.json`
    """
    from steward.domain.audit import verifier

    name, ledger = ledger_name(project, stack_ledger), StackLedger(choose(context.obj))
    out.parent.mkdir(parents=True, exist_ok=True)
    counts = {"record": 0, "head": 0}
    with progress("exporting") as say, out.open("w", encoding="utf-8") as file:
        for entry in ledger.export(name):
            file.write(json.dumps(entry, ensure_ascii=False, separators=(",", ":")) + "\n")
            for kind in counts:
                counts[kind] += kind in entry
            if counts["record"] % 1000 == 999:
                say(f"{counts['record']} records")
    script = out.parent / "verifier.py"
    script.write_bytes(Path(str(verifier.__file__)).read_bytes())
    told = {
        "file": str(out), "verifier": str(script), "records": counts["record"],
        "heads": counts["head"],
    }  # fmt: skip
    line = (
        f"{out}: {counts['record']} records, {counts['head']} heads. Check: python {script} {out}"
    )
    show(told, json_, lambda console: console.print(line, markup=False, soft_wrap=True))


@app.command("seal")
def seal(context: typer.Context, json_: Json = False) -> None:
    """Sign heads over what came since the last ones, which is done every hour.

    Example: `steward audit seal`
    """
    target = choose(context.obj)
    event = {
        "id": "steward-audit-seal", "source": "aws.events", "detail-type": "Scheduled Event",
        "time": "1970-01-01T00:00:00Z", "detail": {},
    }  # fmt: skip
    with progress("signing"):
        answer = target.client("lambda").invoke(
            FunctionName=target.output("SealLedgersFunctionArn"),
            Payload=json.dumps(event).encode(),
        )
        told = json.loads(answer["Payload"].read())
    if "FunctionError" in answer:
        raise CommandError(f"sealing failed: {told.get('errorMessage', told)}", Exit.FAILED)

    def render(console: Console) -> None:
        for name, size in told["sealed"].items():
            console.print(f"{name}: {size} records signed")
        for name, problem in told["broken"].items():
            console.print(f"{name}: NOT signed: {problem}", markup=False)
        if not told["sealed"] and not told["broken"]:
            console.print("nothing new since the last heads")

    show(told, json_, render)
    if told["broken"]:
        raise typer.Exit(int(Exit.FAILED))


@app.command("hold")
def hold(
    context: typer.Context,
    project: Project,
    release: Annotated[bool, typer.Option("--release", help="Take the hold off.")] = False,
    json_: Json = False,
) -> None:
    """Put a legal hold on all records' objects of a project: no retention ends it.

    Example: `steward audit hold diabetes`
    """
    ledger = StackLedger(choose(context.obj))
    with progress("holding" if not release else "releasing") as say:
        count = ledger.hold(project, on=not release, say=say)
    line = f"{project}: {count} objects are {'free of the' if release else 'under'} legal hold"
    show(
        {"project": project, "objects": count, "hold": not release},
        json_, lambda console: console.print(line),
    )  # fmt: skip


def _chosen(
    records: Iterator[Record], *, version: int | None = None, since: str | None = None
) -> Iterator[Record]:
    for one in records:
        data = (one.get("details") or {}).get("data") or {}
        if version is not None and (data.get("version") != version or "group" in data):
            continue  # a feature group's version is no model's
        if since is not None and str(one["at"]) < since:
            continue
        yield one


def _listed(found: list[Record]) -> Any:
    rows = [
        (one["seq"], one["at"], person(one["who"]), one["what"], one["subject"],
         shortened(one["why"])) for one in found
    ]  # fmt: skip
    return table(("record", "at", "who", "what", "of", "why"), rows)


def _render_all(found: list[Checked], console: Console) -> None:
    for one in found:
        _render(one, console)


def _render(one: Checked, console: Console) -> None:
    for finding in one.findings:
        where = "" if finding["seq"] is None else f" {finding['seq']}"
        console.print(f"{finding['kind']}{where}: {finding['told']}", markup=False)
    compared = "" if one.objects is None else f", {one.objects} objects compared"
    word = "sound" if not one.findings else f"NOT SOUND, {len(one.findings)} findings"
    console.print(
        f"{one.project}: {one.records} records, {one.signed} of them under {one.heads} signed "
        f"heads{compared}: {word}",
        markup=False,
    )
