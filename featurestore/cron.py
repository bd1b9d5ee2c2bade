"""The times of a cron expression by the clocks of a zone.

Five fields: minute, hour, day, month, weekday. An expression for set hours is due at the change when clocks go forward
over its time, and once when they go back over it; one for every hour or minute goes by elapsed time, like Debian's cron
(cronsim).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from featurestore.dtypes import python_micros
from featurestore.timeline import to_datetime

_ANY_DAY = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Cron:
    """An expression that `cron_faults` finds nothing wrong with, in a zone that exists."""

    expression: str
    zone: str = "UTC"

    def last_us(self, until_us: int) -> int:
        """The last time that is due at or before an instant."""
        just_behind = to_datetime(until_us).replace(microsecond=0) + timedelta(seconds=1)
        return python_micros(next(CronSim(self.expression, self._local(just_behind), reverse=True)))

    def after_us(self, after_us: int) -> Iterator[int]:
        """The times that are due after an instant, in order."""
        for due in CronSim(self.expression, self._local(to_datetime(after_us))):
            yield python_micros(due)

    def count(self, after_us: int, until_us: int, most: int) -> int:
        """How many times are due after one instant and not after another, counted up to `most`."""
        found = 0
        for due in islice(self.after_us(after_us), most):
            if due > until_us:
                break
            found += 1
        return found

    def _local(self, instant: datetime) -> datetime:
        return instant.astimezone(ZoneInfo(self.zone))

    def __str__(self) -> str:
        return f"'{self.expression}' {self.zone}"


def cron_faults(expression: object, zone: object) -> Iterator[str]:
    """What is wrong with an expression and its zone, each in a sentence."""
    try:
        ZoneInfo(zone)  # type: ignore[arg-type]  # whatever a declaration was given
    except (ZoneInfoNotFoundError, ValueError, OSError, TypeError, AttributeError):
        yield f"there is no time zone {zone!r}; write one such as 'America/New_York' or 'UTC'."
    fields = expression.split() if isinstance(expression, str) else []
    if len(fields) == 5 and _readable(fields):
        return
    if len(fields) == 5 and fields[2].isdigit() and _readable([*fields[:2], "*", *fields[3:]]):
        yield f"{expression!r} never comes: no such month has a day {fields[2]}; correct the day or the month."
        return
    yield f"{expression!r} is no cron expression of five fields, such as '0 3 * * *' for 3 every night."


def _readable(fields: list[str]) -> bool:
    try:
        return next(CronSim(" ".join(fields), _ANY_DAY), None) is not None
    except CronSimError:
        return False
