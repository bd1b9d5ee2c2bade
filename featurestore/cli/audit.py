"""`featurestore audit`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from featurestore.cli.output import JsonFlag, console, print_json, print_table, print_text
from featurestore.cli.project import open_store
from featurestore.dtypes import to_json
from featurestore.timeline import format_instant, parse_instant

if TYPE_CHECKING:
    from collections.abc import Mapping

    from featurestore.audit.report import AuditReport, Cell, Example, FeatureAudit
    from featurestore.dtypes import Value


def audit(
    service: Annotated[str, typer.Argument(help="The service whose served vectors are audited.")],
    since: Annotated[str | None, typer.Option(help="Only what was served from then on.")] = None,
    until: Annotated[str | None, typer.Option(help="Only what was served before then.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Hold what a service served against history, cell by cell. Exit code 1 when any differs."""
    with open_store() as store:
        bounds = (None if text is None else parse_instant(text) for text in (since, until))
        report = store.audit(service, *bounds)
        sampled = store.configuration.audit.sample
    if as_json:
        print_json(_document(report))
    else:
        _print(report, sampled)
    if report.differences:
        raise typer.Exit(1)


def _print(report: AuditReport, sampled: float) -> None:
    out = console()
    if not report.vectors:
        why = "" if sampled else " Nothing is sampled: set sample under [audit] in featurestore.toml."
        print_text(f"No vector of '{report.service}' is in the log.{why}")
        return
    style = "bold red" if report.differences else "bold green"
    verdict = f"{report.differences:,} cells differ" if report.differences else "all cells are equal"
    out.print(
        f"{report.audited:,} of {report.vectors:,} vectors of '{report.service}' audited: {verdict}.", style=style
    )
    for gone in report.unauditable:
        print_text(f"{gone.vectors:,} vectors are not auditable any more: {gone.reason}")
    if report.dropped or report.erased:
        print_text(f"{report.dropped:,} vectors were dropped unlogged, {report.erased:,} erased.")
    if report.features:
        print_table(
            ("feature", "equal", "different", "missing", "extra", "max distance"),
            [(f.feature, f.equal, f.different, f.missing, f.extra, f.max_distance) for f in report.features],
            title="Against history as of the versions served from",
        )
    examples = [(feature, example) for feature in report.features for example in feature.examples]
    if examples:
        print_table(
            ("feature", "kind", "vector", "at", "entity", "served", "history"),
            [_row(feature, example) for feature, example in examples],
            title="Worst first",
        )
    if report.lateness:
        print_table(
            ("feature", "cells", "changed", "appeared", "vanished", "mean distance", "max distance"),
            [
                (late.feature, late.cells, late.changed, late.appeared, late.vanished, late.mean_distance,
                 late.max_distance)
                for late in report.lateness
            ],
            title="Against history as known now: what lateness cost",
        )  # fmt: skip


def _row(feature: FeatureAudit, example: Example) -> tuple[object, ...]:
    asked = ", ".join(f"{name}={to_json(value)}" for name, value in {**example.entity, **example.request}.items())
    return (
        feature.feature,
        example.kind,
        f"{example.id}/{example.row}",
        format_instant(example.at_us),
        asked,
        _told(example.served, example.history),
        _told(example.history, example.served),
    )


def _told(cell: Cell, other: Cell) -> str:
    """The value when there is one, else the status; with the event time when that is what differs."""
    told = str(to_json(cell.value)) if cell.status == "PRESENT" else cell.status
    if cell.event_us != other.event_us:
        told += f" of {'no time' if cell.event_us is None else format_instant(cell.event_us)}"
    return told


def _document(report: AuditReport) -> dict[str, object]:
    return {
        "service": report.service,
        "vectors": report.vectors,
        "audited": report.audited,
        "dropped": report.dropped,
        "erased": report.erased,
        "differences": report.differences,
        "unauditable": [{"vectors": gone.vectors, "reason": gone.reason} for gone in report.unauditable],
        "features": [
            {
                "feature": f.feature,
                "equal": f.equal,
                "different": f.different,
                "missing": f.missing,
                "extra": f.extra,
                "max_distance": to_json(f.max_distance),
                "examples": [_example(example) for example in f.examples],
            }
            for f in report.features
        ],
        "lateness": [
            {
                "feature": late.feature,
                "cells": late.cells,
                "changed": late.changed,
                "appeared": late.appeared,
                "vanished": late.vanished,
                "mean_distance": to_json(late.mean_distance),
                "max_distance": to_json(late.max_distance),
            }
            for late in report.lateness
        ],
    }


def _example(example: Example) -> dict[str, object]:
    return {
        "id": example.id,
        "row": example.row,
        "at": format_instant(example.at_us),
        "entity": _values(example.entity),
        "request": _values(example.request),
        "kind": example.kind,
        "served": _cell(example.served),
        "history": _cell(example.history),
        "distance": to_json(example.distance),
    }


def _cell(cell: Cell) -> dict[str, object]:
    instant = None if cell.event_us is None else format_instant(cell.event_us)
    return {"value": to_json(cell.value), "status": cell.status, "event_timestamp": instant}


def _values(values: Mapping[str, Value]) -> dict[str, object]:
    return {name: to_json(value) for name, value in values.items()}
