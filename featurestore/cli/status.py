"""`featurestore status`."""

from __future__ import annotations

from featurestore.cli.output import JsonFlag, console, print_json, print_table, print_text
from featurestore.cli.project import open_store
from featurestore.timeline import format_duration, format_instant, short_instant


def status(as_json: JsonFlag = False) -> None:
    """Show how far each view is, offline and online, and which version serves."""
    with open_store() as store:
        views = store.status()
        now = store.now_us()
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
                    "online_keys": v.keys,
                    "online_in_step": v.in_step,
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
    print_table(
        ("view", "version", "use", "rows", "watermark", "lag", "online keys", "online"),
        [
            (
                v.view,
                f"v{v.version}",
                ", ".join(v.uses),
                v.rows,
                "never materialized" if v.watermark_us is None else short_instant(v.watermark_us),
                None if v.watermark_us is None else _lag(now - v.watermark_us),
                v.keys,
                None if v.keys is None else "in step" if v.in_step else "behind: materialize heals it",
            )
            for v in views
        ],
    )
    for v in views:
        if v.waits is not None:
            print_text(f"{v.view} v{v.version} does not serve: {v.waits}.")


def _instant(micros: int | None) -> str | None:
    return None if micros is None else format_instant(micros)


def _lag(micros: int) -> str:
    """A lag in its largest sensible unit, rounded down."""
    for size, unit in ((86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "m")):
        if micros >= 2 * size:
            return f"{micros // size}{unit}"
    return format_duration(micros // 1_000_000 * 1_000_000)
