"""What any lookup of three records from LMDB must do: three gets, three MessagePack decodes, one dict of the values."""

from __future__ import annotations

import random
import struct
import sys
from pathlib import Path

import lmdb
import msgspec
import pyarrow.parquet as pq

from benchmarks.inputs import FEATURES, ONLINE_VIEWS
from benchmarks.measure import measured_calls

_KEY = struct.Struct(">q")


def publish(workspace: Path) -> None:
    """A database per view in one environment: the key big-endian, the values a MessagePack array."""
    with lmdb.open(str(workspace / "raw"), map_size=1 << 32, max_dbs=len(ONLINE_VIEWS)) as environment:
        for view in ONLINE_VIEWS:
            database = environment.open_db(view.encode())
            rows = pq.read_table(workspace / "inputs" / f"{view}.parquet").drop_columns(["event_timestamp"])
            keys, *features = (column.to_pylist() for column in rows.columns)
            with environment.begin(write=True, db=database) as transaction:
                for key, *values in zip(keys, *features, strict=True):
                    transaction.put(_KEY.pack(key), msgspec.msgpack.encode(values), append=True)


def main() -> None:
    """Arguments: workspace, entities, lookups."""
    workspace, entities, lookups = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    environment = lmdb.open(str(workspace / "raw"), max_dbs=len(ONLINE_VIEWS), readonly=True, lock=True)
    databases = [environment.open_db(view.encode()) for view in ONLINE_VIEWS]
    decode = msgspec.msgpack.Decoder(list[float]).decode

    names = [f"{view}_{name}" for view in ONLINE_VIEWS for name in FEATURES]

    def look_up(entity: int) -> dict[str, list[float]]:
        key = _KEY.pack(entity)
        with environment.begin() as transaction:
            values = [v for database in databases for v in decode(transaction.get(key, b"", database))]
        return {name: [value] for name, value in zip(names, values, strict=True)}

    measured_calls(look_up, random.Random(5).choices(range(entities), k=lookups))


if __name__ == "__main__":
    main()
