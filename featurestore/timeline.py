"""Instants, durations, the grid, and what a feature's absence is called.

Inside the platform an instant is an int: microseconds since 1970 in UTC (`*_us`). `datetime` and `timedelta` live at
the borders only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from enum import IntEnum
from time import time_ns
from typing import Literal

from featurestore.dtypes import EPOCH, python_micros
from featurestore.errors import InputError

Visibility = Literal["event", "created"]  # whether a row hides before its event time, or also before its created time
EVENT_TIMESTAMP = "__event_timestamp"  # canonical columns of a view's rows; names with "__" cannot be declared
CREATED_TIMESTAMP = "__created_timestamp"
SEQUENCE = "__sequence"  # int64; ingestion order: decides ties of event time and created time, greatest wins
FIRST_PUSHED = 2**62  # sequences of pushed rows begin here, so that rows from the source come before them
DELETED = "__deleted"  # Bool, never null; only where the source names its `deleted`: whether the row is a marker

Clock = Callable[[], int]  # the present instant in microseconds; passed in, so that tests and replays can set it
MICROSECOND = timedelta(microseconds=1)
_EXACT_US = 2**32 * 10**6  # so far from 1970 a double of seconds still tells one microsecond from the next
_UNITS = ((86_400_000_000, "d"), (3_600_000_000, "h"), (60_000_000, "m"), (1_000_000, "s"), (1_000, "ms"), (1, "us"))


class Status(IntEnum):
    """Why a feature value is there or absent."""

    PRESENT = 0
    NULL_VALUE = 1
    NOT_FOUND = 2
    OUTSIDE_MAX_AGE = 3


def instant_us(instant: datetime, what: str) -> int:
    """Microseconds since 1970 of an aware datetime; a naive one and other values are refused, `what` names them."""
    if not isinstance(instant, datetime):
        raise InputError(
            f"{what} is a {type(instant).__name__}, not a datetime; write datetime(..., tzinfo=timezone.utc)."
        )
    if instant.tzinfo is None:
        raise InputError(
            f"{what} {instant.isoformat()} has no time zone, so it is no instant; "
            f"write datetime(..., tzinfo=timezone.utc) or convert it with .astimezone()."
        )
    return python_micros(instant)


def present_us() -> int:
    """The present instant of this machine."""
    return time_ns() // 1000


def to_datetime(micros: int) -> datetime:
    """The instant as an aware datetime in UTC."""
    if -_EXACT_US < micros < _EXACT_US:
        return datetime.fromtimestamp(micros / 1e6, UTC)
    return EPOCH + timedelta(microseconds=micros)


def duration_us(duration: timedelta) -> int:
    """The duration in microseconds, exactly."""
    return duration // MICROSECOND


def parse_instant(text: str) -> datetime:
    """The instant in an ISO 8601 text; a date alone is its midnight in UTC, `now` is the present."""
    if text == "now":
        return datetime.now(UTC)
    try:
        if len(text) == len("2013-01-01"):
            return datetime.combine(date.fromisoformat(text), time(), UTC)
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            f"'{text}' is no instant; write a date (2013-10-01, midnight UTC) or a time with its zone "
            f"(2013-10-01T05:30:00Z)."
        ) from error
    instant_us(instant, "Instant")
    return instant


def format_instant(micros: int) -> str:
    """RFC 3339 in UTC, without a fraction when it is zero."""
    return to_datetime(micros).isoformat().replace("+00:00", "Z")


def short_instant(micros: int) -> str:
    """The instant in UTC as tables show it: the date alone at midnight, to the minute, or to the second."""
    instant = to_datetime(micros).replace(microsecond=0)
    text = f"{instant:%Y-%m-%d %H:%M:%S}"
    return text.removesuffix(":00").removesuffix(" 00:00")


def format_duration(micros: int) -> str:
    """The duration in its largest whole unit: `90m`, `6h`, `7d`; zero is `0s`."""
    if micros == 0:
        return "0s"
    size, unit = next((size, unit) for size, unit in _UNITS if micros % size == 0)
    return f"{micros // size}{unit}"


def rough_duration(micros: int) -> str:
    """The duration in its largest sensible unit, rounded down: 95 minutes are `95m`, 50 hours are `2d`."""
    for size, unit in _UNITS[:3]:
        if micros >= 2 * size:
            return f"{micros // size}{unit}"
    return format_duration(micros // 1_000_000 * 1_000_000)


def parse_duration(text: str) -> timedelta:
    """The duration in a text such as `90m`, `6h`, `7d`, `500ms`; must be positive."""
    digits = text.rstrip("dhmsu")
    unit = text[len(digits) :]
    for size, name in _UNITS:
        if name == unit and digits.isdecimal() and int(digits) > 0:
            return timedelta(microseconds=int(digits) * size)
    raise InputError(f"'{text}' is no duration; write a whole number above zero and a unit, such as 90m, 6h or 7d.")


def floor_to_grid(micros: int, step: int) -> int:
    """The last instant of the epoch-aligned grid of `step` that is not after the given one."""
    return micros - micros % step


def chunks(start: int, end: int, step: int) -> Iterator[tuple[int, int]]:
    """Half-open intervals that cover [start, end), cut at the epoch-aligned grid of `step`, in order."""
    at = start
    while at < end:
        until = min(floor_to_grid(at, step) + step, end)
        yield at, until
        at = until


def age_status(event_us: int, at_us: int, ttl_us: int | None) -> Status:
    """PRESENT while the age is within the TTL (both ends included), else OUTSIDE_MAX_AGE."""
    if ttl_us is not None and at_us - event_us > ttl_us:
        return Status.OUTSIDE_MAX_AGE
    return Status.PRESENT
