"""`featurestore serve`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from featurestore.cli.output import JsonFlag, print_json, print_text
from featurestore.cli.project import open_store


def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on; by default [serving] host.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="The port; 0 takes a free one. By default [serving] port.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes that answer; by default [serving] workers.")
    ] = None,
    require_keys: Annotated[bool, typer.Option("--require-keys", help="Want a key before the first is made.")] = False,
    tls_certificate: Annotated[str | None, typer.Option(help="Certificate chain in PEM; serves HTTPS.")] = None,
    tls_key: Annotated[str | None, typer.Option(help="The certificate's private key in PEM.")] = None,
    behind_proxy: Annotated[bool, typer.Option("--behind-proxy", help="A proxy in front ends TLS.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Answer features over HTTP, until SIGTERM or Ctrl-C."""
    from serving.app import keys_of
    from serving.server import serve as serve_project

    given = {
        "host": host, "port": port, "workers": workers, "require_keys": require_keys or None,
        "tls_certificate": tls_certificate, "tls_key": tls_key, "behind_proxy": behind_proxy or None,
    }  # fmt: skip
    for key, value in given.items():
        if value is not None:  # workers read the configuration for themselves
            os.environ[f"FEATURESTORE_SERVING__{key.upper()}"] = str(value)
    with open_store() as store:
        settings = store.configuration.serving
        store.online.namespaces()  # a store that does not answer is told here, before any worker starts
        has_keys = bool(keys_of(store).all())
    if has_keys:  # a worker that starts while the registry is away is as closed as the others
        os.environ["FEATURESTORE_SERVING__REQUIRE_KEYS"] = "true"

    def announce(url: str) -> None:
        if as_json:
            print_json({"url": url, "workers": settings.workers})
        else:
            print_text(f"Serving at {url} (end with Ctrl-C).")

    raise typer.Exit(serve_project(settings, announce, has_keys=has_keys))
