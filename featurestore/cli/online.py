"""`featurestore online`: look up, and rebuild."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from typer.core import TyperGroup

from featurestore.cli.output import JsonFlag, print_error, print_json, print_table, print_text
from featurestore.cli.project import open_store
from featurestore.dtypes import DType, Json, Value, from_json, to_json
from featurestore.errors import InputError, UnknownNameError
from featurestore.timeline import parse_instant


class _LookupUnlessNamed(TyperGroup):
    """`featurestore online buyer_v1 ...` is `featurestore online lookup buyer_v1 ...`."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # its base is hidden
        """Put `lookup` before what names no command and asks for no help."""
        is_lookup = args and args[0] not in self.commands and args[0] not in ctx.help_option_names
        return super().parse_args(ctx, ["lookup", *args] if is_lookup else args)


app = typer.Typer(
    cls=_LookupUnlessNamed, no_args_is_help=True, help="Look up the present features of entities; refill the store."
)


@app.command("rebuild")
def rebuild(
    views: Annotated[list[str] | None, typer.Argument(help="Views, or versions (last@2); by default all.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Fill the online store again from what is committed. It was emptied, or has lost records."""
    with open_store() as store:
        rebuilt = store.rebuild_online(views or None, check=False)
    errors = [one.error for one in rebuilt if one.error is not None]
    if as_json:
        print_json(
            {
                "views": [
                    {
                        "view": one.view,
                        "version": one.version,
                        "records": one.records,
                        "seconds": round(one.seconds, 3),
                        "error": None if one.error is None else str(one.error),
                    }
                    for one in rebuilt
                ]
            }
        )
    else:
        print_table(
            ("view", "version", "records", "seconds"),
            [(one.view, one.version, one.records, round(one.seconds, 2)) for one in rebuilt],
        )
        for one in rebuilt:
            if one.error is not None:
                print_error(one.error)
            elif one.records is None:
                print_text(f"{one.view}: nothing is committed yet; run `featurestore materialize`")
    if errors:
        raise typer.Exit(errors[0].exit_code)


@app.command("lookup")
def lookup(
    features: Annotated[list[str], typer.Argument(help="A service, or view:feature references.")],
    entity: Annotated[
        list[str],
        typer.Option("--entity", "-e", help="carrier=UA,origin=EWR, or a JSON object. Repeatable."),
    ],
    request: Annotated[
        list[str] | None, typer.Option("--request", "-r", help="Request-time values, in the same form, one per entity.")
    ] = None,
    at: Annotated[str | None, typer.Option(help="The instant asked for; by default now.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Look up the present features of entities."""
    with open_store() as store:
        asked = features[0] if len(features) == 1 else features
        plan = store.lookup_plan(asked)
        keys = {name: dtype for view in plan.views for name, dtype in view.keys}
        answer = store.get_online_features(
            asked,
            [typed_row(text, keys, "join key") for text in entity],
            None if request is None else [typed_row(text, dict(plan.request), "request column") for text in request],
            None if at is None else parse_instant(at),
        )
        values, statuses, times = answer.to_dict(), answer.statuses, answer.event_timestamps
    names = [name for name, _ in plan.outputs]
    if as_json:
        print_json(
            [
                {
                    "entity": {key: to_json(values[key][row]) for key in keys},
                    "features": {
                        name: {
                            "value": to_json(values[name][row]),
                            "status": statuses[name][row].name,
                            "event_timestamp": to_json(times[name][row]) if name in times else None,
                        }
                        for name in names
                    },
                }
                for row in range(len(entity))
            ]
        )
        return
    for row, text in enumerate(entity):
        print_table(
            ("feature", "value", "status", "event time"),
            [(n, values[n][row], statuses[n][row].name, times[n][row] if n in times else None) for n in names],
            title=text,
            counts=False,
        )


def typed_row(text: str, types: dict[str, DType], what: str) -> dict[str, Value]:
    """A row from `key=value,key=value` or from a JSON object, each value as its type has it."""
    if text.lstrip().startswith("{"):
        try:
            given = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"{text!r} is no JSON object: {error}.") from error
    else:
        pairs = [part.partition("=") for part in text.split(",") if part]
        wrong = next(("".join(pair) for pair in pairs if not pair[1]), None)
        if wrong is not None:
            raise InputError(f"'{wrong}' is no value: write {what}=value, such as carrier=UA,origin=EWR.")
        given = {key.strip(): value for key, _, value in pairs}
    for name in given:
        if name not in types:
            raise UnknownNameError(what, name, types)
    return {name: _value(types[name], value, f"{what.capitalize()} '{name}'") for name, value in given.items()}


def _value(dtype: DType, value: Json, where: str) -> Value:
    try:
        return from_json(dtype, _typed(dtype, value))
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _typed(dtype: DType, value: Json) -> Json:
    """Text from the command line in the JSON form of the type."""
    if dtype.name == "Bool" and value in ("true", "false"):
        return value == "true"
    return value
