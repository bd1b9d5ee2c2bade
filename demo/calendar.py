"""The year as the demo divides it; all instants are in UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

YEAR = datetime(2013, 1, 1, tzinfo=UTC)
TRAINED = datetime(2013, 11, 1, tzinfo=UTC)
"""The model learns from flights scheduled, and landed, before this."""

SCORED = TRAINED + timedelta(weeks=4)
"""It is scored on flights scheduled from `TRAINED` up to this."""

LAST_LANDING = timedelta(days=1)
"""A day after the scheduled departure all flights of the scored weeks have landed."""

DAYS = tuple(SCORED + timedelta(days=day, hours=22) for day in range(3))
"""Five in the afternoon in New York on the days after: what is known then answers for the next hour's departures."""

ASKED = timedelta(hours=1)
