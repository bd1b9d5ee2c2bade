"""`featurestore status`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from featurestore.cli.output import JsonFlag, console, print_json, print_table, print_text
from featurestore.cli.project import open_store
from featurestore.plan.freshness import Age, Freshness
from featurestore.registry.usage import APPLIED, SERVES
from featurestore.timeline import format_instant, rough_duration, short_instant

if TYPE_CHECKING:
    from rich.text import Text

    from featurestore.status import ViewStatus

_COLOURS = {
    Freshness.FRESH: "green",
    Freshness.DUE: "yellow",
    Freshness.LATE: "bold red",
    Freshness.EXPIRED: "bold red",
    Freshness.NEVER: "bold red",
    Freshness.TIMELESS: "dim",
    Freshness.UNSCHEDULED: "dim",
}


def status(as_json: JsonFlag = False) -> None:
    """Show how far each view is, and which version serves. Offline and online."""
    with open_store() as store:
        views = store.status()
    if as_json:
        print_json(
            [
                {
                    "view": v.view,
                    "version": v.version,
                    "rows": v.rows,
                    "watermark": _instant(v.watermark_us),
                    "committed_at": _instant(v.committed_at_us),
                    "table_version": v.table_version,
                    "last_event": _instant(v.last_event_us),
                    "lag_seconds": None if v.age.lag_us is None else v.age.lag_us / 1_000_000,
                    "steps_behind": v.age.steps_behind,
                    "freshness": v.age.freshness,
                    "online_keys": v.keys,
                    "online_in_step": v.in_step,
                    "online_lost": v.lost,
                    "online_error": v.online_error,
                    "uses": list(v.uses),
                    "waits": v.waits,
                }
                for v in views
            ]
        )
        return
    if not views:
        console().print("No view is applied. Run `featurestore apply`.")
        return
    plain = all(v.uses == (SERVES, APPLIED) for v in views)
    spare = ("version", "online keys", "rows", "watermark")[0 if plain else 1 :]
    columns = ("view", "version", "use", "rows", "last event", "watermark", "lag", "freshness", "online keys", "online")
    rows = [_row(v) for v in views]
    kept = [place for place, column in enumerate(columns) if column != "use" or not plain]
    print_table([columns[place] for place in kept], [[row[place] for place in kept] for row in rows], spare=spare)
    for v in views:
        if v.waits is not None:
            print_text(f"{v.view} v{v.version} does not serve: {v.waits}.")
    if (error := next((v.online_error for v in views if v.online_error is not None), None)) is not None:
        print_text(error)


def _row(v: ViewStatus) -> tuple[object, ...]:
    return (
        v.view,
        f"v{v.version}",
        ", ".join(v.uses),
        v.rows,
        None if v.last_event_us is None else short_instant(v.last_event_us),
        "never materialized" if v.watermark_us is None else short_instant(v.watermark_us),
        None if v.age.lag_us is None else rough_duration(v.age.lag_us),
        _freshness(v.age),
        v.keys,
        _online(v),
    )


def _freshness(age: Age) -> Text:
    """The word in its colour, with the steps that are missing."""
    from rich.text import Text

    steps = f", {age.steps_behind:,} steps behind" if age.steps_behind and age.steps_behind > 1 else ""
    return Text(f"{age.freshness}{steps}", style=_COLOURS[age.freshness])


def _online(view: ViewStatus) -> str | None:
    if view.online_error is not None:
        return "not known"
    if view.lost:
        return "records lost: online rebuild heals it"
    if view.keys is None:
        return "not there: online rebuild fills it" if view.watermark_us is not None else None
    return "in step" if view.in_step else "behind: materialize heals it"


def _instant(micros: int | None) -> str | None:
    return None if micros is None else format_instant(micros)
