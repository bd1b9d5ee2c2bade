"""The least that a Starlette route can do: read our records from LMDB, judge the TTL, and write the same JSON."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import lmdb
import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.inputs import FEATURES, ONLINE_VIEWS

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TTL_US = 36_500 * 86_400 * 10**6
_STAMP = 16  # bytes before a record's MessagePack
_PLACE = "BARE_HTTP_PROJECT"
_decode = msgspec.msgpack.Decoder(list).decode
_encode = msgspec.json.Encoder().encode


class Question(msgspec.Struct):
    """The body of a request."""

    service: str
    entities: list[dict[str, int]]


@dataclass(slots=True)
class View:
    """A view's database, its features, and what is said of its versions."""

    name: str
    database: lmdb._Database
    features: list[str]
    published: dict[str, object]

    def answer(
        self, transaction: lmdb.Transaction[bytes], keys: Sequence[bytes], at_us: int, features: dict[str, object]
    ) -> dict[str, object]:
        """Add the view's features for the keys; what is said of the view."""
        absent: list[float | None] = [None] * len(self.features)
        rows: list[list[float | None]] = []
        statuses: list[str] = []
        times: list[datetime | None] = []
        ages: list[float | None] = []
        for key in keys:
            record = transaction.get(key, None, self.database)
            if record is None:
                rows.append(absent)
                statuses.append("NOT_FOUND")
                times.append(None)
                ages.append(None)
                continue
            step = _decode(record[_STAMP:])
            if type(step[0]) is list:  # of several steps the last one, for none is in the future here
                step = step[-1]
            age_us = at_us - step[0]
            present = age_us <= _TTL_US
            rows.append(step[2:] if present else absent)
            statuses.append("PRESENT" if present else "OUTSIDE_MAX_AGE")
            times.append(_EPOCH + timedelta(microseconds=step[0]))
            ages.append(age_us / 1e6)
        for name, values in zip(self.features, zip(*rows, strict=True), strict=True):
            shown = statuses
            if None in values:
                shown = [
                    "NULL_VALUE" if value is None and status == "PRESENT" else status
                    for value, status in zip(values, statuses, strict=True)
                ]
            features[name] = {"view": self.name, "values": values, "statuses": shown}
        return {**self.published, "event_timestamps": times, "ages_seconds": ages}


def application() -> Starlette:
    """One route, on the environment variable's project."""
    environment = lmdb.open(str(Path(os.environ[_PLACE]) / "data" / "online"), max_dbs=64, readonly=True, lock=True)
    views = _views(environment)
    parse = msgspec.json.Decoder(Question).decode

    async def features(request: Request) -> Response:
        question = parse(await request.body())
        at_us = time.time_ns() // 1000
        wanted = [entity["key"] for entity in question.entities]
        keys = [(key + (1 << 63)).to_bytes(8, "big") for key in wanted]
        answered: dict[str, object] = {}
        with environment.begin() as transaction:
            said = {view.name: view.answer(transaction, keys, at_us, answered) for view in views}
        document = {
            "at": _EPOCH + timedelta(microseconds=at_us),
            "service": question.service,
            "entities": {"key": wanted},
            "features": answered,
            "views": said,
        }
        return Response(_encode(document), media_type="application/json")

    return Starlette(routes=[Route("/v1/features", features, methods=["POST"])])


def _views(environment: lmdb.Environment) -> list[View]:
    """The views in our store: the catalog names each one's slot and what was published."""
    catalog = environment.open_db(b"catalog")
    with environment.begin() as transaction:
        found = {bytes(key).decode(): bytes(value) for key, value in transaction.cursor(catalog)}
    views = []
    for view in ONLINE_VIEWS:
        entry = next(value for name, value in found.items() if f"/{view}" in name)
        said = msgspec.msgpack.decode(entry[3:])
        watermark = (_EPOCH + timedelta(microseconds=said["watermark_us"])).isoformat().replace("+00:00", "Z")
        published = {"view": view, "version": 1, "table_version": said["version"], "watermark": watermark}
        database = environment.open_db(b"slot-%04d" % int.from_bytes(entry[:2], "big"))
        views.append(View(view, database, [f"{view}_{name}" for name in FEATURES], published))
    return views


def main() -> None:
    """Arguments: project, port, workers."""
    os.environ[_PLACE] = sys.argv[1]
    uvicorn.run(
        "benchmarks.contestants.bare_http:application",
        factory=True,
        port=int(sys.argv[2]),
        workers=int(sys.argv[3]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
