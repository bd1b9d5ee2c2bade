"""Ticking on until the process is told to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from pipelines.triggers.ticking import TickReport


def watch(
    tick: Callable[[], TickReport],
    seen: Callable[[TickReport], None],
    failed: Callable[[Exception], None],
    pause: Callable[[], bool],
) -> None:
    """Tick until `pause`, which waits for the next tick, says True.

    What a tick raises is told to `failed`, and the next one comes: definitions are corrected and disks are emptied.
    """
    while True:
        try:
            seen(tick())
        except Exception as error:  # noqa: BLE001 -- the edge of a process that goes on
            failed(error)
        if pause():
            return


@contextmanager
def stopping(every_s: float) -> Iterator[Callable[[], bool]]:
    """A pause of so many seconds that SIGTERM or SIGINT ends: it says whether one came.

    A run that is under way is brought to its end first; a second signal ends the process at once, and the run is gone
    on with by the next one.
    """
    stop = threading.Event()

    def told(number: int, _: FrameType | None) -> None:
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    before = {number: signal.signal(number, told) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: stop.wait(every_s)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
