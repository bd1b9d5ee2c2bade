"""`featurestore stats`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from featurestore.cli.output import JsonFlag, console, print_json, print_table, print_text
from featurestore.cli.project import open_store
from featurestore.timeline import parse_instant, short_instant

if TYPE_CHECKING:
    from featurestore.statistics.records import FeatureStatistics, IntervalStatistics, ViewStatistics

_MOST_INTERVALS = 40


def stats(
    view: Annotated[str, typer.Argument(help="The view.")],
    feature: Annotated[str | None, typer.Option("--feature", "-f", help="One feature, interval by interval.")] = None,
    start: Annotated[str | None, typer.Option(help="Only intervals that end after this instant.")] = None,
    end: Annotated[str | None, typer.Option(help="Only intervals that begin before this instant.")] = None,
    events: Annotated[bool, typer.Option("--events", help="Of a windowed view the events that it keeps.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show what a view's values look like. They were counted when they were committed."""
    with open_store() as store:
        found = store.statistics(
            view,
            None if start is None else parse_instant(start),
            None if end is None else parse_instant(end),
            events=events,
        )
    if feature is not None:
        found = found.of_feature(feature)
    if as_json:
        print_json(found.to_json())
    elif not found.intervals:
        print_text(_nothing(found, asked=start is not None or end is not None))
    elif feature is None:
        _print_features(found)
    else:
        _print_feature(found)


def _print_features(found: ViewStatistics) -> None:
    from featurestore.cli.sparkline import null_shares, shape

    console().print(_title(found), markup=False)
    print_table(
        ("feature", "type", "nulls", "distinct", "min", "median", "mean", "max", "shape", "nulls over time"),
        [
            (
                one.name,
                str(one.dtype),
                _share(one),
                one.distinct,
                _short(one.min),
                _short(one.quantiles.get(0.5)),
                _short(one.mean),
                _short(one.max),
                shape(one),
                null_shares(place, found.intervals),
            )
            for place, one in enumerate(found.features)
        ],
        spare=("type", "mean", "nulls over time", "distinct"),
    )
    _print_uncounted(found)


def _print_feature(found: ViewStatistics) -> None:
    from featurestore.cli.sparkline import shape

    (whole,) = found.features
    console().print(f"{_title(found)}: {whole.name} {whole.dtype}", markup=False)
    shown = found.intervals[-_MOST_INTERVALS:]
    rows = [(_interval(one), *_cells(one.features[0]), shape(one.features[0], whole)) for one in shown]
    rows.append(("all", *_cells(whole), shape(whole)))
    columns = ("interval", "rows", "nulls", "NaN", "infinite", "distinct", "min", "median", "mean", "max", "shape")
    empty = {place for place in (3, 4) if not any(row[place] for row in rows)}
    kept = [place for place in range(len(columns)) if place not in empty]
    print_table(
        [columns[place] for place in kept], [[row[place] for place in kept] for row in rows], spare=("distinct", "mean")
    )
    if len(shown) < len(found.intervals):
        console().print(f"The last {len(shown)} of {len(found.intervals)} intervals; --json has all.", style="dim")
    if whole.histogram.categories:
        counts = [*zip(whole.histogram.categories, whole.histogram.counts, strict=False)]
        others = whole.histogram.counts[-1]
        top = sorted((pair for pair in counts if pair[1]), key=lambda pair: -pair[1])
        print_table(("value", "rows"), [*top, *([("any other", others)] if others else [])])
    elif whole.quantiles:
        print_table(
            [f"{share:.0%}" for share in whole.quantiles], [[_short(value) for value in whole.quantiles.values()]]
        )
    _print_uncounted(found)


def _print_uncounted(found: ViewStatistics) -> None:
    if found.uncounted:
        print_text(
            f"{abs(found.uncounted):,} rows were {'written' if found.uncounted > 0 else 'removed'} without being "
            "counted; materialize their interval again to count it."
        )


def _nothing(found: ViewStatistics, *, asked: bool) -> str:
    if asked:
        return f"View '{found.view}' has no interval there."
    return f"View '{found.view}' was never materialized. Run `featurestore materialize`."


def _title(found: ViewStatistics) -> str:
    start, end = found.intervals[0].start_us, found.intervals[-1].end_us
    since = "" if start is None else f" from {short_instant(start)}"
    until = "" if end is None else f" to {short_instant(end)}"
    count = len(found.intervals)
    return f"{found.view}: {found.rows:,} {found.of} in {count} interval{'' if count == 1 else 's'}{since}{until}"


def _interval(one: IntervalStatistics) -> str:
    if one.end_us is None:
        return "at all times"
    start = "" if one.start_us is None else short_instant(one.start_us)
    return f"{start} .. {short_instant(one.end_us)}{' pushed' if one.pushed else ''}"


def _cells(one: FeatureStatistics) -> Sequence[object]:
    median = _short(one.quantiles.get(0.5))
    numbers = (one.nans or None, one.infinities or None, one.distinct)
    return (one.rows, _share(one), *numbers, _short(one.min), median, _short(one.mean), _short(one.max))


def _share(one: FeatureStatistics) -> str | None:
    """The share of nulls; a small one is not zero, and a great one not all."""
    if one.null_share is None:
        return None
    if one.nulls in (0, one.rows):
        return "none" if one.nulls == 0 else "all"
    percent = min(max(one.null_share * 100, 0.01), 99.99)
    return f"{percent:.2g}%" if percent < 99 else f"{percent:.2f}%"


def _short(value: object) -> object:
    from datetime import date, datetime

    match value:
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M")
        case date():
            return value.isoformat()
        case float():
            return float(f"{value:.4g}")
        case _:
            return value
