"""What the demo shows of its results: the models compared, the days lived through, the commands to try next."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from demo.calendar import SCORED
from demo.days import KEYS, Day
from demo.learning import Comparison, Score
from demo.screen import say, show_command
from featurestore.cli.output import print_table
from featurestore.errors import OnlineStoreError

PLAIN = "flight_delay_v1"
SERVICE = "flight_delay_v2"


def show_comparison(comparison: Comparison) -> None:
    """What each model promises and keeps."""
    scores = (comparison.schedule, comparison.plain, comparison.windows, comparison.leaky)
    knows = (
        "the schedule",
        f"+ latest values ({PLAIN})",
        f"+ windows ({SERVICE})",
        "+ the day's means, joined by date",
    )
    print_table(
        ("the model knows", "columns", "ROC AUC", "gain", "on duty"),
        [
            (known, score.added, f"{score.promised:.3f}", _gain(score, lower), f"{score.live:.3f}")
            for known, score, lower in zip(knows, scores, (None, *scores), strict=False)
        ],
    )
    gained = comparison.windows.promised - comparison.schedule.promised
    say(
        f"The store's features gain [bold]{gained:+.3f}[/], and keep it on duty. The last row is the leak: a day's "
        "mean knows what lands later that day. On duty that model gets the mean so far, and falls to "
        f"{comparison.leaky.live:.3f}."
    )


def _gain(score: Score, before: Score | None) -> str | None:
    """What a model promises beyond the one before it."""
    return None if before is None else f"{score.promised - before.promised:+.3f}"


def show_day(day: Day) -> None:
    """The departures rated riskiest, and how the answers compare with history; OnlineStoreError if they differ."""
    verdict = "[bold green]all equal[/]" if not day.different else f"[bold red]{day.different:,} differ[/]"
    say(
        f"[bold]{day.instant:%A, %B %-d}[/], {day.rows:,} new rows up to 5 pm in New York. {day.departures.height} "
        f"departures in the next hour, one lookup each, {day.lookup_us:,.0f} µs in the median."
    )
    say(f"{day.cells:,} values and statuses compared with history: {verdict}.")
    print_table(
        ("riskiest", "route", "scheduled", "late with", "what happened"),
        [
            (
                f"{flight['carrier']} {flight['flight']}",
                flight["route"],
                f"{flight['sched_dep']:%H:%M} UTC",
                f"{flight['probability']:.0%}",
                _fate(flight),
            )
            for flight in _riskiest(day)
        ],
    )
    if day.different:
        raise OnlineStoreError(
            f"{day.different:,} of {day.cells:,} online answers of {day.instant:%B %-d} differ from history: "
            "the online and the offline store no longer agree; please report it."
        )


def _riskiest(day: Day) -> list[dict[str, object]]:
    return day.departures.sort("probability", "flight_id", descending=[True, False]).head(3).to_dicts()


def _fate(flight: dict[str, object]) -> str:
    match flight:
        case {"cancelled": True}:
            return "cancelled"
        case {"diverted": True}:
            return "diverted"
        case {"arr_delay": int(delay)}:
            return f"{abs(delay)} min {'late' if delay > 0 else 'early'}" if delay else "on time"
        case _:
            return "unknown"


def show_next(root: Path, day: Day) -> None:
    """Commands that work in the project's folder on what is there now."""
    command = _command(root)
    for why, arguments in next_commands(day):
        show_command(why, f"{command} {arguments}")


def next_commands(day: Day) -> tuple[tuple[str, str], ...]:
    """What each command is good for, and its arguments as a shell reads them.

    The lookup asks for the flight of the day that is rated riskiest.
    """
    flight = _riskiest(day)[0]
    entity = ",".join(f"{key}={flight[key]}" for key in KEYS)
    at = f"{flight['sched_dep']:%Y-%m-%dT%H:%M:%SZ}"
    spine = f"SELECT * FROM flights WHERE sched_dep = '{SCORED:%F} 12:00'"
    query = "SELECT carrier, avg(arr_delay) FROM landings GROUP BY carrier ORDER BY 2"
    historical = (f"historical {SERVICE} --timestamp sched_dep", f'--spine "{spine}"', "--limit 1")
    online = (f"online {SERVICE} --at {at}", f"--entity {entity}", f"--request sched_dep={at}")
    return (
        ("what a service, or a view, is made of", f"describe {SERVICE}"),
        ("features as they were known, for rows with keys and instants", _continued(*historical)),
        ("features as they are known, for the flight of that day rated riskiest", _continued(*online)),
        ("any question about views, sources and datasets", _continued("sql", f'"{query}"')),
        ("what the contracts refused, and why", "quarantine list"),
        ("a run of the training pipeline, its page in a browser", "pipeline show 1 --open"),
        ("the versions of the model, and how the champion changed", "pipeline models"),
        ("how far each view is", "status"),
    )


def _continued(*lines: str) -> str:
    """One command on several lines, so that a terminal breaks none."""
    return " \\\n    ".join(lines)


def _command(root: Path) -> str:
    """The `featurestore` command beside this interpreter, as one would type it in the project's folder."""
    beside = Path(sys.executable).parent / "featurestore"
    if beside.is_relative_to(root):
        return str(beside.relative_to(root))
    return "featurestore" if shutil.which("featurestore") == str(beside) else str(beside)
