"""`featurestore online`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from featurestore.cli.output import JsonFlag, print_json, print_table
from featurestore.cli.project import open_store
from featurestore.dtypes import DType, Json, Value, from_json, to_json
from featurestore.errors import InputError, UnknownNameError
from featurestore.timeline import parse_instant


def online(
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
    return {name: from_json(types[name], _typed(types[name], value)) for name, value in given.items()}


def _typed(dtype: DType, value: Json) -> Json:
    """Text from the command line in the JSON form of the type."""
    if dtype.name == "Bool" and value in ("true", "false"):
        return value == "true"
    return value
