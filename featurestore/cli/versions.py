"""`featurestore rollback` and `featurestore switch`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from featurestore.cli.output import JsonFlag, print_json, print_text
from featurestore.cli.project import open_store
from featurestore.registry.usage import SERVES
from featurestore.timeline import format_instant

if TYPE_CHECKING:
    from featurestore.registry.base import Move
    from featurestore.status import ViewStatus

View = Annotated[str, typer.Argument(help="A view.")]
Reason = Annotated[str, typer.Option(help="Why, for those who read the log.")]


def rollback(
    view: View,
    reason: Reason,
    to: Annotated[int | None, typer.Option(help="The version; by default the one that served before.", min=1)] = None,
    as_json: JsonFlag = False,
) -> None:
    """Let an earlier version of a view serve again. It does until the view is applied anew or switched."""
    with open_store() as store:
        moves = store.rollback(view, to, reason=reason)
        statuses = [status for status in store.status() if status.view == view]
    _print_moves(moves, as_json)
    if not as_json:
        _print_lag(statuses)


def switch(view: View, reason: Reason, as_json: JsonFlag = False) -> None:
    """Let the applied version of a view serve now. It may have been rolled back, or hold less than another."""
    with open_store() as store:
        moves = store.switch(view, reason=reason)
    _print_moves(moves, as_json)


def _print_lag(statuses: Sequence[ViewStatus]) -> None:
    """How far the version that serves now stands behind others: nothing kept it fresh until now."""
    [serving] = [status for status in statuses if SERVES in status.uses]
    newest = max((status.watermark_us for status in statuses if status.watermark_us is not None), default=None)
    if newest is not None and serving.watermark_us is not None and serving.watermark_us < newest:
        print_text(
            f"v{serving.version} stands at {format_instant(serving.watermark_us)}, {format_instant(newest)} is the "
            "newest: `featurestore materialize` brings it there."
        )


def _print_moves(moves: Sequence[Move], as_json: bool) -> None:
    if as_json:
        print_json({"moves": [asdict(move) for move in moves]})
        return
    for move in moves:
        print_text(moved(move))


def moved(move: Move) -> str:
    """A move as a person reads it: `view last: v2 serves in place of v1`."""
    kind = move.kind.replace("_", "-")
    if move.to_revision is None:
        return f"{kind} {move.name}: serves no more"
    if move.from_revision is None:
        return f"{kind} {move.name}: serves"
    if move.kind == "view" and move.from_version != move.to_version:
        return f"view {move.name}: v{move.to_version} serves in place of v{move.from_version}"
    return f"{kind} {move.name}: serves as of revision {move.to_revision}"
