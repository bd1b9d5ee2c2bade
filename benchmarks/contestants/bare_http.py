"""The least that a Starlette route can do: read our records from LMDB, judge the TTL, and write the same JSON."""

from __future__ import annotations

import os
import sys
import time
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


class Question(msgspec.Struct):
    """The body of a request."""

    service: str
    entities: list[dict[str, int]]


def application() -> Starlette:
    """One route, on the environment variable's project."""
    environment = lmdb.open(str(Path(os.environ[_PLACE]) / "data" / "online"), max_dbs=64, readonly=True, lock=True)
    catalog = environment.open_db(b"catalog")
    views = []
    with environment.begin() as transaction:
        found = {bytes(key).decode(): bytes(value) for key, value in transaction.cursor(catalog)}
    for view in ONLINE_VIEWS:
        entry = next(value for name, value in found.items() if f"/{view}" in name)
        database = environment.open_db(b"slot-%04d" % int.from_bytes(entry[:2], "big"))
        names = [f"{view}_{name}" for name in FEATURES]
        version, watermark = _published(entry[3:])
        views.append((view, database, names, {"view": view, "version": 1, "table_version": version,
                                               "watermark": watermark}))  # fmt: skip
    parse = msgspec.json.Decoder(Question).decode
    decode = msgspec.msgpack.Decoder(list[list]).decode  # type: ignore[type-arg]  # as the records are
    encode = msgspec.json.Encoder().encode

    async def features(request: Request) -> Response:
        question = parse(await request.body())
        at_us = time.time_ns() // 1000
        wanted = [entity["key"] for entity in question.entities]
        keys = [(key + (1 << 63)).to_bytes(8, "big") for key in wanted]
        answered: dict[str, object] = {}
        said: dict[str, object] = {}
        with environment.begin() as transaction:
            for view, database, names, published in views:
                rows, statuses, times, ages = [], [], [], []
                for key in keys:
                    record = transaction.get(key, None, database)
                    step = None if record is None else decode(record[_STAMP:])[-1]
                    if step is None:
                        rows.append([None] * len(names))
                        statuses.append("NOT_FOUND")
                        times.append(None)
                        ages.append(None)
                        continue
                    age_us = at_us - step[0]
                    present = age_us <= _TTL_US
                    rows.append(step[2:] if present else [None] * len(names))
                    statuses.append("PRESENT" if present else "OUTSIDE_MAX_AGE")
                    times.append(_EPOCH + timedelta(microseconds=step[0]))
                    ages.append(age_us / 1e6)
                for name, values in zip(names, zip(*rows, strict=True), strict=True):
                    if None in values:
                        shown = [
                            "NULL_VALUE" if value is None and status == "PRESENT" else status
                            for value, status in zip(values, statuses, strict=True)
                        ]
                    else:
                        shown = statuses
                    answered[name] = {"view": view, "values": values, "statuses": shown}
                said[view] = {**published, "event_timestamps": times, "ages_seconds": ages}
        document = {
            "at": _EPOCH + timedelta(microseconds=at_us),
            "service": question.service,
            "entities": {"key": wanted},
            "features": answered,
            "views": said,
        }
        return Response(encode(document), media_type="application/json")

    return Starlette(routes=[Route("/v1/features", features, methods=["POST"])])


def _published(meta: bytes) -> tuple[int, str]:
    said = msgspec.msgpack.decode(meta)
    watermark = _EPOCH + timedelta(microseconds=said["watermark_us"])
    return said["version"], watermark.isoformat().replace("+00:00", "Z")


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
        log_level="warning",
    )


if __name__ == "__main__":
    main()
