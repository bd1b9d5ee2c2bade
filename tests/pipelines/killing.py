"""Processes that act on a project and are killed: at a call of a function, or with a commit of the ledger.

Children are forked from a server that has imported everything and done nothing, so that one takes no seconds to begin.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection

from pipelines.ledger import Ledger
from pipelines.promotion import approve, promote_version, roll_back
from pipelines.running import run_pipeline
from tests.pipelines.projects import Shop, day, opened, served_here

_SECONDS = 120
_NEEDED = ("tests.pipelines.killing", "pandera.polars", "sklearn.pipeline", "sklearn.preprocessing", "skops.io")


class Point(NamedTuple):
    """The `nth` call of a function of a module: before it does anything, or `after` it."""

    module: str
    name: str
    nth: int
    after: bool = False


def commit(nth: int) -> Point:
    """Right after the ledger's nth commit."""
    return Point("pipelines.ledger", "Ledger.writing", nth)


Act = Callable[[Shop], object]
ACTS: dict[str, Act] = {
    "run": lambda shop: run_pipeline(shop.store, "returned", server=served_here(shop.root)),
    "approve": lambda shop: approve(shop.rooms, "returned", 1, "good", server=served_here(shop.root)),
    "promote": lambda shop: promote_version(shop.rooms, "returned", 2, "good", server=served_here(shop.root)),
    "rollback": lambda shop: roll_back(shop.rooms, "returned", 1, "odd"),
    "one back": lambda shop: roll_back(shop.rooms, "returned", None, "odd"),
}


def killed(root: Path, act: str, point: Point) -> bool:
    """Whether another process that acts on the project was killed there; False when it never came so far."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_NEEDED))
    child = context.Process(target=_act, args=(root, act, point))
    child.start()
    child.join(_SECONDS)
    assert child.exitcode in (0, -signal.SIGKILL), (act, point, child.exitcode)
    return child.exitcode != 0


def _act(root: Path, act: str, point: Point) -> None:
    store, clock = opened(root, day(22, 12))
    if (point.module, point.name) == ("pipelines.ledger", "Ledger.writing"):
        _die_with_commit(point.nth)
    else:
        _die_at(point)
    ACTS[act](Shop(root, store, clock))


def _die_at(point: Point) -> None:
    owner: Any = importlib.import_module(point.module)
    *path, last = point.name.split(".")
    for part in path:
        owner = getattr(owner, part)
    original, calls = getattr(owner, last), 0

    def killing(*arguments: object, **named: object) -> object:
        nonlocal calls
        calls += 1
        if calls == point.nth and not point.after:
            os.kill(os.getpid(), signal.SIGKILL)
        found = original(*arguments, **named)
        if calls == point.nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    setattr(owner, last, killing)


def _die_with_commit(fatal: int) -> None:
    writing, commits = Ledger.writing, 0

    @contextmanager
    def killing(self: Ledger) -> Iterator[Connection]:
        nonlocal commits
        with writing(self) as connection:
            yield connection
        commits += 1
        if commits == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    Ledger.writing = killing  # type: ignore[method-assign]  # of this process, which is about to end
