"""`featurestore serve`."""

from __future__ import annotations

from typing import Annotated

import typer

from featurestore.cli.output import JsonFlag, print_json, print_text
from featurestore.cli.project import open_store


def serve(
    host: Annotated[str | None, typer.Option(help="The address to listen on; by default [serving] host.")] = None,
    port: Annotated[int | None, typer.Option(help="The port; 0 takes a free one. By default [serving] port.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that answer; by default [serving] workers.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Answer features over HTTP, until SIGTERM or Ctrl-C."""
    from serving.server import serve as serve_project

    with open_store() as store:
        given = {"host": host, "port": port, "workers": workers}
        settings = store.configuration.serving.model_copy(update={k: v for k, v in given.items() if v is not None})

    def announce(url: str) -> None:
        if as_json:
            print_json({"url": url, "workers": settings.workers})
        else:
            print_text(f"Serving at {url} (end with Ctrl-C).")

    raise typer.Exit(serve_project(settings, announce))
