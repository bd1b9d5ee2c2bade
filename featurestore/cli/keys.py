"""`featurestore keys create|list|revoke`."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from featurestore.cli.output import JsonFlag, console, print_json, print_table, print_text
from featurestore.cli.project import open_store
from featurestore.timeline import duration_us, format_instant, parse_duration, short_instant

if TYPE_CHECKING:
    from featurestore.store import FeatureStore
    from serving.keys import Key

app = typer.Typer(help="Keys of the server: make, list and revoke them.", no_args_is_help=True)

_COLUMNS = ("id", "name", "state", "scopes", "limited to", "created", "created by", "expires")
_SPARE = ("created by", "created")


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Whose key it is, for people.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            "--scope",
            "-s",
            help="features:read, predict, push, or admin for all of these; may be repeated. By default the first two.",
        ),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="Limit the key to this view or service; may be repeated.")
    ] = None,
    expires_in: Annotated[
        str | None, typer.Option(help="For how long it is good: 12h, 90d; by default for ever.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a key and show it, once."""
    from serving.access import ANONYMOUS
    from serving.app import keys_of

    lifetime: timedelta | None = None if expires_in is None else parse_duration(expires_in)
    with open_store() as store:
        if only:
            _check_names(store, only)
        expires = None if lifetime is None else store.now_us() + duration_us(lifetime)
        scopes = scope or sorted(ANONYMOUS)
        key, secret = keys_of(store).create(name, scopes, store.actor, views=only or None, expires_at_us=expires)
        _journal(store, "keys create", key)
    if as_json:
        print_json({**_document(key, "active"), "key": secret})
        return
    print_text(f"Key {key.id} ('{key.name}', {', '.join(sorted(key.scopes))}). It is shown this once; keep it safe:")
    typer.echo(secret)


@app.command("list")
def list_keys(as_json: JsonFlag = False) -> None:
    """List all keys, the oldest first; never the keys themselves."""
    from serving.app import keys_of

    with open_store() as store:
        now = store.now_us()
        keys = keys_of(store).all()
    if as_json:
        print_json([_document(key, key.state(now)) for key in keys])
    elif keys:
        print_table(_COLUMNS, [_row(key, key.state(now)) for key in keys], spare=_SPARE)
    else:
        console().print("There is no key: requests on this machine may read features and predict, and nothing else.")


@app.command("revoke")
def revoke(
    key: Annotated[str, typer.Argument(help="The key's id, as `keys list` names it.")], as_json: JsonFlag = False
) -> None:
    """Make a key useless from now on."""
    from serving.app import keys_of

    with open_store() as store:
        revoked = keys_of(store).revoke(key)
        _journal(store, "keys revoke", revoked)
    if as_json:
        print_json(_document(revoked, "revoked"))
    else:
        print_text(f"Key {revoked.id} ('{revoked.name}') is revoked; running servers refuse it from now on.")


def _check_names(store: FeatureStore, names: list[str]) -> None:
    from featurestore.errors import UnknownNameError

    catalog = store.catalog()
    known = {**catalog.views, **catalog.services}
    for name in names:
        if name not in known:
            raise UnknownNameError("view or service", name, known)


def _journal(store: FeatureStore, action: str, key: Key) -> None:
    from serving.journal import Journal

    journal = Journal(store.root / store.configuration.serving.write_log, store.now_us)
    journal.write(None, {"route": action, "by": store.actor, "id": key.id, "scopes": sorted(key.scopes)})


def _document(key: Key, state: str) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "state": state,
        "scopes": sorted(key.scopes),
        "limited_to": None if key.views is None else sorted(key.views),
        "created": format_instant(key.created_at_us),
        "created_by": key.created_by,
        "expires": None if key.expires_at_us is None else format_instant(key.expires_at_us),
    }


def _row(key: Key, state: str) -> tuple[object, ...]:
    return (
        key.id,
        key.name,
        state,
        ", ".join(sorted(key.scopes)),
        None if key.views is None else ", ".join(sorted(key.views)),
        short_instant(key.created_at_us),
        key.created_by,
        None if key.expires_at_us is None else short_instant(key.expires_at_us),
    )
