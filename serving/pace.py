"""Whether a model is quick enough to be asked on the event loop, where nothing else is answered meanwhile.

Handing a request to a thread and waiting for the interpreter's lock takes several times what a quick model does, so a
model is asked on the loop once it has shown in a thread that it takes less than `QUICK_SECONDS` of processor time.
There it is timed by the clock, for it may wait for threads of its own; one that takes more than `SLOW_SECONDS` goes
back to a thread, and is tried again after ten times as many requests.
"""

from __future__ import annotations

from statistics import median

QUICK_SECONDS = 0.002  # what others may have to wait for
SLOW_SECONDS = 0.01  # by the clock: a machine that is busy elsewhere makes no model slow
_JUDGED = 9  # requests; the median of an odd number is one of them
_LONGER = 10


class Pace:
    """How long the last requests took that one model answered; used on one event loop and by threads."""

    __slots__ = ("_again_after", "_last", "_seen", "is_quick")

    def __init__(self) -> None:
        self.is_quick = False
        self._last: list[float] = []
        self._seen = 0  # since it was judged quick or slow
        self._again_after = _JUDGED

    def took(self, seconds: float) -> None:
        """Note how long a request took: processor time in a thread, elapsed time on the event loop."""
        self._seen += 1
        last = self._last = [*self._last[1 - _JUDGED :], seconds]
        if len(last) < _JUDGED:
            return
        if self.is_quick:
            if median(last) <= SLOW_SECONDS:
                return
            self._again_after *= _LONGER
        elif median(last) > QUICK_SECONDS or self._seen < self._again_after:
            return
        self.is_quick = not self.is_quick
        self._last, self._seen = [], 0
