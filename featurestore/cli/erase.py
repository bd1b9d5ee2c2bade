"""`featurestore erase`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from featurestore.cli.online import typed_row
from featurestore.cli.output import JsonFlag, console, print_json, print_table
from featurestore.cli.project import open_store
from featurestore.dtypes import Value, parse, to_json
from featurestore.errors import InputError

if TYPE_CHECKING:
    from featurestore.store import FeatureStore
    from featurestore.upkeep.report import EraseReport


def erase(
    entity: Annotated[
        list[str],
        typer.Option("--entity", "-e", help="customer=c01, or customer=c01,shop=7; given twice, both keys are meant."),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be erased.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Take an entity out of everything that is kept. Of all versions; exit code 1 when something still holds it."""
    with open_store() as store:
        keys = _keys(store, entity)
        planned = store.erase(keys, dry_run=True)
        if not dry_run:
            _confirm(planned, yes=yes, as_json=as_json)
        report = planned if dry_run else store.erase(keys)
    if as_json:
        print_json(_document(report))
    else:
        _print(report)
    if not dry_run and report.held:
        raise typer.Exit(1)


def _keys(store: FeatureStore, parts: list[str]) -> dict[str, Value]:
    types = {key: parse(dtype) for version in store.registry.view_versions() for key, dtype in version.record.keys}
    keys: dict[str, Value] = {}
    for part in parts:
        for name, value in typed_row(part, types, "join key").items():
            if name in keys and keys[name] != value:
                raise InputError(f"Join key '{name}' is given twice; erase one entity at a time.")
            keys[name] = value
    return keys


def _confirm(planned: EraseReport, *, yes: bool, as_json: bool) -> None:
    if yes:
        return
    if as_json or not sys.stdin.isatty():
        raise InputError("Erasing cannot be undone: look at --dry-run first, then give --yes.")
    _print(planned)
    typer.confirm("Erase this for good?", abort=True)


def _print(report: EraseReport) -> None:
    out = console()
    named = ", ".join(f"{name}={to_json(value)}" for name, value in report.entity.items())
    verb = "Would erase" if report.dry_run else "Erased"
    if report.erased:
        rows = [(place.kind, place.where, place.rows, place.remark or None) for place in report.erased]
        print_table(("from", "where", "rows", ""), rows, title=f"{verb} {named}")
    else:
        out.print(f"Nothing that is kept names {named}.")
    if report.held:
        print_table(
            ("still held by", "where", "rows", "why"),
            [(place.kind, place.where, place.rows, place.why) for place in report.held],
        )
    elif not report.dry_run:
        out.print("Nothing that is known holds it any more.", style="bold green")


def _document(report: EraseReport) -> dict[str, object]:
    return {
        "entity": {name: to_json(value) for name, value in report.entity.items()},
        "dry_run": report.dry_run,
        "complete": report.complete,
        "erased": [{"kind": p.kind, "where": p.where, "rows": p.rows, "remark": p.remark} for p in report.erased],
        "held": [{"kind": p.kind, "where": p.where, "rows": p.rows, "why": p.why} for p in report.held],
    }
