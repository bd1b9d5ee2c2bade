"""The `featurestore` command and what all of its commands share."""

from __future__ import annotations

import errno
import io
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from featurestore.cli import (
    audit,
    datasets,
    definitions,
    describe,
    erase,
    init,
    keys,
    maintain,
    models,
    offline,
    online,
    pipeline,
    predictions,
    push,
    quarantine,
    ranges,
    serve,
    statistics,
    status,
    triggers,
    versions,
)
from featurestore.cli.output import print_error
from featurestore.errors import FeatureStoreError

_INTERRUPTED = 130  # as of a process that Ctrl-C ended
_FAULT = 3  # never 1, which says that a gate refused

app = typer.Typer(
    name="featurestore",
    help="Declare features once; train on their history, serve their present.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("init")(init.init)
app.command("plan")(definitions.plan)
app.command("apply")(definitions.apply)
app.command("rollback")(versions.rollback)
app.command("switch")(versions.switch)
app.command("materialize")(offline.materialize)
app.command("push")(push.push)
app.command("historical")(offline.historical)
app.command("range")(ranges.feature_range)
app.command("audit")(audit.audit)
app.command("erase")(erase.erase)
app.command("maintain")(maintain.maintain)
app.command("sql")(offline.sql)
app.command("describe")(describe.describe)
app.command("status")(status.status)
app.command("stats")(statistics.stats)
app.command("serve")(serve.serve)
app.command("tick")(triggers.tick)
app.command("watch")(triggers.watch)
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(datasets.app, name="dataset")
app.add_typer(online.app, name="online")
app.add_typer(models.app, name="model")
app.add_typer(keys.app, name="keys")
app.add_typer(pipeline.app, name="pipeline")
pipeline.app.command("predict")(predictions.predict)
pipeline.app.command("label")(predictions.label)
pipeline.app.command("monitor")(predictions.monitor)
pipeline.app.command("why")(triggers.why)
pipeline.app.command("backtest")(triggers.backtest)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"featurestore {version('featurestore-platform')}")
        raise typer.Exit


@app.callback()
def common(
    project: Annotated[
        Path, typer.Option("--project", "-C", help="The project's folder, or one below it.", show_default=False)
    ] = Path(),
    _: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """What stands before the command: the project."""
    os.environ["FEATURESTORE_ROOT"] = str(project)


def run() -> None:
    """Run the command line; a user's mistake ends in one sentence and an exit code, not in a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that has no such sign shows another one
    try:
        app()
    except FeatureStoreError as error:
        print_error(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:
        _write_no_more()  # the reader left: nothing more to say to it
        sys.exit(0)
    except Exception as error:  # noqa: BLE001 -- the process's edge
        sys.exit(_unforeseen(error))


def _unforeseen(error: Exception) -> int:
    """Say what no room foresaw; the exit code."""
    if isinstance(error, RuntimeError) and str(error) == "Query interrupted":  # DuckDB's word for Ctrl-C
        return _INTERRUPTED
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EDQUOT):
        place = f" ({error.filename})" if error.filename else ""
        print_error(FeatureStoreError(f"{error.strerror}{place}: free space, or grant rights, and run again."))
        _write_no_more()
        return FeatureStoreError.exit_code
    traceback.print_exception(error)
    print_error(
        FeatureStoreError(f"{type(error).__name__}: {error}. This is a fault of featurestore; please report it.")
    )
    return _FAULT


def _write_no_more() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
