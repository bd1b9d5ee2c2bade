"""`featurestore range`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from featurestore.cli.output import JsonFlag, console, print_frame, print_json
from featurestore.cli.project import open_store
from featurestore.timeline import parse_instant


def feature_range(
    view: Annotated[str, typer.Argument(help="A view, or VIEW@VERSION.")],
    start: Annotated[str, typer.Option(help="Start, included: a date, or an instant with zone.")],
    end: Annotated[str, typer.Option(help="End, excluded: a date, an instant with zone, or now.")] = "now",
    entity: Annotated[
        list[str] | None,
        typer.Option("--entity", "-e", help="Only this one: carrier=UA,origin=EWR, or a JSON object. Repeatable."),
    ] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="Answer with what was committed by then.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write all steps to this Parquet file.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Show the plan; compute nothing.")] = False,
    limit: Annotated[int, typer.Option(help="Steps to show.", min=1)] = 20,
    as_json: JsonFlag = False,
) -> None:
    """Show the steps of a view in a range of time. That is its features, and from when until when they hold."""
    from featurestore.cli.online import typed_row
    from featurestore.dtypes import parse
    from featurestore.ranges import all_features

    with open_store() as store:
        entities = None
        if entity:
            pins = store.pins([all_features(view)])
            types = {key: parse(dtype) for pin in pins.views.values() for key, dtype in pin.record.keys}
            entities = [typed_row(text, types, "join key") for text in entity]
        steps = store.get_features_in_range(
            view,
            parse_instant(start),
            parse_instant(end),
            entities,
            as_of=None if as_of is None else parse_instant(as_of),
        )
        if explain:
            typer.echo(steps.explain())
        elif out is not None:
            rows = steps.to_parquet(out)
            print_json({"rows": rows, "path": str(out)}) if as_json else console().print(f"{rows:,} steps in {out}.")
        else:
            print_frame(steps.to_polars(), limit, as_json)
