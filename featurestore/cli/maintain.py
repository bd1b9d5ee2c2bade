"""`featurestore maintain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from featurestore.cli.output import JsonFlag, console, print_json, print_table
from featurestore.cli.project import open_store
from featurestore.timeline import parse_duration

if TYPE_CHECKING:
    from featurestore.upkeep.sweeping import Finding, MaintenanceReport


def maintain(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go and what is kept.")] = False,
    retain: Annotated[str, typer.Option(help="How long history stays answerable as it was, such as 30d.")] = "30d",
    as_json: JsonFlag = False,
) -> None:
    """Join small files and sweep what nothing needs. What a dataset, service, model or audit still pins stays."""
    with open_store() as store:
        report = store.maintain(parse_duration(retain), dry_run=dry_run)
    if as_json:
        print_json(
            {
                "dry_run": report.dry_run,
                "swept": [_document(finding) for finding in report.swept],
                "kept": [_document(finding) for finding in report.kept],
            }
        )
    else:
        _print(report)


def _print(report: MaintenanceReport) -> None:
    if report.swept:
        title = "Would do" if report.dry_run else "Done"
        rows = [(f.action, f.kind, f.where, _size(f.size_bytes), f.why) for f in report.swept]
        print_table(("action", "what", "where", "size", "why"), rows, title=title)
    else:
        console().print("There is nothing to sweep.")
    if report.kept:
        print_table(("what", "where", "kept by"), [(f.kind, f.where, f.why) for f in report.kept], title="Kept")


def _size(size_bytes: int | None) -> str | None:
    if size_bytes is None:
        return None
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 100_000 else f"{size_bytes / 1e3:.1f} kB"


def _document(finding: Finding) -> dict[str, object]:
    return {
        "action": finding.action,
        "kind": finding.kind,
        "where": finding.where,
        "why": finding.why,
        "size_bytes": finding.size_bytes,
    }
